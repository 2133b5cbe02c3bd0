#!/usr/bin/env python3
"""Label frames with energies, forces and dipoles; frames that fail go to failed.csv beside the output."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, label."""
    p = parser(__doc__ or "")
    p.add_argument("--frames", type=Path, required=True, help="frames to label, extxyz")
    p.add_argument("--level", default="van-hemert", help="label level")
    p.add_argument("--coupling-eV", type=float, default=2.0, help="van-hemert: epsilon of its attraction, eV")
    p.add_argument("--checkpoints", type=Path, help="folder of finished labels, so that a killed run goes on")
    p.add_argument(
        "--known", type=Path, help="labels of an earlier run at this level, extxyz; not done again"
    )
    p.add_argument("--out", type=Path, required=True, help="labelled frames, extxyz (eV, eV/Å, e Å)")
    given = p.parse_args()

    from frazil.labelling import label_file

    label_file(
        given.frames, given.out, given.level, given.checkpoints, given.known, coupling_eV=given.coupling_eV
    )


if __name__ == "__main__":
    run(main)
