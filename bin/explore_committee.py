#!/usr/bin/env python3
"""Run a committee of models from initial states and choose the frames it should learn next."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Read the flags, explore, write candidates, table and summary."""
    cli = parser("Find frames that a committee does not know, by short trajectories.")
    add = cli.add_argument
    add("--models", type=Path, nargs="+", required=True, help="model directories, at least two")
    add("--states", type=Path, nargs="+", required=True, help="initial_states.h5, excited and not")
    add("--duration-fs", type=float, default=2500.0, help="length of a trajectory, fs")
    add("--timestep-fs", type=float, default=0.1, help="time step, fs")
    add("--observe-fs", type=float, default=10.0, help="time between frames, fs")
    add("--deviation-low-eV-per-A", type=float, default=0.15, help="label frames from here, eV/Å")
    add("--ground-deviation-low-eV-per-A", type=float, default=0.05, help="without excitation, eV/Å")
    add("--deviation-high-eV-per-A", type=float, default=5.0, help="beyond, a frame is broken, eV/Å")
    add("--shortest-contact-A", type=float, default=1.85, help="closest contact of a frame to label, Å")
    add("--unphysical-contact-A", type=float, default=1.5, help="a closer contact ends a trajectory, Å")
    add("--clean-fraction", type=float, default=0.05, help="a clean round has fewer frames above low")
    add("--max-frames", type=int, default=200, help="most frames to label")
    add("--round", type=int, default=1, help="number of the round")
    add("--n-processes", type=int, default=1, help="trajectories that run at a time")
    add("--out", type=Path, required=True, help="directory to write")
    flags = cli.parse_args()

    from frazil.experiments.photodesorption.exploration import Limits, explore

    limits = Limits(**{name: getattr(flags, name) for name in Limits.__dataclass_fields__})
    times = (flags.duration_fs, flags.timestep_fs, flags.observe_fs)
    counts = (flags.max_frames, flags.round)
    explore(flags.models, flags.states, *times, limits, *counts, flags.out, flags.n_processes)


if __name__ == "__main__":
    run(main)
