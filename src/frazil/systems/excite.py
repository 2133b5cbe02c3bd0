"""The excited molecule: energy along its bond."""

from typing import TYPE_CHECKING

import numpy as np

from frazil.errors import UserError

if TYPE_CHECKING:
    from frazil.systems.diatomic import BondCurve

from frazil.systems.co import MOLECULE_MASSES_amu, molecular_centres


def set_internal_energy(
    positions_A: np.ndarray,
    velocities: np.ndarray,
    molecule: int,
    energy_eV: float,
    curve: "BondCurve",
    sign: int,
) -> np.ndarray:
    """Return velocities (natoms, 3) with one molecule's energy along its bond set: p_r²/2μ + V(r) = energy.

    Velocities are in ASE units. The molecule's centre-of-mass velocity and the part of the relative velocity
    perpendicular to the bond do not change; ``sign`` +1 stretches, −1 compresses. Raises UserError where V(r)
    at the present bond length already exceeds ``energy_eV`` (above the bond's minimum).
    """
    carbon, oxygen = 2 * molecule, 2 * molecule + 1
    bond = positions_A[oxygen] - positions_A[carbon]
    length = float(np.linalg.norm(bond))
    radial_energy = energy_eV - float(curve.energy(length))
    if not radial_energy >= 0:
        raise UserError(
            f"an internal energy of {energy_eV:g} eV cannot be given at a bond length of {length:.3f} Å, "
            "whose potential is higher; give a higher energy or another snapshot"
        )
    along = bond / length
    relative = velocities[oxygen] - velocities[carbon]
    speed = np.sign(sign) * np.sqrt(2 * radial_energy / curve.reduced_mass_amu)
    relative = relative + (speed - relative @ along) * along
    centre = molecular_centres(velocities[[carbon, oxygen]])[0]
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    changed = velocities.copy()
    changed[carbon] = centre - weights[1] * relative
    changed[oxygen] = centre + weights[0] * relative
    return changed
