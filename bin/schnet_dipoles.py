#!/usr/bin/env python3
"""Dipoles of SchNet's charges along dynamics whose positions were kept (environment: make schnet)."""

from frazil.cli import run
from frazil.experiments.infrared.settings import SchnetDipoles

if __name__ == "__main__":
    run(SchnetDipoles)
