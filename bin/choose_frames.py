#!/usr/bin/env python3
"""Choose frames to label along trajectories that end differently under the members of a committee."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import ChooseFrames

if __name__ == "__main__":
    run(ChooseFrames)
