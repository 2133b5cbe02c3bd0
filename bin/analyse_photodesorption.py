#!/usr/bin/env python3
"""Tables, figures, gates and report section of CO photodesorption, from shards of trajectories."""

from frazil.cli import run
from frazil.experiments.photodesorption.settings import AnalysePhotodesorption

if __name__ == "__main__":
    run(AnalysePhotodesorption)
