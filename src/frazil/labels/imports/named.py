"""Labels that a file carries under names, as extended XYZ does: which they are, and their units."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError
from frazil.labels.imports.label_units import spelled
from frazil.labels.imports.sheet import Entry

KNOWN = ("", "ref", "dft", "qm", "target", "label")
"""What stands before the names of labels (REF_energy, dft_forces); under other names they have to be said."""
WORDS = {
    "energy": r"(?:total_|potential_|tot_)?(?:energy|energies)|toten",
    "forces": r"forces?|frc|gradients?|grad",
    "dipole": r"dipoles?(?:_moment)?|mu",
}
GRADIENT = r"(?:grad|gradient|gradients)$"
OTHER_ENERGIES = (
    "kinetic", "formation", "atomization", "interaction", "binding", "cutoff", "dispersion", "vdw",
    "zero_point", "std", "var", "error", "fermi", "excitation", "correlation", "nuclear", "free", "spread",
    "one_electron", "repulsion", "reference", "isolated", "mean", "bond",
)  # fmt: skip
"""Energies by name that are no other label of the frame's energy."""
SAME = 1e-6
FACTORS = {
    "eV": 1.0, "Hartree": ase.units.Hartree, "Ry": ase.units.Rydberg,
    "kcal/mol": ase.units.kcal / ase.units.mol,
    "kJ/mol": ase.units.kJ / ase.units.mol, "Angstrom": 1.0, "Bohr": ase.units.Bohr, "nm": ase.units.nm,
    "e Angstrom": 1.0, "Debye": ase.units.Debye, "e Bohr": ase.units.Bohr,
}  # fmt: skip
"""Value of a unit in eV, Å, e Å."""
STATED = {
    "energy_unit": r"energ(?:y|ies)[-_ ]?units?$",
    "forces_unit": r"forces?[-_ ]?units?$",
    "length_unit": r"(?:length|positions?|pos|coord\w*|distance)[-_ ]?units?$",
    "dipole_unit": r"dipoles?[-_ ]?units?$",
}
"""Names under which a header says a unit."""


@dataclass(frozen=True)
class _Value:
    name: str
    of: str
    """What stands before its word, in small letters."""
    value: np.ndarray


def find_labels(
    frames: Sequence[Atoms], entry: Entry, must_say: bool = False
) -> tuple[list[Atoms], list[str]]:
    """Return the frames with their labels under ASE's names in eV, eV/Å and e Å, and notes on what was left.

    Names are those of the entry, else energy and forces, or pairs such as REF_energy and REF_forces. Units
    are the entry's, the header's, or eV and Å; with ``must_say`` that of the energy must be said. Raises
    UserError for two labels that differ, where none is named; for a named one that is not there; and for
    units that are not known or contradict each other.
    """
    notes: Counter[str] = Counter()
    stated = any(re.match(STATED["energy_unit"], name, re.I) for atoms in frames[:1] for name in atoms.info)
    if must_say and not stated and not entry.energy_unit:
        raise UserError(
            f"{entry.name}: the file says no unit of its energies; say energy_unit (MD17: kcal/mol; ANI: "
            "Hartree), and length_unit where it is not Angstrom"
        )
    found = [_named(atoms, entry, f"{entry.name}, frame {i}", notes) for i, atoms in enumerate(frames)]
    return found, [f"{n} frames: {text}" for text, n in notes.items()]


def _named(atoms: Atoms, entry: Entry, where: str, notes: Counter[str]) -> Atoms:
    units = _units(atoms.info, entry, where)
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    values = {**atoms.info, **atoms.arrays, **results}
    shapes = {"energy": (), "forces": (len(atoms), 3), "dipole": (3,)}
    candidates = {label: _candidates(label, values, shape) for label, shape in shapes.items()}
    energy = _chosen("energy", entry.energy_key, candidates["energy"], values, where)
    if energy is not None and energy.name == "energy" and not entry.energy_key and "free_energy" in results:
        energy = _Value("free_energy", "", np.asarray(results["free_energy"]))  # the forces are its gradient
    forces = _beside("forces", entry.forces_key, candidates["forces"], energy, entry, values, where)
    dipole = _beside("dipole", entry.dipole_key, candidates["dipole"], energy, entry, values, where)
    for other in candidates["dipole"]:
        if dipole is None:
            notes[f"{other.name} is not read; say it in dipole_key, or leave it"] += 1
    found = {}
    length = FACTORS[units["length_unit"]]
    if energy is not None:
        found["energy"] = float(energy.value) * FACTORS[units["energy_unit"]]
    if forces is not None:
        sign = -1.0 if re.search(GRADIENT, forces.name, re.I) else 1.0
        if sign < 0:
            notes[f"{forces.name} is taken for a gradient: the forces are its negative"] += 1
        per_energy, per_length = units["forces_unit"].rsplit("/", 1)
        found["forces"] = sign * forces.value * FACTORS[per_energy] / FACTORS[per_length]
    if dipole is not None:
        found["dipole"] = dipole.value * FACTORS[units["dipole_unit"]]
    ours = atoms.copy()
    if length != 1:
        ours.set_cell(np.asarray(atoms.cell) * length)
        ours.positions *= length
    ours.info = {k: v for k, v in ours.info.items() if not any(re.match(p, k, re.I) for p in STATED.values())}
    if found:
        ours.calc = SinglePointCalculator(ours, **found)
    return ours


