#!/usr/bin/env python3
"""Write the versions of the software that takes part in a result."""

from frazil.cli import run
from frazil.report.settings import CollectVersions

if __name__ == "__main__":
    run(CollectVersions)
