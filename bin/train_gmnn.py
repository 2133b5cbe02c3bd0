#!/usr/bin/env python3
"""Train a committee of Gaussian-moment neural networks on a labelled dataset."""

from pathlib import Path

from frazil.cli import integers, parser, run


def main() -> None:
    """Read the flags and train."""
    add = (cli := parser("Train a GM-NN committee; a rerun goes on from its checkpoint.")).add_argument
    add("--dataset", type=Path, required=True, help="directory with train.extxyz and test.extxyz")
    add("--n-members", type=int, default=3, help="independent models, trained side by side")
    add("--seed", type=int, default=1, help="of the first weights and of the batches")
    add("--n-epochs", type=int, default=5000, help="passes over the training frames, at most")
    add("--batch-size", type=int, default=32, help="frames per step")
    add("--learning-rate", type=float, default=0.02, help="of the layers at the start; falls to 1 %%")
    add("--optimizer", choices=["adam", "amsgrad"], default="adam", help="AMSGrad is the published one")
    add("--energy-weight", type=float, default=1.0, help="weight of the energies")
    add("--force-weight", type=float, default=100.0, help="weight of the forces, Å²")
    add("--dipole-weight", type=float, default=0.0, help="weight of the dipoles, 1/Å²; 0 is none")
    add("--weight-scale-eV", type=float, default=0.0, help="frames count (s/(s + E))²; 0 counts all alike")
    add("--patience", type=int, default=500, help="epochs without a better test loss before the end")
    add("--checkpoint-every", type=int, default=50, help="epochs between checkpoints")
    add("--cutoff-A", type=float, default=6.0, help="cutoff, Å")
    add("--n-radial", type=int, default=5, help="radial functions; 5 give 360 features, 3 give 94")
    add("--n-basis", type=int, default=7, help="Gaussians that they are made of")
    add("--hidden", type=integers, default="256,128", help="widths of the hidden layers")
    add("--precision", choices=["float32", "float64"], default="float32", help="of the network")
    add("--checkpoints", type=Path, required=True, help="folder for checkpoints that outlives the task")
    add("--out", type=Path, required=True, help="folder for model.h5 and learning_curve.csv")
    flags = vars(cli.parse_args())
    flags["hidden"] = tuple(flags["hidden"])
    from frazil.learning.gmnn import Settings, train

    train(settings=Settings(**{name: flags.pop(name) for name in Settings.__dataclass_fields__}), **flags)


if __name__ == "__main__":
    run(main)
