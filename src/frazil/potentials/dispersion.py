"""Dispersion between an adsorbate and all other atoms, which its network need not learn: −C6 / (r⁶ + R0⁶).

A network ends at its cutoff, and clusters to learn from are small. A surface has more atoms that are far, and
what they do adds up (docs/validation.md). C6 of each pair of elements is fitted to labels of an adsorbate
that is far; the network learns the rest. The constant in the denominator is the damping of Johnson & Becke
(J. Chem. Phys. 123, 024101, 2005). Importing this module switches JAX to float64.
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


def damped(squares_A2: Any) -> Any:
    """Return 1 / (r⁶ + R0⁶), Å⁻⁶, of squared distances."""
    return 1.0 / (squares_A2**3 + CAP_A**6)


@pytree
@dataclass(frozen=True)
class Dispersion:
    """The tail between an adsorbate's A atoms and K others. coefficients: C6 (A, K), eV Å⁶."""

    coefficients: Any

    @classmethod
    def of(cls, c6_eV_A6: Mapping[str, float], own: np.ndarray, others: np.ndarray) -> "Dispersion":
        """Return it of coefficients by pairs of elements (``pair_of``), for atomic numbers of both sides.

        A pair that no fit knew has none.
        """
        found = [[c6_eV_A6.get(pair_of(a, k), 0.0) for k in others] for a in own]
        return cls(np.reshape(found, (len(own), len(others))).astype(float))

    def between(self, own_A: Any, others_A: Any) -> tuple[Any, Any, Any]:
        """Return energies (…,) eV, and forces on the adsorbate (…, A, 3) and on others (…, K, 3), eV/Å.

        Of positions (…, A, 3) and (…, K, 3) in NumPy or JAX. F = −6 C6 r⁵ / (r⁶ + R0⁶)².
        """
        apart = own_A[..., :, None, :] - others_A[..., None, :, :]
        squares = (apart**2).sum(axis=-1)
        each = damped(squares)
        pulls = (-6.0 * self.coefficients * squares**2 * each**2)[..., None] * apart
        return -(self.coefficients * each).sum(axis=(-2, -1)), pulls.sum(axis=-2), -pulls.sum(axis=-3)

    def evaluate(self, positions_A: jax.Array) -> Evaluation:
        """Return energies (R,) and forces (R, natoms, 3) of positions (R, natoms, 3), the adsorbate last."""
        n = self.coefficients.shape[1]
        energies, on_own, on_others = self.between(positions_A[:, n:], positions_A[:, :n])
        return Evaluation(energies, jnp.concatenate([on_others, on_own], axis=1), {})
