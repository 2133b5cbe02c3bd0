"""Samplesheets: which files a data set is made of, and what these do not say themselves.

Only the standard library: a launch reads the sheet before any task.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from frazil.errors import UserError

SHEET_COLUMNS = ("file", "level", "format", "code", "trajectory_id", "interval_fs", "excited_atoms")
REQUIRED_COLUMNS = ("file", "level")
FORMAT_NAMES = (
    "extxyz",
    "deepmd",
    "traj",
    "vasp-outcar",
    "vasp-xml",
    "orca",
    "turbomole",
    "gaussian",
    "cp2k",
)
"""Formats that a sheet may name; ``readers.FORMATS`` reads them."""


@dataclass(frozen=True)
class Entry:
    """One row of a samplesheet: a file, and what it does not say itself."""

    file: Path
    name: str = ""
    """What tables call it; the file's path if empty."""
    level: str = ""
    format: str = ""
    code: str = ""
    trajectory_id: str = ""
    interval_fs: float | None = None
    """Time between frames."""
    excited_atoms: tuple[int, ...] = ()
    """Atoms of the excited molecule, counted from 0 in the file's order."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", str(self.file))


def read_sheet(path: Path) -> list[Entry]:
    """Return the rows of a samplesheet; files are relative to its folder."""
    if not path.is_file():
        raise UserError(f"no samplesheet {path}; give a CSV file with columns {', '.join(SHEET_COLUMNS)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            names = [name.strip() for name in table.fieldnames or []]
            rows = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in table]
    except UnicodeDecodeError:
        raise UserError(f"samplesheet {path} is not UTF-8 (Latin-1 or UTF-16?); save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"samplesheet {path} is no CSV table ({error}); give one, with commas") from error
    wrong = [name for name in names if name not in SHEET_COLUMNS]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if wrong or missing or not rows:
        problem = (
            f"unknown column {', '.join(wrong)}"
            if wrong
            else f"no column {', '.join(missing)}"
            if missing
            else "no rows"
        )
        raise UserError(
            f"samplesheet {path}: {problem}; its columns are {', '.join(SHEET_COLUMNS)}, of which "
            f"{' and '.join(REQUIRED_COLUMNS)} are needed"
        )
    return [_entry(path, number, row) for number, row in enumerate(rows, 2)]


def files_of(path: Path) -> list[Path]:
    """Return the files that a data set names: those of a samplesheet, none of one file or folder.

    Raises UserError for a sheet that cannot be read, and for a file that is not there.
    """
    if path.suffix != ".csv":
        return []
    files = [entry.file for entry in read_sheet(path)]
    for file in files:
        if not file.exists():
            raise UserError(f"samplesheet {path}: no file {file}; files are relative to the sheet's folder")
    return files


def _entry(path: Path, line: int, row: dict[str, str]) -> Entry:
    where = f"samplesheet {path}, line {line}"
    if not row["file"] or not row["level"]:
        raise UserError(f"{where}: no file or no level; both are needed in every row")
    if row.get("format", "") not in ("", *FORMAT_NAMES):
        raise UserError(
            f"{where}: format {row['format']!r}; allowed are {', '.join(FORMAT_NAMES)}, or nothing"
        )
    try:
        interval = float(row["interval_fs"]) if row.get("interval_fs") else None
        excited = tuple(int(word) for word in row.get("excited_atoms", "").split())
    except ValueError as error:
        raise UserError(
            f"{where}: {error}; interval_fs is a number, excited_atoms are whole numbers with spaces between"
        ) from error
    if interval is not None and not (math.isfinite(interval) and interval > 0):
        raise UserError(f"{where}: interval_fs {row['interval_fs']}; a time above 0 is needed")
    texts = {name: row.get(name, "") for name in ("level", "format", "code", "trajectory_id")}
    return Entry(path.parent / row["file"], row["file"], interval_fs=interval, excited_atoms=excited, **texts)
