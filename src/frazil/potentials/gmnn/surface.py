"""A GM-NN committee on one structure, float64: energies, forces, second derivatives, dipole slopes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture, Parameters, fold, member
from frazil.potentials.gmnn.committee import neighbours_of
from frazil.potentials.gmnn.files import Model
from frazil.potentials.neighbours import Neighbours

AT_ONCE = 128
"""Directions along which a structure of more is differentiated together: memory grows with them."""
SKIN_A = 1.0
"""Neighbour lists hold while a structure relaxes by less than half of this per atom."""


class ModelSurface:
    """A committee on one structure, float64: its mean, and each member by its number."""

    def __init__(self, model: Model, atoms: Atoms) -> None:
        own = model.apart()
        self.architecture = own.architecture.with_precision("float64")
        self.members = [member(own.parameters, i) for i in range(own.n_members)]
        self.species = self.architecture.species(atoms.numbers)
        self.atoms = atoms
        self._lists: Neighbours | None = None

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        """Return energy and forces."""
        found = self._of_members(_slopes, positions, member)
        return float(np.mean([energy for energy, _ in found])), -np.mean(
            [slope for _, slope in found], axis=0
        )

    def curvature(
        self, positions: np.ndarray, member: int | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return Hessian and dipole derivatives."""
        found = self._of_members(_curvature, positions, member)
        hessian = np.mean([hessian for hessian, _ in found], axis=0)
        if "charge" not in self.architecture.heads:
            return hessian, None
        return hessian, np.mean([slopes for _, slopes in found], axis=0)

    def _of_members(self, function: Any, positions: np.ndarray, member: int | None) -> list[Any]:
        """Evaluate all members, or one, one after the other (one compilation for all committees)."""
        chosen = self.members if member is None else [self.members[member]]
        given = (self.species, self._near(positions), positions)
        return [function(self.architecture, own, *given) for own in chosen]

    def _near(self, positions: np.ndarray) -> Neighbours:
        if self._lists is None or np.abs(positions - self._lists.origin).max() > SKIN_A / 4:
            atoms = self.atoms.copy()
            atoms.positions = positions
            capacity = None if atoms.pbc.any() else max(len(atoms) - 1, 1)
            self._lists = neighbours_of(self.architecture, atoms, SKIN_A, capacity=capacity)
        return self._lists


def _energy(
    architecture: Architecture, parameters: Parameters, species: Any, neighbours: Neighbours, positions: Any
) -> tuple[jax.Array, jax.Array]:
    """Return energy (), eV, and outputs (natoms, quantities) of one member."""
    weights = fold(architecture, parameters)
    return reference.outputs(architecture, weights, species, neighbours, positions)


@partial(jax.jit, static_argnums=0)
def _slopes(architecture: Architecture, *given: Any) -> Any:
    (energy, _), gradient = jax.value_and_grad(_energy, argnums=4, has_aux=True)(architecture, *given)
    return energy, gradient


@partial(jax.jit, static_argnums=0)
def _curvature(architecture: Architecture, parameters: Any, species: Any, lists: Any, positions: Any) -> Any:
    """Return Hessian and dipole derivatives of one member: one forward derivative of both gradients."""

    def first(moved: jax.Array) -> tuple[jax.Array, jax.Array]:
        gradient, per_atom = jax.grad(_energy, argnums=4, has_aux=True)(
            architecture, parameters, species, lists, moved
        )
        if "charge" not in architecture.heads:
            return gradient, jnp.zeros(3)
        return gradient, reference.dipole(architecture, species, per_atom, moved)

    return slopes_of(first, positions, AT_ONCE)


def slopes_of(function: Any, positions: jax.Array, at_once: int) -> Any:
    """Return the forward derivatives of what a function of positions (natoms, 3) returns, each (…, 3 natoms)
    with all else in one axis; no more than ``at_once`` directions together.
    """
    size = positions.size
    if size <= at_once:
        return jax.tree.map(lambda rows: rows.reshape(-1, size), jax.jacfwd(function)(positions))

    def along(direction: jax.Array) -> Any:
        return jax.jvp(function, (positions,), (direction,))[1]

    directions = jnp.eye(size).reshape(size, *positions.shape)
    found = jax.lax.map(along, directions, batch_size=at_once)
    return jax.tree.map(lambda rows: rows.reshape(size, -1).T, found)
