#!/usr/bin/env python3
"""Explore CO clusters and H2 collisions with them by GFN-FF: training frames without labels (Table 1)."""

from frazil.cli import run
from frazil.experiments.sticking.settings import SampleClusters

if __name__ == "__main__":
    run(SampleClusters)
