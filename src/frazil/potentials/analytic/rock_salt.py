"""Rock salt as a known truth: ions in a cell, and a dipole of many values of which every number is known.

Born–Mayer walls and Coulomb's law, screened to nothing at 6 Å with energy and force: **made up**, with sodium
chloride's sizes. The dipole is Σ N R of the oxidation numbers, and a part of one value that neighbours make:
chloride leans to the sodium around it. Its Born charges at the lattice's sites are ± 0.956.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from scipy.optimize import lsq_linear

from frazil.data.cells import heights
from frazil.errors import UserError
from frazil.potentials.interface import Analytic
from frazil.potentials.neighbours import nearest
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

REACH_A, WALL_eV, WALL_A, EDGE_A = 6.0, 500.0, 0.33, 5.64
LEAN_e = 0.6
"""Chloride's lean to a sodium ion at r is LEAN (1 − r/REACH)³ r."""
NUMBERS = {"Na": 1.0, "Cl": -1.0}
"""Oxidation numbers, the ions' charges too."""
SMALLEST_A = REACH_A / 1.5
"""Of the distance between opposite faces: in a smaller cell images beyond the next would be in reach."""


@pytree
@dataclass(frozen=True)
class RockSalt(Analytic):
    """Ions of charges (natoms,), e, in a cell (3, 3), Å: all images in reach, shifted in energy and force.

    images (n, 3): cells, in whole vectors, in which a pair may be in reach beside its minimum image; none of
    them first. Made by ``of``.
    """

    charges: Any
    cell_A: Any
    images: Any

    @classmethod
    def of(cls, charges: np.ndarray, cell_A: np.ndarray) -> "RockSalt":
        """Return the potential of charges (natoms,) in a cell."""
        cell, found = np.asarray(cell_A, float), []
        for cells in sorted(product((0, -1, 1), repeat=3), key=lambda own: sum(map(abs, own))):
            nearest_of = lsq_linear(cell.T, -np.array(cells) @ cell, bounds=(-0.5, 0.5))
            if np.sqrt(2.0 * nearest_of.cost) < REACH_A:
                found.append(cells)
        return cls(np.asarray(charges, float), cell, np.array(found, float))

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        first, second, r, inside, _ = self._pairs(positions_A)
        charged = (jnp.asarray(self.charges)[first] * jnp.asarray(self.charges)[second])[:, None]

        def pair(r: Any) -> Any:
            return WALL_eV * jnp.exp(-r / WALL_A), COULOMB_eV_A / r

        (wall, coulomb), (wall_0, coulomb_0) = pair(r), pair(REACH_A)
        wall = wall - wall_0 * (1.0 - (r - REACH_A) / WALL_A)
        coulomb = coulomb - coulomb_0 * (1.0 - (r - REACH_A) / REACH_A)
        share = np.where(first == second, 0.5, 1.0)[:, None]
        return jnp.where(inside, share * (wall + charged * coulomb), 0.0).sum()

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        """Return the dipole (3,), e Å, on the branch of these positions, which are unwrapped."""
        first, second, r, inside, apart = self._pairs(positions_A)
        charges = jnp.asarray(self.charges)
        to_sodium = 0.5 * (charges[second] - charges[first])[:, None]
        weight = jnp.where(inside, LEAN_e * (1.0 - r / REACH_A) ** 3, 0.0) * to_sodium
        return {"dipole_e_A": charges @ positions_A + jnp.einsum("ps,psx->x", weight, apart)}

    def _pairs(
        self, positions_A: jax.Array
    ) -> tuple[np.ndarray, np.ndarray, jax.Array, jax.Array, jax.Array]:
        """Return pairs, an ion with itself too, and of their images r, Å, (pairs, n), whether these are in
        reach, and the vectors (pairs, n, 3) from the first to the second.
        """
        first, second = np.triu_indices(len(positions_A), 0)
        cell, images = jnp.asarray(self.cell_A), jnp.asarray(self.images)
        apart = nearest(positions_A[second] - positions_A[first], cell)
        vectors = apart[:, None] + images @ cell
        squared = (vectors**2).sum(axis=-1)
        itself = (first == second)[:, None] & (np.arange(len(images)) == 0)
        inside = (squared < REACH_A**2) & ~itself
        return first, second, jnp.sqrt(jnp.where(inside, squared, REACH_A**2)), inside, vectors


def of_salt(atoms: Atoms) -> RockSalt:
    """Return the potential of ions.

    Raises UserError for other atoms than Na and Cl, as many of each, no cell, and a cell that is too small.
    """
    symbols = atoms.get_chemical_symbols()
    if set(symbols) != set(NUMBERS) or symbols.count("Na") != symbols.count("Cl") or not atoms.pbc.all():
        raise UserError(
            f"atoms {atoms.symbols} for rock-salt, which takes as many Na as Cl in a cell with pbc T T T"
        )
    height = float(heights(atoms.cell.array).min())
    if height < SMALLEST_A:
        raise UserError(
            f"a cell with opposite faces {height:.4g} Å apart for rock-salt; it needs {SMALLEST_A:g} Å or "
            "more: repeat the cell"
        )
    return RockSalt.of(np.array([NUMBERS[symbol] for symbol in symbols]), atoms.cell.array)


def rock_salt(*repeats: int, edge_A: float = EDGE_A) -> Atoms:
    """Return the crystal of some cubic cells of eight ions."""
    places = 0.5 * edge_A * np.array(list(np.ndindex(2, 2, 2)), float)
    kinds = ["Na" if sum(place) % 2 == 0 else "Cl" for place in np.ndindex(2, 2, 2)]
    return Atoms(kinds, places, cell=edge_A * np.eye(3), pbc=True).repeat(repeats)
