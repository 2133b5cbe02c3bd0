#!/usr/bin/env python3
"""One self-contained HTML report of a run, from the sections that its stages wrote."""

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line and render."""
    command = parser(str(__doc__))
    add = command.add_argument
    add("--sections", nargs="+", required=True, help="results directories that hold a section.json")
    add("--settings", required=True, help="JSON file of all parameters: name -> value")
    add("--versions", required=True, help="JSON file of software versions: name -> version")
    add("--out", default="report.html", help="HTML file to write")
    given = command.parse_args()

    from frazil.report.page import render

    render(given.sections, given.settings, given.versions, given.out)


if __name__ == "__main__":
    run(main)
