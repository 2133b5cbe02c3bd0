#!/usr/bin/env python3
"""Run the typical trajectory of each outcome again, for the report."""

from frazil.cli import run
from frazil.experiments.settings import ShowTrajectories

if __name__ == "__main__":
    run(ShowTrajectories)
