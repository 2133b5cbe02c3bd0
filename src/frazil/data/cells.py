"""Boundaries of frames: free atoms, or crystals and liquids that are periodic in all three directions."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from frazil.errors import UserError

FLAT_A3 = 1e-6
"""A cell of less volume is none."""
GRID = 1_000_000
"""Steps along a cell's vector in which places are told apart."""


def heights(cell: np.ndarray) -> np.ndarray:
    """Return the distances (3,) between opposite faces of a cell; 0 of one that is flat."""
    if abs(np.linalg.det(cell)) < FLAT_A3:
        return np.zeros(3)
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def problem_of_cell(atoms: Atoms) -> str:
    """Return why a frame's boundaries cannot be used; empty of free atoms, and of a cell in three directions.

    A cell whose ``pbc`` is off means nothing: the atoms are free.
    """
    if not atoms.pbc.any():
        return ""
    if not atoms.pbc.all():
        axes = ", ".join("abc"[axis] for axis in np.flatnonzero(atoms.pbc))
        return (
            f"periodic along {axes} only; allowed are all three directions or none: give a slab or chain a "
            "cell with vacuum and pbc T T T, or take pbc away"
        )
    if not np.isfinite(atoms.cell.array).all() or atoms.cell.volume < FLAT_A3:
        return f"periodic, but its cell {atoms.cell.array.tolist()} has no volume; give three cell vectors"
    return ""


def check_boundaries(frames: Sequence[Atoms], names: Sequence[str], periodic: str) -> None:
    """Raise UserError for frames whose boundaries are not those that are said of their set.

    Args:
        frames: in any order.
        names: what errors call each frame.
        periodic: "no" (all are free), "yes" (each has a cell and is periodic in it), or "mixed": then a free
            frame of the same atoms and the same trajectory as a periodic one is taken for one that has lost
            its cell.
    """
    with_cell: dict[tuple[str, str], str] = {}
    for atoms, name in zip(frames, names, strict=True):
        if periodic == "no" and atoms.pbc.any():
            raise UserError(
                f"{name}: the frame is periodic; only free aggregates, unwrapped, are allowed here. Crystals "
                "and liquids are taken by the steps import-frames and prepare-dataset (--periodic yes) and "
                "train-gmnn"
            )
        if problem := problem_of_cell(atoms):
            raise UserError(f"{name}: {problem}")
        if periodic == "yes" and not atoms.pbc.any():
            there = "a cell whose pbc is off" if atoms.cell.rank else "no cell"
            raise UserError(
                f"{name}: {there} in a set that is said to be periodic; give the frame its cell and pbc "
                "T T T, or say periodic mixed where free frames are meant to be among them"
            )
        if atoms.pbc.any():
            with_cell.setdefault(_kind(atoms), name)
    for atoms, name in zip(frames, names, strict=True):
        if not atoms.pbc.any() and (other := with_cell.get(_kind(atoms))):
            raise UserError(
                f"{name}: no cell, where the same atoms of the same trajectory have one in {other}; give the "
                "frame its cell, or another trajectory_id if it is free"
            )


def _kind(atoms: Atoms) -> tuple[str, str]:
    return str(atoms.info.get("trajectory_id", "")), atoms.get_chemical_formula()


def moved(before: Atoms, after: Atoms) -> np.ndarray:
    """Return how far each atom went between two frames of like atoms (natoms, 3), Å, without the drift.

    In a cell an atom goes the shortest way, whatever side of a face it is written on.
    """
    steps = after.positions - before.positions
    if before.pbc.any():
        steps, _ = find_mic(steps - steps[:1], before.cell, before.pbc)
    return np.asarray(steps - steps.mean(axis=0))


def same_cell(one: Atoms, other: Atoms) -> bool:
    """Say whether two frames have the same boundaries, to 10⁻⁶ Å; of free ones the cell does not matter."""
    if one.pbc.any() or other.pbc.any():
        return bool((one.pbc == other.pbc).all()) and np.allclose(one.cell.array, other.cell.array, atol=1e-6)
    return True


def boundary_key(atoms: Atoms, digits: int) -> str:
    """Return a text of a periodic frame's cell to some digits, Å; empty of a free one."""
    if not atoms.pbc.any():
        return ""
    cell = " ".join(f"{value:.{digits}f}" for value in atoms.cell.array.ravel())
    return f" cell {cell} {atoms.pbc.tolist()}".replace(f"-0.{'0' * digits}", f"0.{'0' * digits}")


def wrapped_key(atoms: Atoms) -> bytes:
    """Return the places (natoms, 3) of a periodic frame's atoms in its cell, in steps of 10⁻⁶ of its vectors;
    the same wherever atoms are wrapped to.
    """
    fractions = atoms.cell.scaled_positions(atoms.positions)
    return bytes((np.round(fractions * GRID).astype(np.int64) % GRID).tobytes())
