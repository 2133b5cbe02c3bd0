#!/usr/bin/env python3
"""Put the shards of a labelled set together again, with the list of frames that failed."""

from frazil.cli import run
from frazil.labels.settings import GatherLabels

if __name__ == "__main__":
    run(GatherLabels)
