"""Committees: members share geometry and one compilation; batches of structures share one set of lanes.

Nested ``vmap`` has given silently wrong forces elsewhere, so members are the only axis that is mapped, and
``self_check`` compares that with one member, one structure at a time: when a folder is written, and when it
is loaded with another JAX, or on another kind of machine, than it was checked on (``registry.load``).
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

import frazil
from frazil.errors import UserError
from frazil.potentials.folder import INTERACTION, describe
from frazil.potentials.gmnn import fast, reference
from frazil.potentials.gmnn.architecture import Architecture, Parameters, Weights, fold, member
from frazil.potentials.gmnn.files import Model, write_model
from frazil.potentials.interface import jit
from frazil.potentials.neighbours import Neighbours, of_atoms

MODEL_FILE = "model.h5"
ADSORBATE_FILE = "adsorbate.h5"
"""Beside it, where an adsorbate has a network of its own (``potentials.adsorption``)."""
CHECK_TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
"""Largest difference of batched and single forces that rounding explains, relative to the largest force."""


@dataclass(frozen=True)
class Prediction:
    """What M members say of one structure: energies (M,) eV, forces (M, natoms, 3) eV/Å, dipoles (M, 3) e Å
    or None: of a model without charges, and of a cell, whose dipole has many values.
    """

    energies_eV: np.ndarray
    forces_eV_per_A: np.ndarray
    dipoles_e_A: np.ndarray | None

    @property
    def energy_eV(self) -> float:
        """The members' mean."""
        return float(self.energies_eV.mean())

    @property
    def energy_spread_eV(self) -> float:
        """The members' standard deviation (M − 1), 0 for one member."""
        return float(self.energies_eV.std(ddof=1)) if len(self.energies_eV) > 1 else 0.0

    @property
    def forces_mean_eV_per_A(self) -> np.ndarray:
        """The members' mean, (natoms, 3)."""
        return np.asarray(self.forces_eV_per_A.mean(axis=0))

    @property
    def forces_spread_eV_per_A(self) -> np.ndarray:
        """Per atom √(Σ_xyz variance over members), (natoms,): how far the members are from agreeing."""
        if len(self.forces_eV_per_A) < 2:
            return np.zeros(self.forces_eV_per_A.shape[1])
        return np.sqrt(self.forces_eV_per_A.var(axis=0, ddof=1).sum(axis=-1))


def bucket(n: int) -> int:
    """Return the next of 16, 24, 32, 48, 64, 96, … that holds n lanes: few shapes, few compilations."""
    size = 16
    while size < n:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def join(structures: Sequence[Neighbours], n_lanes: int, slots: int) -> Neighbours:
    """Return the lists of several structures as one: indices offset, free lanes and slots added."""
    sizes = [nb.index.shape[0] for nb in structures]
    periodic = any(nb.shift is not None for nb in structures)
    own = np.arange(slots, dtype=np.int32)
    index = np.full((n_lanes, slots), n_lanes, np.int32)
    reverse = np.tile(own, (n_lanes, 1))
    shift = np.zeros((n_lanes, slots, 3))
    start = 0
    for n, nb in zip(sizes, structures, strict=True):
        here, wide = slice(start, start + n), nb.index.shape[1]
        index[here, :wide] = np.where(nb.index < n, nb.index + start, n_lanes)
        reverse[here, :wide] = np.where(nb.index < n, nb.reverse, own[:wide])
        if nb.shift is not None:
            shift[here, :wide] = nb.shift
        start += n
    return Neighbours(
        index=jnp.asarray(index),
        reverse=jnp.asarray(reverse),
        shift=jnp.asarray(shift) if periodic else None,
        origin=jnp.zeros((n_lanes, 3)),
        cell=None,
        overflow=jnp.asarray(any(bool(nb.overflow) for nb in structures)),
        cutoff_A=structures[0].cutoff_A,
        skin_A=structures[0].skin_A,
        rebuildable=False,
    )


