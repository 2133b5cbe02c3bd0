"""Minima and harmonic spectra: second derivatives by automatic differentiation, or of labels by differences.

A structure is brought to the minimum of whoever judges it. One that is none (forces, imaginary modes) is
refused, or relaxed where that is asked for.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from ase import Atoms

from frazil.analysis.normal_modes import Modes, normal_modes
from frazil.errors import UserError
from frazil.experiments.infrared.labels import Labels
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture, Parameters, fold, member
from frazil.potentials.gmnn.committee import neighbours_of
from frazil.potentials.gmnn.files import Model
from frazil.potentials.neighbours import Neighbours

CHOICES = ("refuse", "relax")
LARGEST_FORCE_eV_per_A = 0.02
"""Of a structure that is taken for a minimum as it is."""
FORCE_TOLERANCE_eV_per_A = 1e-3
STEP_A = 0.01
"""Displacement of the central differences of labels."""
SKIN_A = 1.0
"""Neighbour lists hold while a structure relaxes by less than half of this per atom."""
PUSH_A = 0.1
"""How far a saddle point is pushed along its imaginary mode."""
PUSHES = 3

Surface = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Energy (eV) and forces (natoms, 3) at positions (natoms, 3)."""
Curvature = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""Hessian (3 natoms, 3 natoms), eV/Å², and dipole derivatives (3, 3 natoms), e, at positions."""


@dataclass(frozen=True)
class Minimum:
    """A structure at rest, with its modes and the derivatives that they follow from (as of ``Curvature``)."""

    atoms: Atoms
    modes: Modes
    hessian: np.ndarray | None = None
    dipole_derivatives: np.ndarray | None = None


def minimum_of(
    atoms: Atoms, name: str, surface: Surface, curvature: Curvature, on_no_minimum: str = "refuse"
) -> Minimum:
    """Return the minimum at, or for "relax" below, a structure, and its modes.

    Raises UserError naming structure and imaginary modes where it is none and may not be, or cannot be,
    relaxed.
    """
    if on_no_minimum not in CHOICES:
        raise UserError(
            f"{on_no_minimum!r} for a structure that is no minimum; allowed are {', '.join(CHOICES)}"
        )
    atoms = Atoms(atoms.numbers, atoms.positions)
    atoms.positions -= atoms.get_center_of_mass()
    masses = atoms.get_masses()
    largest = float(np.linalg.norm(surface(atoms.positions)[1], axis=1).max())
    if on_no_minimum == "refuse" and largest > LARGEST_FORCE_eV_per_A:
        raise UserError(
            f"{name} is no minimum: a force of {largest:.3g} eV/Å (allowed {LARGEST_FORCE_eV_per_A:g}); "
            "give the minimum at this level, or choose to relax"
        )
    for pushes in range(PUSHES + 1):
        if on_no_minimum == "relax":
            atoms.positions = relaxed(atoms.positions, surface, name)
        hessian, slopes = curvature(atoms.positions)
        modes = normal_modes(hessian, atoms.positions, masses, slopes)
        imaginary = modes.imaginary_cm1
        if not len(imaginary):
            return Minimum(atoms, modes, hessian, slopes)
        if on_no_minimum == "refuse" or pushes == PUSHES:
            break
        along = modes.displacements[0]
        atoms.positions += PUSH_A * along / np.linalg.norm(along, axis=1).max()
    listed = ", ".join(f"{-wavenumber:.0f}i" for wavenumber in imaginary)
    advice = "give another structure" if on_no_minimum == "relax" else "give a minimum, or choose to relax"
    raise UserError(f"{name} is no minimum: imaginary modes {listed} cm⁻¹; {advice}")


def relaxed(positions: np.ndarray, surface: Surface, name: str) -> np.ndarray:
    """Return positions (natoms, 3) where no force component exceeds the tolerance.

    Raises UserError, naming the structure, where the descent ends elsewhere.
    """

    def downhill(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, forces = surface(x.reshape(-1, 3))
        return energy, -forces.ravel()

    found = scipy.optimize.minimize(
        downhill, positions.ravel(), jac=True, method="BFGS", options={"gtol": FORCE_TOLERANCE_eV_per_A}
    )
    left = float(np.abs(found.jac).max())
    if not left < 10 * FORCE_TOLERANCE_eV_per_A:
        raise UserError(f"{name} did not relax: a force of {left:.3g} eV/Å is left; give a better structure")
    return np.asarray(found.x.reshape(-1, 3))


def label_minimum(atoms: Atoms, name: str, labels: Labels, on_no_minimum: str) -> Minimum:
    """Return the minimum and the modes of the labelling level, by its own second derivatives.

    A level that gives none (``Labels.has_hessians``) is differentiated by central differences.
    """

    def at(positions: np.ndarray) -> Atoms:
        return Atoms(atoms.numbers, positions)

    def surface(positions: np.ndarray) -> tuple[float, np.ndarray]:
        labelled = labels.one(at(positions))
        return labelled.get_potential_energy(), labelled.get_forces()

    def curvature(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if labels.has_hessians:
            return labels.curvature(at(positions))
        away = STEP_A * np.eye(positions.size).reshape(-1, *positions.shape)
        frames = [at(positions + sign * step) for step in away for sign in (1, -1)]
        labelled, failures = labels.of(frames)
        if failures:
            raise UserError(f"{name}: no label near its minimum ({failures[0].reason}); choose another level")
        forces = np.array([frame.get_forces().ravel() for frame in labelled])
        dipoles = np.array([frame.get_dipole_moment() for frame in labelled])
        return (forces[1::2] - forces[::2]) / (2 * STEP_A), (dipoles[::2] - dipoles[1::2]).T / (2 * STEP_A)

    return minimum_of(atoms, name, surface, curvature, on_no_minimum)


def analytic_curvature(
    energy: Callable[[jax.Array], jax.Array], dipole: Callable[[jax.Array], jax.Array] | None = None
) -> Curvature:
    """Return the derivatives of functions of positions (natoms, 3): energy (), eV, and dipole (3,), e Å."""

    @jax.jit
    def derivatives(positions: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        hessian = jax.hessian(energy)(positions).reshape(positions.size, positions.size)
        return hessian, None if dipole is None else jax.jacrev(dipole)(positions).reshape(3, positions.size)

    return lambda positions: tuple(  # type: ignore[return-value]
        None if value is None else np.asarray(value) for value in derivatives(jnp.asarray(positions))
    )


class ModelSurface:
    """A committee on one structure, float64: its mean, and each member by its number."""

    def __init__(self, model: Model, atoms: Atoms) -> None:
        own = model.apart()
        self.architecture = own.architecture.with_precision("float64")
        self.members = [member(own.parameters, i) for i in range(own.n_members)]
        self.species = self.architecture.species(atoms.numbers)
        self.numbers = atoms.numbers
        self._lists: Neighbours | None = None

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        """Return energy and forces."""
        found = self._of_members(_slopes, positions, member)
        return float(np.mean([energy for energy, _ in found])), -np.mean(
            [slope for _, slope in found], axis=0
        )

    def curvature(
        self, positions: np.ndarray, member: int | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return Hessian and dipole derivatives."""
        found = self._of_members(_curvature, positions, member)
        hessian = np.mean([hessian for hessian, _ in found], axis=0)
        if "charge" not in self.architecture.heads:
            return hessian, None
        return hessian, np.mean([slopes for _, slopes in found], axis=0)

    def _of_members(self, function: Any, positions: np.ndarray, member: int | None) -> list[Any]:
        """Evaluate all members, or one, one after the other (one compilation for all committees)."""
        chosen = self.members if member is None else [self.members[member]]
        given = (self.species, self._near(positions), positions)
        return [function(self.architecture, own, *given) for own in chosen]

    def _near(self, positions: np.ndarray) -> Neighbours:
        if self._lists is None or np.abs(positions - self._lists.origin).max() > SKIN_A / 4:
            atoms = Atoms(self.numbers, positions)
            capacity = max(len(atoms) - 1, 1)
            self._lists = neighbours_of(self.architecture, atoms, SKIN_A, capacity=capacity)
        return self._lists


