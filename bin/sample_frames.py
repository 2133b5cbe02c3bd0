#!/usr/bin/env python3
"""Make unlabelled frames of CO aggregates: thermal, excited, compressed, stretched, in close contact."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import SampleFrames

if __name__ == "__main__":
    run(SampleFrames)
