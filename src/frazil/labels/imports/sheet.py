"""Samplesheets: which files a data set is made of, and what these do not say themselves.

Only the standard library: a launch reads the sheet before any task.
"""

from __future__ import annotations

import csv
import fnmatch
import glob
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.labels.imports.label_units import COLUMNS as UNIT_COLUMNS
from frazil.labels.imports.label_units import SPELLINGS, spelled

FORMAT_NAMES = (
    "extxyz",
    "deepmd",
    "traj",
    "db",
    "npz",
    "hdf5",
    "vasp-outcar",
    "vasp-xml",
    "orca",
    "engrad",
    "turbomole",
    "gaussian",
    "cp2k",
    "espresso",
    "aims",
    "nwchem",
    "psi4",
)
"""Formats that a sheet may name; ``readers.FORMATS`` reads them."""
PERIODIC = ("no", "yes", "mixed")
"""Whether frames are free aggregates, crystals and liquids in cells, or some of both, as each frame says."""
WHOLE_NUMBERS = ("charge", "multiplicity")
LABEL_KEYS = ("energy_key", "forces_key", "dipole_key")
TEXTS = ("level", "format", "code", "trajectory_id", "periodic", *LABEL_KEYS)
SHEET_COLUMNS = ("file", *TEXTS, *UNIT_COLUMNS, "interval_fs", "excited_atoms", *WHOLE_NUMBERS)
REQUIRED_COLUMNS = ("file", "level")
MEANINGS = {
    "file": "File or folder of labelled frames, relative to the sheet, or a pattern of such (runs/*/OUTCAR)",
    "level": "Level of theory, in your words; one data set holds one",
    "format": "Where it is not recognised",
    "code": "What labelled an xyz file",
    "trajectory_id": "Which trajectory the frames are of",
    "periodic": "no (free aggregates, out of their box), yes (crystals and liquids in cells), or mixed",
    "energy_key": "Name of the energy in extended XYZ, ASE's files and arrays",
    "forces_key": "Name of the forces",
    "dipole_key": "Name of the dipole",
    "energy_unit": "Unit of energies, if not eV",
    "length_unit": "Unit of positions, if not Å",
    "dipole_unit": "Unit of dipoles, if not e Å",
    "forces_unit": "Unit of forces, if not eV/Å: an energy over a length",
    "interval_fs": "Time between frames",
    "excited_atoms": "The two atoms of the excited molecule, counted from 0, with a space between",
    "charge": "Of every frame; an ion is refused unless it is said",
    "multiplicity": "Of every frame",
}  # fmt: skip
"""What the columns are."""


@dataclass(frozen=True)
class Entry:
    """A file of a data set, and what it does not say itself."""

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
    charge: int | None = None
    """Of every frame; where it is not said only neutral frames are allowed."""
    multiplicity: int | None = None
    periodic: str = ""
    """One of ``PERIODIC``; where it is not said, what the step says."""
    energy_key: str = ""
    """Names and units of labels in a file that does not settle them (extended XYZ, ASE, arrays)."""
    forces_key: str = ""
    dipole_key: str = ""
    energy_unit: str = ""
    length_unit: str = ""
    forces_unit: str = ""
    dipole_unit: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", str(self.file))


def schema() -> dict[str, Any]:
    """Return the columns as a JSON Schema of rows, for nf-schema and forms that read such."""
    kinds: dict[str, dict[str, Any]] = {
        "format": {"enum": list(FORMAT_NAMES)},
        "periodic": {"enum": list(PERIODIC)},
        "interval_fs": {"type": "number", "exclusiveMinimum": 0},
        **{name: {"type": "integer"} for name in WHOLE_NUMBERS},
        **{name: {"examples": list(units)} for name, units in SPELLINGS.items()},
        "excited_atoms": {"pattern": r"^\d+( \d+)*$"},
    }
    columns = {
        name: {"type": "string", **kinds.get(name, {}), "description": MEANINGS[name]}
        for name in SHEET_COLUMNS
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Samplesheet of a data set of one's own",
        "description": "Every row filled in. frazil also reads rows without a file, for those below.",
        "type": "array",
        "items": {"type": "object", "properties": columns, "required": list(REQUIRED_COLUMNS)},
    }


def read_sheet(path: Path, names: Sequence[str] | None = None) -> list[Entry]:
    """Return the files of a samplesheet, relative to its folder; a cell may be a pattern (``runs/*/OUTCAR``).

    A row without a file holds for the rows below it, where their cells are empty. ``names`` are the files
    that the patterns found where the sheet was read first (``entries_of``), if they cannot be found here.
    Raises UserError for a sheet that cannot be read.
    """
    found = list(_found(path, names))
    seen: dict[str, int] = {}
    for line, entry in found:
        if seen.setdefault(entry.name, line) != line:
            raise UserError(
                f"samplesheet {path}: {entry.name} in line {seen[entry.name]} and again in line {line}; "
                "name it once"
            )
    if not found:
        raise UserError(f"samplesheet {path}: no rows with a file; {_COLUMNS}")
    return [entry for _, entry in found]


