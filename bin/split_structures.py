#!/usr/bin/env python3
"""Write every structure into a file of its own, and say what their minima will cost."""

from frazil.cli import run
from frazil.experiments.infrared.settings import SplitStructures

if __name__ == "__main__":
    run(SplitStructures)
