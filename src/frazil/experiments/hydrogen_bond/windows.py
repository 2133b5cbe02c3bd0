"""What is taken out of what, and the windows between: potentials, restraint, and what is sampled.

The path, with the couplings λ1 and λ2 (a cluster A·B of the molecule A and the rest B): V = λ1 V(A·B) + (1 −
λ1)[V(A) + V(B)] + λ2 ½ k (d − d0)², d the distance of the centres of mass of A and B. λ2 goes from 0 to 1 at
λ1 = 1, then λ1 from 1 to 0. The restraint holds no direction, so that the cluster turns as it likes, and what
it leaves to the free molecule is known: ∫ 4πd² exp(−k(d − d0)²/2kT) dd.

A crystal does not turn: there d is the vector between the centres, the restraint holds the molecule at its
place, and leaves it (2πkT/k)^{3/2}. A molecule that turned at λ1 = 0 would be caught in orientations which
its neighbours have no room for. Hence λ3 ½ κ Σ_i |u_i − u_i0|² holds its atoms too, u_i their vectors from
its centre. λ2 and λ3 go from 0 to 1 together, then λ1 from 1 to 0, then λ3 from 1 to 0: the free molecule is
let turn.

Its neighbours would come into the gap that it leaves, and their neighbours into theirs: the gap would wander
off, and a small crystal melt from it. Hence a wall, the same in all windows, that each other molecule meets
half-way to the next place: what is taken out is the molecule of that place.

In path integrals λ1 acts on every bead, restraints on the centroids. A alone is in no cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from ase import Atoms
from ase.geometry import get_distances

from frazil.errors import UserError
from frazil.experiments.at_rest import check_beads, check_cell, check_timestep, source_of, structure_of
from frazil.experiments.hydrogen_bond.settings import MASS_NODES, HydrogenBond
from frazil.experiments.hydrogen_bond.tables import DECOUPLE, RESTRAIN, TURN
from frazil.md.state import State, System
from frazil.potentials.interface import Analytic, Potential
from frazil.potentials.registry import Source
from frazil.potentials.rings import RingPolymer
from frazil.potentials.surface import members_of
from frazil.potentials.transform import OnAtoms, SameForAll, mixture_of, sum_of
from frazil.pytrees import pytree
from frazil.systems.crystals import whole_molecules
from frazil.systems.minima import Minimum, model_minimum
from frazil.systems.molecules import centre_weights, molecules_of
from frazil.units import kB

STEPS_PER_PERIOD = 14
"""Of the fastest mode, at least: BAOAB samples positions of a harmonic mode without error at any step."""
TINY_A2 = 1e-12
"""Under a root, whose slope at 0 would be infinite."""
SOFT = 3
"""λ1 = s³, s from 1 to 0 evenly: near 0, where the molecule may be in another's place, windows are dense. So
are those of λ3, near 0, where the molecule begins to turn.
"""
WALL_eV_per_A2 = 5.0
"""Of a molecule of a crystal that has gone half-way to the next place."""


@dataclass(frozen=True)
class Window:
    """A window: coupling λ1, restraints λ2 and λ3, and the root g of how much lighter than now the nuclei are
    not.

    Masses are m/g²: heavy nuclei, near g = 0, are classical.
    """

    coupling: float
    restraint: float
    orientation: float = 0.0
    lightness: float = 1.0

    @property
    def told(self) -> str:
        """Its couplings, λ3 where that is not 0."""
        return f"λ1 {self.coupling:.3g}, λ2 {self.restraint:.3g}" + (
            f", λ3 {self.orientation:.3g}" if self.orientation else ""
        )


@dataclass(frozen=True)
class Subject:
    """A cluster or crystal at rest, its molecules whole, and the molecule that is taken out of it.

    molecule, rest: their atoms, ascending; molecules: those of each. distance_A: of their centres of mass at
    rest.
    """

    name: str
    source: Source
    minimum: Minimum
    molecule: np.ndarray
    rest: np.ndarray
    molecules: tuple[np.ndarray, ...]

    @property
    def atoms(self) -> Atoms:
        """The cluster at rest."""
        return self.minimum.atoms

    @property
    def arm(self) -> np.ndarray:
        """Weights (natoms,): their sum over positions is the vector from the rest's centre to the other."""
        molecule, rest = centre_weights(self.atoms.get_masses(), [self.molecule, self.rest])
        return np.asarray(molecule - rest)

    @property
    def periodic(self) -> bool:
        """Whether this is a crystal."""
        return bool(self.atoms.pbc.any())

    @property
    def distance_A(self) -> float:
        """The distance of the centres at rest."""
        return float(np.linalg.norm(self.arm @ self.atoms.positions))

    @property
    def held(self) -> "Held":
        """What the restraint of unit strength holds."""
        arm = jnp.asarray(self.arm)
        return Held(arm, jnp.asarray(self.arm @ self.atoms.positions) if self.periodic else self.distance_A)

    @property
    def about(self) -> "About | None":
        """Of a crystal: the vectors of the molecule's atoms from its centre, and the same at rest."""
        if not self.periodic:
            return None
        masses = self.atoms.get_masses()[self.molecule]
        own = tuple(map(int, self.molecule))
        about = About(own, jnp.asarray(masses / masses.sum()), jnp.zeros((len(own), 3)))
        return About(own, about.weights, about.vectors_A(jnp.asarray(self.atoms.positions)))

    @property
    def places(self) -> "Places | None":
        """Of a crystal: where the centres of its other molecules are, from the centre of all of these."""
        if not self.periodic:
            return None
        *arms, whole = centre_weights(self.atoms.get_masses(), [*self.molecules, self.rest])
        centres = np.array(arms) @ self.atoms.positions
        apart = get_distances(centres, cell=self.atoms.cell, pbc=self.atoms.pbc)[1]
        np.fill_diagonal(apart, self.atoms.cell.lengths().min())
        others = np.array(arms)[[own[0] != self.molecule[0] for own in self.molecules]] - whole
        rest_A = others @ self.atoms.positions
        return Places(jnp.asarray(others), jnp.asarray(rest_A), float(apart.min() / 2))


