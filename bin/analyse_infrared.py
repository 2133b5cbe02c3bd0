#!/usr/bin/env python3
"""Tables, figures, gates and report section of infrared spectra."""

from frazil.cli import run
from frazil.experiments.infrared.settings import AnalyseInfrared

if __name__ == "__main__":
    run(AnalyseInfrared)
