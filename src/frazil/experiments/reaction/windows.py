"""What is sampled: a path's system, windows along the coordinate, and their potentials.

Window w adds ½ κ (ξ(q̄) − ξ_w)² to the potential, q̄ the ring's centroid. All windows of all isotopes are
kinds of one batch: a kind has a window's ½ κ ξ² − κ ξ_w ξ, the same but for a constant, and an isotope's
masses.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from frazil.analysis.normal_modes import normal_modes
from frazil.errors import UserError
from frazil.experiments.at_rest import check_beads, check_timestep, source_of
from frazil.experiments.reaction.coordinate import Coordinate, Linear, Squared, coordinate_of
from frazil.experiments.reaction.path import ReactionPath, path_of, read_path
from frazil.experiments.reaction.settings import Reaction
from frazil.md.state import State, System
from frazil.potentials.registry import Source
from frazil.potentials.rings import RingPolymer
from frazil.potentials.surface import members_of
from frazil.potentials.transform import Bias, SameForAll, mixture_of
from frazil.units import kB

STEPS_PER_PERIOD = 14
"""Of the fastest mode, at least: BAOAB samples positions of a harmonic mode without error at any step."""
HEAVY_amu = {"D": 2.01410177784, "T": 3.01604928}
"""Masses of the isotopes of hydrogen (AME2020)."""


@dataclass(frozen=True)
class Subject:
    """A path under a potential, its coordinate, and the fastest mode of its two minima."""

    source: Source
    path: ReactionPath
    coordinate: Coordinate
    fastest_cm1: float

    @property
    def atoms(self) -> Atoms:
        """The path's first structure."""
        return self.path.atoms

    def masses_of(self, isotope: str) -> np.ndarray:
        """Return the masses (natoms,), amu, with an isotope of the moving atom."""
        masses = self.atoms.get_masses()
        if isotope in HEAVY_amu:
            masses[self.coordinate.atoms[1]] = HEAVY_amu[isotope]
        return masses

    def called(self, isotope: str) -> str:
        """Return what tables call an isotope: the element's symbol of the natural one."""
        return isotope if isotope in HEAVY_amu else str(self.atoms.symbols[self.coordinate.atoms[1]])


@dataclass(frozen=True)
class Set:
    """A number of beads and an isotope: what one profile is of."""

    n_beads: int
    isotope: str


def subject_of(settings: Reaction) -> Subject:
    """Return what the settings name, checked.

    Raises UserError for a path that is none (``path.path_of``), atoms that are not there, isotopes of what
    is no hydrogen, a time step too long for the fastest mode, and too few beads for it.
    """
    if settings.structures is None or settings.model is None:
        raise UserError("no structures and model; give both (reaction.structures, reaction.model)")
    found = _subject(settings.structures, settings.model, settings.coordinate_atoms, settings.n_images)
    moving = found.atoms.numbers[found.coordinate.atoms[1]]
    heavy = [isotope for isotope in settings.isotopes if isotope in HEAVY_amu]
    if heavy and moving != atomic_numbers["H"]:
        raise UserError(
            f"isotope {heavy[0]} of the moving atom of {found.path.name}, atom {found.coordinate.atoms[1]}, "
            f"{found.called('natural')}; D and T are of hydrogen: give natural (isotopes), or another atom "
            "(coordinate_atoms)"
        )
    check_timestep(found.path.name, settings.timestep_fs, found.fastest_cm1, STEPS_PER_PERIOD)
    check_beads(found.path.name, settings.n_beads, settings.temperature_K, found.fastest_cm1)
    return found


@cache
def _subject(file: Path, model: Path, chosen: tuple[int, ...], n_images: int) -> Subject:
    frames, name = read_path(file)
    coordinate = coordinate_of(chosen, frames[0], name)
    source = source_of(model)
    members = members_of(source, frames[0])
    path = path_of(frames, name, members.surface, n_images)
    masses, fastest = path.atoms.get_masses(), 0.0
    for number in (path.basin, path.beyond):
        hessian, _ = members.curvature(path.positions_A[number])
        modes = normal_modes(hessian, path.positions_A[number], masses)
        fastest = max(fastest, float(modes.wavenumbers_cm1.max()))
    return Subject(source, path, coordinate, fastest)


def centres_of(settings: Reaction) -> np.ndarray:
    """Return the windows' coordinates (K,), Å."""
    return np.linspace(settings.first_A, settings.last_A, settings.n_windows)


def sets_of(settings: Reaction) -> list[Set]:
    """Return what is sampled, in order: classical nuclei once, rings of every isotope."""
    found = []
    for n_beads in settings.n_beads:
        isotopes = settings.isotopes[:1] if n_beads == 1 else settings.isotopes
        found += [Set(n_beads, isotope) for isotope in isotopes]
    return found


def potential_of(
    subject: Subject, settings: Reaction, n_beads: int, n_isotopes: int, member: int | None
) -> RingPolymer:
    """Return the rings' potential, of a kind for each window of each isotope, the windows last."""
    whole = SameForAll(subject.source.potential(subject.atoms, member))
    stiffness = settings.window_eV_per_A2
    weights = [[0.5 * stiffness, -stiffness * centre] for centre in centres_of(settings)] * n_isotopes
    parts = [SameForAll(Bias(own(subject.coordinate))) for own in (Squared, Linear)]
    return RingPolymer(whole, n_beads, mixture_of(parts, weights, by_kind=True))


def reduced(coordinates_A: np.ndarray, settings: Reaction) -> np.ndarray:
    """Return u = ½ κ (ξ − ξ_k)²/kT (K, n) of samples (n,) in each window (K,)."""
    apart = coordinates_A - centres_of(settings)[:, None]
    return np.asarray(0.5 * settings.window_eV_per_A2 * apart**2 / (kB * settings.temperature_K))


@dataclass(frozen=True)
class Samples:
    """``coordinates`` (1 + beads,) of the centroid and the beads, Å; ``root`` (), see ``Coordinate.root``.

    ``with_energy``: also ``positions_A`` of the centroid and ``potential_eV``, without the window's, of one
    bead.
    """

    coordinate: Coordinate
    n_beads: int
    with_energy: bool = False

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return them."""
        beads = state.positions.reshape(self.n_beads, -1, 3)
        centroid, masses = beads.mean(axis=0), system.masses.reshape(self.n_beads, -1)[0]
        every = jnp.concatenate([self.coordinate(centroid)[None], self.coordinate(beads)])
        found = {"coordinates": every, "root": self.coordinate.root(centroid, masses)}
        if self.with_energy:
            own = state.energy / self.n_beads - state.info["centroid_energy_eV"]
            found |= {"positions_A": centroid, "potential_eV": own}
        return found


def starts_of(subject: Subject, centres: np.ndarray) -> np.ndarray:
    """Return where windows start (K, natoms, 3), Å: on the path, at its nearest coordinate."""
    return np.array([subject.path.nearest(subject.coordinate, centre) for centre in centres])
