#!/usr/bin/env python3
"""Write the energy of one isolated CO against its bond length at a label level."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, label the stretched molecules, write the curve."""
    p = parser(__doc__ or "")
    p.add_argument("--level", default="van-hemert", help="label level")
    p.add_argument("--coupling-eV", type=float, default=2.0, help="van-hemert: epsilon of its attraction, eV")
    p.add_argument("--out", type=Path, required=True, help="CSV to write: bond_length_A, label_eV")
    p.add_argument("--out-fine", type=Path, help="CSV to write for evaluate_model.py: more lengths")
    given = p.parse_args()

    from frazil.labels.bond_curve import write_bond_curve

    write_bond_curve(given.out, given.level, given.out_fine, coupling_eV=given.coupling_eV)


if __name__ == "__main__":
    run(main)
