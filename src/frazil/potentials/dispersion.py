"""What an adsorbate feels of a surface's atoms that its network does not see: −C6 / (r⁶ + R0⁶), pair by pair.

A network ends at its cutoff, and clusters to learn from are small. On a surface what lies beyond adds up: CO
farther than 10 Å, half a space of it, holds 18 K of some 500 K that bind H2. The tail also decides from where
H2 comes back, since a molecule whose energy is below it cannot leave. C6 of each pair of elements is fitted
to labels of an adsorbate that is far; the network learns the rest. The constant in the denominator is the
damping of Johnson & Becke (J. Chem. Phys. 123, 024101, 2005). Importing this module switches JAX to float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ase.data
import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.interface import Evaluation
from frazil.pytrees import pytree

CAP_A = 4.0
"""R0. At 8 Å it takes 2 % of the tail away, and near atoms the network makes up for what it leaves."""


def pair_of(own: int, other: int) -> str:
    """Return the name of the C6 of two atomic numbers, the adsorbate's first: 'H C'."""
    return f"{ase.data.chemical_symbols[own]} {ase.data.chemical_symbols[other]}"


@pytree
@dataclass(frozen=True)
class Dispersion:
    """The tail between the last atoms and all before them. coefficients: (A, K), eV Å⁶."""

    coefficients: jax.Array

    @classmethod
    def of(cls, c6_eV_A6: Mapping[str, float], own: np.ndarray, others: np.ndarray) -> "Dispersion":
        """Return it of coefficients by pairs of elements (``pair_of``), for atomic numbers of both sides.

        A pair that no fit knew has none.
        """
        found = [[float(c6_eV_A6.get(pair_of(a, k), 0.0)) for k in others] for a in own]
        return cls(jnp.asarray(np.reshape(found, (len(own), len(others)))))

    def evaluate(self, positions_A: jax.Array) -> Evaluation:
        """Return energies (R,) and forces (R, natoms, 3) of positions (R, natoms, 3)."""
        n = self.coefficients.shape[1]
        energies, on_own, on_others = tail(positions_A[:, n:], positions_A[:, :n], self.coefficients)
        return Evaluation(energies, jnp.concatenate([on_others, on_own], axis=1), {})


def kernel(own_A: Any, others_A: Any) -> Any:
    """Return 1 / (r⁶ + R0⁶), Å⁻⁶ (..., A, K), of positions (..., A, 3) and (..., K, 3)."""
    squares = ((own_A[..., :, None, :] - others_A[..., None, :, :]) ** 2).sum(axis=-1)
    return 1.0 / (squares**3 + CAP_A**6)


def tail(own_A: Any, others_A: Any, coefficients: Any) -> tuple[Any, Any, Any]:
    """Return energies (...,) eV, and forces on the adsorbate's atoms (..., A, 3) and on others (..., K, 3).

    Of positions (..., A, 3) and (..., K, 3) in NumPy or JAX, and C6 (A, K). F = −6 C6 r⁵ / (r⁶ + R0⁶)².
    """
    apart = own_A[..., :, None, :] - others_A[..., None, :, :]
    squares, each = (apart**2).sum(axis=-1), kernel(own_A, others_A)
    pulls = (-6.0 * coefficients * squares**2 * each**2)[..., None] * apart
    return -(coefficients * each).sum(axis=(-2, -1)), pulls.sum(axis=-2), -pulls.sum(axis=-3)
