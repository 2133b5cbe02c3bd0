#!/usr/bin/env python3
"""Write dimers of CO with H2 and CO on Fibonacci lattices, with the monomers that their energies need."""

from frazil.cli import run
from frazil.experiments.level_of_theory.settings import MakeDimers

if __name__ == "__main__":
    run(MakeDimers)
