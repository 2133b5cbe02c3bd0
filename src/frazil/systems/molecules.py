"""Molecules of any kind: which atoms belong together, and random orientations."""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    pass


BOND_SLACK_A = 0.45
"""Bonds may be this much longer than the sum of covalent radii: CO up to 1.87 Å, H2 to 1.07, C–C to 1.97."""


def molecules_of(atoms: Atoms, slack_A: float = BOND_SLACK_A) -> list[np.ndarray]:
    """Return the atoms of each molecule, by their bonds: nearer than the covalent radii plus ``slack_A``.

    A cell is not looked at. Molecules come in the order of their first atoms, atoms ascending.
    """
    radii = covalent_radii[atoms.numbers]
    vectors = atoms.positions[:, None] - atoms.positions[None]
    bonded = np.linalg.norm(vectors, axis=-1) < radii[:, None] + radii[None] + slack_A
    n_molecules, owner = connected_components(csr_array(bonded), directed=False)
    return [np.flatnonzero(owner == molecule) for molecule in range(n_molecules)]


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a rotation matrix (3, 3) drawn uniformly."""
    w, x, y, z = (quaternion := rng.normal(size=4)) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
