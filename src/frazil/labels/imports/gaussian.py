"""Gaussian's output, read in order: a frame is what stands between one geometry and its table of forces.

Positions and forces are in the input orientation, which the file must print. The energy is that of the
printed gradient: counterpoise-corrected, extrapolated (ONIOM), MP2's, a double hybrid's, or the SCF's. What
else Gaussian can optimise on (excited states, MP3, CI, coupled cluster) is refused by name. Dipoles are
printed in the standard orientation and are turned.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Debye, Hartree

from frazil.errors import UserError
from frazil.labels.imports.reading import Reading, labelled, turned_onto, without_repeats

NUMBER = r"(-?\d+\.\d*(?:[DE][+-]?\d+)?)"
ENERGIES = {
    "counterpoise": re.compile(r"Counterpoise: corrected energy =\s*" + NUMBER),
    "oniom": re.compile(r"ONIOM: extrapolated energy =\s*" + NUMBER),
    "double hybrid": re.compile(r" E2\((?P<method>\S+)\)\s*=\s*\S+\s+E\(\S+\)\s*=\s*" + NUMBER),
    "mp2": re.compile(r" EUMP2\s*=\s*" + NUMBER),
    "scf": re.compile(r" SCF Done:\s+E\((?P<method>\S+)\)\s*=\s*" + NUMBER),
}
"""Energies of a step, the one that its gradient belongs to first."""
REFUSED = {
    "an excited state": re.compile(r" Excited State +\d+:| This state for optimization"),
    "MP3, CI or coupled cluster": re.compile(
        r" EUMP3\s*=|UMP4\(\S+\)\s*=| DE\(C(?:orr|ORR|I)\)\s*=| E\(CI\S*\)\s*=| CCSD\(T\)\s*=|EUQCISD"
    ),
}
"""What a gradient may belong to whose energy is not read."""
PERIODIC = -2
"""Atomic number of a translation vector."""
LARGEST_TURN_ERROR_A = 0.005
"""Standard and input orientation print a geometry to 1e-6 Å."""


@dataclass
class _Step:
    """What stands since the last geometry; fragments (counterpoise, ONIOM) are calculations within it."""

    numbers: np.ndarray | None = None
    input_A: np.ndarray | None = None
    standard_A: np.ndarray | None = None
    vectors_A: np.ndarray | None = None
    energies_hartree: dict[str, float] = field(default_factory=dict)
    method: str = ""
    parts: str = ""
    refused: str = ""
    converged: bool = True
    dipole_debye: np.ndarray | None = None
    dipole_of: str = "scf"


@dataclass
class _Job:
    charge: int | None = None
    multiplicity: int | None = None
    basis: str = ""


def read_gaussian(path: Path) -> Reading:
    """Return the steps of an output that have forces, of every job in it.

    Raises UserError for forces whose energy or axes the file does not settle.
    """
    lines = path.read_text(errors="replace").splitlines()
    version = next((m[1] for line in lines if (m := re.match(r" Gaussian (\d\d):", line))), "not stated")
    reading = Reading([], "gaussian", version)
    job, step, density = _Job(), _Step(), "scf"
    for at, line in enumerate(lines):
        if line.startswith((" Entering Gaussian System", " Entering Link 1 ", " Initial command:")):
            job, step = _Job(), _Step()
        elif line.startswith(" #") and lines[at - 1].startswith(" ---"):
            job = _Job(basis=_basis(lines, at))
        elif job.charge is None and (m := re.match(r" Charge =\s*(-?\d+) Multiplicity =\s*(\d+)", line)):
            job.charge, job.multiplicity = int(m[1]), int(m[2])
        elif (m := re.match(r"\s+(Input|Standard|Z-Matrix) orientation:", line)) and not step.parts:
            step = _oriented(step, m[1], _rows(lines, at + 5, 3))
        elif "Counterpoise: doing" in line or "ONIOM: generating point" in line:
            step.parts = line.split(":")[0].strip()
        elif m := re.search(r"analysis using the (\S+) density", line, re.I):
            density = m[1].lower()
        elif line.startswith(" Dipole moment (field-independent") and not step.parts and at + 1 < len(lines):
            step.dipole_debye = np.array(re.findall(r"[XYZ]=\s*(-?\d+\.\d+)", lines[at + 1]), float)
            step.dipole_of = density
        elif "Convergence criterion not met" in line or "Convergence failure" in line:
            step.converged = False
        elif "Forces (Hartrees/Bohr)" in line and "in standard orientation" not in " ".join(
            lines[at - 3 : at]
        ):
            where = f"{path}, line {at + 1}"
            frame = _frame(step, job, _rows(lines, at + 3, 3), where, reading.notes)
            reading.frames += [frame] if frame else []
            step = _Step()  # a second table of forces has no geometry of its own
        else:
            _look_for_energies(step, line)
    reading.frames = without_repeats(reading.frames)
    return reading


def _look_for_energies(step: _Step, line: str) -> None:
    if "=" not in line and ":" not in line:
        return
    for kind, pattern in ENERGIES.items():
        if m := pattern.search(line):
            step.energies_hartree[kind] = float(m[m.lastindex or 1].replace("D", "E"))
            if "method" in pattern.groupindex:
                step.method = re.sub(r"^(RO|R|U)(?=\w)", "", m["method"])
            if kind in ("counterpoise", "oniom"):
                step.parts = ""
    for kind, pattern in REFUSED.items():
        if pattern.search(line):
            step.refused = kind


def _basis(lines: list[str], start: int) -> str:
    """Return the basis that a route names after the method, empty if none."""
    route = ""
    for line in lines[start : start + 10]:
        if line.startswith(" ---"):
            break
        route += line[1:]
    found = re.search(r"(?:^|\s)[A-Za-z][\w()+-]*/([\w()+*,-]+)", route)
    return found[1] if found else ""


@dataclass
class _Table:
    """Atomic numbers, the last columns of their rows, and of the rows of translation vectors."""

    numbers: np.ndarray
    values: np.ndarray
    vectors: np.ndarray


def _rows(lines: list[str], start: int, n: int) -> _Table:
    """Return the table that begins at a line, up to its rule, with its last n columns.

    Rows of dummy and ghost atoms (numbers -1 and 0) are left out; -2 marks a vector of the box. Wide
    numbers may touch each other.
    """
    numbers, values, vectors = [], [], []
    for line in lines[start:]:
        words = line.split()
        if not words or set(words[0]) == {"-"}:
            break
        number = int(words[1] if words[0].isdigit() else words[0])
        row = [float(word) for word in re.findall(r"-?\d+\.\d+", line)[-n:]]
        if number > 0:
            numbers.append(number)
            values.append(row)
        elif number == PERIODIC:
            vectors.append(row)
    shaped = (np.array(rows, float).reshape(-1, n) for rows in (values, vectors))
    return _Table(np.array(numbers, int), *shaped)


def _oriented(step: _Step, axes: str, table: _Table) -> _Step:
    """Return the step of a printed geometry: a new one, or the same in its standard orientation."""
    if axes != "Standard":
        return _Step(table.numbers, input_A=table.values, vectors_A=table.vectors)
    if step.input_A is not None and step.standard_A is None and not step.energies_hartree:
        step.standard_A = table.values
        return step
    return _Step(table.numbers, standard_A=table.values)


def _frame(step: _Step, job: _Job, table: _Table, where: str, notes: list[str]) -> Atoms | None:
    """Return the frame of a table of forces (Hartree/Bohr), None without a geometry or energy of its own."""
    if step.refused:
        raise UserError(
            f"{where}: forces of {step.refused}, whose energy is not read; give the output of a ground state "
            "by SCF, MP2 or a double hybrid"
        )
    if step.input_A is None and step.standard_A is not None:
        raise UserError(
            f"{where}: positions in the standard orientation, forces in the input orientation, which the "
            "file does not print; run it again with Geom=PrintInputOrient or NoSymm"
        )
    if step.input_A is None or step.parts or not step.energies_hartree:
        _note(notes, "forces left out: no geometry or no energy of their own stands above them")
        return None
    if step.numbers is None or not np.array_equal(step.numbers, table.numbers):
        raise UserError(f"{where}: forces of other atoms than the geometry above them; give a whole output")
    kind = next(kind for kind in ENERGIES if kind in step.energies_hartree)
    atoms = Atoms(table.numbers, step.input_A)
    for axis, vector in enumerate(step.vectors_A if step.vectors_A is not None else []):
        atoms.cell[axis] = vector
        atoms.pbc[axis] = True
    atoms.info |= {"charge": job.charge, "multiplicity": job.multiplicity, "basis": job.basis}
    atoms.info["method"] = (
        "oniom" if kind == "oniom" else "mp2" if "mp2" in step.energies_hartree else step.method
    )
    atoms.info = {name: value for name, value in atoms.info.items() if value not in (None, "")}
    if not step.converged:
        atoms.info["converged"] = False
    dipole, why = _dipole(step, kind, job.charge)
    _note(notes, why)
    return labelled(atoms, step.energies_hartree[kind] * Hartree, table.values * Hartree / Bohr, dipole)


def _note(notes: list[str], text: str) -> None:
    if text and text not in notes:
        notes.append(text)


def _dipole(step: _Step, kind: str, charge: int | None) -> tuple[np.ndarray | None, str]:
    """Return the dipole (e Å) in the axes of the positions, or None and why it is left out."""
    if step.dipole_debye is None or len(step.dipole_debye) != 3:
        return None, ""
    if charge:
        return None, "dipoles left out: that of an ion depends on the origin"
    if kind != step.dipole_of:
        return None, f"dipoles left out: of the {step.dipole_of.upper()} density, energies of {kind}"
    if step.standard_A is None or step.input_A is None:
        return step.dipole_debye * Debye, ""
    turn, error_A = turned_onto(step.standard_A, step.input_A)
    if error_A > LARGEST_TURN_ERROR_A:
        return None, "dipoles left out: standard and input orientation hold different geometries"
    return turn @ step.dipole_debye * Debye, ""
