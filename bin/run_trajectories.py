#!/usr/bin/env python3
"""Run one shard of trajectories and write its tables."""

from pathlib import Path

from frazil.cli import numbers, parser, run


def main() -> None:
    """Read the flags and run."""
    cli = parser("NVE trajectories by LAMMPS with a DeePMD model, or by the van Hemert teacher; one thread.")
    add = cli.add_argument
    add("--engine", default="deepmd", help="deepmd or van-hemert")
    add("--model", type=Path, help="model directory of train_deepmd.py (deepmd)")
    add("--coupling-eV", type=float, default=2.0, help="excited-bond attraction, eV (van-hemert)")
    add("--states", type=Path, required=True, help="initial_states.h5 of excite.py")
    add("--bond-curves", type=Path, required=True, help="bond_curves.csv of select_model.py")
    add("--first-id", type=int, default=0, help="trajectory id of the first")
    add("--trajectories", type=int, required=True, dest="n_trajectories", help="number of trajectories")
    add("--duration-fs", type=float, default=5000.0, help="length of a trajectory, fs")
    add("--timestep-fs", type=float, default=0.1, help="time step, fs")
    add("--observe-fs", type=float, default=10.0, help="time between observations, fs")
    add("--criteria-A", type=numbers, default="2,3,4,5", help="distances beyond the surface that count, Å")
    add("--criterion-A", type=float, default=3.0, help="the one that decides the outcome, Å")
    add("--dissociation-A", type=float, default=3.0, help="longer bonds are broken, Å")
    add("--unphysical-contact-A", type=float, default=1.5, help="molecules closer than this have failed, Å")
    add("--keep-frames-trajectories", type=int, default=0, help="first trajectories whose frames are kept")
    add("--keep-frames-every-fs", type=float, default=100.0, help="time between kept frames, fs")
    add("--checkpoints", type=Path, required=True, help="folder for finished rows that outlives the task")
    add("--out", type=Path, required=True, help="directory of the shard to write")
    flags = vars(cli.parse_args())
    from frazil.experiments.photodesorption.trajectories import Settings, run_shard

    run_shard(settings=Settings.take_from(flags), **flags)


if __name__ == "__main__":
    run(main)
