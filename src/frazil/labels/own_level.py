"""A level of one's own: any program that writes energies and forces, declared in a folder.

``level.json`` says what to run and what to read; the folder's other files go beside it:

    {
      "level": "wb97x-d4/def2-tzvp",         name of the level, as --labels.level gives it
      "code": "orca", "version": "6.0.1",    what the labels say of themselves
      "command": "orca job.inp > job.out",   run by bash in a folder of the frame's own
      "output": "job.out", "format": "orca", what is read, as a samplesheet names it
      "structure": {"file": "POSCAR", "format": "vasp"},   optional: the frame, in a format that ASE writes
      "vacuum_A": 8,                         optional: put a free frame into a box, with so much on every side
      "seconds": 300, "limit_s": 3600        optional: cost of a frame, and the wall time it is allowed
    }

Every other file is copied into the frame's folder. Of ``job.inp.template`` ``job.inp`` is made: ${atoms}
becomes a line for each atom (symbol, x, y, z in Å), ${n_atoms} their number, ${name} the frame's formula,
${cell} the three vectors of a periodic frame's cell in Å, a line for each (nothing of a free frame).
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from frazil.errors import UserError
from frazil.labels.imports.sheet import FORMAT_NAMES

DECLARATION, TEMPLATE = "level.json", ".template"


@dataclass(frozen=True)
class OwnLevel:
    """What a folder declares, see the module; times in seconds, 0 or nan: not said."""

    level: str
    code: str
    version: str
    command: str
    output: str
    format: str
    structure: dict[str, str] | None = None
    vacuum_A: float = 0.0
    seconds: float = math.nan
    limit_s: float = 0.0


def read_own_level(folder: Path | str) -> OwnLevel:
    """Return what a folder declares, by the standard library only. Raises UserError if it is none."""
    file = Path(folder) / DECLARATION
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); needed: a folder with {DECLARATION}, see docs/usage.md"
        ) from error
    known = {field.name: field for field in fields(OwnLevel)}
    if not isinstance(given, dict):
        raise UserError(f"{file} holds no object; needed: {', '.join(known)}")
    wrong = [name for name in given if name not in known]
    missing = [name for name, field in known.items() if field.default is MISSING and not given.get(name)]
    if wrong or missing:
        raise UserError(
            f"{file}: {'unknown ' + ', '.join(wrong) if wrong else 'without ' + ', '.join(missing)}; "
            f"allowed: {', '.join(known)}"
        )
    for name in ("vacuum_A", "seconds", "limit_s"):
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise UserError(f"{file}: {name} {value!r}; allowed: a number of at least 0")
    for name in ("level", "code", "version", "command", "output", "format"):
        if not isinstance(given[name], str):
            raise UserError(f"{file}: {name} {given[name]!r}; allowed: a text")
    if given["format"] not in FORMAT_NAMES:
        raise UserError(f"{file}: format {given['format']!r}; allowed: {', '.join(FORMAT_NAMES)}")
    structure = given.get("structure")
    if structure is not None and not (isinstance(structure, dict) and set(structure) == {"file", "format"}):
        raise UserError(
            f'{file}: structure {structure!r}; allowed: {{"file": NAME, "format": an ASE format}}'
        )
    if structure is None and not list(Path(folder).glob(f"*{TEMPLATE}")):
        raise UserError(
            f"{file}: nothing carries the frame; needed: structure, or a file NAME{TEMPLATE} with ${{atoms}}"
        )
    return OwnLevel(**given)
