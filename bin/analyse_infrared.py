#!/usr/bin/env python3
"""Tables, figures, gates and report section of infrared spectra."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, analyse."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--minima", type=Path, required=True, help="minima, extxyz of find_minima.py")
    add("--learned", type=Path, required=True, help="folder of learn_actively.py")
    add("--dipoles", type=Path, nargs="+", required=True, help="files of run_dipoles.py")
    add("--isomers", type=Path, help="minima that were not trained on")
    add("--depth-fs", type=float, default=2048.0, help="longest lag of the correlation, fs")
    add("--window", choices=["hann", "none"], default="hann", help="taper of the correlation")
    add("--padding", type=int, default=4, help="zero padding: length of transform over correlation")
    add("--correction", choices=["none", "standard", "schofield"], default="none", help="quantum factor")
    add("--highest-cm1", type=float, default=2000.0, help="where spectra end, cm⁻¹")
    add("--out", type=Path, required=True, help="folder of tables, figures and section")
    flags = vars(p.parse_args())

    from frazil.experiments.infrared.results import analyse

    analyse(**flags)


if __name__ == "__main__":
    run(main)
