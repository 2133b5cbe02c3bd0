"""ORCA's output (2.6 to 6.1) and its ``.engrad``, read in order.

A frame is what stands between one table of coordinates and the next. Positions, gradients and dipoles are in
one set of axes.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree

from frazil.data.frames import fingerprint
from frazil.errors import UserError
from frazil.labels.imports.reading import Reading, labelled, without_repeats

ENERGY = re.compile(r"FINAL SINGLE POINT ENERGY\s*(\([^)]*\))?\s+(-?\d+\.\d+)\s*(\(.*\))?")
NOT_CONVERGED = re.compile(r"SCF NOT CONVERGED|not fully converged|IS NOT YET CONVERGED", re.I)
REFUSED = {
    "QM/MM": re.compile(r"FINAL SINGLE POINT ENERGY\s*\((?:QM/MM|MM|QM|L-QM2|QM/QM2)\)"),
    "an excited state": re.compile(r"(TD-DFT|CIS|TDA|RPA|ROCIS|STEOM|EOM|ADC)\S*[ -]+EXCITED STATES"),
}
"""What a gradient may belong to whose energy is not read."""
GRADIENT = r"\s*\d+\s*(?:[A-Za-z]+\s*)?:((?:\s+-?\d+\.\d+){3})\s*$"
SAME_HARTREE = 1e-9


@dataclass
class _Step:
    symbols: list[str] = field(default_factory=list)
    positions_A: list[list[float]] = field(default_factory=list)
    line: int = 0
    energies_hartree: list[float] = field(default_factory=list)
    gradient: list[list[float]] = field(default_factory=list)
    dipoles: list[tuple[float, ...]] = field(default_factory=list)
    refused: str = ""
    converged: bool = True


@dataclass
class _Job:
    words: str
    """The keywords of its input."""
    charge: int | None = None
    multiplicity: int | None = None


def read_orca(path: Path) -> Reading:
    """Return the steps of an output: those with a gradient, or all energies where there is none.

    A note says how many geometries without a gradient were left out, but for those that also have one.

    Raises UserError for gradients whose energy the file does not settle.
    """
    lines = path.read_text(errors="replace").splitlines()
    version = next((m[1] for line in lines if (m := re.search(r"Program Version (\S+)", line))), "not stated")
    reading = Reading([], "orca", version)
    words = _words(lines)
    job, step = _Job(words.get(1, "")), _Step()

    def end() -> None:
        if step.positions_A and step.energies_hartree:
            reading.frames.append(_frame(step, job, f"{path}, line {step.line}", reading.notes))

    for at, line in enumerate(lines):
        if line.startswith("CARTESIAN COORDINATES (ANGSTROEM)"):
            end()
            step = _step(lines, at)
        elif m := re.match(r"\s*\$+ +JOB NUMBER +(\d+)", line):
            end()
            job, step = _Job(words.get(int(m[1]), "")), _Step()
        elif m := re.match(r" Total Charge\s+Charge\s+\.+\s+(-?\d+)", line):
            job.charge = int(m[1])
        elif m := re.match(r" Multiplicity\s+Mult\s+\.+\s+(\d+)", line):
            job.multiplicity = int(m[1])
        elif line.startswith("CARTESIAN GRADIENT") or line.startswith("The final MP2 gradient"):
            step.gradient = _gradient(lines, at)
        elif m := re.match(r"Total Dipole Moment\s*:((?:\s+-?\d+\.\d+){3})", line):
            step.dipoles.append(tuple(float(word) for word in m[1].split()))
        elif NOT_CONVERGED.search(line):
            step.converged = False
        _look_for_energies(step, line)
    end()
    with_forces = [atoms for atoms in reading.frames if "forces" in atoms.calc.results]
    known = {fingerprint(atoms) for atoms in with_forces}
    bare = [atoms for atoms in reading.frames if fingerprint(atoms) not in known]
    if with_forces and bare:
        reading.notes.append(
            f"{len(bare)} of {len(reading.frames)} geometries left out: an energy alone, without a gradient"
        )
    reading.frames = without_repeats(with_forces or reading.frames)
    return reading


def _words(lines: list[str]) -> dict[int, str]:
    """Return the keywords (lines with !) of every job of the input that is printed, by its number from 1."""
    found: dict[int, str] = {}
    job = 1
    for line in lines:
        if m := re.match(r"\|\s*\d+>\s*(.*)", line):
            if m[1].lower().startswith("$new_job"):
                job += 1
            elif m[1].startswith("!"):
                found[job] = f"{found.get(job, '')} {m[1][1:].split('#')[0].strip()}".strip()
    return found


def _look_for_energies(step: _Step, line: str) -> None:
    for kind, pattern in REFUSED.items():
        if pattern.search(line):
            step.refused = kind
    if m := ENERGY.search(line):
        step.energies_hartree.append(float(m[2]))


def _step(lines: list[str], start: int) -> _Step:
    """Return the step that begins with a table of coordinates (Å)."""
    step = _Step(line=start + 1)
    for line in lines[start + 2 :]:
        words = line.split()
        if len(words) < 4:
            break
        step.symbols.append(words[0])
        step.positions_A.append([float(word) for word in words[1:4]])
    return step


def _gradient(lines: list[str], start: int) -> list[list[float]]:
    """Return the rows (Hartree/Bohr) of the first table of gradients below a line."""
    rows: list[list[float]] = []
    for line in lines[start + 1 :]:
        if m := re.match(GRADIENT, line):
            rows.append([float(word) for word in m[1].split()])
        elif rows or (line.strip() and set(line.strip()) != {"-"}):
            break
    return rows


def _frame(step: _Step, job: _Job, where: str, notes: list[str]) -> Atoms:
    if step.refused and step.gradient:
        raise UserError(
            f"{where}: a gradient of {step.refused}, whose energy is not read; give the output of a whole "
            "system's ground state"
        )
    if step.gradient and max(step.energies_hartree) - min(step.energies_hartree) > SAME_HARTREE:
        raise UserError(
            f"{where}: {len(step.energies_hartree)} different energies and a gradient at one geometry; "
            "which belong together is not settled"
        )
    foreign = sorted(set(step.symbols) - set(chemical_symbols[1:]))
    if foreign:
        raise UserError(
            f"{where}: {', '.join(foreign)} is no atom (ghosts, point charges); give the output of the "
            "molecule alone"
        )
    atoms = Atoms(step.symbols, step.positions_A)
    if step.gradient and len(step.gradient) != len(atoms):
        raise UserError(
            f"{where}: {len(atoms)} atoms, a gradient of {len(step.gradient)}; give a whole output"
        )
    stated = {"charge": job.charge, "multiplicity": job.multiplicity, "method": job.words or None}
    atoms.info |= {name: value for name, value in stated.items() if value is not None}
    if not step.converged:
        atoms.info["converged"] = False
    forces = -np.array(step.gradient) * Hartree / Bohr if step.gradient else None
    dipole = None
    if len(set(step.dipoles)) == 1 and not job.charge:
        dipole = np.array(step.dipoles[0]) * Bohr
    elif step.dipoles and step.gradient:
        why = "that of an ion depends on the origin" if job.charge else "several differ in one step"
        notes += [note for note in [f"dipoles left out: {why}"] if note not in notes]
    return labelled(atoms, step.energies_hartree[-1] * Hartree, forces, dipole)


def read_engrad(path: Path) -> Reading:
    """Return the one frame of an ``.engrad`` (ORCA's or xtb's): Hartree, Hartree/Bohr, Bohr."""
    words = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    n = int(words[0])
    rows = [line.split() for line in words[2 + 3 * n : 2 + 4 * n]]
    if len(rows) != n:
        raise UserError(f"{path}: {n} atoms are announced, {len(rows)} are there; give a whole file")
    numbers, positions = [int(row[0]) for row in rows], np.array([row[1:4] for row in rows], float)
    gradient = np.array(words[2 : 2 + 3 * n], float).reshape(n, 3)
    atoms = Atoms(numbers, positions * Bohr)
    return Reading([labelled(atoms, float(words[1]) * Hartree, -gradient * Hartree / Bohr)], "orca")
