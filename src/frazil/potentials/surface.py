"""Any potential on one structure: energy, forces and second derivatives of its mean and of each member."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.potentials.calculator import PotentialCalculator
from frazil.potentials.registry import Source
from frazil.systems.minima import Curvature, Members, differences


def analytic_curvature(
    energy: Callable[[jax.Array], jax.Array], dipole: Callable[[jax.Array], jax.Array] | None = None
) -> Curvature:
    """Return the derivatives of functions of positions (natoms, 3): energy (), eV, and dipole (3,), e Å."""

    @jax.jit
    def derivatives(positions: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        hessian = jax.hessian(energy)(positions).reshape(positions.size, positions.size)
        return hessian, None if dipole is None else jax.jacrev(dipole)(positions).reshape(3, positions.size)

    return lambda positions: tuple(  # type: ignore[return-value]
        None if value is None else np.asarray(value) for value in derivatives(jnp.asarray(positions))
    )


def members_of(source: Source, atoms: Atoms) -> Members:
    """Return the members of a source on atoms: a GM-NN in float64, differentiated; others by differences."""
    if source.model is not None and not source.curves:
        from frazil.potentials.gmnn.surface import ModelSurface

        return ModelSurface(source.model, atoms)
    return _Called(source, atoms)


class _Called:
    """A source called as it is, one structure at a time; second derivatives by differences of forces."""

    def __init__(self, source: Source, atoms: Atoms) -> None:
        self._source, self._atoms = source, atoms
        self._calculators: dict[int | None, PotentialCalculator] = {}

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        """Return energy and forces."""
        if member not in self._calculators:
            self._calculators[member] = PotentialCalculator(self._source, member)
        atoms = self._atoms.copy()
        atoms.positions = positions
        atoms.calc = self._calculators[member]
        return atoms.get_potential_energy(), atoms.get_forces()

    def curvature(self, positions: np.ndarray, member: int | None = None) -> tuple[np.ndarray, None]:
        """Return the Hessian."""
        found, _ = differences(lambda x: self.surface(x, member))(positions)
        return found, None
