#!/usr/bin/env python3
"""A LAMMPS input and its data file for a structure, to be driven by any potential of frazil."""

from frazil.cli import run
from frazil.md.settings import LammpsInput

if __name__ == "__main__":
    run(LammpsInput)
