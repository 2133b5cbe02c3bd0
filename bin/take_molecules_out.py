#!/usr/bin/env python3
"""Take every molecule's own energy and forces out of labels: what is left is the interaction."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, subtract."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--frames", type=Path, required=True, help="labelled frames of diatomic molecules")
    add(
        "--molecules",
        type=Path,
        required=True,
        help="labelled frames of each molecule alone, at many bond lengths",
    )
    add("--force-scale-eV-per-A", type=float, default=0, help="frames count (f/(f + F))²; 0: all alike")
    add(
        "--out",
        type=Path,
        required=True,
        help="frames with labels of the interaction, molecules alone among them",
    )
    add("--out-curves", type=Path, required=True, help="molecular_curves.csv: what was taken out")
    flags = vars(p.parse_args())
    from frazil.labels.interaction import take_molecules_out

    take_molecules_out(**flags)


if __name__ == "__main__":
    run(main)
