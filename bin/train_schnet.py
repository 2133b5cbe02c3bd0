#!/usr/bin/env python3
"""Train SchNet's charges on the dipoles of the frames that were learned (environment: make schnet)."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, train."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--learned", type=Path, required=True, help="folder of learn_actively.py")
    add("--seed", type=int, default=1, help="campaign seed")
    add("--n-features", type=int, default=64, help="of an atom")
    add("--n-interactions", type=int, default=3, help="blocks")
    add("--n-gaussians", type=int, default=25, help="radial functions")
    add("--cutoff-A", type=float, default=6.0, help="cutoff radius, Å")
    add("--n-epochs", type=int, default=300, help="passes over the training frames")
    add("--batch-size", type=int, default=16, help="frames a step")
    add("--learning-rate", type=float, default=2e-3, help="of Adam, at the start")
    add("--out", type=Path, required=True, help="the network, HDF5; its error goes beside as CSV")
    flags = vars(p.parse_args())

    from frazil.experiments.infrared.schnet import Settings, train_schnet

    chosen = {name: flags.pop(name) for name in Settings.__dataclass_fields__}
    train_schnet(settings=Settings(**chosen), **flags)


if __name__ == "__main__":
    run(main)
