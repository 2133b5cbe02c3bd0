#!/usr/bin/env python3
"""Take every molecule's own energy and forces out of labels: what is left is the interaction."""

from frazil.cli import run
from frazil.labels.settings import TakeMoleculesOut

if __name__ == "__main__":
    run(TakeMoleculesOut)
