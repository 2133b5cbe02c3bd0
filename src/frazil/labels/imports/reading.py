"""What a reader returns, and what readers of text outputs share: tables, steps that are printed twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.cells import moved

REPEAT_A = 1e-5
REPEAT_eV = 1e-3
"""A geometry that follows itself with the same energy (SCF noise allowed) is one that is printed twice."""


FEWEST_PAIRS = 5
NEARER = 0.75
"""Neighbours along a trajectory are at most this part as far apart as frames taken at random."""


@dataclass
class Reading:
    """The frames of a file in its order, who wrote them, and what was left out and why.

    Labels lie in a SinglePointCalculator, in eV, eV/Å and e Å. A frame's info holds what the file states:
    ``charge``, ``multiplicity``, ``method``, ``basis``, and ``converged`` (false: its electrons were not).
    """

    frames: list[Atoms]
    code: str = "not stated"
    version: str = "not stated"
    notes: list[str] = field(default_factory=list)


def labelled(
    atoms: Atoms, energy_eV: float, forces: np.ndarray | None = None, dipole: np.ndarray | None = None
) -> Atoms:
    """Return the atoms with their labels (eV; (n, 3) eV/Å; (3,) e Å); what is None is not there."""
    given = {"energy": energy_eV, "forces": forces, "dipole": dipole}
    atoms.calc = SinglePointCalculator(atoms, **{k: v for k, v in given.items() if v is not None})
    return atoms


def without_repeats(frames: Sequence[Atoms]) -> list[Atoms]:
    """Return frames without those that repeat the one before, as a frequency job at a minimum does."""
    if not frames:
        return []
    kept = [frames[0]]
    for before, atoms in pairwise(frames):
        if _same(before, atoms):
            if len(atoms.calc.results) > len(kept[-1].calc.results):
                kept[-1] = atoms
        else:
            kept.append(atoms)
    return kept


def _same(a: Atoms, b: Atoms) -> bool:
    """Say whether two frames are one geometry with one energy, of one method."""
    return (
        len(a) == len(b)
        and bool((a.numbers == b.numbers).all())
        and float(np.abs(a.positions - b.positions).max()) < REPEAT_A
        and abs(a.calc.results["energy"] - b.calc.results["energy"]) < REPEAT_eV
        and a.info.get("method") == b.info.get("method")
    )


def are_independent(frames: Sequence[Atoms]) -> bool:
    """Say whether neighbours among frames are no nearer to each other than frames taken at random.

    Along a trajectory they are nearer. Frames of several compositions are compared within one only.
    """
    random = np.random.default_rng(0)
    near, far = [], []
    groups: dict[bytes, list[Atoms]] = {}
    for atoms in frames:
        groups.setdefault(atoms.numbers.tobytes(), []).append(atoms)
    for members in groups.values():
        near += [float(np.linalg.norm(moved(a, b))) for a, b in pairwise(members)]
        pairs = random.integers(len(members), size=(2 * len(members), 2))
        far += [float(np.linalg.norm(moved(members[i], members[j]))) for i, j in pairs if abs(i - j) > 1]
    if len(groups) == len(frames):
        return len(frames) > 1
    return (
        len(near) >= FEWEST_PAIRS
        and len(far) >= FEWEST_PAIRS
        and bool(np.median(near) > NEARER * np.median(far))
    )


def turned_onto(positions: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the rotation R (3, 3) that turns positions (n, 3) onto target (n, 3), and what remains (Å).

    ``vector @ R.T`` turns a vector likewise. Both are taken about their means (Kabsch, Acta Cryst. A 32, 922,
    1976). What remains is the largest distance of an atom from its target.
    """
    a, b = positions - positions.mean(axis=0), target - target.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    sign = np.sign(np.linalg.det(u @ v)) or 1.0
    rotation = (u @ np.diag([1.0, 1.0, sign]) @ v).T
    return rotation, float(np.linalg.norm(a @ rotation.T - b, axis=1).max(initial=0))
