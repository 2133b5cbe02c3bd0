#!/usr/bin/env python3
"""Dipoles of SchNet's charges along dynamics whose positions were kept (environment: make schnet)."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, predict."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--model", type=Path, required=True, help="network of train_schnet.py")
    add("--dipoles", type=Path, required=True, help="file of run_dipoles.py --keep-positions")
    add("--out", type=Path, required=True, help="the same runs with SchNet's dipoles, HDF5")
    flags = vars(p.parse_args())

    from frazil.experiments.infrared.schnet import schnet_dipoles

    schnet_dipoles(**flags)


if __name__ == "__main__":
    run(main)
