"""The semi-classical diatomic: a bond curve, its minimum, and quantum numbers from the classical action.

EBK (Einstein, Brillouin, Keller): ∮ p dr = (v + ½) h for the motion in V(r) + L²/2μr², L² = J(J + 1) ħ².
"""

from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from frazil.errors import UserError
from frazil.tables import Table
from frazil.units import hbar, inverse_cm

_MASS_C, _MASS_O = (float(atomic_masses[atomic_numbers[element]]) for element in ("C", "O"))
REDUCED_MASS_CO_amu: float = _MASS_C * _MASS_O / (_MASS_C + _MASS_O)

_N_SCAN = 2000
_N_BISECTIONS = 55
_N_QUADRATURE = 256
_ANGLES = np.arange(1, _N_QUADRATURE + 1) * np.pi / (_N_QUADRATURE + 1)


class BondCurve:
    """The potential of one bond, V(r) above its minimum, as a cubic spline through given points.

    ``bond_length_A`` (n,) rises strictly; ``energy_eV`` (n,) is relative to anything. Raises UserError for
    points that make no curve: too few, unordered, not finite, or without a minimum inside their range.
    """

    def __init__(
        self, bond_length_A: ArrayLike, energy_eV: ArrayLike, reduced_mass_amu: float = REDUCED_MASS_CO_amu
    ) -> None:
        lengths, energies = np.asarray(bond_length_A, float), np.asarray(energy_eV, float)
        if lengths.ndim != 1 or lengths.shape != energies.shape or len(lengths) < 8:
            raise UserError(
                f"a bond curve of {lengths.shape} lengths and {energies.shape} energies; "
                "give at least 8 lengths with one energy each"
            )
        if not (np.isfinite(lengths).all() and np.isfinite(energies).all()):
            raise UserError(
                "a bond curve with values that are not finite; every length needs a finite energy"
            )
        if (np.diff(lengths) <= 0).any():
            raise UserError(
                "a bond curve whose lengths do not rise strictly; sort them and drop doubled ones"
            )
        lowest = int(np.argmin(energies))
        if lowest in (0, len(lengths) - 1):
            raise UserError(
                f"a bond curve without a minimum between {lengths[0]:g} and {lengths[-1]:g} Å "
                f"(lowest at its edge, {lengths[lowest]:g} Å); widen the range of bond lengths"
            )
        self.reduced_mass_amu = reduced_mass_amu
        self.shortest_A, self.longest_A = float(lengths[0]), float(lengths[-1])
        self._spline = CubicSpline(lengths, energies)
        self._slope = self._spline.derivative()
        self._scan = np.linspace(self.shortest_A, self.longest_A, _N_SCAN)
        self.minimum_A = float(self._well_minimum(np.zeros(1))[0])
        self._offset = float(self._spline(self.minimum_A))
        self._scan_energy = self._spline(self._scan) - self._offset

    @classmethod
    def read(
        cls, path: Path | str, column: str = "label_eV", reduced_mass_amu: float = REDUCED_MASS_CO_amu
    ) -> "BondCurve":
        """Return the curve of one column of a ``bond_curves.csv``; rows without a value are left out."""
        declared = Table("bond_curves", f"*bond_length_A {column}?", made_by="select_model.py")
        table = declared.read(path, by_hand=True)
        lengths, energies = table["bond_length_A"].to_numpy(float), table[column].to_numpy(float)
        present = np.isfinite(energies)
        return cls(lengths[present], energies[present], reduced_mass_amu)

    def energy(self, bond_length_A: ArrayLike) -> np.ndarray:
        """Return V(r) above the minimum, eV; not a number outside the curve's range."""
        return np.asarray(self._spline(np.asarray(bond_length_A, float), extrapolate=False)) - self._offset

    @property
    def harmonic_wavenumber_cm1(self) -> float:
        """The harmonic wavenumber ω_e, cm⁻¹."""
        curvature = float(self._spline(self.minimum_A, 2))
        return float(hbar * np.sqrt(curvature / self.reduced_mass_amu) / inverse_cm)

    def turning_points(self, energy_eV: ArrayLike, angular_momentum: ArrayLike = 0.0) -> np.ndarray:
        """Return inner and outer turning points (..., 2), Å, at energies above the minimum.

        ``angular_momentum`` is in eV × ASE time (ħ is ``frazil.units.hbar``). Raises UserError where the
        motion leaves the curve's range.
        """
        points = self._turning_points(energy_eV, angular_momentum)
        self._refuse_outside(points, energy_eV)
        return points

    def vibrational_number(
        self, energy_eV: ArrayLike, angular_momentum: ArrayLike = 0.0, outside: str = "raise"
    ) -> np.ndarray:
        """Return the real-valued v of total internal energies (rotation included) above the minimum.

        Shapes of ``energy_eV`` and ``angular_momentum`` (eV × ASE time) broadcast. An energy that the
        rotation alone exceeds gives −½. Where the motion leaves the curve's range, ``outside``
        decides: ``"raise"`` UserError, or ``"nan"``.
        """
        points = self._turning_points(energy_eV, angular_momentum)
        if outside == "raise":
            self._refuse_outside(points, energy_eV)
        middle, half = points.mean(axis=-1, keepdims=True), np.diff(points, axis=-1) / 2
        radii = middle + half * np.cos(_ANGLES)
        momentum_squared = 2.0 * self.reduced_mass_amu * np.asarray(energy_eV, float)[..., None]
        momentum_squared = momentum_squared - 2.0 * self.reduced_mass_amu * (
            self._spline(radii) - self._offset
        )
        momentum_squared = momentum_squared - np.asarray(angular_momentum, float)[..., None] ** 2 / radii**2
        # Gauss–Chebyshev of the second kind: the square-root ends of p become the weight's.
        integrand = np.sqrt(np.clip(momentum_squared, 0.0, None)) * np.sin(_ANGLES)
        action = half[..., 0] * integrand.sum(axis=-1) * np.pi / (_N_QUADRATURE + 1)
        return np.asarray(action / (np.pi * hbar) - 0.5)

    def energy_of(self, v: float, J: float = 0) -> float:
        """Return the internal energy (eV above the minimum) of the level (v, J), rotation included."""
        if not (v >= -0.5 and J >= 0):
            raise UserError(f"v = {v:g}, J = {J:g}; v must be at least −0.5 and J at least 0")
        momentum = float(np.sqrt(J * (J + 1))) * hbar
        well = float(self._well_minimum(np.array([momentum]))[0])
        bottom = float(self._effective(np.array(well), np.array(momentum)))
        effective = self._scan_energy + momentum**2 / (2 * self.reduced_mass_amu * self._scan**2)
        top = min(effective[0], effective[self._scan >= well].max()) - 1e-9
        highest = float(self.vibrational_number(top, momentum))
        if v > highest:
            raise UserError(
                f"v = {v:g} at J = {J:g} lies above the bond curve's range ({self.shortest_A:g} to "
                f"{self.longest_A:g} Å holds v up to {highest:.1f}); give a wider curve or a lower v"
            )
        if v == -0.5:
            return bottom
        return float(
            brentq(
                lambda e: float(self.vibrational_number(e, momentum)) - v, bottom, top, xtol=1e-13, rtol=1e-14
            )
        )

    def _effective(self, radii: np.ndarray, angular_momentum: np.ndarray) -> np.ndarray:
        """Return V(r) + L²/2μr² above V's minimum, eV."""
        centrifugal = angular_momentum**2 / (2 * self.reduced_mass_amu * radii**2)
        return np.asarray(self._spline(radii) - self._offset + centrifugal)

    def _well_minimum(self, angular_momentum: np.ndarray) -> np.ndarray:
        """Return the radius (Å) of the effective potential's minimum for each angular momentum (n,)."""
        effective = self._spline(self._scan) + angular_momentum[:, None] ** 2 / (
            2 * self.reduced_mass_amu * self._scan**2
        )
        lowest = np.clip(effective.argmin(axis=1), 1, _N_SCAN - 2)
        low, high = self._scan[lowest - 1], self._scan[lowest + 1]
        for _ in range(_N_BISECTIONS):
            middle = (low + high) / 2
            rising = self._slope(middle) - angular_momentum**2 / (self.reduced_mass_amu * middle**3) > 0
            low, high = np.where(rising, low, middle), np.where(rising, middle, high)
        return (low + high) / 2

    def _turning_points(self, energy_eV: ArrayLike, angular_momentum: ArrayLike) -> np.ndarray:
        """Return turning points (..., 2), Å; not a number where the motion leaves the curve's range."""
        energies, momenta = np.broadcast_arrays(
            np.asarray(energy_eV, float), np.asarray(angular_momentum, float)
        )
        shape, energies, momenta = energies.shape, energies.ravel(), momenta.ravel()
        well = self._well_minimum(momenta)
        trapped = self._effective(well, momenta) < energies
        above = (
            self._scan_energy + momenta[:, None] ** 2 / (2 * self.reduced_mass_amu * self._scan**2)
            >= energies[:, None]
        )
        left, right = above & (self._scan < well[:, None]), above & (self._scan > well[:, None])
        inner = self._scan[_N_SCAN - 1 - left[:, ::-1].argmax(axis=1)]
        outer = self._scan[right.argmax(axis=1)]
        points = np.stack([self._bisect(start, well, energies, momenta) for start in (inner, outer)], axis=-1)
        points[~trapped] = well[~trapped, None]
        points[trapped & ~(left.any(axis=1) & right.any(axis=1))] = np.nan
        points[~np.isfinite(energies)] = np.nan
        return points.reshape(*shape, 2)

    def _bisect(
        self, outside: np.ndarray, inside: np.ndarray, energies: np.ndarray, momenta: np.ndarray
    ) -> np.ndarray:
        """Return where the effective potential equals the energy, between a radius above it and one below.

        The scan's spacing brackets the first crossing; the far end of the bracket is one spacing away.
        """
        spacing = self._scan[1] - self._scan[0]
        step = np.clip(inside - outside, -spacing, spacing)
        high, low = outside.copy(), outside + step
        for _ in range(_N_BISECTIONS):
            middle = (low + high) / 2
            above = self._effective(middle, momenta) >= energies
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        return (low + high) / 2

    def _refuse_outside(self, points: np.ndarray, energy_eV: ArrayLike) -> None:
        """Raise UserError if any turning point is missing."""
        missing = np.isnan(points).any(axis=-1)
        if missing.any():
            worst = np.max(np.broadcast_to(np.asarray(energy_eV, float), missing.shape)[missing])
            raise UserError(
                f"an internal energy of {worst:g} eV leaves the bond curve's range ({self.shortest_A:g} to "
                f"{self.longest_A:g} Å); give a wider curve or a lower energy"
            )
