#!/usr/bin/env python3
"""Cut the surroundings of H2 that a committee does not know out of surfaces, for the label step."""

from frazil.cli import run
from frazil.experiments.sticking.settings import CutSurroundings

if __name__ == "__main__":
    run(CutSurroundings)
