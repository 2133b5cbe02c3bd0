"""What an ion that is carried through a whole cell, on the widest path, does to the dipole and the energy
(``experiments.dipoles``).
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from frazil.experiments.dipoles import Dipoles, Unit
from frazil.potentials.registry import Source

N_STEPS = 24
"""Steps of a path."""
ASIDE = (-0.5, -0.375, -0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)
"""Of the cell's other two vectors: how far to the side a path may swing, so that atoms do not meet."""


def paths(source: Source, atoms: Atoms, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """Return rows of ``tables.CARRIED``: each unit along the three lattice vectors, under the mean."""
    dipoles, rows = Dipoles(source, atoms), []
    for unit, own in units:
        for axis in range(3):
            before, energy_eV = dipoles.with_energy(atoms.positions)
            for fraction, places in _path(atoms, own, axis):
                positions = atoms.positions.copy()
                positions[own] = places
                dipole, now_eV = dipoles.with_energy(positions)
                changed = atoms.cell.scaled_positions(dipole - before)
                others = np.delete(changed, axis)
                rows.append(
                    {
                        "carried": unit, "along": "abc"[axis], "fraction": fraction,
                        "change_e": changed[axis], "change_across_e": others[np.abs(others).argmax()],
                        "energy_eV": now_eV - energy_eV,
                    }
                )  # fmt: skip
    return rows


def _path(atoms: Atoms, own: np.ndarray, axis: int) -> list[tuple[float, np.ndarray]]:
    """Return fractions and places (n, 3) of atoms that go through a lattice vector, on the widest path.

    It swings to the side by a sine's arch; the side is the one on which others stay farthest.
    """
    cell, rest = atoms.cell.array, np.delete(np.arange(len(atoms)), own)
    fractions = np.linspace(0.0, 1.0, N_STEPS + 1)
    one, two = (cell[(axis + n) % 3] for n in (1, 2))
    best: tuple[float, np.ndarray] = (-1.0, np.zeros((0, 3)))
    for first, second in product(ASIDE, repeat=2):
        shifts = np.outer(fractions, cell[axis]) + np.outer(
            np.sin(np.pi * fractions), first * one + second * two
        )
        places = atoms.positions[own][None] + shifts[:, None]
        _, apart = get_distances(places.reshape(-1, 3), atoms.positions[rest], cell=cell, pbc=True)
        closest = float(apart.min())
        if closest > best[0] + 1e-9:
            best = closest, places
    return list(zip(fractions.tolist(), best[1], strict=True))
