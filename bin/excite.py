#!/usr/bin/env python3
"""Choose snapshots, excite one molecule in each, and write initial states of trajectories."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Read the flags and excite."""
    cli = parser("Excite one CO in the core of each thermal snapshot; writes initial states (HDF5).")
    add = cli.add_argument
    add("--snapshots", type=Path, nargs="+", required=True, help="snapshots.extxyz of thermalize.py")
    add(
        "--n-trajectories",
        type=int,
        required=True,
        help="initial states to make, a snapshot of its own for each",
    )
    add("--first-id", type=int, default=0, help="trajectory id of the first")
    add("--excitation", default="energy", help="energy, model_curve, label_curve (the level v), or none")
    add("--excitation-energy-eV", type=float, default=8.26, help="internal energy above the minimum, eV")
    add("--vibrational-quantum-number", type=float, default=40.0, help="v for model_curve and label_curve")
    add("--bond-curves", type=Path, help="bond_curves.csv of select_model.py")
    add("--core-radius-A", type=float, default=4.5, help="largest distance from the centre of mass, Å")
    add("--campaign-seed", type=int, default=1, help="seed of everything random")
    add("--out", type=Path, required=True, help="HDF5 file to write")
    flags = vars(cli.parse_args())

    from frazil.experiments.photodesorption.initial import make_initial_states

    make_initial_states(**flags)


if __name__ == "__main__":
    run(main)
