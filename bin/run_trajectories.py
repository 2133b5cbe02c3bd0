#!/usr/bin/env python3
"""Run one shard of NVE trajectories: a DeePMD model in LAMMPS, or the van Hemert teacher; one thread."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import RunTrajectories

if __name__ == "__main__":
    run(RunTrajectories)
