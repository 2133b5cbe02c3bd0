"""EGNN as ``learning.rollout`` trains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.learning.batches import Batch, Frames, baseline, lists_of
from frazil.learning.rollout import FromEnergy
from frazil.potentials.egnn.architecture import Architecture, Parameters, initialize, rates
from frazil.potentials.egnn.files import write_folder
from frazil.potentials.egnn.network import atom_energies, features, head, in_precision
from frazil.potentials.egnn.potential import EGNN


@dataclass(frozen=True)
class EgnnNetwork:
    """An EGNN in training."""

    architecture: Architecture

    @property
    def cutoff_A(self) -> float:
        """The architecture's."""
        return self.architecture.cutoff_A

    @property
    def n_species(self) -> int:
        """How many elements it knows."""
        return len(self.architecture.elements)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into the elements (natoms,). Raises UserError for a foreign element."""
        return self.architecture.species(numbers)

    def identity(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON."""
        return {"kind": "egnn", **self.architecture.to_json()}

    def start(self, frames: Frames, seed: int) -> Parameters:
        """Return random parameters; of the smooth form shifts and scale are those of GM-NN.

        Shifts: least squares of the energies over the composition. Scale: root mean square force × 1 Å.
        """
        parameters = initialize(self.architecture, seed)
        if self.architecture.form == "published":
            return parameters
        shift, scale = baseline(frames, self.n_species)
        return {**parameters, "shift": jnp.asarray(shift), "scale": jnp.asarray(scale)}

    def rates(self, parameters: Parameters) -> Parameters:
        """Return 1 for what is trained, 0 for waves, shifts and scale."""
        return rates(parameters)

    def fold(self, parameters: Parameters) -> Parameters:
        """Return the parameters in the network's number type."""
        return in_precision(self.architecture, parameters)

    def _energies(self, weights: Parameters, batch: Batch, positions: jax.Array) -> jax.Array:
        """Return energies (B,) of positions (N, 3)."""
        species = jnp.asarray(batch.species)
        lists = lists_of(batch, self.architecture.cutoff_A)
        h = features(self.architecture, weights, species, lists, positions)
        n_sums = batch.n_structures + 1
        if self.architecture.form == "smooth":
            own = atom_energies(self.architecture, weights, species, h)
            return jax.ops.segment_sum(own, batch.owner, n_sums)[:-1]
        together = jax.ops.segment_sum(h, batch.owner, n_sums)[:-1]
        shifts = jax.ops.segment_sum(weights["shift"][species], batch.owner, n_sums)[:-1]
        return head(self.architecture, weights, together) + shifts

    def values(self, weights: Parameters, batch: Batch, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return energies (B,) eV and forces (N, 3) eV/Å."""
        return FromEnergy(self._energies).values(weights, batch, positions)

    def gradient(
        self, weights: Parameters, batch: Batch, positions: jax.Array, by_structure: jax.Array
    ) -> tuple[Parameters, jax.Array]:
        """Return the gradient of Σ by_structure · energies by weights and positions (N, 3)."""
        return FromEnergy(self._energies).gradient(weights, batch, positions, by_structure)

    def potential(self, parameters: Parameters, numbers: np.ndarray) -> EGNN:
        """Return the model for the engine."""
        return EGNN.of(self.architecture, parameters, numbers)

    def write(self, folder: Path, parameters: Parameters, metadata: Mapping[str, Any]) -> None:
        """Write the model's folder."""
        write_folder(folder, self.architecture, parameters, metadata)
