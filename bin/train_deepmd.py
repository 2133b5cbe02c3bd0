#!/usr/bin/env python3
"""Train one DeePMD-kit model on a labelled dataset; a rerun goes on from its checkpoint."""

from frazil.cli import run
from frazil.learning.settings import TrainDeepmd

if __name__ == "__main__":
    run(TrainDeepmd)
