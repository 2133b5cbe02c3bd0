#!/usr/bin/env python3
"""Run one shard of an experiment that is one campaign, and write its table."""

from frazil.cli import run
from frazil.experiments.settings import RunCampaign

if __name__ == "__main__":
    run(RunCampaign)
