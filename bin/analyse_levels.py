#!/usr/bin/env python3
"""Compare levels of theory with a reference on labelled dimers: interaction energies, errors, figure."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, analyse."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--labelled", type=Path, nargs="+", required=True, help="dimers at one level each, extxyz")
    add("--reference", type=Path, required=True, help="dimers at the reference level, extxyz")
    add("--published", type=Path, required=True, help="table of published errors, CSV")
    add("--out", type=Path, required=True, help="folder of tables, figure and section")
    flags = vars(p.parse_args())

    from frazil.experiments.level_of_theory.analysis import analyse

    analyse(**flags)


if __name__ == "__main__":
    run(main)
