#!/usr/bin/env python3
"""Dipoles of many replicas of clusters at several temperatures, by a committee or by the labelling level."""

from frazil.cli import run
from frazil.experiments.infrared.settings import RunDipoles

if __name__ == "__main__":
    run(RunDipoles)
