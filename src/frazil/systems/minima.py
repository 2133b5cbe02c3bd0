"""Structures at rest: relaxation to a minimum, its modes, and those of a committee's members.

A structure is brought to the minimum of whoever judges it. One that is none (forces, imaginary modes) is
refused, or relaxed where that is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import scipy.optimize
from ase import Atoms
from scipy.sparse.linalg import LinearOperator, eigsh

from frazil.analysis.normal_modes import Modes, matched, normal_modes
from frazil.data.cells import moved
from frazil.errors import UserError
from frazil.units import hbar, inverse_cm

CHOICES = ("refuse", "relax")
LARGEST_FORCE_eV_per_A = 0.02
"""Of a structure that is taken for a minimum as it is."""
FORCE_TOLERANCE_eV_per_A = 1e-3
STEP_A = 0.01
"""Displacement of central differences."""
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
    relaxed. Of a crystal the cell stays, and the modes are those of its own period.
    """
    if on_no_minimum not in CHOICES:
        raise UserError(
            f"{on_no_minimum!r} for a structure that is no minimum; allowed are {', '.join(CHOICES)}"
        )
    periodic = bool(atoms.pbc.any())
    if periodic:
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    else:
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
        modes = normal_modes(hessian, atoms.positions, masses, slopes, periodic)
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


def fastest_cm1(surface: Surface, atoms: Atoms) -> float:
    """Return the highest harmonic wavenumber of a structure, at rest or not, by Lanczos' method.

    Some tens of forces in place of the Hessian's hundreds; right to a part in a thousand.
    """
    scale = np.repeat(1.0 / np.sqrt(atoms.get_masses()), 3)

    def product(vector: np.ndarray) -> np.ndarray:
        along = (scale * vector.ravel()).reshape(-1, 3)
        along *= STEP_A / np.linalg.norm(along, axis=1).max()
        pushed = [surface(atoms.positions + sign * along)[1].ravel() for sign in (1, -1)]
        size = np.linalg.norm(along.ravel() / scale) / np.linalg.norm(vector)
        return scale * (pushed[1] - pushed[0]) / (2.0 * size)

    n = 3 * len(atoms)
    operator = LinearOperator((n, n), matvec=product, dtype=float)
    begin = np.random.default_rng(0).normal(size=n)
    (square,) = eigsh(operator, k=1, which="LA", v0=begin, tol=1e-3, return_eigenvectors=False)
    return float(np.sqrt(square) * hbar / inverse_cm)


class Members(Protocol):
    """A committee on one structure: its mean (member None), and each member by its number."""

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        """Return energy and forces as of ``Surface``."""

    def curvature(
        self, positions: np.ndarray, member: int | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return second derivatives as of ``Curvature``."""


def model_minimum(
    atoms: Atoms, name: str, members: Members, member: int | None = None, on_no_minimum: str = "relax"
) -> Minimum:
    """Return the minimum and the modes of a committee's mean, or of one member."""
    return minimum_of(
        atoms, name, partial(members.surface, member=member), partial(members.curvature, member=member),
        on_no_minimum,
    )  # fmt: skip


@dataclass(frozen=True)
class ModelModes:
    """Modes of a committee's mean at its minimum, and those of its members, each at its own minimum.

    members_cm1 (M, n_modes): wavenumbers in the order of the mean's modes that they are like; nan of a member
    that has no minimum near, or one with another number of modes. Of a single model M is 0.
    """

    minimum: Minimum
    members_cm1: np.ndarray

    @property
    def spread_cm1(self) -> np.ndarray:
        """The members' standard deviation (n_modes,); nan where fewer than two have a minimum."""
        found = self.members_cm1[np.isfinite(self.members_cm1).all(axis=1)]
        return found.std(axis=0, ddof=1) if len(found) > 1 else np.full(self.members_cm1.shape[1], np.nan)

    @property
    def n_without_minimum(self) -> int:
        """Number of members without a minimum."""
        return int((~np.isfinite(self.members_cm1).all(axis=1)).sum())


def model_modes(members: Members, n_members: int, atoms: Atoms, name: str) -> ModelModes:
    """Return the modes of a committee. Raises UserError where its mean has no minimum near the structure."""
    mean = model_minimum(atoms, name, members)
    found = np.full((n_members if n_members > 1 else 0, len(mean.modes.wavenumbers_cm1)), np.nan)
    for number in range(len(found)):
        try:
            own = model_minimum(mean.atoms, name, members, number).modes
        except UserError:
            continue
        if len(own.wavenumbers_cm1) == found.shape[1]:  # else one is linear and the other bent
            found[number] = own.wavenumbers_cm1[matched(mean.modes, own, atoms.get_masses())]
    return ModelModes(mean, found)


def differences(surface: Surface) -> Curvature:
    """Return second derivatives by differences of forces at four points along each coordinate.

    The error is of the fourth order in the step, 0.01 Å: of a stretch 0.01 cm⁻¹ or less.
    """

    def curvature(positions: np.ndarray) -> tuple[np.ndarray, None]:
        rows = []
        for step in STEP_A * np.eye(positions.size).reshape(-1, *positions.shape):
            forces = {times: surface(positions + times * step)[1].ravel() for times in (-2, -1, 1, 2)}
            rows.append((8 * (forces[-1] - forces[1]) - (forces[-2] - forces[2])) / (12 * STEP_A))
        return np.array(rows), None

    return curvature


def aligned(positions_A: np.ndarray, like_A: np.ndarray, masses_amu: np.ndarray) -> np.ndarray:
    """Return positions (natoms, 3) moved and turned, never mirrored, onto others, weighted by the masses."""
    one, two = (x - np.average(x, axis=0, weights=masses_amu) for x in (positions_A, like_A))
    left, _, right = np.linalg.svd((masses_amu[:, None] * one).T @ two)
    turn = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right  # no reflection
    return np.asarray(one @ turn + np.average(like_A, axis=0, weights=masses_amu))


def moved_A(atoms: Atoms, other: Atoms) -> float:
    """Return the largest distance of an atom in two structures, moved and turned onto each other; in a cell
    they are moved alone.
    """
    if atoms.pbc.any():
        return float(np.linalg.norm(moved(other, atoms), axis=1).max())
    onto = aligned(atoms.positions, other.positions, atoms.get_masses())
    return float(np.linalg.norm(onto - other.positions, axis=1).max())
