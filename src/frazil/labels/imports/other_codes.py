"""Quantum ESPRESSO, FHI-aims and NWChem by ASE, Psi4 by reading it in order; what did not converge is marked.

Marks belong to the energy that stands beside them in the text, and so to the frame of that energy.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from frazil.errors import UserError
from frazil.labels.imports.libraries import by_ase
from frazil.labels.imports.reading import Reading, labelled, without_repeats

SAME_eV = 1e-5
"""Energies of a text and of the frame read from it."""
BEYOND_SCF = re.compile(
    r"MP2 Hybrid\s+=\s+TRUE|(?:MP2|MP2\.5|MP3|CC\w*|CI|DCT)\S* total energy|(?<!exchange-)correlation energy"
    r"|CBS Setup|by finite.difference",
    re.I,
)
"""What a Psi4 output says if its gradient may belong to another energy than the SCF's."""
RYDBERG, BOHR = (
    getattr(ase.units, name) / ase.units.create_units("2006")[name] for name in ("Rydberg", "Bohr")
)
"""Our values over those of 2006, which ASE's reader of Quantum ESPRESSO has."""
FLOAT = r"(-?\d+\.\d+(?:[EDed][+-]?\d+)?)"


def read_espresso(path: Path) -> Reading:
    """Read an output of pw.x. The energy of an SCF that did not converge lacks its mark (!) there."""
    text = path.read_text(errors="replace")
    failed = [m.start() for m in re.finditer(r"convergence NOT achieved", text)]
    for at in failed:
        last = text.rfind("\n     total energy ", 0, at)
        if last > text.rfind("\n!    total energy", 0, at):
            text = text[:last] + "\n!    total energy " + text[last + len("\n     total energy ") :]
    frames = list(ase.io.read(io.StringIO(text), index=":", format="espresso-out"))
    scales = {"energy": RYDBERG, "free_energy": RYDBERG, "forces": RYDBERG / BOHR}
    for atoms in frames:
        found = atoms.calc.results if atoms.calc is not None else {}
        found.update({name: found[name] * scale for name, scale in scales.items() if name in found})
    marked = _found(r"^!\s+total energy\s+=\s+", text)
    energies = [(m.start(), float(m[1]) * ase.units.Rydberg) for m in marked]
    _mark(frames, energies, failed, before=True)
    version = re.search(r"Program PWSCF v\.(\S+)", text)
    return _reading(path, frames, "quantum-espresso", version)


def read_aims(path: Path) -> Reading:
    """Read an output of FHI-aims."""
    text = path.read_text(errors="replace")
    frames = by_ase(path, "aims-output", non_convergence_ok=True)
    energies = [
        (m.start(), float(m[1]))
        for m in _found(r"\| Total energy of the DFT / Hartree-Fock s\.c\.f\. calculation\s+:\s+", text)
    ]
    failed = [m.start() for m in re.finditer(r"Self-consistency cycle not converged", text)]
    _mark(frames, energies, failed, before=False)
    version = re.search(r"FHI-aims version\s*:\s*(\S+)|Version (\S+)", text)
    return _reading(path, frames, "fhi-aims", version)


def read_nwchem(path: Path) -> Reading:
    """Read an output of NWChem; line searches between gradients are left out."""
    text = path.read_text(errors="replace")
    if "Excited state energy" in text and "GRADIENTS" in text:
        raise UserError(
            f"{path}: gradients of an excited state, whose energy is not read; give a ground state"
        )
    frames = by_ase(path, "nwchem-out")
    energies = [
        (m.start(), float(m[1].replace("D", "E")) * Hartree)
        for m in _found(r"Total (?:DFT|SCF) energy =\s+", text)
    ]
    failed = [m.start() for m in re.finditer(r"Calculation failed to converge", text)]
    _mark(frames, energies, failed, before=False)
    version = re.search(r"NWChem\) (\S+)|nwchem branch\s+=\s+(\S+)", text)
    return _reading(path, frames, "nwchem", version)


