"""The excited molecule: energy along one of its bonds."""

from typing import TYPE_CHECKING

import numpy as np

from frazil.errors import UserError

if TYPE_CHECKING:
    from frazil.systems.diatomic import BondCurve


def set_internal_energy(
    positions_A: np.ndarray,
    velocities: np.ndarray,
    bond: tuple[int, int],
    masses_amu: np.ndarray,
    energy_eV: float,
    curve: "BondCurve",
    sign: int,
) -> np.ndarray:
    """Return velocities (natoms, 3) with the energy along one bond set: p_r²/2μ + V(r) = energy.

    Velocities are in ASE units; ``bond`` are two atoms, ``masses_amu`` (natoms,) those of all. The velocity
    of the two atoms' centre of mass and the part of their relative velocity perpendicular to the bond do not
    change, nor do other atoms' velocities: the molecule's momentum and angular momentum stay. ``sign`` +1
    stretches, −1 compresses. Raises UserError where V(r) at the present bond length already exceeds
    ``energy_eV`` (above the bond's minimum).
    """
    one, two = bond
    along = positions_A[two] - positions_A[one]
    length = float(np.linalg.norm(along))
    radial_energy = energy_eV - float(curve.energy(length))
    if not radial_energy >= 0:
        raise UserError(
            f"an internal energy of {energy_eV:g} eV cannot be given at a bond length of {length:.3f} Å, "
            "whose potential is higher; give a higher energy or another snapshot"
        )
    along = along / length
    relative = velocities[two] - velocities[one]
    speed = np.sign(sign) * np.sqrt(2 * radial_energy / curve.reduced_mass_amu)
    relative = relative + (speed - relative @ along) * along
    weights = masses_amu[[one, two]] / masses_amu[[one, two]].sum()
    centre = weights[0] * velocities[one] + weights[1] * velocities[two]
    changed = velocities.copy()
    changed[one] = centre - weights[1] * relative
    changed[two] = centre + weights[0] * relative
    return changed
