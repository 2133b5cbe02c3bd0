#!/usr/bin/env python3
"""Choose the best model of a committee and show its errors."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Read the flags, select, write the potential's results."""
    cli = parser("Choose the model with the lowest training + validation error; tables, figures, section.")
    add = cli.add_argument
    add("--models", type=Path, nargs="+", required=True, help="model directories of train_deepmd.py")
    add("--evaluations", type=Path, nargs="+", required=True, help="their directories of evaluate_model.py")
    add("--explorations", type=Path, nargs="*", default=[], help="exploration.csv of each round")
    add("--reference", type=Path, help="table of a paper's values to print beside")
    add("--out", type=Path, required=True, help="directory to write")
    flags = cli.parse_args()

    from frazil.experiments.photodesorption.validation import select_model

    select_model(flags.models, flags.evaluations, flags.explorations, flags.reference, flags.out)


if __name__ == "__main__":
    run(main)
