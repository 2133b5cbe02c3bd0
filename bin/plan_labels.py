#!/usr/bin/env python3
"""Say what labelling frames will cost, and divide them into files of about equal work."""

from frazil.cli import run
from frazil.labels.settings import PlanLabels

if __name__ == "__main__":
    run(PlanLabels)
