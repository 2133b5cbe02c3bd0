"""Structures that share a batch of the engine: those of like size, the smaller ones filled up."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from frazil.md.state import padded_positions
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN

Array = np.ndarray
LARGEST_SIZE_RATIO = 1.4
"""A batch's largest structure has at most this many times the atoms of its smallest: the rest would idle.

Below 1.5, so that two atoms, which rotate about two axes only, are never with three.
"""


def like_sizes(structures: Sequence[Atoms]) -> list[list[int]]:
    """Return the numbers of the structures that share a batch, in order; each is in one."""
    found: list[list[int]] = []
    smallest = 0
    for number in sorted(range(len(structures)), key=lambda s: len(structures[s])):
        if found and len(structures[number]) <= LARGEST_SIZE_RATIO * smallest:
            found[-1].append(number)
        else:
            smallest = len(structures[number])
            found.append([number])
    return sorted(sorted(together) for together in found)


class Batch:
    """What the engine is given for structures that run together; of a single one just what it has."""

    def __init__(self, structures: Sequence[Atoms]) -> None:
        self.structures = structures
        self.n_atoms = max(map(len, structures))

    @property
    def removed(self) -> str:
        """What is taken out of the velocities; two atoms rotate about two axes only."""
        return "drift and rotation" if self.n_atoms > 2 else "drift"

    def each(self, values: Any) -> Any:
        """Return values, one for each structure, as the potential wants them."""
        return np.asarray(values) if len(self.structures) > 1 else values[0]

    def committee(self, model: Model) -> GMNN:
        """Return the committee for these structures."""
        numbers = [atoms.numbers for atoms in self.structures]
        return GMNN.of_several(model, numbers) if len(numbers) > 1 else GMNN.of(model, numbers[0])

    def masses_amu(self) -> Array:
        """Return the masses (natoms,), or (structures, natoms) with 0 for atoms that are not there."""
        padded = [np.pad(atoms.get_masses(), (0, self.n_atoms - len(atoms))) for atoms in self.structures]
        return np.asarray(self.each(padded))

    def positions(self, positions_A: Sequence[Array]) -> Array:
        """Return positions (n, natoms, 3), Å, those of atoms that are not there far away."""
        return np.array([padded_positions(own, self.n_atoms) for own in positions_A])

    def velocities(self, velocities: Sequence[Array]) -> Array:
        """Return velocities (n, natoms, 3), ASE units."""
        return np.array([np.pad(own, ((0, self.n_atoms - len(own)), (0, 0))) for own in velocities])

    def kinds(self, kinds: Sequence[int]) -> Sequence[int] | None:
        """Return which structure each trajectory is of; None of a single one."""
        return kinds if len(self.structures) > 1 else None
