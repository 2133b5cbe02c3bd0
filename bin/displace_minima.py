#!/usr/bin/env python3
"""Displace minima along their normal modes: the first frames to label."""

from frazil.cli import run
from frazil.experiments.infrared.settings import DisplaceMinima

if __name__ == "__main__":
    run(DisplaceMinima)
