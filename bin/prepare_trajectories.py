#!/usr/bin/env python3
"""Write labelled trajectories, checked, in one format, and say which are held out."""

from frazil.cli import run
from frazil.experiments.dynamic_training.settings import PrepareTrajectories

if __name__ == "__main__":
    run(PrepareTrajectories)
