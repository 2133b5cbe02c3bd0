"""The state of one replica."""

from dataclasses import dataclass

import jax


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """One replica (slot of a batch) in ASE units, float64; ensembles add a leading axis to every field.

    ``forces`` (natoms, 3) eV/Å and ``energy`` () eV belong to ``positions`` (natoms, 3) Å; ``velocities`` are
    in Å per ASE time; ``step`` () counts the steps done; ``key`` is the replica's own random key.
    """

    positions: jax.Array
    velocities: jax.Array
    forces: jax.Array
    energy: jax.Array
    step: jax.Array
    key: jax.Array
