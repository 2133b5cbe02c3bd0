#!/usr/bin/env python3
"""Binding energies of H2 on a grid over a surface."""

from frazil.cli import run
from frazil.experiments.sticking.settings import BindSites

if __name__ == "__main__":
    run(BindSites)
