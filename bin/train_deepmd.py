#!/usr/bin/env python3
"""Train one DeePMD-kit model on a labelled dataset."""

from pathlib import Path

from frazil.cli import boolean, integers, numbers, parser, run


def main() -> None:
    """Read the flags and train."""
    add = (cli := parser("Train one DeePMD-kit model; a rerun goes on from its checkpoint.")).add_argument
    add("--dataset", type=Path, required=True, help="directory with train.extxyz and test.extxyz")
    add("--model-id", type=int, default=0, help="number of the model in its committee")
    add("--campaign-seed", type=int, default=1, help="with the model's number, the seed of its weights")
    add("--n-steps", type=int, default=400_000, help="training steps")
    add("--batch-size", type=int, default=1, help="frames per step")
    add("--learning-rate-start", type=float, default=1e-2, help="learning rate of the first step")
    add("--learning-rate-stop", type=float, default=1e-3, help="learning rate of the last step")
    add("--cutoff-A", type=float, default=6.5, help="cutoff, Å")
    add("--smooth-A", type=float, default=0.5, help="distance from which the cutoff function decays, Å")
    add("--embedding", type=integers, default="50,50,50", help="widths of the embedding net")
    add("--axis", type=int, default=8, help="axis neurons")
    add("--fitting", type=integers, default="250,250,250", help="widths of the fitting net")
    add("--sel", type=integers, default="40,40,1,1", help="largest number of neighbours of C,O,X1,X2")
    add("--energy-prefactors", type=numbers, default="1,8", help="weight of the energy: start,limit")
    add("--force-prefactors", type=numbers, default="1000,1", help="weight of the forces: start,limit")
    add("--excited-types", type=boolean, default="true", help="types of their own for the excited molecule")
    add("--bond-curve", type=Path, help="bond_curves.csv: its bonds are taken out and kept as a table")
    add("--compress", type=boolean, default="true", help="tabulate the embedding net")
    add("--checkpoints", type=Path, required=True, help="folder for checkpoints that outlives the task")
    add("--out", type=Path, required=True, help="model directory to write")
    flags = vars(cli.parse_args())

    from frazil.learning.deepmd import Settings, train

    train(settings=Settings(**{name: flags.pop(name) for name in Settings.__dataclass_fields__}), **flags)


if __name__ == "__main__":
    run(main)
