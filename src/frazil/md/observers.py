"""Observers: pure functions (state, system) of one replica that return named numbers, in ASE units.

An experiment gives those it wants; frames are positions and velocities and nothing special. An observer is
static for the compiler: a module's function, or a frozen dataclass that can be called.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from frazil.md.state import State, System

Seen = dict[str, jax.Array]


def energies(state: State, system: System) -> Seen:
    """Return ``energy`` (potential) and ``kinetic_energy``, eV."""
    return {"energy": state.energy, "kinetic_energy": system.kinetic_energy(state.velocities)}


def temperature(state: State, system: System) -> Seen:
    """Return ``temperature_K``."""
    return {"temperature_K": system.temperature_K(state.velocities)}


def frames(state: State, system: System) -> Seen:
    """Return ``positions`` (natoms, 3) Å and ``velocities`` (natoms, 3) Å per ASE time."""
    return {"positions": state.positions, "velocities": state.velocities}


def forces(state: State, system: System) -> Seen:
    """Return ``forces`` (natoms, 3) eV/Å."""
    return {"forces": state.forces}


def potential_info(state: State, system: System) -> Seen:
    """Return what the potential says besides energy and forces: dipole, spreads of a committee."""
    return state.info


@dataclass(frozen=True)
class Conserved:
    """``conserved_energy`` (), eV, of a thermostat that conserves one: constant but for the time step."""

    integrator: Any

    def __call__(self, state: State, system: System) -> Seen:
        """Return the energy of the replica and of its thermostats."""
        return {"conserved_energy": self.integrator.conserved_energy(system, state)}


@dataclass(frozen=True)
class Distances:
    """``distances`` (pairs,) Å, of pairs of atoms."""

    pairs: tuple[tuple[int, int], ...]

    def __call__(self, state: State, system: System) -> Seen:
        """Return the distances."""
        first, second = zip(*self.pairs, strict=True)
        apart = state.positions[jnp.array(first)] - state.positions[jnp.array(second)]
        return {"distances": jnp.sqrt(jnp.sum(apart**2, axis=1))}
