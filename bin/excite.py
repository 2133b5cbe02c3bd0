#!/usr/bin/env python3
"""Choose snapshots, excite one molecule in each, and write initial states of trajectories (HDF5)."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import Excite

if __name__ == "__main__":
    run(Excite)
