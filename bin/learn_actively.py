#!/usr/bin/env python3
"""Train a committee for energies, forces and dipoles by active learning; run again, it goes on."""

from frazil.cli import run
from frazil.experiments.infrared.settings import LearnActively

if __name__ == "__main__":
    run(LearnActively)
