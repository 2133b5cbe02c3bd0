#!/usr/bin/env python3
"""Check labelled frames and split them into train, test and validation sets, with table and summary."""

from pathlib import Path

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line, write the dataset directory."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--frames", type=Path, nargs="+", required=True, help="labelled frames: extxyz or DeePMD directories")
    add("--molecules", choices=["CO", "any"], default="CO", help="what the frames are made of")
    add("--split-by", choices=["trajectory", "frame"], default="trajectory", help="unit (the paper: frame)")
    add("--train-fraction", type=float, default=0.8, help="share of the training set")
    add(
        "--validation-fraction", type=float, default=0.1, help="share of the validation set; the rest is test"
    )
    add("--max-force-eV-per-A", type=float, default=100.0, help="frames above this are left out, eV/Å")
    add("--cutoff-A", type=float, default=6.5, help="two excited molecules nearer than this are refused, Å")
    add("--window-starts-fs", type=numbers, help="sampling windows for imported trajectories: starts, fs")
    add("--window-intervals-fs", type=numbers, help="time between frames in each window, fs")
    add("--campaign-seed", type=int, default=1, help="seed of the split")
    add("--out", type=Path, required=True, help="dataset directory")
    given = p.parse_args()

    from frazil.data.split import prepare

    prepare(**vars(given))


if __name__ == "__main__":
    run(main)
