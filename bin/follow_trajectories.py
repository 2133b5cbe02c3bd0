#!/usr/bin/env python3
"""Tell the outcome of trajectories that another program ran, by the model's criteria."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import FollowTrajectories

if __name__ == "__main__":
    run(FollowTrajectories)
