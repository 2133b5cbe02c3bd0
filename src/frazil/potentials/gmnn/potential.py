"""GM-NN in the engine: one model, or a committee whose mean drives and whose spread is watched."""

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
        return int(self.species.shape[0])

    def batched(self, n_replicas: int) -> Batched:
        """Return the fast path on the lanes of all replicas: one matrix product serves them together."""
        architecture, n_atoms = self.architecture, self.species.shape[0]
        species = jnp.tile(self.species, n_replicas)
        members = self.weights.scale.shape[0]
        masses = jnp.asarray(ase.data.atomic_masses[architecture.atomic_numbers])[self.species]
        if members == 1:
            weights = fast.spread(architecture, jax.tree.map(lambda x: x[0], self.weights), species)
        else:
            weights = jax.vmap(lambda w: fast.spread(architecture, w, species))(self.weights)

        def arrange(neighbours: Neighbours | None) -> fast.Lists:
            assert neighbours is not None
            return fast.arrange(architecture, species, lanes_of(neighbours))

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            lanes = positions.reshape(-1, 3)
            run = partial(fast.evaluate, architecture, species=species, lists=lists, positions=lanes)
            if members == 1:
                outputs, forces = jax.tree.map(lambda x: x[None], run(weights))
            else:
                outputs, forces = jax.vmap(run)(weights)
            outputs = outputs.reshape(members, -1, n_replicas, n_atoms)
            forces = forces.reshape(members, n_replicas, n_atoms, 3)
            energies = outputs[:, 0].sum(axis=-1)
            info = {}
            if "charge" in architecture.heads:
                charges = outputs[:, architecture.heads.index("charge")].mean(axis=0)
                info["dipole_e_A"] = jax.vmap(partial(reference.dipole_of_charges, masses=masses))(
                    charges, positions
                )
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
                jnp.where(drive.reshape(-1, *[1] * (x.ndim - 1)) == 0, 0.0, x) for x in (energies, forces)
            )
            return Evaluation(jnp.tensordot(drive, energies, 1), jnp.tensordot(drive, forces, 1), info)

        return Batched(arrange, evaluate)


def lanes_of(neighbours: Neighbours) -> Neighbours:
    """Return the lists of R replicas (leading axis R) as those of one structure of R · natoms atoms."""
    n_replicas, n_atoms, slots = neighbours.index.shape
    first = n_atoms * jnp.arange(n_replicas, dtype=jnp.int32)[:, None, None]
    real = neighbours.index < n_atoms
    shift = neighbours.shift
    return replace(
        neighbours,
        index=jnp.where(real, neighbours.index + first, n_replicas * n_atoms).reshape(-1, slots),
        reverse=neighbours.reverse.reshape(-1, slots),
        shift=None if shift is None else shift.reshape(-1, slots, 3),
        origin=neighbours.origin.reshape(-1, 3),
        cell=None,
        overflow=neighbours.overflow.any(),
        rebuildable=False,
    )
