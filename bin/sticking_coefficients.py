#!/usr/bin/env python3
"""Integrate sticking probabilities P(E) to thermal sticking coefficients S(T_g), with intervals."""

from frazil.cli import run
from frazil.experiments.sticking.settings import StickingCoefficients

if __name__ == "__main__":
    run(StickingCoefficients)