def model_minimum(
    atoms: Atoms, name: str, surface: ModelSurface, member: int | None = None, on_no_minimum: str = "relax"
) -> Minimum:
    """Return the minimum and the modes of a committee's mean, or of one member."""
    return minimum_of(
        atoms, name, partial(surface.surface, member=member), partial(surface.curvature, member=member),
        on_no_minimum,
    )  # fmt: skip


@dataclass(frozen=True)
class ModelModes:
    """Modes of a committee's mean at its minimum, and the members' standard deviation (n_modes,), cm⁻¹.

    Each member is taken at its own minimum; ``spread_cm1`` is nan where fewer than two members have one.
    """

    minimum: Minimum
    spread_cm1: np.ndarray
    n_without_minimum: int


def model_modes(model: Model, atoms: Atoms, name: str) -> ModelModes:
    """Return the modes of a committee. Raises UserError where its mean has no minimum near the structure."""
    surface = ModelSurface(model, atoms)
    mean = model_minimum(atoms, name, surface)
    found, missing = [], 0
    for number in range(model.n_members if model.n_members > 1 else 0):
        try:
            own = model_minimum(mean.atoms, name, surface, number).modes
        except UserError:
            missing += 1
            continue
        found.append(own.wavenumbers_cm1[matched(mean.modes, own, atoms.get_masses())])
    spread = np.full(len(mean.modes.wavenumbers_cm1), np.nan)
    if len(found) > 1:
        spread = np.std(found, axis=0, ddof=1)
    return ModelModes(mean, spread, missing)


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