def read_psi4(path: Path) -> Reading:
    """Read an output of Psi4, in order: a frame is a geometry, its energy, and the gradient that follows.

    Only SCF gradients are read: which energy another method's belongs to, is not settled here.
    """
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    reading = Reading([], "psi4")
    if m := re.search(r"^\s*Psi4 (\d\S*)", text, re.M):
        reading.version = m[1]
    symbols: list[str] = []
    positions: list[list[float]] = []
    energy: float | None = None
    stated: dict[str, int] = {}
    converged, unit = True, Bohr
    for at, line in enumerate(lines):
        if m := re.match(r"\s*Geometry \(in (\w+)\), charge = (-?\d+), multiplicity = (\d+)", line):
            unit = Bohr if m[1].lower() == "bohr" else 1.0
            stated = {"charge": int(m[2]), "multiplicity": int(m[3])}
        elif re.match(r"\s*Center\s+X\s+Y\s+Z\s+Mass", line):
            found = [words for words in _table(lines, at + 2) if len(words) == 5]
            symbols = [words[0].capitalize() for words in found]
            geometry = [[float(word) * unit for word in words[1:4]] for words in found]
            if geometry != positions:
                positions, energy, converged = geometry, None, True
        elif re.search(r"did not converge|could not converge SCF", line, re.I):
            converged = False
        elif m := re.match(r"\s*Total Energy =\s+" + FLOAT, line):
            energy = float(m[1])
        elif re.match(r"\s*-?(?:## )?Total Gradient", line) and "DFJK" not in line and energy is not None:
            if BEYOND_SCF.search(text):
                raise UserError(f"{path}, line {at + 1}: a gradient beyond SCF, whose energy is not read")
            gradient = np.array(_gradient(lines, at + 1), float)
            if gradient.shape != (len(symbols), 3):
                raise UserError(
                    f"{path}, line {at + 1}: a gradient of other atoms than the geometry above it"
                )
            atoms = Atoms(symbols, positions)
            atoms.info |= stated if converged else {**stated, "converged": False}
            reading.frames.append(labelled(atoms, energy * Hartree, -gradient * Hartree / Bohr))
    reading.frames = without_repeats(reading.frames)
    return reading


def _table(lines: Sequence[str], start: int) -> list[list[str]]:
    rows = []
    for line in lines[start:]:
        if not line.strip():
            break
        rows.append(line.split())
    return rows


def _gradient(lines: Sequence[str], start: int) -> list[list[str]]:
    """Return the rows of numbers of the first table from a line on."""
    rows: list[list[str]] = []
    for line in lines[start : start + 100_000]:
        if m := re.match(r"\s*\d+((?:\s+-?\d+\.\d+){3})\s*$", line):
            rows.append(m[1].split())
        elif rows:
            break
    return rows


def _found(pattern: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(pattern + FLOAT, text, re.M))


def _mark(
    frames: Sequence[Atoms], energies: Sequence[tuple[int, float]], failed: Sequence[int], before: bool
) -> None:
    """Mark the frames whose energies (place in the text, eV) stand next before or after a failure's place."""
    for place in failed:
        near = [value for at, value in energies if (at < place) == before]
        wanted = near[-1 if before else 0] if near else None
        for atoms in frames:
            value = (atoms.calc.results if atoms.calc is not None else {}).get("energy")
            if value is None or wanted is None or abs(value - wanted) < SAME_eV:
                atoms.info["converged"] = False


def _reading(path: Path, frames: list[Atoms], code: str, version: re.Match[str] | None) -> Reading:
    """Return frames with forces (or all, where none has any), as one reading."""
    labels = [atoms.calc.results if atoms.calc is not None else {} for atoms in frames]
    whole = [atoms for atoms, found in zip(frames, labels, strict=True) if "forces" in found]
    reading = Reading(whole or frames, code)
    if version is not None:
        reading.version = next(group for group in version.groups() if group)
    if whole and len(whole) < len(frames):
        reading.notes.append(f"{len(frames) - len(whole)} of {len(frames)} energies left out: without forces")
    return reading
