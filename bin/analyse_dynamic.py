#!/usr/bin/env python3
"""Compare the arms over all seeds: tables, figures and the section of the report."""

from frazil.cli import run
from frazil.experiments.dynamic_training.settings import AnalyseDynamic

if __name__ == "__main__":
    run(AnalyseDynamic)
