#!/usr/bin/env python3
"""Thermalize one aggregate with a DeePMD model and take snapshots inside a window of temperature."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import Thermalize

if __name__ == "__main__":
    run(Thermalize)
