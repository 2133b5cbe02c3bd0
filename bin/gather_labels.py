#!/usr/bin/env python3
"""Put the shards of a labelled set together again, with the list of frames that failed."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, gather."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--labelled", type=Path, nargs="+", required=True, help="labelled shards, in order")
    add("--failed", type=Path, nargs="+", required=True, help="their failed.csv, in the same order")
    add("--name", required=True, help="of the set")
    add("--out", type=Path, required=True, help="folder for labelled-NAME.extxyz, failed.csv, labels.csv")
    flags = vars(p.parse_args())

    from frazil.labels.shards import gather

    if failures := gather(**flags):
        print(failures)


if __name__ == "__main__":
    run(main)
