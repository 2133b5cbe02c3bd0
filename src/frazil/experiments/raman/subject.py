"""What scatters light: a structure at rest under a potential, its modes, and ∂α/∂Q along them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms

from frazil.analysis.raman import Light, activity_spectra, components_of
from frazil.analysis.settings import Spectrum
from frazil.errors import UserError
from frazil.experiments.at_rest import check_cell, check_shown, source_of, structure_of
from frazil.experiments.raman.settings import CM_in_nm, Raman
from frazil.potentials.polarizability import PolarizabilitySource, along, mode_tensors
from frazil.potentials.polarizability import load as polarizability_of
from frazil.potentials.registry import Source
from frazil.potentials.surface import members_of
from frazil.systems.minima import Minimum, model_minimum, moved_A

STEP = 1e-3
"""Of a normal coordinate, √amu Å, for ∂α/∂Q by central differences."""
AXIS = 1e-6
"""Sine of the angle that light may make with an axis of a crystal."""


@dataclass(frozen=True)
class Subject:
    """A structure at rest under a potential, and its polarizability.

    tensors (members, n_modes, 3, 3): R_k = ∂α/∂Q_k, Å²/√amu, of each member of the polarizability.
    worst_slope: how far these are from central differences, of the largest. seeing: of each member, the
    polarizabilities (n, 3, 3) of frames (n, natoms, 3).
    """

    name: str
    given: Atoms
    source: Source
    polarizability: PolarizabilitySource
    minimum: Minimum
    tensors: np.ndarray
    worst_slope: float
    light: Light
    seeing: Callable[[np.ndarray], np.ndarray]

    @property
    def atoms(self) -> Atoms:
        """The structure at rest."""
        return self.minimum.atoms

    @property
    def wavenumbers_cm1(self) -> np.ndarray:
        """Of the harmonic modes (n_modes,)."""
        return self.minimum.modes.wavenumbers_cm1

    @property
    def moved_A(self) -> float:
        """The largest distance of an atom between the given structure and the one at rest."""
        return moved_A(self.given, self.atoms)

    @property
    def n_members(self) -> int:
        """Members that tell the model's error: of the potential, of the polarizability, or of both in
        pairs.
        """
        return max(self.source.n_members, self.polarizability.n_members)

    def seen_by(self, member: int) -> list[int]:
        """Return the members of the polarizability that see the runs of a member of the potential."""
        if self.source.n_members == 1:
            return list(range(self.polarizability.n_members))
        return [member if self.polarizability.n_members > 1 else 0]


def subject_of(settings: Raman) -> Subject:
    """Return what the settings name, relaxed, and checked against their times and their light.

    Raises UserError for a file without one structure, a potential or polarizability that is not made for it,
    light along no axis of a crystal, a time step too long for its fastest mode, and spectra that end below
    it.
    """
    if settings.structure is None or settings.model is None or settings.polarizability is None:
        raise UserError("no structure, model and polarizability; give all three (raman.structure, …)")
    found = _relaxed(
        settings.structure, settings.model, settings.polarizability, settings.light_along, settings.zero_along
    )
    check_shown(
        found.name, float(found.wavenumbers_cm1.max()), settings.timestep_fs, settings.transform.highest_cm1,
        settings.polarizability_every_fs, "polarizability_every_fs",
    )  # fmt: skip
    return found


@cache
def _relaxed(
    structure: Path,
    model: Path,
    polarizability: Path,
    light_along: tuple[float, ...],
    zero_along: tuple[float, ...],
) -> Subject:
    light = Light.of(np.array(light_along), np.array(zero_along))
    (given, name), source = structure_of(structure, periodic=True), source_of(model)
    response = polarizability_of(polarizability)
    check_light(name, given, light)
    check_cell(given, name, model, source)
    if min(source.n_members, response.n_members) > 1 and source.n_members != response.n_members:
        raise UserError(
            f"{source.n_members} members of the potential and {response.n_members} of the polarizability; "
            "they go in pairs, or one of the two has a single member"
        )
    function = response.function(given)
    seeing = along(function)
    components_of(seeing(given.positions[None]))  # symmetric, before any work
    minimum = model_minimum(given, name, members_of(source, given))
    x, displacements = minimum.atoms.positions, minimum.modes.displacements
    tensors = mode_tensors(function, x, displacements)
    moves = STEP * np.concatenate([displacements, -displacements])
    plus, minus = np.split(seeing(x + moves).swapaxes(0, 1), 2, axis=1)
    worst = np.abs((plus - minus) / (2 * STEP) - tensors).max() / np.abs(tensors).max()
    return Subject(name, given, source, response, minimum, tensors, float(worst), light, seeing)


def check_light(name: str, atoms: Atoms, light: Light) -> None:
    """Raise UserError for light along no axis of a crystal's setting, and say which setting is assumed."""
    if not atoms.pbc.any():
        return
    axes = atoms.cell.array
    units = axes / np.linalg.norm(axes, axis=1)[:, None]
    if np.linalg.norm(np.cross(units, light.along), axis=1).min() > AXIS:
        told = ", ".join(
            f"{letter} along ({', '.join(f'{value:.3g}' for value in axis)})"
            for letter, axis in zip("abc", units, strict=True)
        )
        raise UserError(
            f"light along ({', '.join(f'{value:.3g}' for value in light.along)}) in {name}, whose axes are "
            f"taken from its file: {told}. Light along no axis of this setting is split in two by the "
            "crystal; allowed is a direction along one of them: change light_along, or turn the crystal"
        )


def laser_cm1(settings: Raman) -> float:
    """Return the wavenumber of the light."""
    return CM_in_nm / settings.laser_nm


def spectrum_of(settings: Raman) -> Spectrum:
    """Return how spectra are made."""
    return Spectrum(**vars(settings.transform))


def cross_spectra_of(components_A3: np.ndarray, settings: Raman, temperature_K: float) -> np.ndarray:
    """Return the activities (n, 6, 6), Å⁴/amu per cm⁻¹, of a run's components, from ``lowest_cm1`` on."""
    every, wanted = settings.polarizability_every_fs, spectrum_of(settings)
    _, found = activity_spectra(components_A3, every, temperature_K, wanted, settings.timestep_fs)
    return found[_shown(settings)]


def wavenumbers_cm1(settings: Raman) -> np.ndarray:
    """Return where spectra are given (n,)."""
    return _all_wavenumbers(settings)[_shown(settings)]


def _shown(settings: Raman) -> np.ndarray:
    return _all_wavenumbers(settings) >= settings.lowest_cm1


@cache
def _all_wavenumbers(settings: Raman) -> np.ndarray:
    shortest = round(settings.transform.depth_fs / settings.polarizability_every_fs) + 4
    none = np.zeros((shortest, 6))
    return activity_spectra(
        none, settings.polarizability_every_fs, 1.0, spectrum_of(settings), settings.timestep_fs
    )[0]