def _units(info: Mapping[str, Any], entry: Entry, where: str) -> dict[str, str]:
    """Return the unit of each column."""
    units = {}
    for column, pattern in STATED.items():
        said = [str(value) for name, value in info.items() if re.match(pattern, name, re.I)]
        wanted = str(getattr(entry, column))
        try:
            in_file = {spelled(column, text) for text in said}
        except ValueError as error:
            raise UserError(f"{where}: {error}; convert the file") from error
        if len(in_file | ({wanted} if wanted else set())) > 1:
            raise UserError(
                f"{where}: {column} {', '.join(sorted(in_file))} in the file, {wanted or 'nothing'} in the "
                "samplesheet; say the same"
            )
        units[column] = next(iter(in_file), wanted)
    units["energy_unit"] = units["energy_unit"] or "eV"
    units["length_unit"] = units["length_unit"] or "Angstrom"
    units["forces_unit"] = units["forces_unit"] or f"{units['energy_unit']}/{units['length_unit']}"
    units["dipole_unit"] = units["dipole_unit"] or "e Angstrom"
    return units


def _candidates(label: str, values: Mapping[str, Any], shape: tuple[int, ...]) -> list[_Value]:
    """Return the values of a label's shape whose names say that they are it."""
    found = []
    for name, value in values.items():
        m = re.fullmatch(rf"(?P<before>.*?)[_-]?(?:{WORDS[label]})(?:[_-](?P<after>[A-Za-z]+))?", name, re.I)
        if m is None or (label == "energy" and any(word in name.lower() for word in OTHER_ENERGIES)):
            continue
        if np.shape(value) == shape and np.asarray(value).dtype.kind in "fiu":
            of = (m["before"] or m["after"] or "").lower().strip("_-")
            found.append(_Value(name, of, np.asarray(value, float)))
    return sorted(found, key=lambda v: KNOWN.index(v.of) if v.of in KNOWN else len(KNOWN))


def _given(key: str, values: Mapping[str, Any], where: str) -> _Value:
    if key not in values:
        named = ", ".join(sorted(set(values) - {"numbers", "positions"})) or "nothing"
        raise UserError(f"{where}: no {key}; the frame has {named}")
    return _Value(key, "", np.asarray(values[key], float))


def _chosen(
    label: str, key: str, found: list[_Value], values: Mapping[str, Any], where: str
) -> _Value | None:
    """Return a label by its key, or the only one there is. Raises UserError for two that differ."""
    if key:
        return _given(key, values, where)
    for other in found[1:]:
        if not np.allclose(other.value, found[0].value, rtol=SAME, atol=SAME):
            shown = " and ".join(
                f"{v.name} = {float(v.value):.6g}" if label == "energy" else v.name for v in (found[0], other)
            )
            raise UserError(
                f"{where}: {shown} differ; say which one is the label in {label}_key (REF_energy and "
                "REF_forces belong together)"
            )
    return found[0] if found and found[0].of in KNOWN else None


def _beside(
    label: str,
    key: str,
    found: list[_Value],
    energy: _Value | None,
    entry: Entry,
    values: Mapping[str, Any],
    where: str,
) -> _Value | None:
    """Return forces or dipole: by key, or of the energy's name; None where there is none."""
    if key:
        return _given(key, values, where)
    if entry.energy_key and energy is not None:
        of = _candidates("energy", {entry.energy_key: 0.0}, ())
        return next((value for value in found if of and value.of == of[0].of), None)
    chosen = _chosen(label, "", found, values, where)
    if chosen is None or energy is None or chosen.of == energy.of:
        return chosen
    if label == "dipole":
        return None
    raise UserError(
        f"{where}: the energy is {energy.name}, the forces are {chosen.name}; say which belong together in "
        "energy_key and forces_key"
    )
