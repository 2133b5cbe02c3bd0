"""GM-NN in the engine: one model, or a committee whose mean drives and whose spread is watched."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ase.data
import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.gmnn import fast, reference
from frazil.potentials.gmnn.architecture import Architecture, Weights, fold
from frazil.potentials.gmnn.files import Model
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours

VECTOR = 16
"""Lanes of the widest vectors there are (float32, 512 bits)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GMNN:
    """A model file's committee on atoms of given elements, made by ``of``; weights lead with the members.

    Its info: the dipole (e Å, from the centre of mass, of a neutral structure) where the model has charges,
    and of more than one member the spreads, standard deviations over members (M − 1): of the energy, and the
    largest of an atom's force. The mean drives, or what ``drive`` (members,) weighs them by: one member where
    it is 1 for that one, the spreads being all members'.
    """

    weights: Weights
    species: jax.Array
    architecture: Architecture = field(metadata={"static": True})
    drive: Any = None

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
        """Return the fast path on the lanes of all replicas: one matrix product serves them together."""
        return self._on_lanes(jnp.tile(self.species, n_replicas), n_replicas)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for replicas of several structures (R,): lanes of atoms that are not there idle."""
        own = self.species[kinds]
        there = own >= 0
        made = self if self.drive is None else replace(self, drive=jnp.asarray(self.drive)[kinds].T)
        return made._on_lanes(jnp.where(there, own, 0).reshape(-1), kinds.shape[0], there)

    def _on_lanes(self, species: jax.Array, n_replicas: int, there: jax.Array | None = None) -> Batched:
        """Return the functions for lanes of ``species``; where atoms are ``there`` (R, natoms), None: all.

        Lanes are filled up to whole vectors of the processor: what is left over would be computed by other
        instructions, so that a replica's last bits would depend on its slot.
        """
        architecture, n_atoms = self.architecture, species.shape[0] // n_replicas
        members = self.weights.scale.shape[0]
        n_real = species.shape[0]
        n_lanes = -(-n_real // VECTOR) * VECTOR
        masses = jnp.asarray(ase.data.atomic_masses[architecture.atomic_numbers])[species]
        masses = masses.reshape(n_replicas, n_atoms)
        if there is not None:
            masses = jnp.where(there, masses, 0.0)
        species = jnp.pad(species, (0, n_lanes - n_real))
        if members == 1:
            weights = fast.spread(architecture, jax.tree.map(lambda x: x[0], self.weights), species)
        else:
            weights = jax.vmap(lambda w: fast.spread(architecture, w, species))(self.weights)

        def arrange(neighbours: Neighbours | None) -> fast.Lists:
            assert neighbours is not None
            return fast.arrange(architecture, species, lanes_of(neighbours, n_lanes))

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            lanes = jnp.pad(positions.reshape(-1, 3), ((0, n_lanes - n_real), (0, 0)))
            run = partial(fast.evaluate, architecture, species=species, lists=lists, positions=lanes)
            if members == 1:
                outputs, forces = jax.tree.map(lambda x: x[None], run(weights))
            else:
                outputs, forces = jax.vmap(run)(weights)
            outputs = outputs[..., :n_real].reshape(members, -1, n_replicas, n_atoms)
            forces = forces[:, :n_real].reshape(members, n_replicas, n_atoms, 3)
            atoms = outputs[:, 0] if there is None else jnp.where(there, outputs[:, 0], 0.0)
            energies = atoms.sum(axis=-1)
            info = {}
            if "charge" in architecture.heads:
                charges = outputs[:, architecture.heads.index("charge")].mean(axis=0)
                if there is None:
                    dipole = jax.vmap(partial(reference.dipole_of_charges, masses=masses[0]))
                    info["dipole_e_A"] = dipole(charges, positions)
                else:
                    own = jax.vmap(partial(reference.dipole_of_charges, total_charge=0.0))
                    info["dipole_e_A"] = own(charges, positions, masses, there=there)
            if members == 1:
                return Evaluation(energies[0], forces[0], info)
            info["energy_spread_eV"] = energies.std(axis=0, ddof=1)
            spreads = jnp.sqrt(forces.var(axis=0, ddof=1).sum(axis=-1))
            info["force_spread_eV_per_A"] = spreads.max(axis=-1)
            if self.drive is None:
                return Evaluation(energies.mean(axis=0), forces.mean(axis=0), info)
            # A member that does not drive must not matter, not even where it is not finite.
            drive = jnp.asarray(self.drive)
            energies, forces = (
                jnp.where(drive.reshape(*drive.shape, *[1] * (x.ndim - drive.ndim)) == 0, 0.0, x)
                for x in (energies, forces)
            )
            if drive.ndim == 1:
                return Evaluation(jnp.tensordot(drive, energies, 1), jnp.tensordot(drive, forces, 1), info)
            return Evaluation(
                (drive * energies).sum(axis=0), (drive[..., None, None] * forces).sum(axis=0), info
            )

        return Batched(arrange, evaluate)


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
