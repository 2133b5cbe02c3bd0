#!/usr/bin/env python3
"""Check a molecule, its bond and a potential; pack and relax aggregates, scan the excited bond."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import PrepareAggregates

if __name__ == "__main__":
    run(PrepareAggregates)
