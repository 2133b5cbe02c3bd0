#!/usr/bin/env python3
"""Tables, figures and section of an experiment that is one campaign."""

from frazil.cli import run
from frazil.experiments.settings import AnalyseCampaign

if __name__ == "__main__":
    run(AnalyseCampaign)
