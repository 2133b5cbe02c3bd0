"""A level of one's own: any program that writes energies and forces, declared in a folder.

``level.json`` says what to run and what to read; the folder's other files go beside it:

    {
      "level": "wb97x-d4/def2-tzvp",         name of the level, as --labels.level gives it
      "code": "orca", "version": "6.0.1",    what the labels say of themselves
      "command": "orca job.inp > job.out",   run by bash in a folder of the frame's own
      "output": "job.out", "format": "orca", what is read, as a samplesheet names it
      "structure": {"file": "POSCAR", "format": "vasp"},   optional: the frame, in a format that ASE writes
      "vacuum_A": 8,                         optional: put the frame into a box, with so much on every side
      "seconds": 300, "limit_s": 3600        optional: cost of a frame, and the wall time it is allowed
    }

Every other file is copied into the frame's folder. Of ``job.inp.template`` ``job.inp`` is made: ${atoms}
becomes a line for each atom (symbol, x, y, z in Å), ${n_atoms} their number, ${name} the frame's formula.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import string
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frazil.errors import UserError
from frazil.files import sha256_of
from frazil.labels.imports.sheet import FORMAT_NAMES, Entry

if TYPE_CHECKING:
    from ase import Atoms

    from frazil.labels.store import Label

DECLARATION, TEMPLATE = "level.json", ".template"
MOVED_A = 1e-3
"""A program that moves an atom by more (Å) has labelled another frame."""
KEPT_LINES = 3
"""Last lines of a program's complaint that a failure quotes."""


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


class OwnLevelLabeller:
    """Labels by the program that a folder declares, each frame in a folder that is gone after."""

    details: tuple[str, ...] = ()

    def __init__(self, level: str, folder: Path | str, frame_limit_s: float = 0.0) -> None:
        import numpy as np

        self.folder, self.own = Path(folder).resolve(), read_own_level(folder)
        if self.own.level != level:
            raise UserError(
                f"{folder} declares the level {self.own.level}, asked for is {level}; give one name to both"
            )
        self.code = self.own.code
        self.version = f"{self.own.version} ({sha256_of(self.folder)[:12]})"
        self.limit_s = frame_limit_s or self.own.limit_s
        self.bond_scan_A = np.linspace(0.85, 2.45, 65)

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame that the declaration states."""
        return self.own.seconds

    def warning(self, frames: Sequence[Atoms]) -> str:
        """Return nothing: what is wrong with a level of one's own, its owner knows."""
        return ""

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, or the reason where there is none. Raises UserError without the program."""
        program = self.own.command.split()[0]
        if not (shutil.which(program) or (self.folder / program).is_file()):
            raise UserError(
                f"{program}, which {self.folder / DECLARATION} runs, is not on PATH; load its module, or "
                "give the whole path"
            )
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        if "ghost" in atoms.arrays:
            return "ghost atoms; a level of one's own labels real ones only"
        with tempfile.TemporaryDirectory(prefix="frazil-level-") as scratch:
            try:
                self._write(atoms, Path(scratch))
                problem = self._run(Path(scratch))
                return problem or self._read(atoms, Path(scratch))
            except UserError as error:
                return str(error).replace(f"{scratch}/", "")

    def _write(self, atoms: Atoms, scratch: Path) -> None:
        import ase.io

        values = {
            "atoms": "\n".join(
                f"{symbol} {x:.10f} {y:.10f} {z:.10f}"
                for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
            ),
            "n_atoms": str(len(atoms)),
            "name": atoms.get_chemical_formula(),
        }
        for file in sorted(self.folder.iterdir()):
            if file.name == DECLARATION or not file.is_file():
                continue
            if file.name.endswith(TEMPLATE):
                text = string.Template(file.read_text(encoding="utf-8")).safe_substitute(values)
                (scratch / file.name[: -len(TEMPLATE)]).write_text(text, encoding="utf-8")
            else:
                shutil.copy(file, scratch)
        if self.own.structure:
            frame = type(atoms)(atoms.numbers, atoms.positions)
            if self.own.vacuum_A:
                frame.center(vacuum=self.own.vacuum_A)
                frame.pbc = True
            try:
                ase.io.write(scratch / self.own.structure["file"], frame, format=self.own.structure["format"])
            except Exception as error:
                raise UserError(
                    f"the frame cannot be written as {self.own.structure['format']} ({error})"
                ) from error

    def _run(self, scratch: Path) -> str:
        """Run the command; return why it gave nothing. All processes that it started end with it."""
        started = subprocess.Popen(
            ["bash", "-c", self.own.command],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, complaint = started.communicate(timeout=self.limit_s or None)
        except subprocess.TimeoutExpired:
            return f"no answer within {self.limit_s:g} s"
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.communicate()
        if started.returncode:
            said = "; ".join(complaint.decode(errors="replace").split("\n")[-KEPT_LINES - 1 :]).strip("; ")
            return f"{self.own.code} ended with exit status {started.returncode}" + (
                f" ({said})" if said else ""
            )
        return ""

    def _read(self, atoms: Atoms, scratch: Path) -> Label | str:
        """Return the last frame of the output as the label of these atoms, or why it is none."""
        import numpy as np

        from frazil.labels.imports.readers import read_entry
        from frazil.labels.store import Label

        file = scratch / self.own.output
        if not file.exists():
            return f"{self.own.code} wrote no {self.own.output}"
        frame = read_entry(Entry(file, name=self.own.output, format=self.own.format)).frames[-1]
        if frame.get_chemical_symbols() != atoms.get_chemical_symbols():
            found_atoms = frame.get_chemical_formula("reduce")
            return f"{self.own.output} holds {found_atoms}, not the frame's atoms in order"
        given, found = (some.positions - some.positions.mean(axis=0) for some in (atoms, frame))
        moved_A = float(np.abs(given - found).max())
        if moved_A > MOVED_A:
            return f"{self.own.output} holds other positions (by {moved_A:.3g} Å): turned, moved or relaxed"
        if not frame.info.get("converged", True):
            return f"{self.own.code} did not converge"
        results: dict[str, Any] = frame.calc.results if frame.calc else {}
        if "energy" not in results or "forces" not in results:
            return f"{self.own.output} holds no energy with forces"
        return Label(float(results["energy"]), np.array(results["forces"]), results.get("dipole"))
