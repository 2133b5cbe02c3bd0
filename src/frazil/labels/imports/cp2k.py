"""CP2K's outputs and the folders of its dynamics runs, whatever the log is called.

In an output a frame is a table of coordinates with the energy and the forces that follow it; later steps
whose coordinates it does not print are left out. In a folder positions and forces lie in xyz files, whose
titles tell the steps; what the log says of a step (forces of old versions, SCF not converged) belongs to the
frame of the same energy.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell
from ase.units import Bohr, Hartree

from frazil.errors import UserError
from frazil.labels.imports.reading import Reading, labelled

ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL \( *(\w+) *\) energy [^:-]*:?\s+(-?\d+\.\d+)")
COORDINATES = re.compile(r"\s*Atom\s+Kind\s+Element\s+X\s+Y\s+Z")
NUMBER = r"\s+(-?\d+\.\d+(?:[ED][+-]?\d+)?)"
COORDINATE_ROW = re.compile(r"\s*\d+\s+\d+\s+[A-Za-z]+\s+(\d+)" + 3 * NUMBER)
FORCE_ROWS = (
    re.compile(r"\s*\d+\s+\d+\s+[A-Za-z]\w*" + 3 * NUMBER + r"\s*$"),
    re.compile(r"\s*FORCES\|\s+\d+" + 3 * NUMBER),
)
HEAD_BYTES = 200_000
SAME_HARTREE = 2e-9
"""Titles of xyz files repeat the log's energies to ten decimals."""
GROWTH = 1e-13
"""And to thirteen digits."""


@dataclass
class _Step:
    energy_hartree: float
    converged: bool
    forces: list[list[float]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    positions_A: list[list[float]] = field(default_factory=list)


@dataclass
class _Log:
    version: str = "not stated"
    cell: np.ndarray | None = None
    periodic: bool = True
    stated: dict[str, int] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)


def is_log(path: Path) -> bool:
    """Say whether a file begins as CP2K's outputs do."""
    with path.open("rb") as file:
        start = file.read(HEAD_BYTES)
    return b"CP2K|" in start or b"DBCSR|" in start


def read_cp2k(path: Path) -> Reading:
    """Return the frames of an output or a run's folder. Raises UserError for what cannot be paired."""
    if path.is_dir():
        return _folder(path)
    log = _read_log(path)
    reading = Reading([], "cp2k", log.version)
    for step in log.steps:
        if step.positions_A:
            atoms = Atoms(step.numbers, step.positions_A)
            _finish(atoms, step, log, step.forces, f"{path}")
            reading.frames.append(atoms)
    n_left = len(log.steps) - len(reading.frames)
    if n_left:
        reading.notes.append(
            f"{n_left} of {len(log.steps)} steps left out: the output does not print their coordinates; give "
            "the folder with *pos*.xyz"
        )
    if reading.frames and log.cell is None:
        raise UserError(f"{path} does not say its box (CELL| Vector a); give the whole output")
    return reading


def _finish(
    atoms: Atoms, step: _Step, log: _Log, gradient_free: list[list[float]] | np.ndarray, where: str
) -> None:
    """Put box, labels (Hartree, Hartree/Bohr) and what the log says into a frame."""
    if log.cell is not None:
        atoms.set_cell(log.cell)
        atoms.pbc = log.periodic
    forces = np.asarray(gradient_free, float)
    if forces.size and forces.shape != (len(atoms), 3):
        raise UserError(f"{where}: {len(atoms)} atoms, {len(forces)} forces in a step; give a whole output")
    labelled(atoms, step.energy_hartree * Hartree, forces * Hartree / Bohr if forces.size else None)
    atoms.info |= log.stated
    if not step.converged:
        atoms.info["converged"] = False


