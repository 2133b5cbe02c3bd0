#!/usr/bin/env python3
"""Label frames with energies, forces and dipoles; frames that fail go to failed.csv beside the output."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, label."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--frames", type=Path, required=True, help="frames to label, extxyz")
    add("--level", default="van-hemert", help="label level")
    add("--coupling-eV", type=float, default=2.0, help="van-hemert: epsilon of its attraction, eV")
    add("--hessian", action="store_true", help="second derivatives too (PySCF levels)")
    add("--polarizability", action="store_true", help="static polarizability too (PySCF levels)")
    add("--frame-limit-s", type=float, default=0, help="PySCF: wall time of a frame, s; then failed; 0: any")
    add("--checkpoints", type=Path, help="folder of finished labels, so that a killed run goes on")
    add("--known", type=Path, help="labels of an earlier run at this level, extxyz; not done again")
    add("--allow-none", action="store_true", help="write an empty file where no frame could be labelled")
    add("--out", type=Path, required=True, help="labelled frames, extxyz (eV, eV/Å, e Å)")
    flags = vars(p.parse_args())

    from frazil.labels.shards import label_file

    label_file(**flags)


if __name__ == "__main__":
    run(main)
