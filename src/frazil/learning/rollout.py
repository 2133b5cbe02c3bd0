"""Rollouts: a potential's own short trajectories beside labelled ones, and their loss's gradient.

From positions and velocities of a labelled frame the model's forces integrate S − 1 steps of velocity Verlet;
the forces along the way are compared with the labels' (Žugec et al., dynamic training of an EGNN, eqs. 9–13).
The gradient goes through the whole rollout. Forces are −∂E/∂x already, so their derivatives come by

    λ ↦ d/dε [∇E(x − ε λ)],  ∇ by parameters and by positions together,

one forward derivative of a gradient (``predicted``): nothing of the network is kept from step to step but the
positions. Neighbour lists are those of the labelled frames, step by step, with a skin; the cutoff itself is
taken by the distance, so that a rollout is the engine's trajectory as long as an atom has not left its
reference by half the skin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.data.trajectories import LabelledTrajectory
from frazil.learning.batches import Batch, Frames, assemble, prepare, residuals, squared
from frazil.potentials.gmnn.committee import bucket
from frazil.potentials.interface import Potential
from frazil.pytrees import pytree
from frazil.units import fs

Parameters = Any
Weights = Any


class Network(Protocol):
    """A potential that can be trained: pure functions of its parameters, on the lanes of a ``Batch``.

    ``Weights`` are what parameters fold into: made once per rollout, differentiated by JAX.
    """

    @property
    def cutoff_A(self) -> float:
        """How far neighbours matter."""

    @property
    def n_species(self) -> int:
        """How many elements it knows."""

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into its elements (natoms,); UserError for a foreign element."""

    def identity(self) -> Mapping[str, Any]:
        """Return its hyper-parameters as JSON."""

    def start(self, frames: Frames, seed: int) -> Parameters:
        """Return random parameters whose scales come from the frames."""

    def rates(self, parameters: Parameters) -> Parameters:
        """Return the learning rate of each leaf relative to the optimizer's; 0 keeps it fixed."""

    def fold(self, parameters: Parameters) -> Weights:
        """Return the weights that the next two take."""

    def values(self, weights: Weights, batch: Batch, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return energies (B,) eV and forces (N, 3) eV/Å, float64."""

    def gradient(
        self, weights: Weights, batch: Batch, positions: jax.Array, by_structure: jax.Array
    ) -> tuple[Weights, jax.Array]:
        """Return the gradient of Σ by_structure · energies by weights and positions (N, 3)."""

    def potential(self, parameters: Parameters, numbers: np.ndarray) -> Potential:
        """Return what the engine runs for atoms of these atomic numbers."""

    def write(self, folder: Path, parameters: Parameters, metadata: Mapping[str, Any]) -> None:
        """Write a folder that ``potentials.registry`` loads."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class FromEnergy:
    """``values`` and ``gradient`` of a network that is given by its energies alone.

    energies(weights, batch, positions): (B,) eV of positions (N, 3).
    """

    energies: Callable[[Weights, Batch, jax.Array], jax.Array]

    def values(self, weights: Weights, batch: Batch, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As ``Network.values``: structures of a batch do not feel each other."""

        def total(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
            energies = self.energies(weights, batch, positions)
            return energies.sum(), energies

        (_, energies), slope = jax.value_and_grad(total, has_aux=True)(positions)
        return energies, -slope

    def gradient(
        self, weights: Weights, batch: Batch, positions: jax.Array, by_structure: jax.Array
    ) -> tuple[Weights, jax.Array]:
        """As ``Network.gradient``."""

        def total(weights: Weights, positions: jax.Array) -> jax.Array:
            return by_structure @ self.energies(weights, batch, positions)

        return jax.grad(total, argnums=(0, 1))(weights, positions)


@pytree
@dataclass(frozen=True)
class Rollouts:
    """B subsequences of S frames: ``frames``, a ``Batch`` of each step, stacked, (S, …), and how they start.

    velocities (N, 3): Å per ASE time, at the first frame. inverse_masses (N,): 1/amu, 0 for atoms that are
    held and for free lanes. timesteps (N,): ASE time.
    """

    frames: Batch
    velocities: np.ndarray
    inverse_masses: np.ndarray
    timesteps: np.ndarray


@dataclass(frozen=True)
class Subsequences:
    """Labelled trajectories, ready to be cut: their frames one after the other, lists made once.

    starts (n,): frames from which ``longest`` follow without a gap.
    """

    frames: Frames
    starts: np.ndarray
    velocities: list[np.ndarray]
    inverse_masses: list[np.ndarray]
    timesteps_fs: np.ndarray
    slots: int
    n_lanes_of: Callable[[int], int]


def cut(
    network: Network, trajectories: Sequence[LabelledTrajectory], longest: int, skin_A: float
) -> Subsequences:
    """Prepare the subsequences of up to ``longest`` frames. Raises UserError where there is none."""
    atoms: list[Atoms] = []
    starts, velocities, inverse_masses, timesteps = [], [], [], []
    for trajectory in trajectories:
        starts.append(len(atoms) + trajectory.starts(longest))
        inverse = np.where(trajectory.mobile, 1.0 / trajectory.atoms.get_masses(), 0.0)
        for number in range(len(trajectory)):
            atoms.append(trajectory.frame(number))
            velocities.append(trajectory.velocities[number])
            inverse_masses.append(inverse)
            timesteps.append(trajectory.timestep_fs)
    frames = prepare(network, atoms, skin_A)
    slots, most = frames.rooms[max(frames.rooms)]
    return Subsequences(
        *(frames, np.concatenate(starts), velocities, inverse_masses, np.array(timesteps), slots),
        lambda n: bucket(n * most),
    )


def gather(cut_: Subsequences, chosen: np.ndarray, length: int, batch_size: int) -> Rollouts:
    """Return the subsequences of ``length`` frames from the frames ``chosen`` (at most ``batch_size``)."""
    n_lanes = cut_.n_lanes_of(batch_size)
    steps = [assemble(cut_.frames, chosen + k, batch_size, cut_.slots, n_lanes) for k in range(length)]
    velocities, inverse, timesteps = np.zeros((n_lanes, 3)), np.zeros(n_lanes), np.zeros(n_lanes)
    start = 0
    for i in chosen:
        here = slice(start, start := start + len(cut_.inverse_masses[i]))
        velocities[here], inverse[here] = cut_.velocities[i], cut_.inverse_masses[i]
        timesteps[here] = cut_.timesteps_fs[i] * fs
    return Rollouts(jax.tree.map(lambda *parts: np.stack(parts), *steps), velocities, inverse, timesteps)


def predicted(
    network: Network, weights: Weights, batch: Batch, positions: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return ``network.values`` with their derivatives as this module's docstring says."""

    @jax.custom_vjp
    def values(weights: Weights, batch: Batch, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        return network.values(weights, batch, positions)

    def forward(weights: Weights, batch: Batch, positions: jax.Array) -> Any:
        return network.values(weights, batch, positions), (weights, batch, positions)

    def backward(kept: Any, by: tuple[jax.Array, jax.Array]) -> Any:
        weights, batch, positions = kept
        by_energies, by_forces = by
        gradient = partial(network.gradient, weights, batch)
        along = (-by_forces, by_energies)
        _, (by_weights, by_positions) = jax.jvp(gradient, (positions, jnp.ones_like(by_energies)), along)
        return by_weights, None, by_positions

    values.defvjp(forward, backward)
    return values(weights, batch, positions)


def unroll(network: Network, weights: Weights, rollouts: Rollouts) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return energies (S, B), forces (S, N, 3) and positions (S, N, 3) along S − 1 steps of velocity Verlet.

    A kick of half a step's force, then whole ones: the engine's steps (``md.integrators.VelocityVerlet``).
    """
    length = rollouts.frames.energies.shape[0]
    kick = (rollouts.timesteps * rollouts.inverse_masses)[:, None]
    drift = jnp.asarray(rollouts.timesteps)[:, None]
    halves = jnp.ones(length).at[0].set(0.5)

    def step(carry: Any, now: Any) -> Any:
        positions, velocities = carry
        batch, half = now
        energies, forces = predicted(network, weights, batch, positions)
        velocities = velocities + half * kick * forces
        return (positions + drift * velocities, velocities), (energies, forces, positions)

    first = jnp.asarray(rollouts.frames.positions[0])
    start = (first, jnp.asarray(rollouts.velocities))
    _, along = jax.lax.scan(step, start, (rollouts.frames, halves))
    return along


def published_errors(
    batch: Batch, n_species: int, energies: jax.Array, forces: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the published errors of one step: of energies (eq. 10, eV/atom) and of forces (eq. 11, eV/Å).

    The latter is a structure's mean |ΔF| component of each species, summed over the species; both are means
    over the structures, each by its weight.
    """
    real = batch.n_atoms > 0
    weights = jnp.asarray(batch.weights) / jnp.maximum(real.sum(), 1)
    off = jnp.abs(energies - batch.energies) / jnp.maximum(batch.n_atoms, 1.0)
    energy = (weights * jnp.where(real, off, 0.0)).sum()
    inside = batch.owner < batch.n_structures
    kinds = batch.owner * n_species + batch.species
    counts = jax.ops.segment_sum(inside.astype(forces.dtype), kinds, (batch.n_structures + 1) * n_species)
    own = jnp.append(weights, 0.0)[batch.owner] / (3.0 * counts[kinds])
    force = (jnp.where(inside, own, 0.0) * jnp.abs(forces - batch.forces).sum(axis=1)).sum()
    return energy, force


def squared_errors(
    batch: Batch, n_species: int, energies: jax.Array, forces: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the ordinary loss's errors of one step (``learning.gmnn``): ΔE²/N, eV², Σ|ΔF|²/(3N), eV²/Å²."""
    n_frames = jnp.maximum((batch.n_atoms > 0).sum(), 1)
    energy, force = squared(batch, *residuals(batch, energies, forces))
    return energy / n_frames, force / n_frames


ERRORS = {"published": published_errors, "squared": squared_errors}


@dataclass(frozen=True)
class Loss:
    """What a rollout costs.

    S = 1: alone_energy · L_E + force · L_F (eq. 9). S > 1: Σ_k λ_k (along_energy · L_E^k + force · L_F^k),
    λ_1 = first, all others 1 (eq. 12; there along_energy is 0). errors: a name of ``ERRORS``.
    """

    errors: str = "published"
    first: float = 50.0
    force: float = 1.0
    alone_energy: float = 1.0
    along_energy: float = 0.0

    def __call__(self, frames: Batch, n_species: int, energies: jax.Array, forces: jax.Array) -> jax.Array:
        """Return the loss () of energies (S, B) and forces (S, N, 3)."""
        energy, force = jax.vmap(lambda b, e, f: ERRORS[self.errors](b, n_species, e, f))(
            frames, energies, forces
        )
        length = energies.shape[0]
        if length == 1:
            return self.alone_energy * energy[0] + self.force * force[0]
        weights = jnp.ones(length).at[0].set(self.first)
        return weights @ (self.along_energy * energy + self.force * force)


def loss_and_gradient(
    network: Network, loss: Loss, parameters: Parameters, rollouts: Rollouts
) -> tuple[jax.Array, Parameters]:
    """Return the loss () of rollouts and its gradient by one model's parameters."""

    def cost(parameters: Parameters) -> jax.Array:
        energies, forces, _ = unroll(network, network.fold(parameters), rollouts)
        return loss(rollouts.frames, network.n_species, energies, forces)

    return jax.value_and_grad(cost)(parameters)
