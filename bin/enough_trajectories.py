#!/usr/bin/env python3
"""Say whether finished shards of a campaign are enough for a half-width of the total interval."""

from frazil.cli import run
from frazil.experiments.settings import EnoughTrajectories

if __name__ == "__main__":
    run(EnoughTrajectories)
