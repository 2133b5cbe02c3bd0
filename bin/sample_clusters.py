#!/usr/bin/env python3
"""Explore CO clusters and H2 collisions with them by GFN-FF: training frames without labels (Table 1)."""

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, explore."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--scale", type=float, default=1, help="times the paper's number of frames; 0: none")
    add("--n-placed", type=int, default=0, help="clusters with H2 placed around (not in the paper)")
    add("--campaign-seed", type=int, default=1, help="of all random numbers")
    add("--n-scans", type=int, default=3, help="rigid scans of H2 off 10 CO; 0: none")
    add("--out", required=True, help="frames, extxyz")
    add("--out-molecules", required=True, help="each molecule alone, at many bond lengths, extxyz")
    add("--out-scans", required=True, help="frames of the scans, extxyz")
    flags = vars(p.parse_args())
    from frazil.experiments.sticking.clusters import write_clusters

    write_clusters(**flags)


if __name__ == "__main__":
    run(main)
