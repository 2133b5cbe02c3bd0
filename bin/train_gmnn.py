#!/usr/bin/env python3
"""Train a committee of Gaussian-moment neural networks on a labelled dataset; a rerun goes on."""

from frazil.cli import run
from frazil.learning.settings import TrainGmnn

if __name__ == "__main__":
    run(TrainGmnn)
