"""What is in a field: a free cluster at rest or a cell, its molecules and dipole, and what is observed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.at_rest import check_beads, check_cell, check_timestep, source_of, structure_of
from frazil.experiments.dipoles import Dipoles, carried_units, check_branches, pieces_of
from frazil.experiments.field.settings import Field
from frazil.experiments.field.tables import NEIGHBOURS
from frazil.learning.branches import numbers_of
from frazil.md.fields import Drive
from frazil.md.state import State, System
from frazil.potentials.neighbours import nearest
from frazil.potentials.polarizability import load as polarizability_of
from frazil.potentials.registry import Source
from frazil.potentials.surface import members_of
from frazil.systems.minima import fastest_cm1, model_minimum
from frazil.systems.molecules import Molecules, centre_weights

STEPS_PER_PERIOD, STEPS_DRIVEN = 14, 28
"""Of the fastest mode, at least: sampled, and under a field whose work is to be right to 0.2 %."""
MOST_CHARGE_e = 1e-3
ALONG = np.array([0.0, 0.0, 1.0])
"""Fields go along z; a free cluster turns as it likes."""
Alpha = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Subject:
    """A free cluster at rest, or a cell of a crystal or liquid as it was given, molecules in one piece.

    fastest_cm1: the highest harmonic wavenumber. molecules: who belongs together; of ions each is its own.
    alpha: of positions (natoms, 3) the polarizability (3, 3), Å³, the mean of its members; None where what a
    field induces is neglected. dipole_e_A: of the mean, its size. origins_e_A (members, 3): what members'
    dipoles are counted from, that of the ions' cell as given, else none. numbers_e: oxidation numbers that
    the settings tell, by element.
    """

    name: str
    source: Source
    atoms: Atoms
    fastest_cm1: float
    molecules: Molecules
    alpha: Alpha | None
    dipole_e_A: float
    origins_e_A: np.ndarray
    numbers_e: dict[str, float]

    @property
    def in_cell(self) -> bool:
        """Whether it is periodic."""
        return bool(self.atoms.pbc.any())

    @property
    def is_ionic(self) -> bool:
        """Whether it is a cell without molecules: its polarization counts from that of the cell as given."""
        return self.in_cell and len(self.molecules) == len(self.atoms)

    @property
    def shares(self) -> int:
        """Number of molecules that a polarization is divided by: 1 of a cell, whose own it is."""
        return 1 if self.in_cell else len(self.molecules)

    @property
    def bonds(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Bonds by their elements, in the order of the atoms."""
        symbols = self.atoms.get_chemical_symbols()
        found: dict[str, list[tuple[int, int]]] = {}
        for one, other in self.molecules.bonds:
            kind = "–".join(sorted((symbols[one], symbols[other]), reverse=True))
            found.setdefault(kind, []).append((int(one), int(other)))
        return {f"{kind} bond": tuple(pairs) for kind, pairs in sorted(found.items())}

    @property
    def lengths(self) -> list[str]:
        """Names of what is observed beside the dipole, all of them lengths, Å."""
        return [*self.bonds, *([NEIGHBOURS] if len(self.molecules) > 1 else [])]


def subject_of(settings: Field) -> Subject:
    """Return what the settings name, a cluster relaxed and a cell as it is, checked.

    Raises UserError for a file that holds no single structure, one that is charged, a potential without a
    dipole (in a cell: without one of many values) or a polarizability that is not made for it, time steps
    too long for the fastest mode or the field, and too few beads.
    """
    if settings.structure is None or settings.model is None:
        raise UserError("no structure and model; give both (field.structure, field.model)")
    found = _found(settings.structure, settings.model, settings.polarizability, settings.oxidation_numbers)
    check_timestep(found.name, settings.timestep_fs, found.fastest_cm1, STEPS_PER_PERIOD)
    check_timestep(found.name, settings.drive_timestep_fs, found.fastest_cm1, STEPS_DRIVEN)
    drive_of(settings).check(settings.drive_timestep_fs)
    check_beads(found.name, settings.n_beads, settings.temperature_K, found.fastest_cm1)
    return found