def _energy(
    architecture: Architecture, parameters: Parameters, species: Any, neighbours: Neighbours, positions: Any
) -> tuple[jax.Array, jax.Array]:
    """Return energy (), eV, and outputs (natoms, quantities) of one member."""
    weights = fold(architecture, parameters)
    return reference.outputs(architecture, weights, species, neighbours, positions)


@partial(jax.jit, static_argnums=0)
def _slopes(architecture: Architecture, *given: Any) -> Any:
    (energy, _), gradient = jax.value_and_grad(_energy, argnums=4, has_aux=True)(architecture, *given)
    return energy, gradient


@partial(jax.jit, static_argnums=0)
def _curvature(architecture: Architecture, parameters: Any, species: Any, lists: Any, positions: Any) -> Any:
    """Return Hessian and dipole derivatives of one member: one forward derivative of both gradients."""

    def first(moved: jax.Array) -> tuple[jax.Array, jax.Array]:
        gradient, per_atom = jax.grad(_energy, argnums=4, has_aux=True)(
            architecture, parameters, species, lists, moved
        )
        if "charge" not in architecture.heads:
            return gradient, jnp.zeros(3)
        return gradient, reference.dipole(architecture, species, per_atom, moved)

    size = positions.size
    hessian, slopes = jax.jacfwd(first)(positions)
    return hessian.reshape(size, size), slopes.reshape(3, size)


def check_names(structures: Sequence[Atoms]) -> list[str]:
    """Return the structures' names (info "name", else formula), each once.

    Raises UserError for doubles, and names that no file can have.
    """
    names = [str(atoms.info.get("name", atoms.get_chemical_formula("metal"))) for atoms in structures]
    strange = [name for name in names if not re.fullmatch(r"[\w.+-]+", name)]
    if strange:
        raise UserError(f"a structure named {strange[0]!r}; give names of letters, digits and _ . + -")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise UserError(
            f"structures with one name: {', '.join(doubles)}; give each its own (info key 'name' of extxyz)"
        )
    return names
