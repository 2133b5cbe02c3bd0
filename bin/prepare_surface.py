#!/usr/bin/env python3
"""Make the surfaces of one phase of CO ice: cut or pack a hemisphere, relax, thermalize, quench, check."""

from frazil.cli import run
from frazil.experiments.sticking.settings import PrepareSurface

if __name__ == "__main__":
    run(PrepareSurface)
