"""The CO–CO force field of van Hemert et al. (Phys. Rev. Lett. 115, 073401, 2015), with two inventions.

Published: a Morse bond, atom–atom Buckingham terms between molecules, and three point charges per molecule
(on C, on O and, balancing, on the centre of mass) that change with the bond's length. Two additions are
**inventions of this project, not physics fitted to anything**:

* the *guard*: below a pair's short-range cap the Buckingham term becomes a·exp(−b(r − r_s)) + c and, below
  2 Å, the Coulomb kernel 1/r becomes (15 − 10u² + 3u⁴)/16, u = r/2 Å; value, slope and curvature are matched.
  Without it the field collapses at close contact. Molecules at rest or thermal never enter the caps.
* the *excited-bond attraction* −ε Σ_{i≠j} s(r_i) exp(−R²(C_i, C_j)/ρ²), where s rises from 0 at a bond length
  of 1.4 Å to 1 at 1.9 Å. Without it (ε = 0) a vibrating molecule keeps its energy, and nothing ever desorbs.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import ase.units
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree

MORSE_DEPTH_eV = 11.2301
MORSE_EXPONENT_per_A = 2.3281
BOND_LENGTH_A = 1.12821

CHARGES = np.array([-1.7835, -2.33373])
"""Charges of C and O at the bond length at rest, (eV Å)^½: a Coulomb energy is q_i q_j / r in eV."""
CHARGE_EXPONENTS_per_A = np.array([3.84370, 2.13161])
CENTRE_WEIGHTS = np.array([0.42865, 0.57135])
"""Weights of C and O in the place of the balancing charge."""
ELEMENTARY_CHARGE = float(np.sqrt(ase.units.Hartree * ase.units.Bohr))
"""One e in (eV Å)^½."""

# Rows and columns: C, O.
BUCKINGHAM_A_eV = np.array([[361.367, 1516.763], [1516.763, 6370.185]])
BUCKINGHAM_B_per_A = np.array([[2.83459, 3.54324], [3.54324, 4.25188]])
BUCKINGHAM_C6_eV_A6 = np.array([[33.4496, 15.1891], [15.1891, 10.5463]])

CAP_RADII_A = np.array([[2.1, 1.7], [1.7, 1.5]])
COULOMB_CAP_A = 2.0
STRETCH_ONSET_A = 1.4
STRETCH_WIDTH_A = 0.5
RANGE_A = 2.0


def cap_coefficients() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a (eV), b (1/Å), c (eV), each (2, 2), of the caps a·exp(−b(r − r_s)) + c: a C² continuation."""
    wall = BUCKINGHAM_A_eV * np.exp(-BUCKINGHAM_B_per_A * CAP_RADII_A)
    slope = -BUCKINGHAM_B_per_A * wall + 6 * BUCKINGHAM_C6_eV_A6 / CAP_RADII_A**7
    curvature = BUCKINGHAM_B_per_A**2 * wall - 42 * BUCKINGHAM_C6_eV_A6 / CAP_RADII_A**8
    exponent = -curvature / slope
    height = -slope / exponent
    return height, exponent, wall - BUCKINGHAM_C6_eV_A6 / CAP_RADII_A**6 - height


CAP_HEIGHT_eV, CAP_EXPONENT_per_A, CAP_OFFSET_eV = cap_coefficients()


def buckingham(distance_squared: jax.Array, guard: bool) -> jax.Array:
    """Return the atom–atom terms (eV) of squared distances (2, 2, pairs), with one exponential each."""
    shape = (2, 2, 1)
    caps = CAP_RADII_A.reshape(shape) if guard else np.zeros(shape)
    distance = jnp.sqrt(distance_squared)
    outside = distance > caps
    wall = np.log(BUCKINGHAM_A_eV).reshape(shape) - BUCKINGHAM_B_per_A.reshape(shape) * distance
    cap = np.log(CAP_HEIGHT_eV).reshape(shape) - CAP_EXPONENT_per_A.reshape(shape) * (distance - caps)
    inverse = 1.0 / jnp.where(outside, distance_squared, 1.0)
    attraction = -BUCKINGHAM_C6_eV_A6.reshape(shape) * inverse**3
    repulsion = jnp.exp(jnp.where(outside, wall, cap))
    return repulsion + jnp.where(outside, attraction, CAP_OFFSET_eV.reshape(shape))


def coulomb_kernel(distance_squared: jax.Array, guard: bool) -> jax.Array:
    """Return 1/r (1/Å), or its even polynomial below the Coulomb cap."""
    if not guard:
        return jax.lax.rsqrt(distance_squared)
    squared = distance_squared / COULOMB_CAP_A**2
    inside = squared < 1.0
    polynomial = (15.0 - 10.0 * squared + 3.0 * squared**2) / (8.0 * COULOMB_CAP_A)
    return jnp.where(inside, polynomial, jax.lax.rsqrt(jnp.where(inside, 1.0, distance_squared)))


