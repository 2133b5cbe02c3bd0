"""Analytic potentials whose dynamics are known, and a wall: for tests, and as parts of others."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree


def _pair_distances(positions_A: jax.Array) -> jax.Array:
    first, second = np.triu_indices(positions_A.shape[0], 1)
    return jnp.sqrt(jnp.sum((positions_A[first] - positions_A[second]) ** 2, axis=1))


def _bond_lengths(positions_A: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum((positions_A[1::2] - positions_A[::2]) ** 2, axis=1))


@pytree
@dataclass(frozen=True)
class Springs(Analytic):
    """Every atom on a spring to its anchor: ½ k |r − anchor|², k in eV/Å²; anchors (natoms, 3) or the
    origin.
    """

    stiffness_eV_per_A2: Any
    anchors_A: Any = 0.0

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        return 0.5 * self.stiffness_eV_per_A2 * jnp.sum((positions_A - self.anchors_A) ** 2)


@pytree
@dataclass(frozen=True)
class HarmonicBonds(Analytic):
    """Atoms 0–1, 2–3, … joined by springs: ½ k (r − length)²."""

    stiffness_eV_per_A2: Any
    length_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        bonds = _bond_lengths(positions_A)
        return 0.5 * self.stiffness_eV_per_A2 * jnp.sum((bonds - self.length_A) ** 2)


@pytree
@dataclass(frozen=True)
class MorseBonds(Analytic):
    """Atoms 0–1, 2–3, … joined by Morse bonds: D (1 − exp(−a (r − length)))² (Morse, Phys. Rev. 34, 57,
    1929).
    """

    depth_eV: Any
    exponent_per_A: Any
    length_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV, above that of bonds at rest."""
        bonds = _bond_lengths(positions_A)
        return self.depth_eV * jnp.sum((1.0 - jnp.exp(-self.exponent_per_A * (bonds - self.length_A))) ** 2)


@pytree
@dataclass(frozen=True)
class LennardJones(Analytic):
    """All pairs: 4ε ((σ/r)¹² − (σ/r)⁶)."""

    epsilon_eV: Any
    sigma_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        sixth = (self.sigma_A / _pair_distances(positions_A)) ** 6
        return 4.0 * self.epsilon_eV * jnp.sum(sixth**2 - sixth)


@pytree
@dataclass(frozen=True)
class SphericalWall(Analytic):
    """A harmonic wall: ½ k (|r| − radius)² for atoms farther than ``radius_A`` from the origin."""

    radius_A: Any
    stiffness_eV_per_A2: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        squares = jnp.sum(positions_A**2, axis=1)
        outside = squares > self.radius_A**2
        beyond = jnp.where(outside, jnp.sqrt(jnp.where(outside, squares, 1.0)) - self.radius_A, 0.0)
        return 0.5 * self.stiffness_eV_per_A2 * jnp.sum(beyond**2)
