#!/usr/bin/env python3
"""Run one shard of H2 collisions with a surface and write its table."""

from frazil.cli import run
from frazil.experiments.sticking.settings import RunCollisions

if __name__ == "__main__":
    run(RunCollisions)
