#!/usr/bin/env python3
"""Run the first trajectories of a finished experiment again, and write their frames."""

from frazil.cli import run
from frazil.experiments.settings import KeepTrajectories

if __name__ == "__main__":
    run(KeepTrajectories)
