#!/usr/bin/env python3
"""Pack molecules in a cube at a density, thermalize them, and write the frame, its cell with it."""

from frazil.cli import run
from frazil.systems.settings import PackLiquid

if __name__ == "__main__":
    run(PackLiquid)
