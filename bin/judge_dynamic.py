#!/usr/bin/env python3
"""Run the models of one seed from held-out starts, and long."""

from frazil.cli import run
from frazil.experiments.dynamic_training.settings import JudgeDynamic

if __name__ == "__main__":
    run(JudgeDynamic)
