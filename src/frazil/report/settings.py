"""Settings of the report's steps."""

from __future__ import annotations

from pathlib import Path

from frazil.settings import given, step


@step("frazil.report.page:render")
class RenderReport:
    """One self-contained HTML report of a run, from the sections that its stages wrote."""

    sections: tuple[Path, ...] = given("Results folders that hold a section.json", path="folder")
    parameters: Path = given("JSON file of all parameters: name -> value", path="file")
    versions: Path = given("JSON file of software versions: name -> version", path="file")
    out: Path = given("HTML file to write", default=Path("report.html"), path="new file")


@step("frazil.provenance:write_versions")
class CollectVersions:
    """Write the versions of the software that takes part in a result."""

    out: Path = given("JSON file to write", path="new file")
