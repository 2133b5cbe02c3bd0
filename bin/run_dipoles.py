#!/usr/bin/env python3
"""Dipoles of many replicas of clusters at several temperatures, by a committee or by the labelling level."""

from pathlib import Path

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line, run."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--minima", type=Path, required=True, help="minima, extxyz of find_minima.py")
    add("--structures", nargs="+", required=True, help="names of those that are run")
    add("--engine", choices=["model", "label"], default="model", help="what gives forces and dipoles")
    add("--model", type=Path, help="model.h5 of a committee")
    add("--members", choices=["each", "mean"], default="each", help="run each by itself, or their mean")
    add("--temperatures-K", type=numbers, default="400", help="of the thermostat, K")
    add("--n-replicas", type=int, default=8, help="independent runs at each temperature")
    add("--duration-fs", type=float, default=35000, help="of each run, after equilibration, fs")
    add("--equilibration-fs", type=float, default=5000, help="dropped before it, fs")
    add("--timestep-fs", type=float, default=0.5, help="time step, fs")
    add("--dipole-every-fs", type=float, default=1.0, help="time between dipoles, fs")
    add("--period-fs", type=float, default=100, help="of the Nosé-Hoover chain, fs")
    add("--chain", type=int, default=3, help="its length")
    add("--campaign-seed", type=int, default=1, help="of the starts")
    add("--keep-positions", action="store_true", help="write positions too, for schnet_dipoles.py")
    add("--checkpoints", type=Path, required=True, help="folder that outlives the task")
    add("--out", type=Path, required=True, help="folder for dipoles-STRUCTURE-ENGINE.h5")
    flags = vars(p.parse_args())
    flags["temperatures_K"] = tuple(flags["temperatures_K"])

    from frazil.experiments.infrared.dynamics import Settings, run_dipoles

    chosen = {name: flags.pop(name) for name in Settings.__dataclass_fields__}
    run_dipoles(settings=Settings(**chosen), **flags)


if __name__ == "__main__":
    run(main)
