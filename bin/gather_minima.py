#!/usr/bin/env python3
"""Put minima together, with a file of their names."""

from frazil.cli import run
from frazil.experiments.infrared.settings import GatherMinima

if __name__ == "__main__":
    run(GatherMinima)
