#!/usr/bin/env python3
"""Run one collision of a finished run again, alone, and see that it comes out as in its table."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, repeat."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--results", type=Path, required=True, help="folder of the run's results")
    add("--trajectory-id", type=int, required=True, help="of sticking/trajectories.csv")
    add("--out", type=Path, required=True, help="folder for its row and its path")
    flags = vars(p.parse_args())

    from frazil.experiments.sticking.collisions import repeat

    repeat(**flags)


if __name__ == "__main__":
    run(main)
