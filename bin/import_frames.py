#!/usr/bin/env python3
"""Import labelled frames of VASP, ORCA, Turbomole, CP2K, Gaussian, ASE or DeePMD, and check them."""

from pathlib import Path

from frazil.cli import boolean, parser, run


def main() -> None:
    """Parse the command line, import, write frames and tables."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--dataset", type=Path, required=True, help="samplesheet (CSV), or one file or folder of labels")
    add("--on-suspect", choices=["stop", "drop", "keep"], default="stop", help="suspect frames")
    add("--staged", type=Path, nargs="*", default=(), help="the sheet's files, in order, if elsewhere")
    add("--level", help="level at which the run labels")
    add("--same-level", type=boolean, default=False, help="refuse frames of another level (true, false)")
    add("--coupling-eV", type=float, default=2.0, help="van-hemert: epsilon of its attraction, eV")
    add("--out-folder", type=Path, required=True, help="tables and section of what was read")
    add("--out", type=Path, required=True, help="usable frames, extxyz (eV, eV/Å, e Å)")
    flags = vars(p.parse_args())

    from frazil.labels.imports.step import import_dataset

    import_dataset(**flags)


if __name__ == "__main__":
    run(main)
