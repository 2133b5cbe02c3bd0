#!/usr/bin/env python3
"""Half-lives of bound H2 from binding energies and an attempt frequency."""

from frazil.cli import run
from frazil.experiments.sticking.settings import ResidenceTimes

if __name__ == "__main__":
    run(ResidenceTimes)
