"""What vibrates: a structure at rest under a potential, its members' modes, and what a run can show."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms

from frazil.analysis.normal_modes import Modes, intensities_of, matched, normal_modes
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import infrared_spectrum, vibrational_density, without_timestep
from frazil.data.structures import matrix_of
from frazil.errors import UserError
from frazil.experiments.at_rest import check_cell, check_shown, source_of, structure_of
from frazil.experiments.dipoles import slopes_of
from frazil.experiments.vibrations.settings import Vibrations
from frazil.potentials.registry import Source
from frazil.potentials.surface import members_of
from frazil.systems.minima import ModelModes, model_modes, moved_A


@dataclass(frozen=True)
class Subject:
    """A structure at rest under a potential.

    given: as it was read. modes: of the members' mean, and of each member. moved_A and lowered_eV: how far
    its atoms and its energy went to the minimum, from a largest force of force_eV_per_A. labels: the modes of
    the Hessian that came with the structure, None without. dipole_slopes_e (natoms, 3, 3): ∂μ/∂r of the mean
    at rest; None where the potential has no dipole, for the reason ``no_dipole``.
    """

    name: str
    given: Atoms
    source: Source
    modes: ModelModes
    force_eV_per_A: float
    lowered_eV: float
    labels: Modes | None
    dipole_slopes_e: np.ndarray | None
    no_dipole: str

    @property
    def atoms(self) -> Atoms:
        """The structure at rest."""
        return self.modes.minimum.atoms

    @property
    def moved_A(self) -> float:
        """The largest distance of an atom between the given structure and the one at rest."""
        return moved_A(self.given, self.atoms)

    @property
    def n_members(self) -> int:
        """Members that run; 1 where one model is all there is."""
        return self.source.n_members

    @property
    def fastest_cm1(self) -> float:
        """The highest harmonic wavenumber of the mean and of all members."""
        everything = [self.modes.minimum.modes.wavenumbers_cm1, *self.modes.members_cm1]
        return float(np.nanmax(np.concatenate(everything)))


def subject_of(settings: Vibrations) -> Subject:
    """Return what the settings name, relaxed, and checked against their times.

    A crystal vibrates in its cell. Raises UserError for a file that holds no single structure, a potential
    that is not made for it, a structure without a minimum near, a time step too long for its fastest mode,
    and a spectrum that ends below it.
    """
    if settings.structure is None or settings.model is None:
        raise UserError("no structure and model; give both (vibrations.structure, vibrations.model)")
    found = _relaxed(settings.structure, settings.model)
    check_shown(
        found.name, found.fastest_cm1, settings.timestep_fs, settings.density.highest_cm1,
        settings.velocity_every_fs, "velocity_every_fs",
    )  # fmt: skip
    return found


@cache
def _relaxed(structure: Path, model: Path) -> Subject:
    (given, name), source = structure_of(structure, periodic=True), source_of(model)
    check_cell(given, name, model, source)
    members = members_of(source, given)
    energy_eV, forces = members.surface(given.positions)
    modes = model_modes(members, source.n_members, given, name)
    lowered = energy_eV - members.surface(modes.minimum.atoms.positions)[0]
    labels = None
    if "hessian_eV_per_A2" in given.info:
        hessian = matrix_of(given.info["hessian_eV_per_A2"])
        labels = normal_modes(hessian, given.positions, given.get_masses(), periodic=bool(given.pbc.any()))
    largest = float(np.linalg.norm(forces, axis=1).max())
    slopes, why = slopes_of(source, modes.minimum.atoms, name)
    return Subject(name, given, source, modes, largest, lowered, labels, slopes, why)


def label_lines_cm1(subject: Subject) -> np.ndarray:
    """Return the labels' harmonic wavenumbers (n_modes,) in the order of the modes that they are like."""
    own = subject.modes.minimum.modes
    if subject.labels is None or len(subject.labels.wavenumbers_cm1) != len(own.wavenumbers_cm1):
        return np.full(len(own.wavenumbers_cm1), np.nan)
    return subject.labels.wavenumbers_cm1[matched(own, subject.labels, subject.atoms.get_masses())]


def spectrum_of(settings: Vibrations) -> Spectrum:
    """Return how densities are made."""
    return Spectrum(**vars(settings.density))


def density_of(
    velocities: np.ndarray, masses_amu: np.ndarray, settings: Vibrations
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,) and density (n,) of a run's velocities, without the shift of its time step."""
    found = vibrational_density(
        velocities, masses_amu, settings.velocity_every_fs, settings.temperature_K, spectrum_of(settings)
    )
    return without_timestep(*found, settings.timestep_fs)


def absorption_of(dipoles_e_A: np.ndarray, settings: Vibrations) -> np.ndarray:
    """Return the absorption (n,), km/mol per cm⁻¹, of a run's dipoles (n_steps, 3), at the wavenumbers of
    ``density_of``, without the shift of its time step.
    """
    wanted = replace(spectrum_of(settings), temperature_K=settings.temperature_K)
    found = infrared_spectrum(dipoles_e_A, settings.velocity_every_fs, wanted)
    return without_timestep(*found, settings.timestep_fs)[1]


def intensities_km_per_mol(subject: Subject) -> np.ndarray:
    """Return the harmonic intensities (n_modes,) of the mean's modes; nan without a dipole."""
    modes = subject.modes.minimum.modes
    if subject.dipole_slopes_e is None:
        return np.full(len(modes.wavenumbers_cm1), np.nan)
    return intensities_of(modes.displacements, subject.dipole_slopes_e)


def wavenumbers_cm1(settings: Vibrations) -> np.ndarray:
    """Return where densities are given (n,)."""
    shortest = round(settings.density.depth_fs / settings.velocity_every_fs) + 3
    return density_of(np.zeros((shortest, 1, 3)), np.ones(1), settings)[0]
