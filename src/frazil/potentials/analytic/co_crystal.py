"""Crystals of CO: van Hemert's field in a periodic cell, and a polarizability whose every number is known.

The field is that of ``van_hemert`` (without the excited-bond attraction), summed over pairs of molecules at
their minimum image and cut smoothly by molecule pairs: each pair's whole energy is multiplied by a function
of the distance of the two centres that goes from 1 at 4.9 Å to 0 at 5.6 Å, so that no charge is cut off from
its counter-charge. What is lost beyond matters to no test here: the crystal is a known truth, not a model of
ice.

The polarizability is that of bonds, and what they induce in each other to first order (dipole-induced dipole,
Silberstein, Phil. Mag. 33, 521, 1917), over the same pairs with the same switch. The bond's own values are
those of CO; its slopes with the bond's length are **inventions of this project**.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.data.cells import heights
from frazil.errors import UserError
from frazil.potentials.analytic.van_hemert import (
    BOND_LENGTH_A,
    CENTRE_WEIGHTS,
    MORSE_DEPTH_eV,
    MORSE_EXPONENT_per_A,
    buckingham,
    coulomb_kernel,
    sites_of,
)
from frazil.potentials.interface import Analytic
from frazil.potentials.neighbours import nearest
from frazil.pytrees import pytree

SWITCH_FROM_A, REACH_A = 4.9, 5.6
"""Between these distances of two molecules' centres their interaction is switched off."""
ALONG_A3, ACROSS_A3 = 2.31, 1.78
"""Polarizability of CO along its bond and across it, at the bond length at rest."""
ALONG_SLOPE_A2, ACROSS_SLOPE_A2 = 3.3, 0.7
"""How both change with the bond's length."""


class _Molecules(NamedTuple):
    """Molecules whole, and their pairs at the minimum image; D = second + shift − first of a pair."""

    sites: jax.Array  # (3, 3, molecules): C, O and the centre; x, y, z
    charges: jax.Array  # (3, molecules)
    bonds: jax.Array  # (3, molecules), from C to O, Å
    lengths: jax.Array  # (molecules,), Å
    first: np.ndarray  # (pairs,)
    second: np.ndarray
    shifts: jax.Array  # (3, pairs), Å
    switch: jax.Array  # (pairs,)


def _molecules(positions_A: jax.Array, cell_A: jax.Array) -> _Molecules:
    cell = jnp.asarray(cell_A)
    pairs = positions_A.reshape(-1, 2, 3)
    bonds = nearest(pairs[:, 1] - pairs[:, 0], cell)
    whole = jnp.stack([pairs[:, 0], pairs[:, 0] + bonds], axis=1).reshape(-1, 3)
    sites, charges, lengths = sites_of(whole)
    first, second = np.triu_indices(len(pairs), 1)
    apart = (sites[2][:, second] - sites[2][:, first]).T
    images = nearest(apart, cell)
    u = jnp.clip((jnp.sqrt((images**2).sum(axis=1)) - SWITCH_FROM_A) / (REACH_A - SWITCH_FROM_A), 0.0, 1.0)
    switch = 1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    return _Molecules(sites, charges, bonds.T, lengths, first, second, (images - apart).T, switch)


