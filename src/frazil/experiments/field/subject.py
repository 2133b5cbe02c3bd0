"""What is in a field: a free cluster at rest, its molecules, bonds and dipole, and what is observed of it."""

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
from frazil.experiments.at_rest import check_beads, check_timestep, source_of, structure_of
from frazil.experiments.field.settings import Field
from frazil.experiments.field.tables import NEIGHBOURS
from frazil.md.fields import Drive
from frazil.md.state import State, System
from frazil.potentials.neighbours import allocate
from frazil.potentials.polarizability import load as polarizability_of
from frazil.potentials.registry import Source
from frazil.potentials.surface import members_of
from frazil.potentials.transform import FieldCoupling
from frazil.systems.minima import Minimum, model_minimum
from frazil.systems.molecules import Molecules

STEPS_PER_PERIOD, STEPS_DRIVEN = 14, 28
"""Of the fastest mode, at least: sampled, and under a field whose work is to be right to 0.2 %."""
MOST_CHARGE_e = 1e-3
ALONG = np.array([0.0, 0.0, 1.0])
"""Fields go along z; a free cluster turns as it likes."""
Alpha = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Subject:
    """A free cluster at rest.

    molecules: who belongs together at rest. alpha: of positions (natoms, 3) the polarizability (3, 3), Å³,
    the mean of its members; None where what a field induces is neglected. dipole_e_A: at rest.
    """

    name: str
    source: Source
    minimum: Minimum
    molecules: Molecules
    alpha: Alpha | None
    dipole_e_A: float

    @property
    def atoms(self) -> Atoms:
        """The cluster at rest."""
        return self.minimum.atoms

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
    """Return what the settings name, relaxed and checked.

    Raises UserError for a file that holds no single free structure, one that is charged, a potential
    without a dipole or a polarizability that is not made for it, time steps too long for the fastest mode or
    the field, and too few beads.
    """
    if settings.structure is None or settings.model is None:
        raise UserError("no structure and model; give both (field.structure, field.model)")
    found = _relaxed(settings.structure, settings.model, settings.polarizability)
    fastest = float(found.minimum.modes.wavenumbers_cm1.max())
    check_timestep(found.name, settings.timestep_fs, fastest, STEPS_PER_PERIOD)
    check_timestep(found.name, settings.drive_timestep_fs, fastest, STEPS_DRIVEN)
    drive_of(settings).check(settings.drive_timestep_fs)
    check_beads(found.name, settings.n_beads, settings.temperature_K, fastest)
    return found


@cache
def _relaxed(structure: Path, model: Path, polarizability: Path | None) -> Subject:
    given, name = structure_of(structure)
    charge = float(given.info.get("charge", 0) or given.get_initial_charges().sum())
    if charge:
        raise UserError(_charged(name, charge))
    source = source_of(model)
    alpha = None if polarizability is None else _mean_of(polarizability_of(polarizability).function(given))
    dipole, charge = _dipole_and_charge(source, given)
    if abs(charge) > MOST_CHARGE_e:
        raise UserError(_charged(name, charge))
    minimum = model_minimum(given, name, members_of(source, given))
    dipole, _ = _dipole_and_charge(source, minimum.atoms)
    return Subject(name, source, minimum, Molecules.of(minimum.atoms), alpha, float(np.linalg.norm(dipole)))


def _charged(name: str, charge_e: float) -> str:
    return (
        f"{name} has a charge of {charge_e:+.3g} e; in a uniform field it would fly off, and its dipole "
        "depends on the origin: give a neutral structure"
    )


def _mean_of(members: Callable[[jax.Array], jax.Array]) -> Alpha:
    return lambda positions: members(positions).mean(axis=0)


def _dipole_and_charge(source: Source, atoms: Atoms) -> tuple[np.ndarray, float]:
    """Return the dipole (3,), e Å, and the charge, e, by its sum rule: Σ ∂μ/∂r is the charge times 1."""
    coupling = FieldCoupling(source.potential(atoms), ALONG)
    lists = None
    if coupling.cutoff_A is not None:
        lists = jax.tree.map(lambda leaf: leaf[None], allocate(atoms.positions, coupling.cutoff_A, 0.5))
    ready = coupling.batched(1)
    info = ready.evaluate(ready.arrange(lists), jnp.asarray(atoms.positions)[None]).info
    return np.asarray(info["dipole_e_A"][0]), float(info["coupling_slope_e"][0].sum(axis=0) @ ALONG)


def drive_of(settings: Field) -> Drive:
    """Return the field that changes with time."""
    if settings.drive == "constant":
        return Drive(settings.drive_V_per_A)
    width_fs = settings.drive_width_fs if settings.drive == "pulse" else np.inf
    return Drive(settings.drive_V_per_A, settings.drive_THz, settings.drive_centre_fs, width_fs)


@dataclass(frozen=True)
class Samples:
    """``samples`` (3 + quantities,): the dipole, e Å, then lengths, Å, and the isotropic polarizability, Å³,
    if there is one; all are means over the beads.

    bonds: pairs of atoms, by kind. arms: of each molecule the weights of its centre of mass (natoms,).
    """

    bonds: tuple[tuple[tuple[int, int], ...], ...]
    arms: tuple[tuple[float, ...], ...]
    n_beads: int
    alpha: Alpha | None

    @classmethod
    def of(cls, subject: Subject, n_beads: int) -> "Samples":
        """Return what is observed of a subject."""
        masses, arms = subject.atoms.get_masses(), []
        for own in subject.molecules.members:
            weights = np.zeros(len(masses))
            weights[own] = masses[own] / masses[own].sum()
            arms.append(tuple(map(float, weights)))
        return cls(tuple(subject.bonds.values()), tuple(arms), n_beads, subject.alpha)

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return them."""
        beads = state.positions.reshape(self.n_beads, -1, 3)
        found = [_lengths(beads, pairs).mean() for pairs in self.bonds]
        if len(self.arms) > 1:
            centres = jnp.einsum("ma,jax->jmx", jnp.array(self.arms), beads)
            apart = jnp.sqrt(((centres[:, :, None] - centres[:, None]) ** 2).sum(axis=-1))
            found.append(jnp.where(jnp.eye(len(self.arms), dtype=bool), jnp.inf, apart).min(axis=-1).mean())
        if self.alpha is not None:
            found.append(jnp.trace(jax.vmap(self.alpha)(beads).mean(axis=0)) / 3)
        return {"samples": jnp.concatenate([state.info["dipole_e_A"], jnp.array(found)])}


def _lengths(beads: jax.Array, pairs: Any) -> jax.Array:
    """Return distances (P, pairs), Å, of pairs of atoms in beads (P, natoms, 3)."""
    first, second = np.array(pairs).T
    return jnp.sqrt(((beads[:, second] - beads[:, first]) ** 2).sum(axis=-1))
