"""N2 with a known truth: TraPPE's pair potential between molecules, a Morse bond within each.

Between molecules: Lennard-Jones between nitrogens, charges on them and, balancing, on the middle of the bond
(Potoff & Siepmann, AIChE J. 47, 1676, 2001; their bond is rigid, 1.10 Å). Within: a Morse bond of that
length with D_e = 9.905 eV and ω_e = 2358.57 cm⁻¹ of the free molecule (Huber & Herzberg, Constants of
Diatomic Molecules, 1979). The charges' kernel is guarded below 2 Å as van Hemert's. Atoms are ordered
molecule by molecule. Importing this module switches JAX to float64.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from frazil.errors import UserError
from frazil.potentials.analytic.van_hemert import ELEMENTARY_CHARGE, coulomb_kernel
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree
from frazil.units import hbar, inverse_cm, kB

EPSILON_eV = 36.0 * kB
SIGMA_A = 3.31
CHARGE_e = -0.482
"""Of each nitrogen; the middle has twice as much, positive."""
LENGTH_A = 1.10
DEPTH_eV = 9.905
OMEGA_cm1 = 2358.57
REDUCED_MASS_amu = 0.5 * float(atomic_masses[7])
EXPONENT_per_A = float(OMEGA_cm1 * inverse_cm / hbar * np.sqrt(REDUCED_MASS_amu / (2 * DEPTH_eV)))
"""a = ω_e √(μ/2D_e)."""


@pytree
@dataclass(frozen=True)
class NitrogenTraPPE(Analytic):
    """Nitrogen molecules, the energy above that of molecules at rest and far apart.

    ``fixed``: the molecules that are held; energies among them, a constant, are left out.
    """

    fixed: tuple[bool, ...] = field(default=(), metadata={"static": True})

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy (), eV, of positions (natoms, 3)."""
        molecules = positions_A.reshape(-1, 2, 3)
        lengths = jnp.sqrt(((molecules[:, 1] - molecules[:, 0]) ** 2).sum(axis=-1))
        bonds = DEPTH_eV * (1.0 - jnp.exp(-EXPONENT_per_A * (lengths - LENGTH_A))) ** 2
        first, second = np.triu_indices(molecules.shape[0], 1)
        if self.fixed:
            held = np.array(self.fixed)
            mobile = ~(held[first] & held[second])
            first, second = first[mobile], second[mobile]
        if not len(first):
            return bonds.sum()
        sites = jnp.concatenate([molecules, molecules.mean(axis=1, keepdims=True)], axis=1)
        squares = ((sites[first][:, :, None] - sites[second][:, None]) ** 2).sum(axis=-1)
        sixth = (SIGMA_A**2 / squares[:, :2, :2]) ** 3
        charges = CHARGE_e * ELEMENTARY_CHARGE * np.array([1.0, 1.0, -2.0])
        electric = np.outer(charges, charges) * coulomb_kernel(squares, True)
        return bonds.sum() + 4.0 * EPSILON_eV * (sixth**2 - sixth).sum() + electric.sum()


def of_nitrogen(atoms: Atoms) -> NitrogenTraPPE:
    """Return the potential of nitrogen molecules. Raises UserError for other atoms, or a cell."""
    if set(atoms.get_chemical_symbols()) != {"N"} or len(atoms) % 2 or atoms.pbc.any():
        raise UserError(
            f"atoms {atoms.symbols} for n2-trappe, which takes N, N, N, N, … of a free cluster; order them "
            "molecule by molecule, without a cell"
        )
    fixed = np.asarray(atoms.arrays.get("fixed", np.zeros(len(atoms))), bool)[::2]
    return NitrogenTraPPE(tuple(fixed.tolist()) if fixed.any() else ())
