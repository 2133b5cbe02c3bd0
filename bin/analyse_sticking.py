#!/usr/bin/env python3
"""Tables, figures and the report's section of the sticking experiment."""

from frazil.cli import run
from frazil.experiments.sticking.settings import AnalyseSticking

if __name__ == "__main__":
    run(AnalyseSticking)
