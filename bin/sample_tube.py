#!/usr/bin/env python3
"""Seek a path at a labelling level, and displace frames about it."""

from frazil.cli import run
from frazil.experiments.reaction.settings import SampleTube

if __name__ == "__main__":
    run(SampleTube)
