#!/usr/bin/env python3
"""Import labelled frames of VASP, ORCA, Turbomole, CP2K, Gaussian, ASE or DeePMD, and check them."""

from frazil.cli import run
from frazil.labels.settings import ImportFrames

if __name__ == "__main__":
    run(ImportFrames)
