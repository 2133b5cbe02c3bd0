"""What a potential gives the engine: energies and forces of R replicas of one structure, together.

A potential is a registered dataclass (a JAX pytree): its weights are leaves, so that models of one shape
share a compilation. The engine owns the neighbour lists; ``arrange`` turns them into whatever ``evaluate``
wants and runs only after a rebuild. ``evaluate`` may be a foreign call (``jax.ffi``): that is how a kernel of
one's own takes the place of a JAX function. Importing this module switches JAX to float64.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.neighbours import Neighbours

jax.config.update("jax_enable_x64", True)

_COMPILER_OPTIONS: dict[str, Any] = {"xla_disable_hlo_passes": "cse_barrier_expander"}


class Evaluation(NamedTuple):
    """Of R replicas: energies (R,) eV, forces (R, natoms, 3) eV/Å, float64, and what else it knows, by name
    (R, …): ``dipole_e_A``, ``energy_spread_eV``, ``force_spread_eV_per_A``.
    """

    energies: jax.Array
    forces: jax.Array
    info: dict[str, jax.Array]


class Batched(NamedTuple):
    """A potential made ready for R replicas; pure functions, a replica's numbers depend on no other's.

    ``arrange(neighbours)``: neighbours with a leading axis R (None without a cutoff) to what evaluate takes.
    ``evaluate(lists, positions)``: positions (R, natoms, 3) Å, float64. A replica that is not finite yields
    numbers that are not, and leaves every bit of the others.
    """

    arrange: Callable[[Neighbours | None], Any]
    evaluate: Callable[[Any, jax.Array], Evaluation]


class Potential(Protocol):
    """What the engine runs; every class here is final, a registered dataclass of arrays and static fields."""

    @property
    def cutoff_A(self) -> float | None:
        """How far neighbours matter; None for a potential that takes all pairs, or none, by itself."""

    @property
    def n_atoms(self) -> int | None:
        """How many atoms it is made for; None for any number."""

    def batched(self, n_replicas: int) -> Batched:
        """Return the functions for so many replicas; called once inside each compiled chunk."""


@runtime_checkable
class Mixed(Potential, Protocol):
    """A potential of several structures, its own leaves having an axis of them in front."""

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the functions for replicas of these structures (R,)."""


def beads_of(dynamics: Any) -> int | None:
    """Return how many beads the rings of a potential or an integrator have; None where nuclei are points."""
    found: int | None = getattr(dynamics, "n_beads", None)
    return found


class Analytic(ABC):
    """A potential given by its energy alone; subclasses are registered frozen dataclasses and final."""

    @abstractmethod
    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy (), eV, of one structure (natoms, 3)."""

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        """Return what else is known of one structure (natoms, 3), by name: nothing, or its dipole."""
        return {}

    @property
    def cutoff_A(self) -> float | None:
        """None: every pair is taken."""
        return None

    @property
    def n_atoms(self) -> int | None:
        """None: any number."""
        return None

    @property
    def at_once(self) -> int | None:
        """How many replicas are evaluated together, so that what they need stays in the cache; None: all."""
        return None

    def batched(self, n_replicas: int) -> Batched:
        """Return the energy's value and gradient, mapped over replicas."""
        value_and_gradient = jax.vmap(jax.value_and_grad(self.energy))

        def in_turns(positions: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
            # All turns are of one width, so that a replica's numbers depend on no others'.
            turns = -(-n_replicas // width)
            rows = np.minimum(np.arange(turns * width), n_replicas - 1)
            batches = positions[rows].reshape(turns, width, *positions.shape[1:])
            found = jax.lax.map(value_and_gradient, batches)
            energies, gradients = (value.reshape(-1, *value.shape[2:])[:n_replicas] for value in found)
            return energies, gradients

        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            width = self.at_once
            found = value_and_gradient(positions) if width is None else in_turns(positions, width)
            energies, gradients = found
            return Evaluation(energies, -gradients, jax.vmap(self.info)(positions))

        return Batched(lambda _: jnp.zeros(0), evaluate)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit`` of an outermost function that evaluates potentials.

    On a CPU XLA would drop the barriers of ``gmnn.fast`` before it fuses, at a quarter of the speed.
    """
    return jax.jit(
        function, compiler_options=_COMPILER_OPTIONS if jax.default_backend() == "cpu" else None, **options
    )
