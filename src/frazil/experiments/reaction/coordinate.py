"""The reaction coordinate: a distance of two atoms, or the difference of two distances of a moving atom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError


@dataclass(frozen=True)
class Coordinate:
    """ξ of positions (…, natoms, 3), Å: |r_0 − r_1| of two atoms, |r_0 − r_1| − |r_1 − r_2| of three.

    Of three the first is the donor, the second the moving atom, the third the acceptor: ξ rises as the second
    goes from the one to the other.
    """

    atoms: tuple[int, ...]

    def __call__(self, positions_A: Any) -> jax.Array:
        """Return ξ (…), Å."""
        places = jnp.asarray(positions_A)[..., np.array(self.atoms), :]
        lengths = jnp.sqrt(((places[..., 1:, :] - places[..., :-1, :]) ** 2).sum(axis=-1))
        return lengths[..., 0] if len(self.atoms) == 2 else lengths[..., 0] - lengths[..., 1]

    def root(self, positions_A: jax.Array, masses_amu: jax.Array) -> jax.Array:
        """Return √(Σ_i |∂ξ/∂r_i|²/m_i), 1/√amu, of positions (natoms, 3) and masses (natoms,)."""
        slope = jax.grad(self)(positions_A)
        return jnp.sqrt(((slope**2).sum(axis=-1) / masses_amu).sum())


def coordinate_of(chosen: Sequence[int], atoms: Atoms, name: str) -> Coordinate:
    """Return the coordinate of atoms. Raises UserError for numbers that the structure does not have."""
    beyond = [number for number in chosen if number >= len(atoms)]
    if beyond:
        raise UserError(
            f"atom {beyond[0]} of {name}, which has {len(atoms)}, counted from 0; give others "
            "(coordinate_atoms)"
        )
    return Coordinate(tuple(chosen))


@dataclass(frozen=True)
class Linear:
    """ξ itself, as the function of a ``Bias``."""

    coordinate: Coordinate

    def __call__(self, positions_A: jax.Array, _: Any) -> jax.Array:
        """Return ξ."""
        return self.coordinate(positions_A)


@dataclass(frozen=True)
class Squared:
    """ξ², as the function of a ``Bias``."""

    coordinate: Coordinate

    def __call__(self, positions_A: jax.Array, _: Any) -> jax.Array:
        """Return ξ²."""
        return self.coordinate(positions_A) ** 2
