#!/usr/bin/env python3
"""One self-contained HTML report of a run, from the sections that its stages wrote."""

from frazil.cli import run
from frazil.report.settings import RenderReport

if __name__ == "__main__":
    run(RenderReport)
