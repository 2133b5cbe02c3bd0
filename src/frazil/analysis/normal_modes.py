"""Normal modes and their infrared intensities from second derivatives of the energy and first of the dipole.

Wilson, Decius & Cross, Molecular Vibrations (1955); overall motions are projected out as in Miller, Handy &
Adams, J. Chem. Phys. 72, 99 (1980).
"""

from dataclasses import dataclass

import ase.units
import numpy as np
import scipy.optimize

from frazil.errors import UserError
from frazil.units import hbar

IMAGINARY_cm1 = 10.0
"""A mode below minus this is no noise of the derivatives: the structure is no minimum."""


@dataclass(frozen=True)
class Modes:
    """Vibrations of a structure, overall motions left out; imaginary wavenumbers are negative.

    wavenumbers_cm1 (n_modes,), ascending. intensities_km_per_mol (n_modes,), nan without dipoles.
    displacements (n_modes, natoms, 3), Å per √amu Å of the normal coordinate: mass-weighted they are
    orthonormal.
    """

    wavenumbers_cm1: np.ndarray
    intensities_km_per_mol: np.ndarray
    displacements: np.ndarray

    @property
    def imaginary_cm1(self) -> np.ndarray:
        """Wavenumbers (n,) of modes along which the energy falls."""
        return self.wavenumbers_cm1[self.wavenumbers_cm1 < -IMAGINARY_cm1]


def normal_modes(
    hessian_eV_per_A2: np.ndarray,
    positions_A: np.ndarray,
    masses_amu: np.ndarray,
    dipole_derivatives_e: np.ndarray | None = None,
    periodic: bool = False,
) -> Modes:
    """Return the modes of a Hessian (3 natoms, 3 natoms) at positions (natoms, 3).

    ``dipole_derivatives_e`` (3, 3 natoms): ∂μ/∂x, e. Intensities are N_A |∂μ/∂Q|²/(12 ε₀ c²), km/mol.
    ``periodic``: of a crystal's cell, which cannot turn; modes are those of its own period (Γ). Raises
    UserError for a Hessian that is not of these atoms, or not finite.
    """
    masses = np.repeat(np.asarray(masses_amu, float), 3)
    hessian = np.asarray(hessian_eV_per_A2, float)
    if hessian.shape != (len(masses), len(masses)) or not np.isfinite(hessian).all():
        raise UserError(
            f"a Hessian of shape {hessian.shape} for {len(masses_amu)} atoms; "
            f"({len(masses)}, {len(masses)}) of finite numbers is needed"
        )
    roots = np.sqrt(masses)
    inside = _vibrations(np.asarray(positions_A, float), roots, periodic)
    weighted = 0.5 * (hessian + hessian.T) / np.outer(roots, roots)
    squares, vectors = np.linalg.eigh(inside.T @ weighted @ inside)
    wavenumbers = np.sign(squares) * np.sqrt(np.abs(squares)) * hbar / ase.units.invcm
    displacements = ((inside @ vectors) / roots[:, None]).T.reshape(len(squares), -1, 3)
    intensities = np.full(len(squares), np.nan)
    if dipole_derivatives_e is not None:
        slopes = np.asarray(dipole_derivatives_e, float).reshape(3, -1, 3).swapaxes(0, 1)
        intensities = intensities_of(displacements, slopes)
    return Modes(wavenumbers, intensities, displacements)


def intensities_of(displacements: np.ndarray, dipole_slopes_e: np.ndarray) -> np.ndarray:
    """Return the infrared intensities (n_modes,), km/mol, of displacements (n_modes, natoms, 3), as ``Modes``
    has them, by ∂μ/∂r (natoms, 3, 3), e, the dipole's component first.
    """
    along = np.einsum("adx,kax->kd", dipole_slopes_e, displacements)
    return np.asarray((along**2).sum(axis=1) * _km_per_mol())


def matched(one: Modes, other: Modes, masses_amu: np.ndarray) -> np.ndarray:
    """Return for each mode of ``one`` the number of its like in ``other`` (n_modes,).

    Likeness is the squared overlap of the mass-weighted displacements, less what the wavenumbers differ: the
    sum over all pairs is largest. Structures are taken to lie alike (both relaxed from one).
    """
    weights = np.asarray(masses_amu)[None, :, None]
    overlap = np.einsum("iax,jax->ij", one.displacements * weights, other.displacements) ** 2
    apart = np.abs(one.wavenumbers_cm1[:, None] - other.wavenumbers_cm1[None, :])
    _, columns = scipy.optimize.linear_sum_assignment(apart / 100.0 - overlap)
    return np.asarray(columns)


def error_cm1(found: Modes, expected: Modes, masses_amu: np.ndarray) -> np.ndarray:
    """Return the errors (n_modes,), cm⁻¹, of modes against those that they are matched with."""
    partners = matched(expected, found, masses_amu)
    return np.asarray(found.wavenumbers_cm1[partners] - expected.wavenumbers_cm1)


def overall_motions(positions: np.ndarray, roots: np.ndarray, periodic: bool = False) -> np.ndarray:
    """Return translations, then rotations about the centre of mass unless periodic, (3 natoms, 6 or 3), as
    they are in mass-weighted coordinates; roots (3 natoms,): of the masses.
    """
    weights = roots[::3] ** 2 / (roots[::3] ** 2).sum()
    arms = positions - weights @ positions
    moved = [np.tile(axis, len(positions)) for axis in np.eye(3)]
    turned = [np.cross(axis, arms).ravel() for axis in np.eye(3)] if not periodic else []
    return np.asarray(roots[:, None] * np.array([*moved, *turned]).T)


def _vibrations(positions: np.ndarray, roots: np.ndarray, periodic: bool) -> np.ndarray:
    """Return an orthonormal basis (3 natoms, n_modes) of what is no translation nor, if free, rotation."""
    left, sizes, _ = np.linalg.svd(overall_motions(positions, roots, periodic))
    rank = int((sizes > 1e-6 * sizes.max()).sum())
    return np.asarray(left[:, rank:])


def _km_per_mol() -> float:
    """Return what turns e²/amu into km/mol."""
    units = ase.units
    per_kg = units._e**2 / units._amu
    return float(units._Nav * per_kg / (12 * units._eps0 * units._c**2) / 1e3)
