"""Ensembles of replicas: batching, and nothing but batching. Importing this module switches JAX to float64.

Replicas run in blocks of constant width, the last one padded, so that one compilation serves all and a
replica's numbers depend neither on how many run nor on its place. A replica that is no longer finite stays so
and disturbs no other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.md.integrators import force_function, langevin, velocity_verlet
from frazil.md.state import State
from frazil.units import fs

jax.config.update("jax_enable_x64", True)

BLOCK_WIDTH = 8

Potential = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Langevin:
    """A Langevin thermostat for ``run``; noise depends on (seed, trajectory id, step) only."""

    temperature_K: float
    damping_fs: float
    seed: int


@dataclass(frozen=True)
class Observation:
    """All n replicas at one time: positions and velocities (n, natoms, 3), potential energies (n,)."""

    step: int
    time_fs: float
    positions: np.ndarray
    velocities: np.ndarray
    energy_eV: np.ndarray


@partial(jax.jit, static_argnames=("potential", "thermal"))
def _advance(
    potential: Potential,
    thermal: bool,
    states: State,
    masses: jax.Array,
    timestep: float,
    temperature_K: float,
    damping: float,
    n_steps: int,
) -> State:
    """Advance a block of replicas."""
    force_fn = force_function(potential)
    if thermal:
        _, step = langevin(force_fn, masses, timestep, temperature_K, damping)
    else:
        _, step = velocity_verlet(force_fn, masses, timestep)
    return jax.vmap(lambda state: jax.lax.fori_loop(0, n_steps, lambda _, s: step(s), state))(states)


def run(
    potential: Potential,
    positions: np.ndarray,
    velocities: np.ndarray,
    masses: np.ndarray,
    timestep_fs: float,
    n_steps: int,
    observe_every: int,
    thermostat: Langevin | None = None,
    trajectory_ids: Sequence[int] | None = None,
) -> Iterator[Observation]:
    """Run n replicas and yield an Observation at step 0 and after every ``observe_every`` steps.

    ``potential`` maps positions (natoms, 3) to an energy (eV) and must be hashable, equal ones alike (a
    frozen dataclass): it is compiled once. ``positions`` and ``velocities`` (n, natoms, 3) and ``masses``
    (natoms,) are in ASE units. Without a thermostat it is NVE by velocity Verlet. ``trajectory_ids`` (n,) key
    the noise.
    """
    if not timestep_fs > 0:
        raise UserError(f"a time step of {timestep_fs:g} fs; it must be positive")
    if n_steps < 0 or observe_every < 1:
        raise UserError(f"{n_steps} steps observed every {observe_every}; steps must be ≥ 0, observing ≥ 1")
    n = len(positions)
    ids = np.arange(n) if trajectory_ids is None else np.asarray(trajectory_ids)
    base = jax.random.key(thermostat.seed if thermostat else 0, impl="threefry2x32")
    advance = partial(_advance, potential, thermostat is not None)
    settings: dict[str, Any] = {
        "masses": jnp.asarray(masses, jnp.float64)[:, None],
        "temperature_K": thermostat.temperature_K if thermostat else 0.0,
        "damping": thermostat.damping_fs * fs if thermostat else 1.0,
    }
    blocks = []
    for start in range(0, n, BLOCK_WIDTH):
        slots = np.minimum(np.arange(start, start + BLOCK_WIDTH), n - 1)
        block = State(
            positions=jnp.asarray(positions[slots], jnp.float64),
            velocities=jnp.asarray(velocities[slots], jnp.float64),
            forces=jnp.zeros((BLOCK_WIDTH, *positions.shape[1:])),
            energy=jnp.zeros(BLOCK_WIDTH),
            step=jnp.full(BLOCK_WIDTH, -1, jnp.int64),
            key=jax.vmap(partial(jax.random.fold_in, base))(jnp.asarray(ids[slots])),
        )
        # A step of no length evaluates energy and forces, without a second compilation.
        blocks.append(advance(block, timestep=0.0, n_steps=1, **settings))
    done = 0
    yield _observe(blocks, n, done, timestep_fs)
    while done < n_steps:
        chunk = min(observe_every, n_steps - done)
        blocks = [advance(block, timestep=timestep_fs * fs, n_steps=chunk, **settings) for block in blocks]
        done += chunk
        yield _observe(blocks, n, done, timestep_fs)


def _observe(blocks: list[State], n: int, step: int, timestep_fs: float) -> Observation:
    """Return the first n replicas of the blocks, on the host."""
    positions, velocities, energies = (
        np.concatenate([np.asarray(getattr(block, name)) for block in blocks])[:n]
        for name in ("positions", "velocities", "energy")
    )
    return Observation(step, step * timestep_fs, positions, velocities, energies)
