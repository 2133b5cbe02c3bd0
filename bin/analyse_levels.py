#!/usr/bin/env python3
"""Compare levels of theory with a reference on labelled dimers: interaction energies, errors, figure."""

from frazil.cli import run
from frazil.experiments.level_of_theory.settings import AnalyseLevels

if __name__ == "__main__":
    run(AnalyseLevels)
