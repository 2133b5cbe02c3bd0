#!/usr/bin/env python3
"""Run a LAMMPS input under any potential of frazil."""

from frazil.cli import run
from frazil.md.settings import RunLammps

if __name__ == "__main__":
    run(RunLammps)
