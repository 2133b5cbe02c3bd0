#!/usr/bin/env python3
"""Choose the model with the lowest training and validation error; tables, figures, section."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import SelectModel

if __name__ == "__main__":
    run(SelectModel)
