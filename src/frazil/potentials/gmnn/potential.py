"""GM-NN in the engine: one model, or a committee whose mean drives and whose spread is watched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ase.data
import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.gmnn import fast, kernel, reference
from frazil.potentials.gmnn.architecture import Architecture, Weights, fold
from frazil.potentials.gmnn.files import Model
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree

VECTOR = 16
"""Lanes of the widest vectors there are (float32, 512 bits)."""
Functions = tuple[
    Callable[[Neighbours | None], Any], Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
]
"""``arrange``, and ``run(lists, positions)``: energies (members, R), outputs (members, quantities, R,
natoms) and forces (members or what drives, R, natoms, 3)."""


@pytree
@dataclass(frozen=True)
class GMNN:
    """A model file's committee on atoms of given elements, made by ``of``; weights lead with the members.

    Its info: the dipole (e Å, from the centre of mass, of a neutral structure) where the model has charges
    and atoms are free (that of a cell has many values), and of more than one member the spreads, standard
    deviations over members (M − 1): of the energy, and the largest of an atom's force. The mean drives, or
    what ``drive`` (members,) weighs them by: one member where it is 1 for that one, the spreads being all
    members'.

    A network with several heads costs one evaluation, whatever drives, the energies' spread included. Its
    forces' spread costs a way back for each head, and is there only if ``force_spread`` asks for it.

    ``compiled``: whether the compiled kernel may serve, which JAX cannot differentiate.
    """

    weights: Weights
    species: jax.Array
    architecture: Architecture = field(metadata={"static": True})
    drive: Any = None
    force_spread: bool = field(default=False, metadata={"static": True})
    compiled: bool = field(default=True, metadata={"static": True})

    @classmethod
    def of(cls, model: Model, numbers: np.ndarray, precision: str | None = None) -> "GMNN":
        """Return the model for atoms of atomic numbers (natoms,). Raises UserError for a foreign element."""
        architecture = model.architecture.with_precision(precision or model.architecture.precision)
        weights = jax.vmap(partial(fold, architecture))(model.parameters)
        return cls(weights, jnp.asarray(architecture.species(numbers)), architecture)

    @property
    def cutoff_A(self) -> float | None:
        """The model's cutoff."""
        return self.architecture.cutoff_A

    @property
    def n_atoms(self) -> int | None:
        """The number of its species."""
        return int(self.species.shape[-1])

    @classmethod
    def of_several(cls, model: Model, numbers: Sequence[np.ndarray], precision: str | None = None) -> "GMNN":
        """Return the model for structures of atomic numbers (natoms of each,); see ``Mixed``."""
        longest = max(map(len, numbers))
        made = cls.of(model, numbers[0], precision)
        species = [made.architecture.species(own) for own in numbers]
        padded = [np.pad(own, (0, longest - len(own)), constant_values=-1) for own in species]
        return replace(made, species=jnp.asarray(np.array(padded)))

    def batched(self, n_replicas: int) -> Batched:
        """Return the compiled kernel, or the fast path on the lanes of all replicas together."""
        return self._for(jnp.tile(self.species, (n_replicas, 1)), None)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for replicas of several structures (R,): atoms that are not there give nothing."""
        own = self.species[kinds]
        made = self if self.drive is None else replace(self, drive=jnp.asarray(self.drive)[kinds].T)
        return made._for(own, own >= 0)

    @property
    def _members(self) -> int:
        """How many members there are, all heads of all networks."""
        return self.weights.scale.shape[0] * self.architecture.n_heads

    @property
    def _each(self) -> bool:
        """Whether the forces of every member are computed, not those of what drives alone."""
        return self.architecture.n_heads == 1 or self.force_spread

    def _shares(self, n_replicas: int) -> jax.Array:
        """Return what each head of each network drives with, (networks, n_heads, R)."""
        drive = (
            jnp.full(self._members, 1.0 / self._members) if self.drive is None else jnp.asarray(self.drive)
        )
        drive = jnp.broadcast_to(drive[:, None] if drive.ndim == 1 else drive, (self._members, n_replicas))
        return drive.reshape(-1, self.architecture.n_heads, n_replicas)

    def _kernel(self, species: jax.Array) -> Functions:
        """Return the compiled kernel's functions for species (R, natoms)."""
        n_heads, n_replicas = self.architecture.n_heads, species.shape[0]
        if self._each:
            own = jnp.eye(n_heads)[None, :, :, None]
            shares = jnp.broadcast_to(own, (self.weights.scale.shape[0], n_heads, n_heads, n_replicas))
        else:
            shares = self._shares(n_replicas)[:, None]
        return kernel.functions(self.architecture, self.weights, species, shares)

    def _lanes(self, species: jax.Array, there: jax.Array | None) -> Functions:
        """Return the fast path's functions for species (R, natoms).

        Lanes are filled up to whole vectors of the processor: what is left over would be computed by other
        instructions, so that a replica's last bits would depend on its slot.
        """
        architecture, (n_replicas, n_atoms) = self.architecture, species.shape
        networks = self.weights.scale.shape[0]
        n_real = n_replicas * n_atoms
        n_lanes = -(-n_real // VECTOR) * VECTOR
        flat = species if there is None else jnp.where(there, species, 0)
        flat = jnp.pad(flat.reshape(-1), (0, n_lanes - n_real))
        if networks == 1:
            weights = fast.spread(architecture, jax.tree.map(lambda x: x[0], self.weights), flat)
        else:
            weights = jax.vmap(lambda w: fast.spread(architecture, w, flat))(self.weights)
        shares = None
        if not self._each:
            lanes = jnp.repeat(self._shares(n_replicas), n_atoms, axis=-1)
            shares = jnp.pad(lanes, ((0, 0), (0, 0), (0, n_lanes - n_real)))

        def arrange(neighbours: Neighbours | None) -> fast.Lists:
            assert neighbours is not None
            return fast.arrange(architecture, flat, lanes_of(neighbours, n_lanes))

        def one(lists: Any, lanes: jax.Array, weights: fast.LaneWeights, shares: Any) -> Any:
            """Return of one network outputs (heads, quantities, lanes) and forces (heads, lanes, 3), of the
            weighted heads (1, lanes, 3).
            """
            given = (architecture, weights, flat, lists, lanes)
            if self._each:
                outputs, forces = fast.evaluate_each(*given)
            else:
                outputs, forces = fast.evaluate(*given, shares)
                forces = forces[None]
            return fast.by_head(architecture, outputs), forces

        def run(lists: Any, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            lanes = jnp.pad(positions.reshape(-1, 3), ((0, n_lanes - n_real), (0, 0)))
            if networks == 1:
                outputs, forces = one(lists, lanes, weights, None if shares is None else shares[0])
            else:
                mapped = jax.vmap(partial(one, lists, lanes), (0, None if shares is None else 0))
                outputs, forces = mapped(weights, shares)
            outputs = outputs[..., :n_real].reshape(self._members, -1, n_replicas, n_atoms)
            forces = forces[..., :n_real, :].reshape(-1, n_replicas, n_atoms, 3)
            atoms = outputs[:, 0] if there is None else jnp.where(there, outputs[:, 0], 0.0)
            return atoms.sum(axis=-1), outputs, forces

        return arrange, run

    def _for(self, species: jax.Array, there: jax.Array | None) -> Batched:
        """Return the functions for species (R, natoms); where atoms are ``there`` (R, natoms), None: all."""
        architecture, members = self.architecture, self._members
        served = self.compiled and not architecture.oxidation and kernel.serves(architecture)
        arrange, run = self._kernel(species) if served else self._lanes(species, there)
        masses = jnp.asarray(ase.data.atomic_masses[architecture.atomic_numbers])[species]
        if there is not None:
            masses = jnp.where(there, masses, 0.0)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            energies, outputs, forces = run(lists, positions)
            info = {}
            if "charge" in architecture.heads and not _in_cell(lists):
                charges = outputs[:, architecture.heads.index("charge")].mean(axis=0)
                if there is None:
                    dipole = jax.vmap(partial(reference.dipole_of_charges, masses=masses[0]))
                    info["dipole_e_A"] = dipole(charges, positions)
                else:
                    own = jax.vmap(partial(reference.dipole_of_charges, total_charge=0.0))
                    info["dipole_e_A"] = own(charges, positions, masses, there=there)
            if architecture.oxidation:
                coefficients = outputs[:, 1:].mean(axis=0)
                info["dipole_e_A"] = _multivalued(architecture, species, coefficients, lists, positions)
            if members == 1:
                return Evaluation(energies[0], forces[0], info)
            info["energy_spread_eV"] = energies.std(axis=0, ddof=1)
            if self._each:
                spreads = jnp.sqrt(forces.var(axis=0, ddof=1).sum(axis=-1))
                info["force_spread_eV_per_A"] = spreads.max(axis=-1)
            else:
                # What drives is in the heads' shares already, those of all networks together.
                forces = forces.sum(axis=0, keepdims=True)
            if self.drive is None:
                return Evaluation(energies.mean(axis=0), forces.mean(axis=0), info)
            # A member that does not drive must not matter, not even where it is not finite.
            drive = jnp.asarray(self.drive)
            energies = _driven(drive, energies)
            forces = _driven(drive, forces) if self._each else forces[0]
            return Evaluation(energies, forces, info)

        return Batched(arrange, evaluate)


def _multivalued(
    architecture: Architecture, species: jax.Array, coefficients: jax.Array, lists: fast.Lists, positions: Any
) -> jax.Array:
    """Return dipoles (R, 3) of coefficients (S, R, natoms), as ``reference.multivalued_dipole`` has them."""
    n_replicas, n_atoms = species.shape
    lanes = jnp.pad(positions.reshape(-1, 3), ((0, lists.n_lanes - n_replicas * n_atoms), (0, 0)))
    vectors = fast._separations(lists, lanes, architecture.cutoff_A)
    weight = reference.cosine_cutoff(jnp.sqrt((vectors**2).sum(axis=0)), architecture.cutoff_A)
    arms = jnp.einsum("kn,skn,xkn->snx", weight, lists.species.astype(weight.dtype), vectors)
    arms = arms[:, : n_replicas * n_atoms].reshape(-1, n_replicas, n_atoms, 3)
    there = species >= 0
    numbers = jnp.where(there, jnp.asarray(architecture.oxidation)[species], 0.0)
    own = jnp.einsum("srn,srnx->rx", jnp.where(there, coefficients, 0.0), arms)
    return own + jnp.einsum("rn,rnx->rx", numbers, positions)


def _in_cell(lists: Any) -> bool:
    """Say whether arranged lists are those of periodic structures."""
    shift = lists.shift if isinstance(lists, fast.Lists) else lists[1]
    return shift is not None and shift.size > 0


def _driven(drive: jax.Array, values: jax.Array) -> jax.Array:
    """Return the sum over members of values (members, R, …) times ``drive``, (members,) or (members, R)."""
    values = jnp.where(drive.reshape(*drive.shape, *[1] * (values.ndim - drive.ndim)) == 0, 0.0, values)
    if drive.ndim == 1:
        return jnp.tensordot(drive, values, 1)
    return (drive.reshape(*drive.shape, *[1] * (values.ndim - 2)) * values).sum(axis=0)


def lanes_of(neighbours: Neighbours, n_lanes: int) -> Neighbours:
    """Return the lists of R replicas (leading axis R) as those of one structure of n_lanes ≥ R · natoms."""
    n_replicas, n_atoms, slots = neighbours.index.shape
    ends = ((0, n_lanes - n_replicas * n_atoms), (0, 0))
    first = n_atoms * jnp.arange(n_replicas, dtype=jnp.int32)[:, None, None]
    real = neighbours.index < n_atoms
    shift = neighbours.shift
    return replace(
        neighbours,
        index=jnp.pad(
            jnp.where(real, neighbours.index + first, n_lanes).reshape(-1, slots),
            ends,
            constant_values=n_lanes,
        ),
        reverse=jnp.pad(neighbours.reverse.reshape(-1, slots), ends),
        shift=None if shift is None else jnp.pad(shift.reshape(-1, slots, 3), (*ends, (0, 0))),
        origin=jnp.pad(neighbours.origin.reshape(-1, 3), ends),
        cell=None,
        overflow=neighbours.overflow.any(),
        rebuildable=False,
    )
