"""Raman spectra for any polarization of light, from one matrix of cross spectra and arithmetic afterwards.

The intensity for light polarized along e_i, seen along e_s, is that of the scalar e_iᵀ α e_s = w·a, where a
has the six components of the polarizability. So I(ν) = wᵀ S(ν) w with the symmetrised cross-spectral matrix
S (6, 6): angles, geometries, powders and bands are quadratic forms of it. Spectra are *activities*: the
spectrum of α̇ over kT, Å⁴/amu per cm⁻¹, so that a band's area is Σ (e_iᵀ R_k e_s)² of its modes, with
R_k = ∂α/∂Q_k (Porezag & Pederson, Phys. Rev. B 54, 7830, 1996).
"""

from dataclasses import dataclass

import ase.units
import numpy as np

from frazil.analysis.settings import LIGHT_cm_per_fs, Spectrum
from frazil.analysis.spectra import checked_series, cross_spectra, without_timestep
from frazil.errors import UserError
from frazil.units import kB

COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Of a polarizability, in the order of every array here (Voigt's)."""
PLACES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
PAIRS = tuple(f"{one},{other}" for place, one in enumerate(COMPONENTS) for other in COMPONENTS[place:])
"""Names of the cross spectra, those of the upper triangle of a (6, 6) in its order."""
ASYMMETRY = 1e-6
"""Of a polarizability, at most, of its largest element: it is a second derivative of an energy."""
NORM = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
"""What components are multiplied with, so that their squares add up to those of all nine elements."""
GEOMETRIES = ("parallel", "crossed")
"""The analyser stands along the polarizer, or across it."""


def components_of(polarizabilities_A3: np.ndarray) -> np.ndarray:
    """Return the components (…, 6) of polarizabilities (…, 3, 3), Å³.

    Raises UserError for one that is not finite, or not symmetric.
    """
    given = np.asarray(polarizabilities_A3, float)
    if given.shape[-2:] != (3, 3):
        raise UserError(f"polarizabilities of shape {given.shape}; (…, 3, 3) is needed")
    flat = given.reshape(-1, 3, 3)
    broken = np.flatnonzero(~np.isfinite(flat).all(axis=(1, 2)))
    if len(broken):
        raise UserError(f"polarizability {broken[0]} is not finite; give finite ones")
    apart = np.abs(flat - flat.swapaxes(1, 2)).max(axis=(1, 2))
    worst = int(np.argmax(apart)) if len(apart) else 0
    if len(apart) and apart[worst] > ASYMMETRY * np.abs(flat).max():
        raise UserError(
            f"polarizability {worst} is not symmetric: elements across the diagonal differ by "
            f"{apart[worst]:.3g} Å³; allowed is {ASYMMETRY:g} of the largest. A second derivative of an "
            "energy is symmetric: look at its columns, or at how well its calculation converged"
        )
    return np.stack([given[..., i, j] for i, j in PLACES], axis=-1)


def weights(incident: np.ndarray, scattered: np.ndarray) -> np.ndarray:
    """Return w (…, 6) with e_iᵀ α e_s = w·a, for unit vectors (…, 3) of both polarizations."""
    e, s = np.asarray(incident, float), np.asarray(scattered, float)
    return np.stack(
        [e[..., i] * s[..., j] + (e[..., j] * s[..., i] if i != j else 0.0) for i, j in PLACES], axis=-1
    )


@dataclass(frozen=True)
class Light:
    """The direction that light goes along, and the one in which the polarizer's angle is 0; unit vectors.

    A polarizer at the angle θ is along cos θ u + sin θ (k × u), for k ``along`` and u ``zero``.
    """

    along: np.ndarray
    zero: np.ndarray

    @classmethod
    def of(cls, along: np.ndarray, zero: np.ndarray) -> "Light":
        """Return the light of two directions of any length.

        Raises UserError for less than two vectors of three numbers, a zero one, and two that are not
        perpendicular: then no angle is defined.
        """
        made = []
        for name, given in (("light goes along", along), ("the angle is zero along", zero)):
            vector = np.asarray(given, float)
            if vector.shape != (3,) or not np.isfinite(vector).all() or not np.linalg.norm(vector) > 0:
                raise UserError(
                    f"{name} {given}; an angle needs two vectors of three numbers, neither of them zero"
                )
            made.append(vector / np.linalg.norm(vector))
        if abs(made[0] @ made[1]) > 1e-6:
            raise UserError(
                f"light along {along} with the angle zero along {zero}: the two are not perpendicular, and "
                "a polarization is across the light; give a second vector at right angles to the first"
            )
        return cls(*made)

    def polarizations(self, angles_deg: np.ndarray, geometry: str) -> tuple[np.ndarray, np.ndarray]:
        """Return e_i and e_s (n, 3) at angles (n,) of the polarizer. Raises UserError for no geometry."""
        if geometry not in GEOMETRIES:
            raise UserError(f"geometry {geometry!r}; allowed are {', '.join(GEOMETRIES)}")
        angle, side = np.deg2rad(np.asarray(angles_deg, float))[:, None], np.cross(self.along, self.zero)
        incident = np.cos(angle) * self.zero + np.sin(angle) * side
        across = -np.sin(angle) * self.zero + np.cos(angle) * side
        return incident, incident if geometry == "parallel" else across

    def forms(self, angles_deg: np.ndarray, geometry: str) -> np.ndarray:
        """Return the quadratic forms w wᵀ (n, 6, 6) at angles (n,) of the polarizer."""
        w = weights(*self.polarizations(angles_deg, geometry))
        return w[:, :, None] * w[:, None, :]


def powder_form() -> np.ndarray:
    """Return the form (6, 6) of (45 a² + 7 γ²)/45: light of any polarization seen at right angles.

    a is a third of the trace, γ² the anisotropy (Long, The Raman Effect, 2002, ch. 5).
    """
    trace = np.array([1, 1, 1, 0, 0, 0]) / 3
    mean, anisotropy = np.outer(trace, trace), np.diag([0.0, 0.0, 0.0, 3.0, 3.0, 3.0])
    for i, j in ((0, 1), (1, 2), (2, 0)):
        difference = np.zeros(6)
        difference[i], difference[j] = 1.0, -1.0
        anisotropy += 0.5 * np.outer(difference, difference)
    return mean + 7 / 45 * anisotropy


def intensities(matrices: np.ndarray, forms: np.ndarray) -> np.ndarray:
    """Return Σ Q_ab S_ab (…, k) of matrices (…, 6, 6) and forms Q (k, 6, 6)."""
    leading = matrices.shape[:-2]
    return np.asarray(matrices.reshape(*leading, 36) @ forms.reshape(-1, 36).T)


def packed(matrices: np.ndarray) -> np.ndarray:
    """Return the upper triangles (…, 21) of symmetric matrices (…, 6, 6)."""
    return np.asarray(matrices[(..., *np.triu_indices(6))])


def unpacked(triangles: np.ndarray) -> np.ndarray:
    """Return symmetric matrices (…, 6, 6) of their upper triangles (…, 21)."""
    first, second = np.triu_indices(6)
    matrices = np.empty((*triangles.shape[:-1], 6, 6))
    matrices[..., first, second] = matrices[..., second, first] = triangles
    return matrices


def activity_spectra(
    components_A3: np.ndarray, every_fs: float, temperature_K: float, settings: Spectrum,
    timestep_fs: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return wavenumbers (n,), cm⁻¹, and S (n, 6, 6), Å⁴/amu per cm⁻¹, of one run's components (n_steps, 6).

    Components are in Å³, ``every_fs`` is the time between two. The derivative is the difference of
    neighbours; what that takes from high frequencies is given back. ``timestep_fs`` is that of velocity
    Verlet, whose shift is taken out (``spectra.without_timestep``). Raises UserError for a series with a gap
    or too short.
    """
    series = checked_series(components_A3, every_fs, settings.depth_fs, smooth=False)
    rates = np.diff(series, axis=0) / (every_fs * ase.units.fs)
    wavenumbers, power = cross_spectra(rates, every_fs, settings)
    half_phase = np.pi * LIGHT_cm_per_fs * wavenumbers * every_fs
    power = power / np.sinc(half_phase / np.pi)[:, None, None] ** 2
    power = 2.0 * LIGHT_cm_per_fs / (kB * temperature_K) * power
    true, moved = without_timestep(wavenumbers, np.moveaxis(power, 0, -1), timestep_fs)
    return true, np.moveaxis(moved, -1, 0)


def stokes(wavenumbers_cm1: np.ndarray, temperature_K: float, laser_cm1: float) -> np.ndarray:
    """Return what makes activities Stokes intensities (n,), cm: (1 − ν/ν_L)⁴/ν · 1/(1 − e^(−hcν/kT)).

    Raises UserError for wavenumbers that are not between 0 and the laser's.
    """
    nu = np.asarray(wavenumbers_cm1, float)
    if len(nu) and not (nu.min() > 0 and nu.max() < laser_cm1):
        raise UserError(
            f"Raman shifts from {nu.min():.6g} to {nu.max():.6g} cm⁻¹ of light of {laser_cm1:.6g} cm⁻¹; "
            "allowed are those above 0 and below the light's own"
        )
    occupied = -1.0 / np.expm1(-nu * ase.units.invcm / (kB * temperature_K))
    return np.asarray((1 - nu / laser_cm1) ** 4 / nu * occupied)


def mode_activities(tensors: np.ndarray) -> np.ndarray:
    """Return the matrices R_k R_kᵀ (k, 6, 6), Å⁴/amu, of tensors R_k = ∂α/∂Q_k (k, 3, 3), Å²/√amu.

    A form of one is the area of the mode's line: I_k(θ) = (e_iᵀ R_k e_s)².
    """
    parts = components_of(tensors)
    return parts[:, :, None] * parts[:, None, :]
