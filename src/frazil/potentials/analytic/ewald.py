"""Coulomb sums of point charges in a periodic cell by Ewald's method (Ann. Phys. 369, 253, 1921).

The cell as a whole is neutral, and what is around it conducts: no surface term. The near part is that of all
pairs at their minimum image, screened to nothing within half the least distance of opposite faces; the rest
is a sum over waves. Both end where ``ACCURACY`` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, erfc

from frazil.data.cells import heights
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

ACCURACY = 3.2
"""α r and k/2α at the ends of the two sums: erfc(3.2) is 6·10⁻⁶."""


@pytree
@dataclass(frozen=True)
class Ewald:
    """The sum in one cell (3, 3), Å, rows its vectors; made by ``of``.

    screening_per_A: α. weights ((2 n2 − 1) n3, 2 n1 − 1), eV Å/e²: of waves with so many periods along the
    vectors, those of the first two from −(n − 1) on; the waves of the third that run backward are in them,
    too.
    """

    cell_A: Any
    screening_per_A: Any
    weights: Any
    n_waves: tuple[int, int, int] = field(metadata={"static": True})

    @classmethod
    def of(cls, cell_A: np.ndarray) -> "Ewald":
        """Return the sum in a cell that has a volume."""
        cell = np.asarray(cell_A, float)
        alpha = 2.0 * ACCURACY / heights(cell).min()
        longest = 2.0 * alpha * ACCURACY
        most = np.floor(longest * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
        ranges = [np.arange(-most[0], most[0] + 1), np.arange(-most[1], most[1] + 1), np.arange(most[2] + 1)]
        periods = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
        squares = ((2 * np.pi * periods @ np.linalg.inv(cell).T) ** 2).sum(axis=-1)
        taken = (squares > 0) & (squares <= longest**2)
        squares = np.where(taken, squares, 1.0)
        both = np.where(periods[..., 2] > 0, 2.0, 1.0)
        volume = abs(np.linalg.det(cell))
        weights = taken * both * 2 * np.pi / volume * np.exp(-squares / (4 * alpha**2)) / squares
        n1, n2, n3 = (int(n) + 1 for n in most)
        rows = np.moveaxis(COULOMB_eV_A * weights, 0, 2).reshape(-1, 2 * n1 - 1)
        return cls(cell, float(alpha), rows, (n1, n2, n3))

    def energy(
        self, places_A: jax.Array, charges_e: np.ndarray, apart: np.ndarray, together: np.ndarray
    ) -> jax.Array:
        """Return the energy (), eV, of charges (n,) at places (n, 3), whole molecules.

        apart, together: the pairs (n_pairs, 2) that see each other, and those of one molecule, which do not;
        all other images do.
        """
        charges = np.asarray(charges_e)
        distances = self._distances_A(places_A, apart)
        near = (charges[apart].prod(axis=1) * erfc(self.screening_per_A * distances) / distances).sum()
        first, second = together.T
        distances = jnp.sqrt(((places_A[second] - places_A[first]) ** 2).sum(axis=-1))
        screened = erf(self.screening_per_A * distances) / distances
        own = (charges[together].prod(axis=1) * screened).sum()
        itself = self.screening_per_A / np.sqrt(np.pi) * (charges**2).sum()
        return COULOMB_eV_A * (near - own - itself) + self._waves(places_A, charges)

    def _distances_A(self, places_A: jax.Array, pairs: np.ndarray) -> jax.Array:
        """Return the distances (n_pairs,) of pairs at their minimum image, each direction a row of its own:
        twice as fast as ``nearest``.
        """
        first, second = pairs.T
        cell, inverse = jnp.asarray(self.cell_A), jnp.linalg.inv(jnp.asarray(self.cell_A))
        apart = [row[second] - row[first] for row in places_A.T]
        images = [jnp.round(_dot(apart, inverse[:, i])) for i in range(3)]
        return jnp.sqrt(
            sum((apart[i] - jax.lax.stop_gradient(_dot(images, cell[:, i]))) ** 2 for i in range(3))
        )

    def _waves(self, places_A: jax.Array, charges: np.ndarray) -> jax.Array:
        """Return Σ w |Σ q exp(ik·r)|², in products of the three directions' own waves."""
        phases = 2 * np.pi * places_A @ jnp.linalg.inv(jnp.asarray(self.cell_A))
        n1, n2, n3 = self.n_waves
        cosine, sine = _waves_of(phases[:, :1], (1 - n1,), (n1,))
        along = jnp.concatenate([charges[:, None] * cosine, charges[:, None] * sine], axis=1)
        (a, b), (c, d) = (
            jnp.split(part.T @ along, 2, axis=1) for part in _waves_of(phases[:, 1:], (1 - n2, 0), (n2, n3))
        )
        squares = (a - d) ** 2 + (b + c) ** 2
        return (jnp.asarray(self.weights) * squares).sum()


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _waves_of(
    phases: jax.Array, firsts: tuple[int, ...], ends: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Return cos φ and sin φ (n_charges, waves) of all φ = Σ m_i φ_i of phases (n_charges, directions).

    The whole numbers m_i go from ``firsts`` to ``ends``, these not with them; the last one's run fastest. The
    waves are products of powers, which are much quicker than as many cosines.
    """
    cosines, sines = _powers(phases[:, 0], firsts[0], ends[0])
    for phase, first, end in zip(phases.T[1:], firsts[1:], ends[1:], strict=True):
        more = _powers(phase, first, end)
        cosines, sines = _times((cosines[:, :, None], sines[:, :, None]), tuple(x[:, None] for x in more))
        cosines, sines = (x.reshape(len(phases), -1) for x in (cosines, sines))
    return cosines, sines


@_waves_of.defjvp
def _turned(firsts: tuple[int, ...], ends: tuple[int, ...], at: Any, towards: Any) -> Any:
    cosines, sines = _waves_of(at[0], firsts, ends)
    every = np.meshgrid(*map(np.arange, firsts, ends), indexing="ij")
    turned = towards[0] @ np.array([m.ravel() for m in every], float)
    return (cosines, sines), (-sines * turned, cosines * turned)


def _powers(phases: jax.Array, first: int, end: int) -> tuple[jax.Array, jax.Array]:
    """Return cos mφ and sin mφ (n_charges, end − first) of phases (n_charges,); ``first`` is not above 0."""
    cosine, sine = jnp.cos(phases), jnp.sin(phases)
    found = [(jnp.ones_like(phases), jnp.zeros_like(phases)), (cosine, sine)]
    while len(found) < max(end, 1 - first):
        found.append(_times(found[len(found) // 2], found[(len(found) + 1) // 2]))
    rows = [found[m] if m >= 0 else (found[-m][0], -found[-m][1]) for m in range(first, end)]
    cosines, sines = zip(*rows, strict=True)
    return jnp.stack(cosines, axis=1), jnp.stack(sines, axis=1)


def _times(one: Sequence[jax.Array], other: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the product of complex numbers, real and imaginary parts apart."""
    return one[0] * other[0] - one[1] * other[1], one[1] * other[0] + one[0] * other[1]


def _dot(rows: Sequence[jax.Array], weights: jax.Array) -> jax.Array:
    """Return Σ w_i x_i of rows."""
    return rows[0] * weights[0] + rows[1] * weights[1] + rows[2] * weights[2]
