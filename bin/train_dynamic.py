#!/usr/bin/env python3
"""Train one seed of each arm on prepared trajectories; a rerun goes on."""

from frazil.cli import run
from frazil.experiments.dynamic_training.settings import TrainDynamic

if __name__ == "__main__":
    run(TrainDynamic)
