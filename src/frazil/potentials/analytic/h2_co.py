"""H2 on CO with a known truth: van Hemert's CO–CO field, a Morse H2, and an H2–CO pair potential of our own.

The pair potential is an **invention of this project**, fitted to published wells only. Between each H and a
molecule's C, O and centre X: walls A exp(−b (r − 3 Å)), dispersion −C6/(r⁶ + R0⁶) on C and O with R0 = 2 Å,
so that nothing collapses. Between the charges of CO (van Hemert's) and of H2 (+q on each H, −2q between them;
q gives the measured quadrupole of 0.4829 e a0²): Coulomb's law, guarded as in CO–CO. Fitted to the wells of
Jankowski & Szalewicz, J. Chem. Phys. 123, 104301 (2005): −93.05 cm⁻¹ at 7.92 a0 in a line with C towards H2,
and −72.74 cm⁻¹ at 7.17 a0 with O towards H2; a T shape near −62 cm⁻¹ at 3.7 Å, which keeps the line the
deepest, is a guess. **The wells are quoted from memory**: the paper itself could not be looked up when this
was written, nor another source of the same numbers. Atoms are ordered C, O, C, O, …, H, H. Importing this
module switches JAX to float64.
"""

from dataclasses import dataclass, field
from functools import partial

import ase.units
import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.analytic import van_hemert
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree

H2_DEPTH_eV = 4.7483
H2_EXPONENT_per_A = 1.9445
"""Gives ω_e = 4401 cm⁻¹."""
H2_LENGTH_A = 0.7414

WALLS_eV = np.array([0.01349, 0.0004, 0.02605])
"""Heights at 3 Å of the walls between H and C, O, X."""
WALL_EXPONENTS_per_A = np.array([3.69213, 3.6155, 3.52851])
WALL_DISTANCE_A = 3.0
C6_eV_A6 = np.array([13.55002, 3.97059, 0.0])
DISPERSION_CAP_A = 2.0
H2_QUADRUPOLE_e_A2 = 0.4829 * ase.units.Bohr**2
CHARGE_H = van_hemert.ELEMENTARY_CHARGE * 2.0 * H2_QUADRUPOLE_e_A2 / H2_LENGTH_A**2
"""In (eV Å)^½, as van Hemert's charges."""
H2_CHARGES = CHARGE_H * np.array([1.0, 1.0, -2.0])


def bond_energy(positions_A: jax.Array) -> jax.Array:
    """Return the energy (), eV, of one H2 (2, 3) above that of one at rest."""
    length = jnp.sqrt(jnp.sum((positions_A[1] - positions_A[0]) ** 2))
    return H2_DEPTH_eV * (1.0 - jnp.exp(-H2_EXPONENT_per_A * (length - H2_LENGTH_A))) ** 2


def interaction(co_A: jax.Array, h2_A: jax.Array) -> jax.Array:
    """Return the energy (), eV, of one H2 (2, 3) with CO molecules (2 n, 3)."""
    sites, charges, _ = van_hemert.sites_of(co_A)
    hydrogens = jnp.concatenate([h2_A, h2_A.mean(axis=0, keepdims=True)])
    squares = jnp.sum((hydrogens[:, None, :, None] - sites[None]) ** 2, axis=2)
    coulomb = H2_CHARGES[:, None, None] * charges[None] * van_hemert.coulomb_kernel(squares, True)
    squares = squares[:2]
    exponents = WALL_EXPONENTS_per_A[None, :, None] * (jnp.sqrt(squares) - WALL_DISTANCE_A)
    walls = WALLS_eV[None, :, None] * jnp.exp(-exponents)
    dispersion = C6_eV_A6[None, :, None] / (squares**3 + DISPERSION_CAP_A**6)
    return coulomb.sum() + (walls - dispersion).sum()


@pytree
@dataclass(frozen=True)
class H2OnCO(Analytic):
    """The known truth for the engine: CO molecules, H2 last (or none: an even number of CO atoms only).

    The last ``n_fixed`` CO molecules are held by whoever runs it: energies among them, a constant, are left
    out. ``hydrogen``: whether the last two atoms are H2.
    """

    n_fixed: int = field(default=0, metadata={"static": True})
    hydrogen: bool = field(default=True, metadata={"static": True})

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy (), eV, above isolated molecules at rest."""
        if not self.hydrogen:
            return van_hemert.energy(positions_A, 0.0, n_fixed=self.n_fixed)
        co, h2 = positions_A[:-2], positions_A[-2:]
        if not len(co):
            return bond_energy(h2)
        return van_hemert.energy(co, 0.0, n_fixed=self.n_fixed) + bond_energy(h2) + interaction(co, h2)


@partial(jax.jit, static_argnames="hydrogen")
def evaluate(positions_A: jax.Array, hydrogen: bool) -> tuple[jax.Array, jax.Array]:
    """Return energies (n,) eV and forces (n, natoms, 3) eV/Å of alike frames (n, natoms, 3)."""
    potential = H2OnCO(hydrogen=hydrogen)
    energies, gradients = jax.vmap(jax.value_and_grad(potential.energy))(positions_A)
    return energies, -gradients
