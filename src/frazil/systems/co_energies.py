"""Energies and quantum numbers of free CO molecules, from their classical positions and velocities.

Translation: ½MV². Rotation: the classical angular momentum L about the molecule's centre of mass, as the
energy L²/2μr_e² (r_e: the bond curve's minimum, so that the bond's phase does not enter) and as the
real-valued J with J(J + 1)ħ² = L². Vibration: the rest of the internal energy above the curve's minimum, and
the real-valued v of its semi-classical action (EBK, ``frazil.systems.diatomic``). At rest v is −½: classical
molecules have no zero-point energy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frazil.systems.co import MOLECULE_MASSES_amu
from frazil.systems.diatomic import BondCurve
from frazil.units import fs, hbar, kB, meV


@dataclass(frozen=True)
class MolecularEnergies:
    """One value per molecule, arrays (n,)."""

    translational_energy_meV: NDArray[np.float64]
    rotational_energy_meV: NDArray[np.float64]
    rotational_quantum_number: NDArray[np.float64]
    vibrational_energy_meV: NDArray[np.float64]
    vibrational_quantum_number: NDArray[np.float64]


def molecular_energies(
    positions_A: NDArray[np.float64], velocities_A_per_fs: NDArray[np.float64], curve: BondCurve
) -> MolecularEnergies:
    """Return the energies of free molecules, positions and velocities (n, 2, 3), C first.

    Where a molecule's motion leaves the bond curve's range its vibration is not a number.
    """
    velocities = velocities_A_per_fs / fs
    mass = MOLECULE_MASSES_amu.sum()
    reduced = MOLECULE_MASSES_amu.prod() / mass
    centre = (MOLECULE_MASSES_amu[:, None] * velocities).sum(axis=1) / mass
    bond, relative = positions_A[:, 1] - positions_A[:, 0], velocities[:, 1] - velocities[:, 0]
    angular_momentum = reduced * np.linalg.norm(np.cross(bond, relative), axis=-1)
    potential = curve.energy(np.linalg.norm(bond, axis=-1))
    internal = reduced * (relative**2).sum(axis=-1) / 2 + potential
    rotational = angular_momentum**2 / (2 * reduced * curve.minimum_A**2)
    number = curve.vibrational_number(internal, angular_momentum, outside="nan")
    return MolecularEnergies(
        translational_energy_meV=mass * (centre**2).sum(axis=-1) / 2 / meV,
        rotational_energy_meV=rotational / meV,
        rotational_quantum_number=np.sqrt(0.25 + (angular_momentum / hbar) ** 2) - 0.5,
        vibrational_energy_meV=(internal - rotational) / meV,
        vibrational_quantum_number=number,
    )


def kinetic_energy_eV(velocities_A_per_fs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the kinetic energy (...) of CO molecules from velocities (..., n_atoms, 3)."""
    masses = np.tile(MOLECULE_MASSES_amu, velocities_A_per_fs.shape[-2] // 2)
    squares = ((velocities_A_per_fs / fs) ** 2).sum(axis=-1)
    return np.asarray((masses * squares).sum(axis=-1) / 2)


def temperature_K(velocities_A_per_fs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the instantaneous temperature (...) of an aggregate without drift and rotation: 3N − 6 degrees.

    A single molecule has 3N − 5 = 1 degree left.
    """
    n_atoms = velocities_A_per_fs.shape[-2]
    degrees = 1 if n_atoms == 2 else 3 * n_atoms - 6
    return np.asarray(2 * kinetic_energy_eV(velocities_A_per_fs) / (degrees * kB))
