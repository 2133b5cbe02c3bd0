#!/usr/bin/env python3
"""Train SchNet's charges on the dipoles of the frames that were learned (environment: make schnet)."""

from frazil.cli import run
from frazil.experiments.infrared.settings import TrainSchnet

if __name__ == "__main__":
    run(TrainSchnet)
