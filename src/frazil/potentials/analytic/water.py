"""q-TIP4P/F, a flexible water whose path integrals have the properties of the liquid; free clusters.

Habershon, Markland & Manolopoulos, J. Chem. Phys. 131, 024501 (2009), eqs. 2 to 7 and Table I. Here all pairs
are taken, without a cell: the Coulomb sum of a periodic one is not part of it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.units import kcal, mol

from frazil.errors import UserError
from frazil.potentials.interface import Analytic
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


@pytree
@dataclass(frozen=True)
class QTIP4PF(Analytic):
    """Water molecules, atoms O, H, H of each: Morse bonds to the fourth order, harmonic angles, charges."""

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV, above that of molecules at rest and far apart."""
        molecules = positions_A.reshape(-1, 3, 3)
        return self._alone(molecules) + self._between(molecules)

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        """Return the dipole (3,), e Å, of the molecules' charges."""
        sites = _sites(positions_A.reshape(-1, 3, 3))
        return {"dipole_e_A": jnp.einsum("s,msx->x", CHARGES_e, sites)}

    def _alone(self, molecules: jax.Array) -> jax.Array:
        bonds = molecules[:, 1:] - molecules[:, :1]
        lengths = jnp.sqrt((bonds**2).sum(axis=-1))
        z = EXPONENT_per_A * (lengths - LENGTH_A)
        stretched = DEPTH_eV * (z**2 - z**3 + 7.0 / 12.0 * z**4)
        cosines = (bonds[:, 0] * bonds[:, 1]).sum(axis=-1) / (lengths[:, 0] * lengths[:, 1])
        bent = jnp.arccos(jnp.clip(cosines, -1.0 + 1e-12, 1.0 - 1e-12)) - ANGLE_rad
        return stretched.sum() + 0.5 * BENDING_eV * (bent**2).sum()

    def _between(self, molecules: jax.Array) -> jax.Array:
        first, second = np.triu_indices(molecules.shape[0], 1)
        oxygen, sites = molecules[:, 0], _sites(molecules)
        squares = ((oxygen[first] - oxygen[second]) ** 2).sum(axis=-1)
        sixth = (SIGMA_A**2 / squares) ** 3
        apart = jnp.sqrt(((sites[first][:, :, None] - sites[second][:, None]) ** 2).sum(axis=-1))
        electric = COULOMB_eV_A * np.outer(CHARGES_e, CHARGES_e) / apart
        return 4.0 * EPSILON_eV * (sixth**2 - sixth).sum() + electric.sum()


def _sites(molecules: jax.Array) -> jax.Array:
    """Return where the charges are (molecules, 3, 3): M and the hydrogens, of atoms (molecules, 3, 3)."""
    oxygen, hydrogens = molecules[:, 0], molecules[:, 1:]
    middle = TO_OXYGEN * oxygen + 0.5 * (1.0 - TO_OXYGEN) * hydrogens.sum(axis=1)
    return jnp.concatenate([middle[:, None], hydrogens], axis=1)


def of_water(atoms: Atoms) -> QTIP4PF:
    """Return the potential of water molecules.

    Raises UserError for other atoms, another order, or a cell.
    """
    symbols = atoms.get_chemical_symbols()
    if symbols != ["O", "H", "H"] * (len(symbols) // 3) or atoms.pbc.any():
        raise UserError(
            f"atoms {atoms.symbols} for q-tip4p-f, which takes O, H, H, O, H, H, … of a free cluster; order "
            "them molecule by molecule, without a cell"
        )
    return QTIP4PF()
