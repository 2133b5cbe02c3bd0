#!/usr/bin/env python3
"""Run one shard of H2 collisions with a surface and write its table."""

from frazil.cli import boolean, numbers, parser, run


def main() -> None:
    """Parse the command line, collide."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--surfaces", required=True, help="folder of prepare_surface.py")
    add("--model", default="analytic", help="model.h5 of train_gmnn.py, or 'analytic'")
    add("--curves", default="", help="molecular_curves.csv of a model of interactions")
    add("--phase", required=True, help="of this shard")
    add("--first", type=int, default=0, help="number of the first trajectory within the phase")
    add("--trajectories", type=int, required=True, dest="n_trajectories", help="number of trajectories")
    add("--surface-temperatures-K", type=numbers, default="5,10,20", help="K")
    add("--energies-K", type=numbers, default="12,35,58,93,116,174,232,290,348", help="of translation, K")
    add("--polar-max-deg", type=float, default=60, help="largest angle from the normal, °")
    add("--n-polar", type=int, default=16, help="polar angles, equidistant from 0")
    add("--n-azimuth", type=int, default=12, help="azimuths for each polar angle")
    add("--azimuth", default="random", help="random, or grid (equidistant)")
    add("--aim-radius-A", type=float, default=6, help="of the disc that is aimed at, Å")
    add("--start-height-A", type=float, default=8, help="of H2 above the surface, Å")
    add("--bounce-A", type=float, default=6, help="from all atoms: bounced (very large: never), Å")
    add("--timestep-fs", type=float, default=0.5, help="time step, fs")
    add("--duration-fs", type=float, default=10000, help="of a trajectory that does not bounce, fs")
    add("--width", type=int, default=8, help="trajectories run together; part of the campaign")
    add("--model-error", type=boolean, default="false", help="true: one member of the committee each")
    add("--keep-paths", type=int, default=0, help="first trajectories of a phase whose heights are kept")
    add("--campaign-seed", type=int, default=1, help="of all random numbers")
    add("--checkpoints", required=True, help="folder for finished rows that outlives the task")
    add("--out", required=True, help="folder of the shard")
    flags = vars(p.parse_args())
    from frazil.experiments.sticking.collisions import Campaign, run_shard

    run_shard(Campaign(**{n: flags.pop(n) for n in Campaign.__dataclass_fields__}), **flags)


if __name__ == "__main__":
    run(main)
