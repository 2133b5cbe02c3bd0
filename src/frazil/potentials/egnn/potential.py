"""EGNN in the engine."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.egnn.architecture import Architecture, Parameters
from frazil.potentials.egnn.network import atom_energies, features, head, in_precision
from frazil.potentials.gmnn.potential import VECTOR, lanes_of
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree


@pytree
@dataclass(frozen=True)
class EGNN:
    """A model on atoms of given elements, made by ``of``."""

    weights: Parameters
    species: jax.Array
    architecture: Architecture = field(metadata={"static": True})

    @classmethod
    def of(cls, architecture: Architecture, parameters: Parameters, numbers: np.ndarray) -> "EGNN":
        """Return the model for atoms of atomic numbers (natoms,). Raises UserError for a foreign element."""
        species = jnp.asarray(architecture.species(numbers))
        return cls(in_precision(architecture, parameters), species, architecture)

    @property
    def cutoff_A(self) -> float | None:
        """The model's cutoff."""
        return self.architecture.cutoff_A

    @property
    def n_atoms(self) -> int | None:
        """The number of its species."""
        return int(self.species.shape[0])

    def batched(self, n_replicas: int) -> Batched:
        """Return the functions on the lanes of all replicas, filled up to whole vectors of the processor."""
        n_atoms = self.species.shape[0]
        n_real = n_replicas * n_atoms
        n_lanes = -(-n_real // VECTOR) * VECTOR
        species = jnp.pad(jnp.tile(self.species, n_replicas), (0, n_lanes - n_real))

        def arrange(neighbours: Neighbours | None) -> Neighbours:
            assert neighbours is not None
            return lanes_of(neighbours, n_lanes)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            def total(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
                lanes = jnp.pad(positions.reshape(-1, 3), ((0, n_lanes - n_real), (0, 0)))
                h = features(self.architecture, self.weights, species, lists, lanes)
                if self.architecture.form == "smooth":
                    own = atom_energies(self.architecture, self.weights, species, h)
                    energies = own[:n_real].reshape(n_replicas, n_atoms).sum(axis=1)
                else:
                    together = h[:n_real].reshape(n_replicas, n_atoms, -1).sum(axis=1)
                    rows = jnp.pad(together, ((0, -n_replicas % VECTOR), (0, 0)))
                    energies = head(self.architecture, self.weights, rows)[:n_replicas]
                    energies = energies + self.weights["shift"][self.species].sum()
                return energies.sum(), energies

            (_, energies), slope = jax.value_and_grad(total, has_aux=True)(positions)
            return Evaluation(energies, -slope, {})

        return Batched(arrange, evaluate)
