"""Path integrals as a potential: a replica of P·N atoms is N rings of P beads, any potential seen by each
bead.

Nuclei of N atoms at the temperature T are, for averages, as rings of P beads that classical dynamics
samples at P T under H = Σ_j [p_j²/2m + ½ m ω_P² (q_j − q_{j+1})² + V(q_j)], ω_P = P k T/ħ (Parrinello &
Rahman, J. Chem. Phys. 80, 860, 1984). Here are the V; the springs are part of the integrator,
``md.integrators.PILE``, and ``md.rings`` has the beads' masses and starts, and the observers that give
physical numbers::

    atoms, beads = Atoms("OH", …), 32
    ensemble = Ensemble(
        RingPolymer(source.potential(atoms), beads), PILE(0.5, 300.0, 100.0, beads),
        of_beads(atoms.get_masses(), beads), 20_000, 20, observers=(RingEnergies(300.0, beads),),
    )
    ensemble.run(of_beads(positions, beads), of_beads(velocities, beads))
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from frazil.errors import UserError
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.potentials.transform import mixed_of
from frazil.pytrees import pytree


@pytree
@dataclass(frozen=True)
class RingPolymer:
    """Rings of ``n_beads`` in a potential of N atoms: Σ_j V(q_j), positions (P·N, 3) bead by bead.

    ``on_centroid`` acts on the rings' centroids q̄, as P U(q̄), which is U at the temperature P T (a
    restraint, a bias). Infos are the mean over the beads of what the potential says of each, as averages of
    path integrals want it, and ``centroid_energy_eV``, U.
    """

    potential: Any
    n_beads: int = field(metadata={"static": True})
    on_centroid: Any = None

    @property
    def cutoff_A(self) -> float | None:
        """The potential's; neighbours are those of a bead."""
        found: float | None = self.potential.cutoff_A
        return found

    @property
    def n_atoms(self) -> int | None:
        """Atoms of all beads."""
        own = self.potential.n_atoms
        return None if own is None else self.n_beads * own

    def batched(self, n_replicas: int) -> Batched:
        """Return the functions of R rings from those of R·P replicas.

        Raises UserError for a centroid's potential that wants neighbour lists.
        """
        centroid = None if self.on_centroid is None else self.on_centroid.batched(n_replicas)
        return self._joined(self.potential.batched(n_replicas * self.n_beads), centroid)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for rings of several structures (R,). Raises UserError for a potential of one."""
        centroid = None if self.on_centroid is None else mixed_of(self.on_centroid, kinds)
        return self._joined(mixed_of(self.potential, jnp.repeat(kinds, self.n_beads)), centroid)

    def _joined(self, ready: Batched, centroid: Batched | None) -> Batched:
        if centroid is not None and self.on_centroid.cutoff_A is not None:
            raise UserError(
                f"a potential on the centroid with a cutoff of {self.on_centroid.cutoff_A:g} Å; give one "
                "that takes all pairs"
            )

        def arrange(neighbours: Neighbours | None) -> Any:
            if neighbours is None:
                return ready.arrange(None)
            return ready.arrange(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), neighbours))

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            n_replicas = positions.shape[0]
            rings = positions.reshape(n_replicas, self.n_beads, -1, 3)
            found = ready.evaluate(lists, rings.reshape(n_replicas * self.n_beads, -1, 3))

            def by_ring(values: jax.Array) -> jax.Array:
                return values.reshape(n_replicas, self.n_beads, *values.shape[1:])

            energies, forces = by_ring(found.energies).sum(axis=1), by_ring(found.forces)
            info = {name: by_ring(values).mean(axis=1) for name, values in found.info.items()}
            if centroid is not None:
                # P U(q̄) pulls each bead by P ∂U/∂q̄ · 1/P.
                held = centroid.evaluate(centroid.arrange(None), rings.mean(axis=1))
                energies = energies + self.n_beads * held.energies
                forces = forces + held.forces[:, None]
                info = {**info, "centroid_energy_eV": held.energies}
            return Evaluation(energies, forces.reshape(positions.shape), info)

        return Batched(arrange, evaluate)