def _members(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    lists = fast.arrange(architecture, species, neighbours)

    def one(weights: Weights) -> tuple[jax.Array, jax.Array]:
        spread = fast.spread(architecture, weights, species)
        outputs, forces = fast.evaluate_each(architecture, spread, species, lists, positions)
        return fast.by_head(architecture, outputs), forces

    outputs, forces = jax.vmap(one)(weights)
    return outputs.reshape(-1, *outputs.shape[2:]), forces.reshape(-1, *forces.shape[2:])


@cache
def _compiled(architecture: Architecture) -> Any:
    """Return the compiled evaluation of all members: one for all committees of an architecture."""
    return jit(partial(_members, architecture))


@cache
def _compiled_strain(architecture: Architecture) -> Any:
    """Return the compiled slopes of all networks' energies by strain, (networks, 3, 3)."""
    one = partial(reference.energy_by_strain, architecture)
    return jax.jit(jax.vmap(one, (0, None, None, None)))


@cache
def _compiled_reference(architecture: Architecture) -> Any:
    return jax.jit(partial(reference.energy_and_forces, architecture))


class Committee:
    """A model ready to run: folded weights of all members and one compiled function."""

    def __init__(self, model: Model, precision: str | None = None) -> None:
        self.model = model
        self.architecture = model.architecture.with_precision(precision or model.architecture.precision)
        self.weights: Weights = jax.vmap(partial(fold, self.architecture))(model.parameters)

    def lanes(
        self, species: jax.Array, neighbours: Neighbours, positions: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return outputs (M, quantities, N) and forces (M, N, 3) of all members on any lists (``join``: of
        many structures).
        """
        outputs, forces = _compiled(self.architecture)(self.weights, species, neighbours, positions)
        return outputs, forces

    def energy_by_strain(
        self, species: jax.Array, neighbours: Neighbours, positions: jax.Array
    ) -> np.ndarray:
        """Return the members' mean of dE/dε (3, 3), eV, of one structure (``reference.energy_by_strain``)."""
        own = _compiled_strain(self.architecture)(self.weights, species, neighbours, positions)
        return np.asarray(own.mean(axis=0))

    def predict_in_parts(self, structures: Sequence[Atoms], at_once: int) -> list[Prediction]:
        """Return predictions of structures, so many together that one shape serves all parts."""
        found: list[Prediction] = []
        for first in range(0, len(structures), at_once):
            part = list(structures[first : first + at_once])
            found += self.predict(part + [part[-1]] * (at_once - len(part)))[: len(part)]
        return found

    def predict(
        self, structures: Sequence[Atoms], total_charges_e: Sequence[float] | None = None
    ) -> list[Prediction]:
        """Return predictions of structures of any size, together. Raises UserError for ones the model cannot
        take.
        """
        if not structures:
            raise UserError("no structures to predict; give at least one")
        species = [self.architecture.species(atoms.numbers) for atoms in structures]
        lists = [neighbours_of(self.architecture, atoms) for atoms in structures]
        n_lanes = bucket(sum(map(len, structures)))
        slots = -(-max(nb.index.shape[1] for nb in lists) // 16) * 16
        kinds, positions = np.zeros(n_lanes, np.int32), np.zeros((n_lanes, 3))
        kinds[: sum(map(len, structures))] = np.concatenate(species)
        positions[: sum(map(len, structures))] = np.concatenate([atoms.positions for atoms in structures])
        joined = join(lists, n_lanes, slots)
        outputs, forces = map(np.asarray, self.lanes(jnp.asarray(kinds), joined, jnp.asarray(positions)))
        charges = total_charges_e or [0.0] * len(structures)
        predictions: list[Prediction] = []
        start = 0
        for atoms, here, charge in zip(structures, species, charges, strict=True):
            part = slice(start, start := start + len(atoms))
            dipoles = None
            if self.architecture.oxidation:
                many = partial(reference.multivalued_dipole, self.architecture, here)
                own = lists[len(predictions)]
                dipoles = np.stack([many(o.T, own, atoms.positions) for o in outputs[:, :, part]])
            elif "charge" in self.architecture.heads and not atoms.pbc.any():
                dipole = partial(reference.dipole, self.architecture, here)
                dipoles = np.stack([dipole(o.T, atoms.positions, charge) for o in outputs[:, :, part]])
            predictions.append(Prediction(outputs[:, 0, part].sum(axis=1), forces[:, part], dipoles))
        return predictions


def neighbours_of(
    architecture: Architecture, atoms: Atoms, skin_A: float = 0.0, **options: Any
) -> Neighbours:
    """Return the neighbour lists of ASE atoms for a model (options: of ``allocate``)."""
    return of_atoms(atoms, architecture.cutoff_A, skin_A, **options)


def check_structures(architecture: Architecture) -> list[Atoms]:
    """Return a structure of a model's elements, each twice, on a jittered grid of a third of its cutoff: for
    ``self_check`` where no other is at hand.
    """
    symbols = 2 * list(architecture.elements)
    places = np.indices((2, 2, -(-len(symbols) // 4))).reshape(3, -1).T[: len(symbols)]
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, (len(symbols), 3))
    return [Atoms(symbols, positions=architecture.cutoff_A / 3.0 * (places + jitter))]


def checked_on() -> dict[str, str]:
    """Return what the outcome of ``self_check`` depends on, but for the model."""
    return {
        "frazil": frazil.__version__, "jax": jax.__version__, "backend": jax.default_backend(),
        "machine": platform.machine(),
    }  # fmt: skip


Trained = tuple[Architecture, Parameters, Mapping[str, Any]]
"""A committee, and what its file tells of it."""


def write_folder(
    folder: Path, architecture: Architecture, parameters: Parameters, metadata: Mapping[str, Any],
    adsorbate: Trained | None = None,
) -> None:  # fmt: skip
    """Check a committee, and write it as a potential's folder: model.h5 and model.json, and adsorbate.h5 of
    an ``adsorbate`` with a network of its own.
    """
    files = {MODEL_FILE: (architecture, parameters, metadata)}
    if adsorbate is not None:
        files[ADSORBATE_FILE] = adsorbate
    for name, (network, own, told) in files.items():
        self_check(Committee(Model(network, own, dict(told))), check_structures(network))
        write_model(folder / name, network, own, told)
    level = str(metadata["label_level"])
    describe(
        folder, "gmnn", list(files), members=Model(architecture, parameters, {}).n_members,
        elements=list(architecture.elements), cutoff_A=architecture.cutoff_A, level=level,
        residual="molecules" if level.endswith(INTERACTION) else None, checked_on=checked_on(),
        **({"adsorbate": list(adsorbate[0].adsorbate)} if adsorbate is not None else {}),
    )  # fmt: skip


def self_check(committee: Committee, structures: Sequence[Atoms]) -> float:
    """Compare the batched path with single reference evaluations; return the largest relative force
    difference.

    A cheap start-up check of a run: every member, first and last structure. Raises RuntimeError if they
    differ by more than rounding does.
    """
    together = committee.predict(structures)
    architecture, own, worst = committee.architecture.alone(), committee.model.apart(), 0.0
    single = _compiled_reference(architecture)
    for i in sorted({0, len(structures) - 1}):
        atoms = structures[i]
        species = jnp.asarray(architecture.species(atoms.numbers))
        lists = neighbours_of(architecture, atoms)
        for m in range(own.n_members):
            weights = fold(architecture, member(own.parameters, m))
            _, forces, _ = single(weights, species, lists, jnp.asarray(atoms.positions))
            scale = max(1.0, float(np.abs(forces).max()))
            worst = max(
                worst, float(np.abs(np.asarray(forces) - together[i].forces_eV_per_A[m]).max()) / scale
            )
    if not worst <= CHECK_TOLERANCE[architecture.precision]:
        raise RuntimeError(
            f"batched and single forces differ by {worst:.2g} (relative) where rounding explains "
            f"{CHECK_TOLERANCE[architecture.precision]:.0g}: do not use this JAX"
        )
    return worst
