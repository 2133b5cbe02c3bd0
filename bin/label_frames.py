#!/usr/bin/env python3
"""Label frames with energies, forces and dipoles; frames that fail go to failed.csv beside the output."""

from frazil.cli import run
from frazil.labels.settings import LabelFrames

if __name__ == "__main__":
    run(LabelFrames)
