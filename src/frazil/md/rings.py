"""Ring polymers of path integrals: normal modes, masses and starts of beads, estimators of averages.

Positions of rings are (P·N, 3), bead by bead. ``system.temperature_K`` of a ring is P T, and its kinetic
energy is the beads'; physical numbers come from ``RingEnergies`` and ``RingSizes`` here.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.md.state import State, System
from frazil.units import hbar, inverse_cm, kB

BEADS_PER_QUANTUM = 2.0
"""P ≥ 2 ħω/kT leaves 3 % of a fast mode's quantum energy; four times as many leave 0.2 % (1/P²)."""


def ring_modes(n_beads: int) -> np.ndarray:
    """Return the orthogonal normal modes (P, P) of a free ring, in rows; the first is the centroid's.

    That of the wave number k has the frequency 2 ω_P sin(kπ/P): cosines up to P/2, sines beyond.
    """
    k, bead = np.arange(n_beads)[:, None], np.arange(n_beads)[None]
    phase = 2 * np.pi * k * bead / n_beads
    modes = np.sqrt(2 / n_beads) * np.where(2 * k < n_beads, np.cos(phase), np.sin(phase))
    modes[0] = 1 / np.sqrt(n_beads)
    if n_beads % 2 == 0:
        modes[n_beads // 2] = (-1.0) ** bead[0] / np.sqrt(n_beads)
    return modes


def ring_frequencies(n_beads: int, temperature_K: Any) -> jax.Array:
    """Return the modes' frequencies (P,), per ASE time: ω_k = 2 ω_P sin(kπ/P), ω_P = P k T/ħ."""
    chain = n_beads * kB * temperature_K / hbar
    return 2.0 * chain * jnp.sin(jnp.pi * jnp.arange(n_beads) / n_beads)


def beads_needed(highest_cm1: float, temperature_K: float) -> int:
    """Return the fewest beads for modes up to a wavenumber: P ≥ 2 ħω/kT."""
    return ceil(BEADS_PER_QUANTUM * highest_cm1 * inverse_cm / (kB * temperature_K))


def of_beads(values: np.ndarray, n_beads: int) -> np.ndarray:
    """Return what all beads have alike: masses (natoms,), positions ((n,) natoms, 3) of one or n starts."""
    repeated = (1,) * (np.ndim(values) - 2) + (n_beads,) + (1,) * (np.ndim(values) > 1)
    return np.tile(values, repeated)


def start_of_ring(
    positions_A: np.ndarray,
    masses_amu: np.ndarray,
    temperature_K: float,
    n_beads: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a ring's start (P·N, 3): all beads in one place, velocities of P T (ASE units).

    The rings open within some ten periods of the stiffest mode, since PILE's friction is optimal; what is
    sampled before that belongs to no average.
    """
    positions, masses = of_beads(positions_A, n_beads), of_beads(masses_amu, n_beads)
    spread = np.sqrt(n_beads * kB * temperature_K / masses)[:, None]
    return positions, spread * random.normal(size=positions.shape)


@dataclass(frozen=True)
class RingEnergies:
    """Energies of nuclei at ``temperature_K`` from a ring, each an average's single value, eV.

    - ``potential_energy``: (1/P) Σ_j V(q_j).
    - ``kinetic_virial``: N_f kT/2 + (1/2P) Σ_j (q_j − q̄)·∂V/∂q_j, the centroid virial (Herman, Bruskin &
      Berne, J. Chem. Phys. 76, 5150, 1982), whose scatter does not grow with P. N_f: degrees of freedom of
      mobile atoms.
    - ``kinetic_primitive``: N_f P kT/2 − (1/P) Σ_j ½ m ω_P² (q_j − q_{j+1})². The mean is the same; a
      difference tells a time step that is too long, or a ring that is not in equilibrium.
    """

    temperature_K: float
    n_beads: int

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return the three energies."""
        thermal = 0.5 * system.degrees_of_freedom * kB * self.temperature_K
        rings, forces, masses, mobile = (
            values.reshape(self.n_beads, -1, values.shape[-1])
            for values in (state.positions, state.forces, system.masses, system.mobile)
        )
        about = rings - rings.mean(axis=0)
        chain = self.n_beads * kB * self.temperature_K / hbar
        stretched = 0.5 * chain**2 * jnp.sum(mobile * masses * (rings - jnp.roll(rings, 1, axis=0)) ** 2)
        return {
            "potential_energy": state.energy / self.n_beads,
            "kinetic_virial": (thermal - 0.5 * jnp.sum(mobile * about * forces)) / self.n_beads,
            "kinetic_primitive": thermal - stretched / self.n_beads,
        }


def ring_heat_capacity(rows: dict[str, np.ndarray], temperature_K: float, degrees_of_freedom: int) -> float:
    """Return the heat capacity, eV/K, of rows (n,) of ``RingEnergies``.

    C = N_f k/2 + Cov(V + K_virial, V + K_primitive)/kT²: the derivative by temperature of the mean of V +
    K_virial, in which β stands in N_f/2β alone. It needs no second derivatives, and scatters the more the
    more beads are.
    """
    first = rows["potential_energy"] + rows["kinetic_virial"]
    second = rows["potential_energy"] + rows["kinetic_primitive"]
    covariance = np.mean((first - first.mean()) * (second - second.mean()))
    return float(0.5 * degrees_of_freedom * kB + covariance / (kB * temperature_K**2))


@dataclass(frozen=True)
class RingSizes:
    """``gyration_squared_A2`` (natoms,): (1/P) Σ_j |q_j − q̄|²; the root of its mean is the quantum radius
    of gyration, ħ/2√(m kT) of a free particle.
    """

    n_beads: int

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return the squares."""
        rings = state.positions.reshape(self.n_beads, -1, 3)
        return {"gyration_squared_A2": jnp.sum((rings - rings.mean(axis=0)) ** 2, axis=(0, 2)) / self.n_beads}


@dataclass(frozen=True)
class Centroids:
    """``centroids`` (natoms, 3), Å."""

    n_beads: int

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return the centroids."""
        return {"centroids": state.positions.reshape(self.n_beads, -1, 3).mean(axis=0)}
