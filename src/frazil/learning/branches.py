"""Dipoles of cells, which have many values: oxidation numbers, labels on one branch, and wrong numbers found.

A cell's dipole is known up to the charge e times a lattice vector. With an oxidation number N_l of each atom,
a whole number of e, μ = Σ_l N_l R_l + μ_env, where μ_env depends on neighbours alone and has one value
(Jiang, Levchenko & Rappe, Phys. Rev. Lett. 108, 166403, 2012; Stocco, Carbogno & Rossi, arXiv:2502.02413). So
labels are brought to one branch: μ − Σ N R, less the nearest lattice vector.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from ase import Atoms

from frazil.errors import UserError

FARTHEST = 0.35
"""Of a lattice vector: labels that are farther from their branch cannot be told from those of the next."""
SMALL = 0.3
"""Of a lattice vector: steps of a dipole along a trajectory that are longer are not followed."""


def numbers_of(told: Sequence[str], elements: Sequence[str]) -> tuple[float, ...]:
    """Return the oxidation numbers of elements, e, from texts such as Na:1 and Cl:-1; none of no texts.

    Raises UserError for a text that is none, and for elements without a number, or that are not there.
    """
    if not told:
        return ()
    found: dict[str, int] = {}
    for text in told:
        element, _, number = text.partition(":")
        try:
            found[element.strip()] = int(number)
        except ValueError:
            raise UserError(
                f"oxidation number {text!r}; give ELEMENT:NUMBER, a whole number of e (Na:1,Cl:-1)"
            ) from None
    if set(found) != set(elements):
        raise UserError(
            f"oxidation numbers of {', '.join(sorted(found))}; the frames hold {', '.join(elements)}: give "
            "one for each element"
        )
    return tuple(float(found[element]) for element in elements)


def labels_of(frames: Sequence[Atoms], by_element: Mapping[int, float]) -> list[np.ndarray]:
    """Return of each frame its dipole less Σ N R (3,), e Å, in a cell less the nearest lattice vector.

    ``by_element``: oxidation numbers by atomic number. Raises UserError for a frame whose numbers do not add
    up to its charge: its dipole would depend on the origin.
    """
    found = []
    for place, atoms in enumerate(frames):
        numbers = np.array([by_element[int(number)] for number in atoms.numbers])
        charge = float(atoms.info.get("charge", 0.0))
        if abs(numbers.sum() - charge) > 1e-6:
            raise UserError(
                f"frame {place} ({atoms.symbols}): oxidation numbers add up to {numbers.sum():+g} e, its "
                f"charge is {charge:+g} e; give numbers that add up to it"
            )
        rest = np.asarray(atoms.calc.results["dipole"], float) - numbers @ atoms.positions
        found.append(_nearest(rest, atoms))
    return found


def check_branches(frames: Sequence[Atoms], labels_e_A: Sequence[np.ndarray]) -> None:
    """Raise UserError for a label so far from its branch that the next one may be meant."""
    for place, (atoms, label) in enumerate(zip(frames, labels_e_A, strict=True)):
        far = np.abs(atoms.cell.scaled_positions(label)).max() if atoms.pbc.any() else 0.0
        if far > FARTHEST:
            raise UserError(
                f"frame {place} ({atoms.symbols}): the dipole less Σ N R is {far:.2f} lattice vectors from "
                f"its branch; beyond {FARTHEST:g} the next one may be meant. Oxidation numbers are wrong, "
                "or the cell is too large for what its neighbours make: give smaller cells"
            )


def check_numbers(frames: Sequence[Atoms], labels_e_A: Sequence[np.ndarray]) -> int:
    """Raise UserError where oxidation numbers are wrong, and return how many frames were judged.

    Along a trajectory (``trajectory_id``, ``time_fs``) labels change by small steps. With the right numbers
    the steps add up to the difference of the ends on one branch. With wrong ones, an atom that went to the
    next cell leaves a lattice vector times what its number is off by.
    """
    runs: dict[str, list[int]] = {}
    for place, atoms in enumerate(frames):
        if atoms.pbc.any() and "time_fs" in atoms.info:
            runs.setdefault(str(atoms.info.get("trajectory_id", "")), []).append(place)
    n_judged = 0
    for name, members in runs.items():
        members.sort(key=lambda i: float(frames[i].info["time_fs"]))
        first, total = members[0], np.zeros(3)
        for before, after in pairwise(members):
            cell = frames[after].cell
            step = _nearest(labels_e_A[after] - labels_e_A[before], frames[after])
            if np.abs(cell.scaled_positions(step)).max() > SMALL:
                first, total = after, np.zeros(3)  # too far to follow: begin anew
                continue
            total += step
            left = cell.scaled_positions(total - (labels_e_A[after] - labels_e_A[first]))
            lost = np.round(left).astype(int)
            if lost.any():
                raise UserError(
                    f"oxidation numbers are wrong: along trajectory {name!r}, from "
                    f"{frames[first].info['time_fs']:g} to {frames[after].info['time_fs']:g} fs, the dipole "
                    f"less Σ N R changes by {lost.tolist()} lattice vectors times e; with the right numbers "
                    "it would come back"
                )
        n_judged += len(members)
    return n_judged


def _nearest(vector: np.ndarray, atoms: Atoms) -> np.ndarray:
    """Return a dipole (3,) less the lattice vector (times e) nearest to it; of free atoms as it is."""
    if not atoms.pbc.any():
        return vector
    return np.asarray(vector - np.round(atoms.cell.scaled_positions(vector)) @ atoms.cell.array)
