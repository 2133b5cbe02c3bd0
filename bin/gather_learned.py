#!/usr/bin/env python3
"""Put together what the rounds of active learning have learned: committee, frames, tables."""

from frazil.cli import run
from frazil.experiments.infrared.settings import GatherLearned

if __name__ == "__main__":
    run(GatherLearned)
