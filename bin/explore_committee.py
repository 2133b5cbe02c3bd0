#!/usr/bin/env python3
"""Run a committee of models, excited and not, and choose the frames it should learn next."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import ExploreCommittee

if __name__ == "__main__":
    run(ExploreCommittee)
