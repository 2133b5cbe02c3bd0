"""Labels of another program at the run's own level: taken over, the offset of their energies taken out.

Two programs agree on forces to their numerical settings, but count energies from other zeros (cores, grids,
auxiliary bases), by an amount that is the composition's. Some frames of each composition are labelled anew
by the run's own labeller; the mean difference of energies is the offset, and what is left is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError
from frazil.labels.label import label
from frazil.labels.levels import labeller

COMPARED = 3
"""Frames of each composition that are labelled anew."""
SAME_FORCES_eV_per_A, SAME_ENERGY_meV_per_atom = 0.05, 3.0
"""Root mean square differences beyond these are those of another level (PBE0 by two programs: 0.016 eV/Å)."""


@dataclass(frozen=True)
class Adopted:
    """Frames under the run's own code, and how well the two programs agree on those compared."""

    frames: list[Atoms]
    offsets_eV: dict[str, float]
    """Of each composition: what the energies were lowered by."""
    n_compared: int
    energy_rmse_meV_per_atom: float
    """Beyond the offset; nan where every composition had one frame."""
    force_rmse_eV_per_A: float


def adopt(frames: Sequence[Atoms], level: str, **settings: Any) -> Adopted:
    """Return labelled frames of another program as frames of the run's own, offsets taken out.

    Raises UserError where a frame to compare has no label, or the two do not agree.
    """
    source = labeller(level, **settings)
    by_formula: dict[str, list[Atoms]] = {}
    for atoms in frames:
        by_formula.setdefault(atoms.get_chemical_formula(), []).append(atoms)
    some = {
        formula: [members[i] for i in np.unique(np.linspace(0, len(members) - 1, COMPARED).astype(int))]
        for formula, members in by_formula.items()
    }
    chosen = [atoms for members in some.values() for atoms in members]
    ours, failures = label(chosen, level, show_progress=True, **settings)
    if failures:
        raise UserError(
            f"a frame of {chosen[failures[0].frame].get_chemical_formula()} to compare with has no {level} "
            f"label ({failures[0].reason}); give labels of {source.code}, or a run that adds none"
        )
    offsets: dict[str, float] = {}
    left, force_errors, answers = [], [], iter(ours)
    for formula, members in some.items():
        own = [next(answers) for _ in members]
        apart = np.array([a.get_potential_energy() for a in members])
        apart -= [b.get_potential_energy() for b in own]
        offsets[formula] = float(np.mean(apart))
        if len(members) > 1:
            left += list((apart - offsets[formula]) / len(members[0]))
        force_errors += [(a.get_forces() - b.get_forces()).ravel() for a, b in zip(members, own, strict=True)]
    energy = 1000 * float(np.sqrt(np.mean(np.square(left)))) if left else float("nan")
    force = float(np.sqrt(np.mean(np.concatenate(force_errors) ** 2)))
    if force > SAME_FORCES_eV_per_A or energy > SAME_ENERGY_meV_per_atom:
        raise UserError(
            f"labels of {chosen[0].info.get('label_code', '?')} and {source.code} at {level} differ by "
            f"{force:.3g} eV/Å and {energy:.3g} meV/atom beyond the offset (allowed: "
            f"{SAME_FORCES_eV_per_A:g}, {SAME_ENERGY_meV_per_atom:g}); they are not of one level: label "
            "the frames anew"
        )
    taken = []
    for atoms in frames:
        copy = atoms.copy()
        energy_eV = atoms.get_potential_energy() - offsets[atoms.get_chemical_formula()]
        copy.calc = SinglePointCalculator(copy, **{**atoms.calc.results, "energy": energy_eV})
        before = f"{atoms.info.get('label_code', '?')} {atoms.info.get('label_version', '')}".strip()
        copy.info |= {"label_code": source.code, "label_version": f"{source.version}, forces by {before}"}
        taken.append(copy)
    return Adopted(taken, offsets, len(chosen), energy, force)
