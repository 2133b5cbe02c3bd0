"""Labels of diatomic molecules without the molecules themselves: what is left is the interaction.

A bond holds eV where neighbours hold meV. A committee trained on the interaction alone spends nothing on
bonds. Each molecule's own curve is a cubic Hermite spline through energies and forces of isolated frames.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.interpolate import CubicHermiteSpline

from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.potentials.folder import INTERACTION
from frazil.potentials.molecular import write_curves
from frazil.systems.molecules import molecules_of

NEAR_MINIMUM_eV = 0.03
"""Molecules alone are trained on within this of their minimum: CO ± 0.02 Å, H2 ± 0.04 Å."""
SAME_LENGTH_A = 1e-3
"""Isolated frames whose bonds differ by less than this are one point of a curve."""
Curves = Mapping[str, CubicHermiteSpline]


def curves(frames: Sequence[Atoms]) -> dict[str, CubicHermiteSpline]:
    """Return the energy (eV) over the bond length (Å) of every diatomic of which isolated frames are given.

    Names are Hill formulas; of frames with one length the first counts. Raises UserError for a molecule of
    fewer than five lengths.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for atoms in frames:
        if len(atoms) == 2:
            vector = atoms.positions[1] - atoms.positions[0]
            length = float(np.linalg.norm(vector))
            slope = -float(atoms.get_forces()[1] @ vector) / length
            points = rows.setdefault(atoms.get_chemical_formula(), [])
            if all(abs(length - known) > SAME_LENGTH_A for known, *_ in points):
                points.append((length, atoms.get_potential_energy(), slope))
    for name, points in rows.items():
        if len(points) < 5:
            raise UserError(f"{len(points)} frames of isolated {name}; give at least five bond lengths")
    return {name: CubicHermiteSpline(*np.transpose(sorted(points))) for name, points in rows.items()}


def interaction(frames: Sequence[Atoms], of: Curves) -> list[Atoms]:
    """Return copies of labelled frames whose energy and forces are without every molecule's own curve.

    Raises UserError for a molecule that is not diatomic, has no curve, or a bond outside its curve.
    """
    return [_one(atoms, of, number) for number, atoms in enumerate(frames)]


def _diatomics(atoms: Atoms, of: Curves) -> list[np.ndarray]:
    """Return the molecules: neighbours in the list where all of those have a curve, else what is bonded."""
    pairs = [np.array([first, first + 1]) for first in range(0, len(atoms) - 1, 2)]
    if len(atoms) % 2 == 0 and all(atoms[pair].get_chemical_formula() in of for pair in pairs):
        return pairs
    return molecules_of(atoms)


def _one(atoms: Atoms, of: Curves, number: int) -> Atoms:
    energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces())
    for members in _diatomics(atoms, of):
        name = atoms[members].get_chemical_formula()
        if len(members) != 2 or name not in of:
            raise UserError(
                f"frame {number}: a molecule {name}; curves are there for {', '.join(sorted(of))}"
            )
        first, second = members
        vector = atoms.positions[second] - atoms.positions[first]
        length = float(np.linalg.norm(vector))
        curve = of[name]
        if not curve.x[0] - 1e-6 <= length <= curve.x[-1] + 1e-6:
            raise UserError(
                f"frame {number}: a bond of {name} of {length:.3f} Å; its isolated frames go from "
                f"{curve.x[0]:g} to {curve.x[-1]:g} Å"
            )
        energy -= float(curve(length))
        pull = float(curve(length, 1)) * vector / length
        forces[second] += pull
        forces[first] -= pull
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
    copy.info["label_level"] = str(copy.info.get("label_level", "not stated")) + INTERACTION
    return copy


def take_molecules_out(
    frames: Sequence[Path], molecules: Path | None, force_scale_eV_per_A: float, out: Path, out_curves: Path
) -> None:
    """Write the interaction labels of frames, and of molecules alone near their minimum (zero), and the
    curves.

    A frame's ``weight`` in training is (f/(f + F))², F its largest interaction force on an atom and f the
    force scale (0: all count alike), times the weight it has: explored walls of eV/Å else outweigh wells of
    meV/Å. Molecules alone are there so that the model knows them; those among the frames count with those of
    ``molecules`` (None: there are no others). Raises UserError as ``curves`` and ``interaction`` do, for no
    molecule alone, for labels of two levels and for a negative scale.
    """
    if force_scale_eV_per_A < 0:
        raise UserError(f"a force scale of {force_scale_eV_per_A:g} eV/Å; give a positive one, or 0 for none")
    given = read_frames([*frames] if molecules is None else [molecules, *frames])
    alone = [atoms for atoms in given if len(atoms) == 2]
    if not alone:
        raise UserError(
            f"{', '.join(map(str, frames))}: no frame of a molecule alone; needed: each at five bond lengths "
            "or more, or sticking.molecules_of level, which labels them"
        )
    found = curves(alone)
    lowest = {name: min(float(e) for e in curve(curve.x)) for name, curve in found.items()}
    near = [a for a in alone if a.get_potential_energy() < lowest[a.get_chemical_formula()] + NEAR_MINIMUM_eV]
    rest = interaction([atoms for atoms in given if len(atoms) != 2] + near, found)
    if force_scale_eV_per_A:
        for atoms in rest:
            force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
            own = float(atoms.info.get("weight", 1.0))
            atoms.info["weight"] = own * (force_scale_eV_per_A / (force_scale_eV_per_A + force)) ** 2
    write_frames(out, rest)
    write_curves(out_curves, found)
