"""Energies and quantum numbers of free molecules, from their classical positions and velocities.

Translation: ½MV². Rotation: the classical angular momentum L about the molecule's centre of mass, as an
energy and as the real-valued J with J(J + 1)ħ² = L². A diatomic's rotational energy is L²/2μr_e² (r_e: the
bond curve's minimum, so that the bond's phase does not enter). Its vibration is the rest of the internal
energy above the curve's minimum, with the real-valued v of its semi-classical action (EBK,
``frazil.systems.diatomic``). At rest v is −½: classical molecules have no zero-point energy. Of a larger
molecule the rotational energy is ½ L·I⁻¹·L with its present moments of inertia; its vibration is not told.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    positions_A: NDArray[np.float64],
    velocities_A_per_fs: NDArray[np.float64],
    masses_amu: NDArray[np.float64],
    curve: BondCurve | None,
) -> MolecularEnergies:
    """Return the energies of free molecules of one kind, positions and velocities (n, natoms, 3).

    ``masses_amu`` (natoms,) and ``curve``, of a diatomic's bond, are the molecule's. Vibration is not a
    number of a larger molecule, where no curve is known, and where the motion of a diatomic leaves its range.
    """
    velocities = velocities_A_per_fs / fs
    mass = masses_amu.sum()
    centre = (masses_amu[:, None] * velocities).sum(axis=1) / mass
    translational = mass * (centre**2).sum(axis=-1) / 2
    if len(masses_amu) != 2 or curve is None:
        momenta, rotational = _turning(positions_A, velocities, masses_amu)
        vibrational = number = np.full(len(momenta), np.nan)
    else:
        reduced = masses_amu.prod() / mass
        bond, relative = positions_A[:, 1] - positions_A[:, 0], velocities[:, 1] - velocities[:, 0]
        momenta = reduced * np.linalg.norm(np.cross(bond, relative), axis=-1)
        potential = curve.energy(np.linalg.norm(bond, axis=-1))
        internal = reduced * (relative**2).sum(axis=-1) / 2 + potential
        rotational = momenta**2 / (2 * reduced * curve.minimum_A**2)
        vibrational = internal - rotational
        number = curve.vibrational_number(internal, momenta, outside="nan")
    return MolecularEnergies(
        translational_energy_meV=translational / meV,
        rotational_energy_meV=rotational / meV,
        rotational_quantum_number=np.sqrt(0.25 + (momenta / hbar) ** 2) - 0.5,
        vibrational_energy_meV=vibrational / meV,
        vibrational_quantum_number=number,
    )


def _turning(
    positions_A: NDArray[np.float64], velocities: NDArray[np.float64], masses_amu: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the size of the angular momentum (n,) and the rotational energy (n,), eV, of whole molecules."""
    weights = masses_amu / masses_amu.sum()
    arms = positions_A - np.einsum("a,nax->nx", weights, positions_A)[:, None]
    moving = velocities - np.einsum("a,nax->nx", weights, velocities)[:, None]
    momentum = np.einsum("a,nax->nx", masses_amu, np.cross(arms, moving))
    squares = np.einsum("a,nax,nax->n", masses_amu, arms, arms)
    inertia = squares[:, None, None] * np.eye(3) - np.einsum("a,nax,nay->nxy", masses_amu, arms, arms)
    # A linear molecule has no moment about itself, and no angular momentum there.
    turning = np.einsum("nxy,ny->nx", np.linalg.pinv(inertia, rcond=1e-6, hermitian=True), momentum)
    return np.linalg.norm(momentum, axis=-1), np.einsum("nx,nx->n", momentum, turning) / 2


def kinetic_energy_eV(
    velocities_A_per_fs: NDArray[np.float64], masses_amu: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the kinetic energy (...) of velocities (..., n_atoms, 3)."""
    squares = ((velocities_A_per_fs / fs) ** 2).sum(axis=-1)
    return np.asarray((masses_amu * squares).sum(axis=-1) / 2)


def temperature_K(
    velocities_A_per_fs: NDArray[np.float64], masses_amu: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the instantaneous temperature (...) of an aggregate without drift and rotation: 3N − 6 degrees.

    Two atoms have 3N − 5 = 1 degree left.
    """
    n_atoms = velocities_A_per_fs.shape[-2]
    degrees = 1 if n_atoms == 2 else 3 * n_atoms - 6
    return np.asarray(2 * kinetic_energy_eV(velocities_A_per_fs, masses_amu) / (degrees * kB))
