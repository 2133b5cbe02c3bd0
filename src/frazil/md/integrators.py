"""Integrators: pairs of pure functions (init, step) of one replica.

``init(positions, velocities, key) -> State`` and ``step(State) -> State``. Everything is in ASE units;
``force_fn`` maps positions (natoms, 3) to (energy, forces); masses are (natoms, 1).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from frazil.md.state import State
from frazil.units import kB

ForceFn = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
Integrator = tuple[Callable[[Any, Any, Any], State], Callable[[State], State]]


def force_function(potential: Callable[[jax.Array], jax.Array]) -> ForceFn:
    """Return positions → (energy, forces) of a potential positions → energy."""

    def energy_and_forces(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        energy, gradient = jax.value_and_grad(potential)(positions)
        return energy, -gradient

    return energy_and_forces


def velocity_verlet(force_fn: ForceFn, masses: Any, timestep: Any) -> Integrator:
    """Return the velocity-Verlet integrator (NVE; Swope et al., J. Chem. Phys. 76, 637, 1982)."""

    def init(positions: Any, velocities: Any, key: Any) -> State:
        energy, forces = force_fn(positions)
        return State(positions, velocities, forces, energy, jnp.zeros((), jnp.int64), key)

    def step(state: State) -> State:
        half = state.velocities + 0.5 * timestep * state.forces / masses
        positions = state.positions + timestep * half
        energy, forces = force_fn(positions)
        velocities = half + 0.5 * timestep * forces / masses
        return State(positions, velocities, forces, energy, state.step + 1, state.key)

    return init, step


def langevin(force_fn: ForceFn, masses: Any, timestep: Any, temperature_K: Any, damping: Any) -> Integrator:
    """Return the BAOAB Langevin integrator (NVT; Leimkuhler & Matthews, J. Chem. Phys. 138, 174102, 2013).

    ``damping`` is the relaxation time of velocities, ASE time. A step's noise depends on the replica's key
    and the step's number only.
    """
    init, _ = velocity_verlet(force_fn, masses, timestep)
    kept = jnp.exp(-timestep / damping)
    noise = jnp.sqrt(kB * temperature_K * (1.0 - kept**2) / masses)

    def step(state: State) -> State:
        half = state.velocities + 0.5 * timestep * state.forces / masses
        positions = state.positions + 0.5 * timestep * half
        random = jax.random.normal(jax.random.fold_in(state.key, state.step), half.shape, half.dtype)
        half = kept * half + noise * random
        positions = positions + 0.5 * timestep * half
        energy, forces = force_fn(positions)
        velocities = half + 0.5 * timestep * forces / masses
        return State(positions, velocities, forces, energy, state.step + 1, state.key)

    return init, step
