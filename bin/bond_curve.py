#!/usr/bin/env python3
"""Write the energy of one isolated CO against its bond length at a label level."""

from frazil.cli import run
from frazil.labels.settings import BondCurve

if __name__ == "__main__":
    run(BondCurve)
