#!/usr/bin/env python3
"""Run one trajectory of a finished run again, alone, and see that it comes out as in its table."""

from frazil.cli import run
from frazil.experiments.settings import RepeatTrajectory

if __name__ == "__main__":
    run(RepeatTrajectory)
