"""The molecule that is shot: at rest under the potential that drives, then turning and vibrating as asked.

At a temperature its rotation is classical: angular momenta about the principal axes with variances I kT. Its
vibration is the harmonic canonical ensemble of its modes. In a state (v, J) a diatomic has the energy of its
EBK level, L² = J(J + 1)ħ², and a phase that is uniform in time.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from scipy.integrate import cumulative_trapezoid

from frazil.errors import UserError
from frazil.experiments.sticking.driver import Driver
from frazil.experiments.sticking.settings import H2, Campaign, flight_fs_of
from frazil.files import write_atomic
from frazil.potentials.surface import bond_curve_of, members_of
from frazil.seeds import rng
from frazil.systems.diatomic import BondCurve
from frazil.systems.minima import Minimum, model_minimum
from frazil.systems.molecules import Molecules, molecule
from frazil.systems.starts import canonical
from frazil.units import hbar, kB

FILE = "projectile.extxyz"
AS_GIVEN = H2
"""Keeps its length of the published study, 0.7414 Å; any other is relaxed under the potential that drives."""
N_PHASES = 4000
SLENDER_amu_A2 = 1e-3
"""A smaller moment of inertia is that of a line about itself."""


@dataclass(frozen=True)
class Projectile:
    """A molecule at rest, its centre of mass at the origin, and the potential that it has alone."""

    atoms: Atoms
    source: Driver | None = None

    @property
    def name(self) -> str:
        """Its Hill formula."""
        return str(self.atoms.get_chemical_formula())

    @property
    def mass_amu(self) -> float:
        """Its mass."""
        return float(self.atoms.get_masses().sum())

    @cached_property
    def minimum(self) -> Minimum:
        """The molecule alone with its modes."""
        assert self.source is not None
        return model_minimum(self.atoms, self.name, members_of(self.source.source, self.atoms))

    @cached_property
    def curve(self) -> BondCurve:
        """The bond curve of a diatomic alone. Raises UserError where the potential has none."""
        assert self.source is not None
        return bond_curve_of(self.source.source, self.atoms, (0, 1))

    @property
    def _reduced_mass_amu(self) -> float:
        one, two = self.atoms.get_masses()
        return float(one * two / (one + two))

    def with_surface(self, surface: Atoms) -> Atoms:
        """Return the atoms of a surface and then this molecule's, which is free (array ``fixed``)."""
        both = Atoms(
            np.append(surface.numbers, self.atoms.numbers),
            np.concatenate([surface.positions, self.atoms.positions]),
        )
        both.set_array("fixed", np.append(surface.arrays["fixed"].astype(bool), [False] * len(self.atoms)))
        return both

    def drawn(self, campaign: Campaign, identity: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions, Å, and velocities, ASE units, (natoms, 3) about the centre of mass, not turned.

        A pure function of the campaign and the id of the trajectory.
        """
        if campaign.vibrational_number >= 0:
            return self._in_state(campaign, identity)
        positions, velocities = self.atoms.positions, np.zeros((len(self.atoms), 3))
        if len(self.atoms) == 1:
            return positions, velocities
        if campaign.vibrational_temperature_K:
            ids = (campaign.campaign_seed, "projectile-vibration", identity)
            positions, velocities = canonical(self.minimum, campaign.vibrational_temperature_K, *ids)
        if campaign.rotational_temperature_K:
            generator = rng(campaign.campaign_seed, "projectile-rotation", identity)
            velocities = velocities + self._turning(positions, campaign.rotational_temperature_K, generator)
        return positions, velocities

    def _turning(self, positions: np.ndarray, gas_K: float, generator: np.random.Generator) -> np.ndarray:
        """Return velocities (natoms, 3) of a rigid rotor at a temperature: L along axes from N(0, IkT)."""
        masses = self.atoms.get_masses()
        tensor = (masses[:, None, None] * (
            (positions**2).sum(axis=1)[:, None, None] * np.eye(3) - positions[:, :, None] * positions[:, None]
        )).sum(axis=0)  # fmt: skip
        moments, axes = np.linalg.eigh(tensor)
        turns = moments > SLENDER_amu_A2
        drawn = generator.normal(size=3) * np.sqrt(kB * gas_K * np.where(turns, moments, 0.0))
        omega = axes @ (drawn / np.where(turns, moments, 1.0))
        return np.asarray(np.cross(omega, positions))

    def _in_state(self, campaign: Campaign, identity: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a diatomic along z in the state (v, J), at a phase that is uniform in time."""
        generator = rng(campaign.campaign_seed, "projectile-state", identity)
        v, J = campaign.vibrational_number, campaign.rotational_number
        mass, momentum = self._reduced_mass_amu, float(np.sqrt(J * (J + 1.0))) * hbar
        energy = self.level_eV(v, J)
        inner, outer = self.curve.turning_points(energy, momentum)
        # The time from the inner end on, by the angle of r = middle − half cos(angle): no ends are singular.
        angles = (np.arange(N_PHASES) + 0.5) * np.pi / N_PHASES
        lengths = 0.5 * (inner + outer) - 0.5 * (outer - inner) * np.cos(angles)
        kinetic = energy - self.curve.energy(lengths) - momentum**2 / (2 * mass * lengths**2)
        speeds = np.sqrt(2 * np.maximum(kinetic, 0.0) / mass)
        slowness = 0.5 * (outer - inner) * np.sin(angles) / np.maximum(speeds, 1e-30)
        time = cumulative_trapezoid(slowness, angles, initial=0.0)
        length = float(np.interp(generator.uniform() * time[-1], time, lengths))
        sign, turn = generator.choice([-1.0, 1.0]), generator.uniform(0.0, 2 * np.pi)
        kinetic_now = energy - float(self.curve.energy(length)) - momentum**2 / (2 * mass * length**2)
        radial = sign * np.sqrt(2 * max(kinetic_now, 0.0) / mass)
        sideways = momentum / (mass * length)
        relative = np.array([sideways * np.cos(turn), sideways * np.sin(turn), radial])
        one, two = self.atoms.get_masses() / self.mass_amu
        share = np.array([[-two], [one]])
        return share * np.array([0.0, 0.0, length]), share * relative

    def level_eV(self, v: int, J: int) -> float:
        """Return the energy of a level above the curve's minimum. Raises UserError where there is none."""
        return self.curve.energy_of(v, J)


def check(projectile: Projectile, campaign: Campaign) -> None:
    """Raise UserError for a state that the projectile cannot have, and one too slow to reach the surface.

    H2 is left as the published study has it; at its energies it arrives within half of its 10 ps.
    """
    slowest_K = min(campaign.energies_K)
    flight_fs = flight_fs_of(campaign, projectile.mass_amu)
    if projectile.name != AS_GIVEN and flight_fs >= campaign.duration_fs:
        raise UserError(
            f"{projectile.name} at {slowest_K:g} K needs {flight_fs:.0f} fs to reach the surface, "
            f"{campaign.duration_fs:g} fs are run; give a longer sticking.duration_fs (of the long ones "
            "sticking.attempts_duration_fs), higher sticking.energies_K, or a lower sticking.start_height_A"
        )
    if campaign.vibrational_number >= 0:
        if len(projectile.atoms) != 2:
            raise UserError(
                f"a state (v, J) of {projectile.name}; only diatomics have one here: give temperatures "
                "(--vibrational-temperature-K, --rotational-temperature-K)"
            )
        projectile.level_eV(campaign.vibrational_number, campaign.rotational_number)


def of(what: str, source: Driver) -> Projectile:
    """Return the projectile that a name, SMILES or file says, at rest under the potential that drives.

    Raises UserError for what is no molecule, elements that the potential does not know, and a molecule that
    has no minimum near.
    """
    atoms = molecule(what)
    source.potential(atoms)
    if what != AS_GIVEN and len(atoms) > 1:
        relaxed = model_minimum(atoms, what, members_of(source.source, atoms)).atoms
        if len(Molecules.of(relaxed)) != 1:
            raise UserError(f"{what} alone falls apart under the potential; give another potential")
        atoms = Atoms(relaxed.numbers, relaxed.positions)
    atoms.positions -= atoms.get_center_of_mass()
    return Projectile(atoms, source)


def write(projectile: Projectile, folder: Path) -> None:
    """Write a projectile beside the surfaces that it is shot at."""
    with write_atomic(folder / FILE) as partial:
        ase.io.write(partial, projectile.atoms, format="extxyz")


def read(folder: Path | str, source: Driver) -> Projectile:
    """Return the projectile beside surfaces; H2 of the published study where there is no file of one."""
    path = Path(folder) / FILE
    if not path.is_file():
        return Projectile(molecule(AS_GIVEN), source)
    atoms = ase.io.read(path, do_not_split_by_at_sign=True)
    return Projectile(Atoms(atoms.numbers, atoms.positions), source)
