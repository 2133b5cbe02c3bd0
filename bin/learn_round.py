#!/usr/bin/env python3
"""Train a committee on all frames so far, and say which frames it does not know."""

from frazil.cli import run
from frazil.experiments.infrared.settings import LearnRound

if __name__ == "__main__":
    run(LearnRound)
