#!/usr/bin/env python3
"""Infrared spectrum of dipole time series: mean over runs, with a 95 % band from two runs on."""

from frazil.analysis.settings import InfraredSpectrum
from frazil.cli import run

if __name__ == "__main__":
    run(InfraredSpectrum)
