#!/usr/bin/env python3
"""Errors of one model on its data set's subsets, and its bond curve beside the labels'."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import EvaluateModel

if __name__ == "__main__":
    run(EvaluateModel)