def entries_of(path: Path) -> list[Entry]:
    """Return the files that a data set names: those of a samplesheet, none of one file or folder.

    Raises UserError for a sheet that cannot be read, and for a file that is not there.
    """
    if path.suffix != ".csv":
        return []
    entries = read_sheet(path)
    for entry in entries:
        if not entry.file.exists():
            raise UserError(
                f"samplesheet {path}: no file {entry.file}; files are relative to the sheet's folder"
            )
    return entries


_COLUMNS = f"its columns are {', '.join(SHEET_COLUMNS)}, of which {' and '.join(REQUIRED_COLUMNS)} are needed"


def _found(path: Path, names: Sequence[str] | None) -> Iterator[tuple[int, Entry]]:
    """Yield the line and entry of every file."""
    given: dict[str, str] = {}
    for line, row in _rows(path):
        where = f"samplesheet {path}, line {line}"
        own = {name: cell for name, cell in row.items() if cell}
        if not row["file"]:
            given = own
            _entry(path, where, {"level": "-", **given})
            continue
        entry = _entry(path, where, {**given, **own})
        given = {**given, "level": entry.level}
        if not glob.has_magic(entry.name) or entry.file.exists() or entry.name in (names or ()):
            yield line, entry
            continue
        if names is None:
            files = sorted(glob.glob(str(entry.file), recursive=True))
            absolute = Path(entry.name).is_absolute()
            matched = [file if absolute else os.path.relpath(file, path.parent) for file in files]
        else:
            matched = [name for name in names if _matches(Path(name).parts, Path(entry.name).parts)]
        if not matched:
            raise UserError(f"{where}: no file is {entry.file}; patterns are relative to the sheet's folder")
        if entry.trajectory_id and len(matched) > 1:
            raise UserError(
                f"{where}: one trajectory_id for {len(matched)} files; leave it empty: each is its own"
            )
        for name in matched:
            yield line, replace(entry, file=path.parent / name, name=name)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Say whether a path, in its parts, is of a pattern, in its; ** stands for any number of folders."""
    if not pattern or not parts:
        return not parts and not [part for part in pattern if part != "**"]
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the line and the cells of every row, under known names."""
    if not path.is_file():
        raise UserError(f"no samplesheet {path}; give a CSV file with columns {', '.join(SHEET_COLUMNS)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.reader(file, strict=True)
            lines = [(table.line_num, [cell.strip() for cell in cells]) for cells in table]
    except UnicodeDecodeError:
        raise UserError(f"samplesheet {path} is not UTF-8 (Latin-1 or UTF-16?); save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"samplesheet {path} is no CSV table ({error}); give one, with commas") from error
    lines = [(line, cells) for line, cells in lines if any(cells)]
    header = lines[0][1] if lines else []
    wrong = [name for name in header if name not in SHEET_COLUMNS]
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if len(header) == 1 and ";" in header[0]:
        raise UserError(f"samplesheet {path} has semicolons between its cells; save it with commas")
    for problem, which in (("unknown column", wrong), ("no column", missing), ("twice the column", twice)):
        if which:
            raise UserError(f"samplesheet {path}: {problem} {', '.join(which)}; {_COLUMNS}")
    for line, cells in lines[1:]:
        if len(cells) > len(header):
            raise UserError(
                f"samplesheet {path}, line {line}: {len(cells)} cells under {len(header)} columns; "
                'put cells that hold a comma into "quotation marks"'
            )
    empty = dict.fromkeys(header, "")
    return [(line, {**empty, **dict(zip(header, cells))}) for line, cells in lines[1:]]


def _entry(path: Path, where: str, row: dict[str, str]) -> Entry:
    if not row.get("level"):
        raise UserError(
            f"{where}: no file or no level; a level is needed, in the row or in one above it without a file"
        )
    if row.get("format", "") not in ("", *FORMAT_NAMES):
        raise UserError(
            f"{where}: format {row['format']!r}; allowed are {', '.join(FORMAT_NAMES)}, or nothing"
        )
    if row.get("periodic", "") not in ("", *PERIODIC):
        raise UserError(
            f"{where}: periodic {row['periodic']!r}; allowed are {', '.join(PERIODIC)}, or nothing"
        )
    try:
        interval = float(row["interval_fs"]) if row.get("interval_fs") else None
        excited = tuple(int(word) for word in row.get("excited_atoms", "").split())
        numbers: dict[str, Any] = {name: int(row[name]) for name in WHOLE_NUMBERS if row.get(name)}
    except ValueError as error:
        raise UserError(
            f"{where}: {error}; interval_fs is a number, {', '.join(WHOLE_NUMBERS)} are whole numbers, "
            "excited_atoms are whole numbers with spaces between"
        ) from error
    try:
        units: dict[str, Any] = {name: spelled(name, row[name]) for name in UNIT_COLUMNS if row.get(name)}
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if interval is not None and not (math.isfinite(interval) and interval > 0):
        raise UserError(f"{where}: interval_fs {row['interval_fs']}; a time above 0 is needed")
    texts: dict[str, Any] = {name: row.get(name, "") for name in TEXTS}
    file = row.get("file", "")
    return Entry(
        path.parent / file, file, interval_fs=interval, excited_atoms=excited, **texts, **numbers, **units
    )