def _read_log(path: Path) -> _Log:
    """Return what an output says, in its order."""
    lines = path.read_text(errors="replace").splitlines()
    log = _Log()
    vectors: dict[str, list[float]] = {}
    coordinates: tuple[list[int], list[list[float]]] = ([], [])
    converged = True
    for at, line in enumerate(lines):
        if m := re.search(r"CP2K\| version string:\s+CP2K version (\S+)", line):
            log.version = m[1]
        elif m := re.match(r"\s*CELL\| Vector ([abc]) \[angstrom\]:?" + 3 * NUMBER, line):
            vectors[m[1]] = [float(word) for word in m.groups()[1:]]
            if len(vectors) == 3:
                log.cell = np.array([vectors[name] for name in "abc"])
        elif m := re.match(r"\s*CELL\| Periodicity\s+(\w+)", line):
            log.periodic = m[1].upper() != "NONE"
        elif m := re.match(r"\s*DFT\| (Multiplicity|Charge)\s+(-?\d+)\s*$", line):
            log.stated[m[1].lower()] = int(m[2])
        elif re.search(r"SCF run converged|outer SCF loop converged", line):
            converged = True
        elif re.search(r"SCF run NOT converged|outer SCF loop FAILED", line):
            converged = False
        elif COORDINATES.match(line):
            coordinates = _coordinates(lines, at)
        elif m := ENERGY.search(line):
            if m[1] != "QS":
                raise UserError(f"{path}: energies of {m[1]}, not of QUICKSTEP alone; they are not read")
            log.steps.append(_Step(float(m[2]), converged, [], *coordinates))
            coordinates, converged = ([], []), True
        elif ("ATOMIC FORCES in" in line or "FORCES| Atom" in line) and log.steps:
            log.steps[-1].forces = _forces(lines, at)
    _precise_box(log, "\n".join(lines))
    return log


def _precise_box(log: _Log, text: str) -> None:
    """Take the box of a dynamics run from where more of its digits are printed."""
    for lengths, angles, unit in (
        (r"Cell lengths \[ang\]", r"Cell angles \[deg\]", 1.0),
        (r"INITIAL CELL LNTHS\[bohr\]\s*=", r"INITIAL CELL ANGLS\[deg\]\s*=", Bohr),
    ):
        found = [re.search(pattern + 3 * NUMBER, text) for pattern in (lengths, angles)]
        if found[0] is not None and found[1] is not None:
            size, turn = ([float(word.replace("D", "E")) for word in m.groups()] for m in found if m)
            box = cellpar_to_cell([*(unit * edge for edge in size), *turn])
            if log.cell is None or np.allclose(box, log.cell, atol=2e-3):
                log.cell = box
            return


def _coordinates(lines: list[str], start: int) -> tuple[list[int], list[list[float]]]:
    numbers, positions = [], []
    for line in lines[start + 1 :]:
        if m := COORDINATE_ROW.match(line):
            numbers.append(int(m[1]))
            positions.append([float(word) for word in m.groups()[1:]])
        elif line.strip():
            break
    return numbers, positions


def _forces(lines: list[str], start: int) -> list[list[float]]:
    rows: list[list[float]] = []
    for line in lines[start + 1 :]:
        m = next((m for pattern in FORCE_ROWS if (m := pattern.match(line))), None)
        if m is not None:
            rows.append([float(word) for word in m.groups()])
        elif rows or "SUM OF" in line:
            break
    return rows


