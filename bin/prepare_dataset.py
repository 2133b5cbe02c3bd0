#!/usr/bin/env python3
"""Check labelled frames and split them into train, test and validation sets, with table and summary."""

from frazil.cli import run
from frazil.labels.settings import PrepareDataset

if __name__ == "__main__":
    run(PrepareDataset)
