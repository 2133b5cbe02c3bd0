#!/usr/bin/env python3
"""Minima of clusters at a labelling level, with the second derivatives that harmonic spectra follow from."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, relax and differentiate."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--structures", type=Path, nargs="+", required=True, help="xyz or extxyz; info 'name' names them")
    add("--only", nargs="*", default=[], help="names of those that are wanted; all if none is given")
    add("--level", default="gfn2-xtb", help="label level")
    add(
        "--on-no-minimum",
        choices=["refuse", "relax"],
        default="refuse",
        help="what to do with a saddle point",
    )
    add("--n-workers", type=int, default=1, help="processes for labels that cost much")
    add("--checkpoints", type=Path, help="folder of finished labels, so that a killed run goes on")
    add("--out", type=Path, required=True, help="minima, extxyz")
    add("--out-names", type=Path, help="their names, one a line")
    flags = vars(p.parse_args())

    from frazil.experiments.infrared.minima import find_minima

    find_minima(**flags)


if __name__ == "__main__":
    run(main)