@cache
def _found(structure: Path, model: Path, polarizability: Path | None, numbers: tuple[str, ...]) -> Subject:
    given, name = structure_of(structure, periodic=True)
    charge = float(given.info.get("charge", 0) or given.get_initial_charges().sum())
    if abs(charge) > MOST_CHARGE_e:
        raise UserError(_charged(name, charge, given))
    source = source_of(model)
    check_cell(given, name, model, source)
    elements = sorted(set(given.get_chemical_symbols()))
    if numbers and not given.pbc.any():
        raise UserError(f"oxidation numbers for {name}, which is free; they are for cells: leave them out")
    told = dict(zip(elements, numbers_of(numbers, elements), strict=True)) if numbers else {}
    if polarizability is not None and given.pbc.any():
        raise UserError(
            f"a polarizability for {name}, a cell; what a field induces is known of free structures alone: "
            "leave it out"
        )
    alpha = None if polarizability is None else _mean_of(polarizability_of(polarizability).function(given))
    dipole, charge = _dipole_and_charge(source, given)
    if abs(charge) > MOST_CHARGE_e:
        raise UserError(_charged(name, charge, given))
    members = range(source.n_members)
    if not given.pbc.any():
        minimum = model_minimum(given, name, members_of(source, given))
        dipole, _ = _dipole_and_charge(source, minimum.atoms)
        fastest, molecules = float(minimum.modes.wavenumbers_cm1.max()), Molecules.of(minimum.atoms)
        size, origins = float(np.linalg.norm(dipole)), np.zeros((len(members), 3))
        return Subject(name, source, minimum.atoms, fastest, molecules, alpha, size, origins, told)
    atoms, molecules = pieces_of(given, name)
    check_branches(source, atoms, name, carried_units(atoms, molecules))
    origins = np.zeros((len(members), 3))
    if len(molecules) == len(atoms):
        for member in members:
            origins[member] = Dipoles(source, atoms, member if len(members) > 1 else None)(atoms.positions)
    fastest = fastest_cm1(members_of(source, atoms).surface, atoms)
    size = float(np.linalg.norm(dipole - origins.mean(axis=0)))
    return Subject(name, source, atoms, fastest, molecules, alpha, size, origins, told)


def _charged(name: str, charge_e: float, atoms: Atoms) -> str:
    what = f"{name} has a charge of {charge_e:+.3g} e; in a uniform field it would fly off, and its dipole "
    if atoms.pbc.any():
        return f"{what}depends on where its cell begins: give a neutral cell"
    return f"{what}depends on the origin: give a neutral structure"


def _mean_of(members: Callable[[jax.Array], jax.Array]) -> Alpha:
    return lambda positions: members(positions).mean(axis=0)


def _dipole_and_charge(source: Source, atoms: Atoms) -> tuple[np.ndarray, float]:
    """Return the dipole (3,), e Å, and the charge, e, by its sum rule: Σ ∂μ/∂r is the charge times 1."""
    dipole, slope = Dipoles(source, atoms).with_slope(atoms.positions, ALONG)
    return dipole, float(slope.sum(axis=0) @ ALONG)


def drive_of(settings: Field) -> Drive:
    """Return the field that changes with time."""
    if settings.drive == "constant":
        return Drive(settings.drive_V_per_A)
    width_fs = settings.drive_width_fs if settings.drive == "pulse" else np.inf
    return Drive(settings.drive_V_per_A, settings.drive_THz, settings.drive_centre_fs, width_fs)


@dataclass(frozen=True)
class Samples:
    """``samples`` (3 + quantities,): the dipole, e Å, then lengths, Å, and the isotropic polarizability, Å³,
    if there is one; all are means over the beads. In a cell also ``centres`` (molecules, 3), Å, of the
    centroids, from the centre of all.

    bonds: pairs of atoms, by kind. arms: of each molecule the weights of its centre of mass (natoms,).
    weights: each atom's in the centre of all. cell_A: (3, 3) or None.
    """

    bonds: tuple[tuple[tuple[int, int], ...], ...]
    arms: tuple[tuple[float, ...], ...]
    n_beads: int
    alpha: Alpha | None
    weights: tuple[float, ...] = ()
    cell_A: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def of(cls, subject: Subject, n_beads: int) -> "Samples":
        """Return what is observed of a subject."""
        masses = subject.atoms.get_masses()
        arms = tuple(map(tuple, centre_weights(masses, subject.molecules.members).tolist()))
        bonds = tuple(subject.bonds.values())
        if not subject.in_cell:
            return cls(bonds, arms, n_beads, subject.alpha)
        cell = tuple(tuple(map(float, row)) for row in subject.atoms.cell.array)
        whole = tuple(map(float, masses / masses.sum()))
        return cls(bonds, arms, n_beads, subject.alpha, whole, cell)

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return them."""
        beads = state.positions.reshape(self.n_beads, -1, 3)
        found = [_lengths(beads, pairs).mean() for pairs in self.bonds]
        centres = jnp.einsum("ma,jax->jmx", jnp.array(self.arms), beads)
        if len(self.arms) > 1:
            vectors = centres[:, :, None] - centres[:, None]
            if self.cell_A is not None:
                vectors = nearest(vectors, jnp.array(self.cell_A))
            apart = jnp.sqrt((vectors**2).sum(axis=-1))
            found.append(jnp.where(jnp.eye(len(self.arms), dtype=bool), jnp.inf, apart).min(axis=-1).mean())
        if self.alpha is not None:
            found.append(jnp.trace(jax.vmap(self.alpha)(beads).mean(axis=0)) / 3)
        seen = {"samples": jnp.concatenate([state.info["dipole_e_A"], jnp.array(found)])}
        if self.cell_A is not None:
            middle = jnp.array(self.weights) @ beads.mean(axis=0)
            seen["centres"] = centres.mean(axis=0) - middle
        return seen


def _lengths(beads: jax.Array, pairs: Any) -> jax.Array:
    """Return distances (P, pairs), Å, of pairs of atoms in beads (P, natoms, 3)."""
    first, second = np.array(pairs).T
    return jnp.sqrt(((beads[:, second] - beads[:, first]) ** 2).sum(axis=-1))
