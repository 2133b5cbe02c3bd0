#!/usr/bin/env python3
"""Write the versions of the software that takes part in a result."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, write versions.json."""
    p = parser(__doc__)
    p.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = p.parse_args()

    from frazil.provenance import write_versions

    write_versions(arguments.out)


if __name__ == "__main__":
    run(main)
