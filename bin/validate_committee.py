#!/usr/bin/env python3
"""Errors of a GM-NN committee, rigid scans against labels, and its section of the report."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, validate."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--model", type=Path, required=True, help="folder of train_gmnn.py")
    add("--curves", default="", help="molecular_curves.csv, where it learnt interactions only")
    add("--dataset", type=Path, required=True, help="folder of prepare_dataset.py that it was trained on")
    add("--scans", type=Path, required=True, help="labelled rigid scans of sample_clusters.py")
    add("--out", type=Path, required=True, help="folder of tables, figures and section")
    flags = vars(p.parse_args())
    from frazil.experiments.sticking.validation import validate

    validate(**flags)


if __name__ == "__main__":
    run(main)
