#!/usr/bin/env python3
"""Errors of a GM-NN committee, rigid scans against labels, and its section of the report."""

from frazil.cli import run
from frazil.experiments.sticking.settings import ValidateCommittee

if __name__ == "__main__":
    run(ValidateCommittee)
