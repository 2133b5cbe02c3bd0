"""q-TIP4P/F, a flexible water whose path integrals have the properties of the liquid; clusters and cells.

Habershon, Markland & Manolopoulos, J. Chem. Phys. 131, 024501 (2009), eqs. 2 to 7 and Table I. Of a free
cluster all pairs are taken. In a cell charges are summed by Ewald's method, and the Lennard-Jones terms of
all images within 9 Å, shifted there to nothing; what that leaves out is added for a uniform density, a
constant.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.units import kcal, mol

from frazil.data.cells import heights, problem_of_cell
from frazil.errors import UserError
from frazil.potentials.analytic.ewald import Ewald
from frazil.potentials.interface import Analytic
from frazil.potentials.neighbours import nearest
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

EPSILON_eV = 0.1852 * kcal / mol
SIGMA_A = 3.1589
CHARGE_e = 1.1128
"""Of the place M, negative; each hydrogen has half of it."""
CHARGES_e = CHARGE_e * np.array([-1.0, 0.5, 0.5])
"""Of M and the two hydrogens."""
TO_OXYGEN = 0.73612
"""M is γ r_O + (1 − γ)(r_H1 + r_H2)/2."""
DEPTH_eV = 116.09 * kcal / mol
EXPONENT_per_A = 2.287
LENGTH_A = 0.9419
BENDING_eV = 87.85 * kcal / mol
"""Per rad²."""
ANGLE_rad = np.radians(107.4)
REACH_A = 9.0
"""Of the Lennard-Jones terms in a cell."""
LEAST_HEIGHT_A = 4.0
"""Of opposite faces of a cell: a molecule and its image are apart, and bonds have one shortest way."""


@pytree
@dataclass(frozen=True)
class QTIP4PF(Analytic):
    """Water molecules, atoms O, H, H of each: Morse bonds to the fourth order, harmonic angles, charges.

    periodic: of a cell; None of a free cluster. In a cell atoms may be wrapped.
    """

    periodic: "Cell | None" = None

    @property
    def at_once(self) -> int | None:
        """In a cell one: the bits of two, side by side in one product of waves, depend on who is beside."""
        return None if self.periodic is None else 1

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV, above that of molecules at rest and far apart."""
        molecules = self._whole(positions_A)
        return self._alone(molecules) + self._between(molecules)

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        """Return the dipole (3,), e Å, of the molecules' charges."""
        sites = _sites(self._whole(positions_A))
        return {"dipole_e_A": jnp.einsum("s,msx->x", CHARGES_e, sites)}

    def _whole(self, positions_A: jax.Array) -> jax.Array:
        """Return molecules (molecules, 3, 3) with their hydrogens at the images near the oxygen."""
        molecules = positions_A.reshape(-1, 3, 3)
        if self.periodic is None:
            return molecules
        bonds = nearest(molecules - molecules[:, :1], jnp.asarray(self.periodic.electric.cell_A))
        return molecules[:, :1] + bonds

    def _alone(self, molecules: jax.Array) -> jax.Array:
        bonds = molecules[:, 1:] - molecules[:, :1]
        lengths = jnp.sqrt((bonds**2).sum(axis=-1))
        z = EXPONENT_per_A * (lengths - LENGTH_A)
        stretched = DEPTH_eV * (z**2 - z**3 + 7.0 / 12.0 * z**4)
        cosines = (bonds[:, 0] * bonds[:, 1]).sum(axis=-1) / (lengths[:, 0] * lengths[:, 1])
        bent = jnp.arccos(jnp.clip(cosines, -1.0 + 1e-12, 1.0 - 1e-12)) - ANGLE_rad
        return stretched.sum() + 0.5 * BENDING_eV * (bent**2).sum()

    def _between(self, molecules: jax.Array) -> jax.Array:
        oxygen, sites = molecules[:, 0], _sites(molecules)
        if self.periodic is not None:
            return self.periodic.energy(oxygen, sites)
        first, second = np.triu_indices(molecules.shape[0], 1)
        squares = ((oxygen[first] - oxygen[second]) ** 2).sum(axis=-1)
        apart = jnp.sqrt(((sites[first][:, :, None] - sites[second][:, None]) ** 2).sum(axis=-1))
        electric = COULOMB_eV_A * np.outer(CHARGES_e, CHARGES_e) / apart
        return _lennard_jones(squares).sum() + electric.sum()


