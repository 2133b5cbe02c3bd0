#!/usr/bin/env python3
"""Minima of clusters at a labelling level, with the second derivatives that harmonic spectra follow from."""

from frazil.cli import run
from frazil.experiments.infrared.settings import FindMinima

if __name__ == "__main__":
    run(FindMinima)
