"""Coulomb sums of point charges in a periodic cell by Ewald's method (Ann. Phys. 369, 253, 1921).

The cell as a whole is neutral, and what is around it conducts: no surface term. The near part is that of all
pairs at their minimum image, screened to nothing within half the least distance of opposite faces; the rest
is a sum over waves. Both end where ``ACCURACY`` says.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc

from frazil.data.cells import heights
from frazil.potentials.neighbours import nearest
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

ACCURACY = 3.2
"""α r and k/2α at the ends of the two sums: erfc(3.2) is 6·10⁻⁶."""


@pytree
@dataclass(frozen=True)
class Ewald:
    """The sum in one cell (3, 3), Å, rows its vectors; made by ``of``.

    screening_per_A: α. weights (2 n1 − 1, 2 n2 − 1, n3), eV Å/e²: of waves with so many periods along the
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
        return cls(cell, float(alpha), COULOMB_eV_A * weights, (n1, n2, n3))

    def energy(
        self, places_A: jax.Array, charges_e: np.ndarray, apart: np.ndarray, together: np.ndarray
    ) -> jax.Array:
        """Return the energy (), eV, of charges (n,) at places (n, 3), whole molecules.

        apart, together: the pairs (n_pairs, 2) that see each other, and those of one molecule, which do not;
        all other images do.
        """
        charges, (first, second) = np.asarray(charges_e), apart.T
        away = nearest(places_A[second] - places_A[first], jnp.asarray(self.cell_A))
        distances = jnp.sqrt((away**2).sum(axis=-1))
        near = (charges[first] * charges[second] * erfc(self.screening_per_A * distances) / distances).sum()
        first, second = together.T
        distances = jnp.sqrt(((places_A[second] - places_A[first]) ** 2).sum(axis=-1))
        screened = jax.scipy.special.erf(self.screening_per_A * distances) / distances
        own = (charges[first] * charges[second] * screened).sum()
        itself = self.screening_per_A / np.sqrt(np.pi) * (charges**2).sum()
        return COULOMB_eV_A * (near - own - itself) + self._waves(places_A, charges)

    def _waves(self, places_A: jax.Array, charges: np.ndarray) -> jax.Array:
        """Return Σ w |Σ q exp(ik·r)|², in products of the three directions' own waves."""
        phases = 2 * np.pi * places_A @ jnp.linalg.inv(jnp.asarray(self.cell_A))
        n1, n2, n3 = self.n_waves
        (c1, s1), (c2, s2), (c3, s3) = (
            (jnp.cos(phase), jnp.sin(phase))
            for phase in (
                phases[:, :1] * np.arange(1 - n1, n1),
                phases[:, 1:2] * np.arange(1 - n2, n2),
                phases[:, 2:] * np.arange(n3),
            )
        )
        n_charges = len(charges)
        real = c1[:, :, None] * c2[:, None] - s1[:, :, None] * s2[:, None]
        imaginary = s1[:, :, None] * c2[:, None] + c1[:, :, None] * s2[:, None]
        plane = jnp.stack([real, imaginary]).reshape(2, n_charges, -1)
        along = jnp.concatenate([charges[:, None] * c3, charges[:, None] * s3], axis=1)
        (a, b), (c, d) = (jnp.split(part.T @ along, 2, axis=1) for part in plane)
        squares = (a - d) ** 2 + (b + c) ** 2
        return (jnp.asarray(self.weights).reshape(-1, n3) * squares).sum()