def subject_of(settings: HydrogenBond) -> Subject:
    """Return what the settings name, relaxed and checked.

    Raises UserError for a file that holds no single structure, a potential that is not made for its cell,
    atoms that are no whole molecule or all there is, a time step too long for the fastest mode, and too few
    beads for it.
    """
    if settings.structure is None or settings.model is None:
        raise UserError("no structure and model; give both (hydrogen_bond.structure, hydrogen_bond.model)")
    found = _relaxed(settings.structure, settings.model, settings.molecule_atoms)
    fastest = float(found.minimum.modes.wavenumbers_cm1.max())
    check_timestep(found.name, settings.timestep_fs, fastest, STEPS_PER_PERIOD)
    check_beads(found.name, settings.n_beads, settings.temperature_K, fastest)
    return found


@cache
def _relaxed(structure: Path, model: Path, chosen: tuple[int, ...]) -> Subject:
    given, name = structure_of(structure, periodic=True)
    source = source_of(model)
    check_cell(given, name, model, source)
    molecule, rest, molecules = _parts(given, chosen, name)
    minimum = model_minimum(given, name, members_of(source, given))
    return Subject(name, source, minimum, molecule, rest, molecules)


def _parts(
    atoms: Atoms, chosen: Sequence[int], name: str
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Return the atoms of the molecule, of the rest and of each molecule; those of a crystal are brought in
    one piece.

    Raises UserError for what is no whole molecule.
    """
    if atoms.pbc.any():
        atoms.positions, found = whole_molecules(atoms, name)
    else:
        found = molecules_of(atoms)
    molecules = [own.tolist() for own in found]
    wanted = sorted(chosen)
    if wanted not in molecules or len(molecules) == 1:
        listed = "; ".join(",".join(map(str, own)) for own in molecules[:6])
        raise UserError(
            f"atoms {','.join(map(str, wanted))} of {name} ({atoms.symbols}) are no whole molecule beside "
            f"others; its molecules are {listed}{' …' if len(molecules) > 6 else ''}: give one "
            "(molecule_atoms)"
        )
    return np.array(wanted), np.setdiff1d(np.arange(len(atoms)), wanted), tuple(map(np.array, molecules))


def path_of(settings: HydrogenBond, periodic: bool) -> list[Window]:
    """Return the windows of all steps, in order; the last of one is the first of the next."""
    held = [
        Window(1.0, float(x), float(x) * periodic)
        for x in np.linspace(0, 1, settings.n_restraint_windows) ** 2
    ]
    left = np.linspace(1, 0, settings.n_coupling_windows + 1)[1:] ** SOFT
    found = held + [Window(float(x), 1.0, float(periodic)) for x in left]
    if periodic:
        turned = np.linspace(1, 0, settings.n_turn_windows + 1)[1:] ** SOFT
        found += [Window(0.0, 1.0, float(x)) for x in turned]
    return found


def steps_of(settings: HydrogenBond, periodic: bool) -> dict[str, range]:
    """Return the windows of each sampled step, in the order of the path; ends are shared."""
    restrained = settings.n_restraint_windows
    free = restrained + settings.n_coupling_windows
    found = {RESTRAIN: range(restrained), DECOUPLE: range(restrained - 1, free)}
    return found | ({TURN: range(free - 1, free + settings.n_turn_windows)} if periodic else {})


def mass_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Return places g (n,) and weights (n,) of the integral over the root of the lightness, 0 to 1."""
    places, weights = np.polynomial.legendre.leggauss(MASS_NODES)
    return 0.5 * (places + 1), 0.5 * weights


def windows_of(settings: HydrogenBond, periodic: bool, n_beads: int) -> list[Window]:
    """Return all windows of a number of beads: the path, and at both ends of the decoupling those of other
    masses.
    """
    found = path_of(settings, periodic)
    if settings.mass_integral and n_beads > 1:
        decoupled = steps_of(settings, periodic)[DECOUPLE]
        ends = found[decoupled[0]], found[decoupled[-1]]
        found += [replace(end, lightness=float(g)) for end in ends for g in mass_nodes()[0]]
    return found


@pytree
@dataclass(frozen=True)
class Held:
    """How far two centres of mass are from where they are at rest to each other: in their distance, or, of a
    crystal, in the vector d = Σ arm_i r_i between them.

    arm (natoms,). rest: the distance (), Å, or the vector (3,).
    """

    arm: Any
    rest: Any

    def stretch_A(self, positions_A: jax.Array) -> jax.Array:
        """Return d − d0 (), Å, of distances, |d − d0| of vectors."""
        vector = self.arm @ positions_A
        if jnp.ndim(self.rest):
            return jnp.linalg.norm(vector - self.rest)
        return jnp.sqrt(jnp.sum(vector**2)) - self.rest

    def square_A2(self, positions_A: jax.Array) -> jax.Array:
        """Return the square of the same, which has a slope at rest too."""
        if jnp.ndim(self.rest):
            return jnp.sum((self.arm @ positions_A - self.rest) ** 2)
        return self.stretch_A(positions_A) ** 2


@pytree
@dataclass(frozen=True)
class About:
    """Where a molecule's atoms are about its centre of mass.

    molecule: its atoms. weights (n,): their parts of its mass. rest_A (n, 3): the vectors at rest.
    """

    molecule: tuple[int, ...] = field(metadata={"static": True})
    weights: Any
    rest_A: Any

    def vectors_A(self, positions_A: jax.Array) -> jax.Array:
        """Return the vectors from the centre (n, 3)."""
        own = positions_A[jnp.array(self.molecule)]
        return own - self.weights @ own

    def square_A2(self, positions_A: jax.Array) -> jax.Array:
        """Return the sum of their squared distances from those at rest."""
        return jnp.sum((self.vectors_A(positions_A) - self.rest_A) ** 2)


@pytree
@dataclass(frozen=True)
class Places:
    """Where molecules are to the centre of all of them, and how far each may go from there, Å.

    arms (molecules, natoms): Σ arm_i r_i is a molecule's vector. rest_A (molecules, 3): those at rest.
    """

    arms: Any
    rest_A: Any
    reach_A: Any

    def away_A(self, positions_A: jax.Array) -> jax.Array:
        """Return how far each is from its place (molecules,)."""
        return jnp.sqrt(jnp.sum((self.arms @ positions_A - self.rest_A) ** 2, axis=-1) + TINY_A2)

    def square_A2(self, positions_A: jax.Array) -> jax.Array:
        """Return the sum of squares of how far each is beyond its reach."""
        return jnp.sum(jnp.maximum(self.away_A(positions_A) - self.reach_A, 0.0) ** 2)


@pytree
@dataclass(frozen=True)
class Restraint(Analytic):
    """½ k (d − d0)² of what is held."""

    stiffness_eV_per_A2: Any
    held: Held | About | Places

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        return 0.5 * self.stiffness_eV_per_A2 * self.held.square_A2(positions_A)


def potential_of(
    subject: Subject, settings: HydrogenBond, windows: Sequence[Window], n_beads: int, member: int | None
) -> RingPolymer:
    """Return the rings' potential, of one kind for each window."""
    atoms, source = subject.atoms, subject.source
    alone = atoms[subject.molecule]
    alone.pbc = False
    parts = [
        OnAtoms(source.potential(atoms[subject.rest], member), tuple(map(int, subject.rest))),
        OnAtoms(source.potential(alone, member), tuple(map(int, subject.molecule)), subject.periodic),
    ]
    whole: list[Potential] = [SameForAll(source.potential(atoms, member)), SameForAll(sum_of(parts))]
    held: list[Potential] = [SameForAll(Restraint(settings.restraint_eV_per_A2, subject.held))]
    if subject.about is not None and subject.places is not None:
        held.append(SameForAll(Restraint(settings.orientation_eV_per_A2, subject.about)))
        held.append(SameForAll(Restraint(WALL_eV_per_A2, subject.places)))
    return RingPolymer(
        mixture_of(whole, [[w.coupling, 1 - w.coupling] for w in windows], by_kind=True), n_beads,
        mixture_of(held, [[w.restraint, w.orientation, 1.0][: len(held)] for w in windows], by_kind=True),
    )  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """``samples`` (5,): energies of the whole and of its parts, means over beads, eV; how far the centroids
    are from the restraint's place, and of a crystal the molecule's atoms about its centre, and the other
    molecule that is farthest from its place, Å.
    """

    arm: tuple[float, ...]
    rest: Any
    molecule: tuple[int, ...]
    weights: tuple[float, ...]
    about_A: tuple[tuple[float, ...], ...]
    n_beads: int
    others: tuple[tuple[float, ...], ...] = ()
    places_A: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, subject: Subject, n_beads: int) -> "Samples":
        """Return the observer of rings of so many beads."""
        rest = np.asarray(subject.held.rest).tolist()
        own, places = subject.about, subject.places
        if own is None or places is None:
            return cls(tuple(subject.arm.tolist()), rest, (), (), (), n_beads)
        vectors, weights = map(tuple, np.asarray(own.rest_A).tolist()), np.asarray(own.weights).tolist()
        others, at_rest = (
            tuple(map(tuple, np.asarray(part).tolist())) for part in (places.arms, places.rest_A)
        )
        return cls(
            tuple(subject.arm.tolist()), tuple(rest), own.molecule, tuple(weights), tuple(vectors), n_beads,
            others, at_rest,
        )  # fmt: skip

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return the five."""
        centroids = state.positions.reshape(self.n_beads, -1, 3).mean(axis=0)
        stretch = Held(jnp.array(self.arm), jnp.array(self.rest)).stretch_A(centroids)
        turned = away = jnp.array(0.0)
        if self.molecule:
            about = About(self.molecule, jnp.array(self.weights), jnp.array(self.about_A))
            turned = jnp.sqrt(about.square_A2(centroids))
            away = Places(jnp.array(self.others), jnp.array(self.places_A), 0.0).away_A(centroids).max()
        seen = jnp.array([stretch, turned, away])
        return {"samples": jnp.concatenate([state.info["part_energies_eV"], seen])}


def restraints_eV(samples: np.ndarray, settings: HydrogenBond) -> tuple[np.ndarray, np.ndarray]:
    """Return the energies (…,) of both restraints at λ2 = λ3 = 1, eV, of samples (…, 5)."""
    return (
        0.5 * settings.restraint_eV_per_A2 * samples[..., 2] ** 2,
        0.5 * settings.orientation_eV_per_A2 * samples[..., 3] ** 2,
    )


def reduced(
    samples: np.ndarray, windows: Sequence[Window], subject: Subject, settings: HydrogenBond
) -> np.ndarray:
    """Return u = U/kT (K, n) of samples (n, 5) in each window (K,); infinite where one is not finite.

    What all windows share, the wall, is left out.
    """
    finite = np.where(np.isfinite(samples), samples, np.inf)
    (whole, apart), (held, about) = finite.T[:2], restraints_eV(finite, settings)
    rows = []
    for window in windows:
        row = window.restraint * held + window.orientation * about
        for weight, energy in ((window.coupling, whole), (1 - window.coupling, apart)):
            row = row + (weight * energy if weight else 0.0)
        rows.append(row)
    return np.array(rows) / (kB * settings.temperature_K)


def release_eV(subject: Subject, settings: HydrogenBond) -> float:
    """Return −kT ln(V°/V_r), eV: from what the restraint leaves a free molecule to the standard volume."""
    thermal = kB * settings.temperature_K
    width = np.sqrt(thermal / settings.restraint_eV_per_A2)
    if subject.periodic:
        return float(-thermal * np.log(settings.volume_A3 / (2 * np.pi * width**2) ** 1.5))
    low, high = max(0.0, subject.distance_A - 12 * width), subject.distance_A + 12 * width

    def shell(distance: float) -> float:
        stretched = (distance - subject.distance_A) / width
        return float(4 * np.pi * distance**2 * np.exp(-0.5 * stretched**2))

    volume, _ = scipy.integrate.quad(shell, low, high, points=[subject.distance_A])
    return float(-thermal * np.log(settings.volume_A3 / volume))