def _folder(folder: Path) -> Reading:
    """Read positions and forces (Hartree/Bohr) from xyz files, box and more from the log."""
    positions, forces = (sorted(folder.glob(pattern)) for pattern in ("*pos*.xyz", "*frc*.xyz"))
    logs = [path for path in sorted(folder.iterdir()) if path.is_file() and is_log(path)]
    if len(positions) != 1 or len(forces) > 1 or len(logs) > 1:
        raise UserError(
            f"{folder} holds {len(positions)} files *pos*.xyz, {len(forces)} files *frc*.xyz and {len(logs)} "
            "logs of CP2K; give a folder of one run"
        )
    log = _read_log(logs[0]) if logs else _Log()
    if log.cell is None:
        log.cell = _box_of_input(folder)
    if log.cell is None:
        raise UserError(
            f"{folder}: neither a log ('CELL| Vector a', 'MD_INI| Cell lengths [ang]') nor an input (&CELL) "
            "says the box; give the run's log"
        )
    steps = _xyz_blocks(positions[0].read_text())
    gradients = _xyz_blocks(forces[0].read_text()) if forces else []
    if forces and len(steps) != len(gradients):
        raise UserError(
            f"{folder}: {len(steps)} steps of positions, {len(gradients)} of forces; "
            "print both (MOTION/PRINT) equally often"
        )
    reading = Reading([], "cp2k", log.version)
    for number, (title, symbols, coordinates) in enumerate(steps):
        energy = re.search(r"E\s*=\s*(\S+)", title)
        if energy is None or (forces and gradients[number][0] != title):
            other = f" beside forces of '{gradients[number][0]}'" if forces else " without an energy"
            raise UserError(f"{folder}: positions of '{title}'{other}; give one run's files")
        said = _of_energy(log, float(energy[1]))
        own = _Step(float(energy[1]), said.converged if said else True)
        rows = gradients[number][2] if forces else (said.forces if said else [])
        if forces and gradients[number][1] != symbols:
            raise UserError(
                f"{folder}: positions and forces of '{title}' are of other atoms; give one run's files"
            )
        atoms = Atoms(symbols, coordinates)
        _finish(atoms, own, log, rows, f"{folder}, '{title}'")
        if time := re.search(r"time\s*=\s*([\d.]+)", title):
            atoms.info["time_fs"] = float(time[1])
        reading.frames.append(atoms)
    with_forces = [atoms for atoms in reading.frames if "forces" in atoms.calc.results]
    if not with_forces:
        raise UserError(
            f"{folder} has no forces, neither *frc*.xyz nor in the log; print MOTION/PRINT/FORCES"
        )
    if len(with_forces) < len(reading.frames):
        n = len(reading.frames) - len(with_forces)
        reading.notes.append(
            f"{n} of {len(reading.frames)} steps left out: the log has no forces of their energy"
        )
    reading.frames = with_forces
    return reading


def _of_energy(log: _Log, hartree: float) -> _Step | None:
    """Return the log's step of an energy, None where there is none or several."""
    near = SAME_HARTREE + GROWTH * abs(hartree)
    found = [step for step in log.steps if abs(step.energy_hartree - hartree) < near]
    return found[0] if len(found) == 1 else None


def _box_of_input(folder: Path) -> np.ndarray | None:
    """Return the box of the one input in a folder, None if there is none or it does not say it in numbers."""
    found = [path for path in folder.iterdir() if path.suffix in (".inp", ".restart")]
    if len(found) != 1:
        return None
    section = re.search(r"&CELL\b(.*?)&END CELL", found[0].read_text(errors="replace"), re.S | re.I)
    if section is None or re.search(r"\[\w+\]", section[1]):
        return None
    rows = {m[1].upper(): [float(w) for w in m.groups()[1:]] for m in _CELL_LINE.finditer(section[1])}
    if {"A", "B", "C"} <= set(rows):
        return np.array([rows[name] for name in "ABC"])
    if "ABC" in rows:
        angles = rows.get("ALPHA_BETA_GAMMA", [90.0, 90.0, 90.0])
        return np.asarray(cellpar_to_cell([*rows["ABC"], *angles]))
    return None


_CELL_LINE = re.compile(r"^\s*(A|B|C|ABC|ALPHA_BETA_GAMMA)" + 3 * r"\s+(-?[\d.]+(?:E[+-]?\d+)?)", re.M | re.I)


def _xyz_blocks(text: str) -> list[tuple[str, list[str], np.ndarray]]:
    """Return the comment, symbols and three columns (n_atoms, 3) of every whole block of an xyz file."""
    lines, blocks, start = text.splitlines(), [], 0
    while start < len(lines) and start + 2 + int(lines[start]) <= len(lines):
        rows = [line.split() for line in lines[start + 2 : start + 2 + int(lines[start])]]
        values = np.array([row[1:4] for row in rows], float)
        blocks.append((lines[start + 1].strip(), [row[0] for row in rows], values))
        start += 2 + len(rows)
    return blocks