@pytree
@dataclass(frozen=True)
class Cell:
    """What molecules in a cell do to each other and to all images.

    images_A (n_images, 3): lattice vectors, the first none, by which a pair at its minimum image may be moved
    and still be in reach.
    """

    electric: Ewald
    images_A: Any

    @classmethod
    def of(cls, cell_A: np.ndarray) -> "Cell":
        """Return it of a cell (3, 3), Å."""
        corners = np.array(list(np.ndindex(2, 2, 2))) - 0.5
        farthest_A = REACH_A + np.linalg.norm(corners @ cell_A, axis=1).max()
        most = np.ceil(farthest_A / heights(cell_A)).astype(int)
        images = (np.array(list(np.ndindex(*(2 * most + 1)))) - most) @ cell_A
        lengths = np.linalg.norm(images, axis=1)
        order = np.argsort(lengths, kind="stable")
        return cls(Ewald.of(cell_A), images[order[: (lengths < farthest_A).sum()]])

    def energy(self, oxygen: jax.Array, sites: jax.Array) -> jax.Array:
        """Return the energy between molecules, eV: oxygens (molecules, 3), sites (molecules, 3, 3)."""
        n_molecules, cell = len(oxygen), jnp.asarray(self.electric.cell_A)
        first, second = np.triu_indices(n_molecules, 1)
        apart, images = nearest(oxygen[second] - oxygen[first], cell), jnp.asarray(self.images_A)
        squares = jnp.sum(apart**2, axis=1)[:, None] + 2.0 * apart @ images.T + jnp.sum(images**2, axis=1)
        inside = squares < REACH_A**2
        edge = _lennard_jones(jnp.asarray(REACH_A**2))
        near = jnp.where(inside, _lennard_jones(jnp.where(inside, squares, REACH_A**2)) - edge, 0.0).sum()
        own = jnp.sum(jnp.asarray(self.images_A)[1:] ** 2, axis=-1)
        inside = own < REACH_A**2
        near += 0.5 * n_molecules * jnp.where(inside, _lennard_jones(own) - edge, 0.0).sum()
        third = (SIGMA_A / REACH_A) ** 3
        beyond = 4.0 * EPSILON_eV * SIGMA_A**3 * (third**3 / 9.0 - third / 3.0) + edge * REACH_A**3 / 3.0
        near += 2.0 * np.pi * n_molecules**2 / jnp.abs(jnp.linalg.det(cell)) * beyond
        number = np.arange(3 * n_molecules).reshape(-1, 3)
        others = np.stack(
            [np.repeat(number[first], 3, axis=1).ravel(), np.tile(number[second], 3).ravel()], axis=1
        )
        within = np.concatenate([number[:, [0, 1]], number[:, [0, 2]], number[:, [1, 2]]])
        charges = np.tile(CHARGES_e, n_molecules)
        return near + self.electric.energy(sites.reshape(-1, 3), charges, others, within)


def _lennard_jones(squares: jax.Array) -> jax.Array:
    """Return the energies, eV, of oxygens at squared distances, Å²."""
    sixth = (SIGMA_A**2 / squares) ** 3
    return 4.0 * EPSILON_eV * (sixth**2 - sixth)


def _sites(molecules: jax.Array) -> jax.Array:
    """Return where the charges are (molecules, 3, 3): M and the hydrogens, of atoms (molecules, 3, 3)."""
    oxygen, hydrogens = molecules[:, 0], molecules[:, 1:]
    middle = TO_OXYGEN * oxygen + 0.5 * (1.0 - TO_OXYGEN) * hydrogens.sum(axis=1)
    return jnp.concatenate([middle[:, None], hydrogens], axis=1)


def of_water(atoms: Atoms) -> QTIP4PF:
    """Return the potential of water molecules, of a free cluster or in a cell.

    Raises UserError for other atoms, another order, and a cell that is none or too narrow.
    """
    symbols = atoms.get_chemical_symbols()
    if symbols != ["O", "H", "H"] * (len(symbols) // 3):
        raise UserError(
            f"atoms {atoms.symbols} for q-tip4p-f, which takes O, H, H, O, H, H, …; order them molecule by "
            "molecule"
        )
    if not atoms.pbc.any():
        return QTIP4PF()
    if problem := problem_of_cell(atoms):
        raise UserError(f"{atoms.symbols}: {problem}")
    cell = np.asarray(atoms.cell.array, float)
    if (height := float(heights(cell).min())) < LEAST_HEIGHT_A:
        raise UserError(
            f"a cell with opposite faces {height:.4g} Å apart; q-tip4p-f needs {LEAST_HEIGHT_A:g} Å or more: "
            "repeat the cell"
        )
    return QTIP4PF(Cell.of(cell))
