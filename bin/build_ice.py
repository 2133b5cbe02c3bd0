#!/usr/bin/env python3
"""Write a cell of ice Ih with disordered protons and no dipole."""

from frazil.cli import run
from frazil.systems.settings import BuildIce

if __name__ == "__main__":
    run(BuildIce)