def _stretch(bond_length: jax.Array) -> jax.Array:
    """Return s(r): 0 below 1.4 Å, 1 above 1.9 Å, C² between."""
    u = jnp.clip((bond_length - STRETCH_ONSET_A) / STRETCH_WIDTH_A, 0.0, 1.0)
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2)


def sites_of(positions_A: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return sites [C, O, centre] (3, 3, molecules), charges (3, molecules), bond lengths (molecules,)."""
    molecules = positions_A.reshape(-1, 2, 3)
    carbon, oxygen = molecules[:, 0].T, molecules[:, 1].T
    bond_length = jnp.sqrt(jnp.sum((oxygen - carbon) ** 2, axis=0))
    charges = CHARGES[:, None] * jnp.exp(-CHARGE_EXPONENTS_per_A[:, None] * (bond_length - BOND_LENGTH_A))
    centre = CENTRE_WEIGHTS[0] * carbon + CENTRE_WEIGHTS[1] * oxygen
    return (
        jnp.stack([carbon, oxygen, centre]),
        jnp.concatenate([charges, -charges.sum(axis=0, keepdims=True)]),
        bond_length,
    )


def energy(
    positions_A: jax.Array,
    coupling_eV: jax.Array | float,
    range_A: float = RANGE_A,
    guard: bool = True,
    n_fixed: int = 0,
) -> jax.Array:
    """Return the potential energy (eV) of CO molecules above that of as many isolated ones at rest.

    ``positions_A`` (natoms, 3) is ordered C, O, C, O, …; ``coupling_eV`` and ``range_A`` are ε and ρ of the
    excited-bond attraction; ``guard=False`` is the field as published (tests only: it collapses). Pairs among
    the last ``n_fixed`` molecules are left out.
    """
    sites, charges, bond_length = sites_of(positions_A)
    bonds = MORSE_DEPTH_eV * (1.0 - jnp.exp(-MORSE_EXPONENT_per_A * (bond_length - BOND_LENGTH_A))) ** 2
    first, second = np.triu_indices(bond_length.shape[0], 1)
    mobile = first < bond_length.shape[0] - n_fixed
    first, second = first[mobile], second[mobile]
    if not len(first):
        return bonds.sum()
    separations = sites[:, None, :, first] - sites[None, :, :, second]
    distance_squared = jnp.sum(separations**2, axis=2)
    coulomb = charges[:, None, first] * charges[None, :, second] * coulomb_kernel(distance_squared, guard)
    stretch = _stretch(bond_length)
    attraction = (stretch[first] + stretch[second]) * jnp.exp(-distance_squared[0, 0] / range_A**2)
    return (
        bonds.sum()
        + coulomb.sum()
        + buckingham(distance_squared[:2, :2], guard).sum()
        - coupling_eV * attraction.sum()
    )


def dipole(positions_A: jax.Array) -> jax.Array:
    """Return the dipole (3,), e Å, of molecules ordered C, O, C, O, …"""
    sites, charges, _ = sites_of(positions_A)
    return jnp.einsum("sm,sxm->x", charges, sites) / ELEMENTARY_CHARGE


@pytree
@dataclass(frozen=True)
class VanHemert(Analytic):
    """The field with its coupling fixed, for the engine; its info is the dipole where ``with_dipole`` says
    so.
    """

    coupling_eV: Any
    with_dipole: bool = field(default=False, metadata={"static": True})

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the potential energy, eV."""
        return energy(positions_A, self.coupling_eV)

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        """Return the dipole if asked for."""
        return {"dipole_e_A": dipole(positions_A)} if self.with_dipole else {}


@jax.jit
def evaluate(positions_A: jax.Array, coupling_eV: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return energies (n,) eV, forces (n, natoms, 3) eV/Å and dipoles (n, 3) e Å of a batch of frames."""
    energies, gradients = jax.vmap(jax.value_and_grad(energy), in_axes=(0, None))(positions_A, coupling_eV)
    return energies, -gradients, jax.vmap(dipole)(positions_A)


class VanHemertCalculator(Calculator):
    """ASE calculator of the field: energy, forces and dipole of molecules ordered C, O, C, O, …"""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "dipole"]

    def __init__(self, coupling_eV: float) -> None:
        super().__init__()
        self.coupling_eV = coupling_eV

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Fill ``results`` for ``atoms``."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        symbols = self.atoms.get_chemical_symbols()
        if symbols != ["C", "O"] * (len(symbols) // 2):
            raise ValueError(f"atoms must be ordered C, O, C, O, …, not {self.atoms.symbols}")
        energies, forces, dipoles = evaluate(jnp.asarray(self.atoms.positions)[None], self.coupling_eV)
        self.results = {
            "energy": float(energies[0]),
            "forces": np.asarray(forces[0]),
            "dipole": np.asarray(dipoles[0]),
        }
