#!/usr/bin/env python3
"""Measure the errors of one model."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Read the flags, evaluate, write tables and predictions."""
    cli = parser("Errors of one model on its dataset's subsets, and its bond curve beside the labels'.")
    add = cli.add_argument
    add("--model", type=Path, required=True, help="model directory of train_deepmd.py")
    add("--dataset", type=Path, required=True, help="directory with train, test and validation.extxyz")
    add("--bond-curve", type=Path, required=True, help="labels of one CO: bond_curve.py's --out-fine")
    add("--out", type=Path, required=True, help="directory to write")
    flags = cli.parse_args()

    from frazil.experiments.photodesorption.evaluation import evaluate_model

    evaluate_model(flags.model, flags.dataset, flags.bond_curve, flags.out)


if __name__ == "__main__":
    run(main)
