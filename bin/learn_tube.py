#!/usr/bin/env python3
"""Train a committee on labelled frames about a path, and choose those that it does not know."""

from frazil.cli import run
from frazil.experiments.reaction.settings import LearnTube

if __name__ == "__main__":
    run(LearnTube)
