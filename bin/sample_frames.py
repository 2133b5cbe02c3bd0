#!/usr/bin/env python3
"""Make unlabelled frames of CO aggregates: thermal, excited, compressed, stretched, in close contact."""

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line, sample, write."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--level", default="van-hemert", help="label level whose dynamics are used")
    add("--coupling-eV", type=float, default=2.0, help="epsilon of the invented attraction, eV")
    add("--n-molecules", type=int, default=8, help="CO in an aggregate")
    add("--n-aggregates", type=int, default=2, help="relaxed aggregates")
    add("--aggregate-radius-A", type=float, help="packing sphere, Å (None: 50 CO in 8.2 Å, scaled)")
    add("--n-packings", type=int, default=32, help="random packings followed down to aggregates")
    for kind, n, duration_fs in (("thermal", 2, 4000.0), ("excited", 24, 3000.0)):
        add(f"--n-{kind}", type=int, default=n, help=f"{kind} trajectories (excited: NVE)")
        add(f"--{kind}-duration-fs", type=float, default=duration_fs, help="their length, fs")
    add("--thermal-temperature-K", type=float, default=15.0, help="their temperature, K")
    add("--excitation-energy-eV", type=float, default=8.26, help="energy along the excited bond, eV")
    add("--core-radius-A", type=float, default=4.5, help="excited molecules lie this near the centre, Å")
    add("--timestep-fs", type=float, default=0.2, help="time step, fs")
    add("--window-starts-fs", type=numbers, default="0,500,2500", help="sampling windows' starts, fs")
    add("--window-intervals-fs", type=numbers, default="100,10,100", help="time between frames in each, fs")
    add("--n-contacts", type=int, default=300, help="frames with two molecules pulled together")
    add("--contact-range-A", type=numbers, default="2.2,3.4", help="closest atoms there: from, to, Å")
    add("--n-compressed", type=int, default=700, help="aggregates drawn together, molecules turned")
    add("--bond-spread-A", type=float, default=0.03, help="of bonds in every second frame, Å (0: none)")
    add("--campaign-seed", type=int, default=1, help="seed of all random numbers")
    for name, text in {"": "frames", "-aggregates": "minima", "-snapshots": "thermal starts"}.items():
        add(f"--out{name}", required=not name, help=f"{text}, extxyz (None: beside the frames)")
    given = vars(p.parse_args())

    from frazil.experiments.photodesorption.sampling import sample_files

    sample_files(**given)


if __name__ == "__main__":
    run(main)