@pytree
@dataclass(frozen=True)
class COCrystal(Analytic):
    """The field in a cell (3, 3), Å, rows its vectors; atoms are C, O, C, O, …, and may be wrapped."""

    cell_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV, above that of as many isolated molecules at rest."""
        own = _molecules(positions_A, self.cell_A)
        bonds = MORSE_DEPTH_eV * (1.0 - jnp.exp(-MORSE_EXPONENT_per_A * (own.lengths - BOND_LENGTH_A))) ** 2
        apart = own.sites[None, :, :, own.second] - own.sites[:, None, :, own.first] + own.shifts
        squared = jnp.sum(apart**2, axis=2)
        # A pair beyond the switch counts for nothing, and its terms have no say in the slope.
        squared = jnp.where(own.switch > 0, squared, REACH_A**2)
        coulomb = own.charges[:, None, own.first] * own.charges[None, :, own.second]
        coulomb = (coulomb * coulomb_kernel(squared, guard=True)).sum(axis=(0, 1))
        short = buckingham(squared[:2, :2], guard=True).sum(axis=(0, 1))
        return bonds.sum() + jnp.sum(own.switch * (coulomb + short))


def of_crystal(atoms: Atoms) -> COCrystal:
    """Return the field of a crystal. Raises UserError for atoms that are none (``check_crystal``)."""
    check_crystal(atoms)
    return COCrystal(np.asarray(atoms.cell.array, float))


def check_crystal(atoms: Atoms) -> None:
    """Raise UserError for other atoms than C, O, C, O, …, no cell, and a cell that is too short.

    Each molecule must see at most one image of another: opposite faces are at least two reaches apart.
    """
    if atoms.get_chemical_symbols() != ["C", "O"] * (len(atoms) // 2):
        raise UserError(f"atoms {atoms.symbols} for a crystal of CO; they must be ordered C, O, C, O, …")
    if not atoms.pbc.all():
        raise UserError(
            f"{atoms.symbols} is not periodic in all three directions; a crystal needs a cell and pbc"
        )
    height = float(heights(atoms.cell.array).min())
    if height < 2 * REACH_A:
        raise UserError(
            f"a cell with opposite faces {height:.4g} Å apart; molecules see each other up to "
            f"{REACH_A:g} Å, which needs {2 * REACH_A:g} Å or more: repeat the cell"
        )


def polarizability(positions_A: jax.Array, cell_A: jax.Array) -> jax.Array:
    """Return the polarizability (3, 3), Å³, of the cell's molecules: bonds, and dipoles that dipoles induce.

    α = Σ_i a_i + Σ_{i≠j} a_i T_ij a_j with T = (3 D Dᵀ/D² − 1)/D³, a = α_⊥ + (α_∥ − α_⊥) b bᵀ.
    """
    own = _molecules(positions_A, cell_A)
    stretch = own.lengths - BOND_LENGTH_A
    across = ACROSS_A3 + ACROSS_SLOPE_A2 * stretch
    more = ALONG_A3 - ACROSS_A3 + (ALONG_SLOPE_A2 - ACROSS_SLOPE_A2) * stretch
    unit = (own.bonds / own.lengths).T
    one = jnp.eye(3)
    a = across[:, None, None] * one + more[:, None, None] * unit[:, :, None] * unit[:, None, :]
    apart = (own.sites[2][:, own.second] - own.sites[2][:, own.first] + own.shifts).T
    squared = jnp.where(own.switch > 0, (apart**2).sum(axis=1), REACH_A**2)[:, None, None]
    tensor = (3.0 * apart[:, :, None] * apart[:, None, :] / squared - one) / squared**1.5
    tensor = tensor * own.switch[:, None, None]
    induced = jnp.einsum("nij,njk,nkl->il", a[own.first], tensor, a[own.second])
    return a.sum(axis=0) + induced + induced.T


def alpha_co(n_cells: int = 2, lattice_A: float = 5.65) -> Atoms:
    """Return the α phase (P2_13, four molecules a cell) of n³ cells, before its molecules are relaxed.

    Centres stand on a face-centred lattice, bonds along its four body diagonals.
    """
    centres = np.array([[0, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    axes = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    places = []
    for corner in np.ndindex(n_cells, n_cells, n_cells):
        for centre, axis in zip(lattice_A * (centres + corner), axes, strict=True):
            bond = BOND_LENGTH_A * axis
            places += [centre - CENTRE_WEIGHTS[1] * bond, centre + CENTRE_WEIGHTS[0] * bond]
    cell = n_cells * lattice_A * np.eye(3)
    return Atoms("CO" * (len(places) // 2), positions=places, cell=cell, pbc=True)
