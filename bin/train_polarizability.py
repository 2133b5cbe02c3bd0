#!/usr/bin/env python3
"""Train a committee that gives the polarizability."""

from frazil.cli import run
from frazil.learning.settings import TrainPolarizability

if __name__ == "__main__":
    run(TrainPolarizability)
