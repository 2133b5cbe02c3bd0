"""Dynamics of a committee that pauses where its members no longer agree.

Query by committee along molecular dynamics, as in Tang, Bromley & Hammer (2023), sec. II B: Berendsen's
thermostat, every replica going on until its first uncertain frame. Replicas are driven by single members in
turn: each later runs by itself, and the holes of one do not show along the mean of all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.campaigns import ArrayLedger, Row, Start, in_engine, run_shard
from frazil.experiments.infrared.batches import Batch, like_sizes
from frazil.experiments.infrared.minima import Reference
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Berendsen, OwnTemperature
from frazil.md.integrity import OneCluster
from frazil.md.observers import frames, potential_info
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Outcome, Trajectory
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.gmnn.surface import ModelSurface
from frazil.potentials.interface import Batched, Evaluation
from frazil.pytrees import pytree
from frazil.seeds import rng
from frazil.units import kB

UNCERTAIN, UNPHYSICAL = Outcome.FIRST_OF_EXPERIMENT, Outcome.FIRST_OF_EXPERIMENT + 1
OUTCOMES = {
    int(Outcome.FINISHED): FINISHED,
    int(Outcome.NON_FINITE): "non-finite",
    int(Outcome.CROWDED): "crowded",
    int(UNCERTAIN): "uncertain",
    int(UNPHYSICAL): "unphysical",
}
OBSERVE_fs = 1.0
"""Frames are judged this often."""
SAME_eV_per_atom = 1e-3
"""Largest difference of the batched path and the plain one, float32 against float64."""


@dataclass(frozen=True)
class Limits:
    """What a frame may be. ``force_eV_per_A`` and ``energy_eV_per_atom`` are committee spreads (infinite:
    not asked), ``above_eV`` the energy above the minimum, ``largest_force_eV_per_A`` on any atom.
    """

    force_eV_per_A: float
    energy_eV_per_atom: float
    above_eV: float
    largest_force_eV_per_A: float


@dataclass(frozen=True)
class Replica:
    """One place of a campaign: which structure, temperature and number, where it is, how often restarted."""

    structure: int
    temperature: int
    number: int
    positions: np.ndarray
    velocities: np.ndarray
    restarts: int = 0


@dataclass(frozen=True)
class Visit:
    """How a replica's run of one round ended, and the frame there."""

    outcome: str
    time_fs: float
    energy_spread_eV: float
    force_spread_eV_per_A: float
    energy_eV: float
    positions: np.ndarray
    velocities: np.ndarray


@pytree
@dataclass(frozen=True)
class Watched:
    """A committee and its limits: ``uncertainty`` and ``strain`` above 1 in its info end a replica.

    The limits are leaves, so that those of another round compile nothing anew.
    """

    committee: GMNN
    force_eV_per_A: Any
    energy_eV: Any
    ceiling_eV: Any
    range_eV: Any
    largest_force_eV_per_A: Any

    @property
    def cutoff_A(self) -> float | None:
        """The committee's."""
        return self.committee.cutoff_A

    @property
    def n_atoms(self) -> int | None:
        """The committee's."""
        return self.committee.n_atoms

    def batched(self, n_replicas: int) -> Batched:
        """Return the committee's functions, its info extended."""
        return self._watched(self.committee.batched(n_replicas))

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for several structures, each of which has energy limits of its own."""
        limits = {name: jnp.asarray(getattr(self, name))[kinds] for name in ("energy_eV", "ceiling_eV")}
        return replace(self, **limits)._watched(self.committee.mixed(kinds))

    def _watched(self, ready: Batched) -> Batched:
        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            found = ready.evaluate(lists, positions)
            uncertainty = jnp.maximum(
                found.info["force_spread_eV_per_A"] / self.force_eV_per_A,
                found.info["energy_spread_eV"] / self.energy_eV,
            )
            largest = jnp.sqrt((found.forces**2).sum(axis=-1)).max(axis=-1)
            strain = jnp.maximum(
                1.0 + (found.energies - self.ceiling_eV) / self.range_eV,
                largest / self.largest_force_eV_per_A,
            )
            info = {**found.info, "uncertainty": uncertainty, "strain": strain, "energy": found.energies}
            return Evaluation(found.energies, found.forces, info)

        return Batched(ready.arrange, evaluate)


@dataclass(frozen=True)
class Pause:
    """Stop rule: the outcome of an unphysical frame (strained, or no longer one cluster) or uncertain one."""

    one_cluster: OneCluster

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code, 0 of any other frame."""
        uncertain = jnp.where(state.info["uncertainty"] > 1, UNCERTAIN, 0)
        good = (state.info["strain"] <= 1) & self.one_cluster.holds(state.positions, state.kind)
        return jnp.where(good, uncertain, UNPHYSICAL)


@dataclass(frozen=True)
class Schedule:
    """Temperatures, replicas of each structure and temperature, how they run, and how many at a time."""

    temperatures_K: tuple[float, ...]
    n_replicas: int
    duration_fs: float
    timestep_fs: float
    damping_fs: float
    campaign_seed: int
    width: int

    def starts(self, references: Sequence[Reference]) -> list[Replica]:
        """Return the replicas at their minima, with velocities of their temperatures."""
        return [
            self.fresh(Replica(s, t, k, reference.minimum.atoms.positions, np.zeros(0)), references)
            for s, reference in enumerate(references)
            for t in range(len(self.temperatures_K))
            for k in range(self.n_replicas)
        ]

    def fresh(self, replica: Replica, references: Sequence[Reference], restarts: int = 0) -> Replica:
        """Return a replica back at its minimum, with new velocities of its temperature."""
        atoms = references[replica.structure].minimum.atoms
        ids = (replica.structure, replica.temperature, replica.number, restarts)
        return Replica(
            *ids[:3],
            atoms.positions.copy(),
            thermal_velocities(
                atoms, self.temperatures_K[replica.temperature], self.campaign_seed, "learning", *ids
            ),
            restarts,
        )


def thermal_velocities(
    atoms: Atoms, temperature_K: float, campaign_seed: int, stream: str, *ids: int
) -> np.ndarray:
    """Return velocities (natoms, 3), ASE units, of Maxwell and Boltzmann."""
    random = rng(campaign_seed, f"infrared-{stream}", *ids)
    return np.asarray(
        random.normal(size=atoms.positions.shape) * np.sqrt(kB * temperature_K / atoms.get_masses())[:, None]
    )


def run_replicas(
    model: Model,
    references: Sequence[Reference],
    replicas: Sequence[Replica],
    schedule: Schedule,
    limits: Limits,
    folder: Path,
    first_member: int | None = 0,
    only: Sequence[int] | None = None,
    see: Callable[[Trajectory], None] | None = None,
) -> list[Visit]:
    """Run all replicas until they pause or their time is over; return their visits in order.

    Replicas are driven by the members in turn, by structure and number, beginning with ``first_member``; for
    None by the mean. Those of one driver share a batch, at all temperatures, with all structures of like
    size. Visits are kept in ``folder`` as they end, and running batches after every chunk, so that a kill
    loses nothing. ``only`` names the replicas that run, of which ``see`` gets the trajectories. Raises
    OutOfTime.
    """
    observe_every = max(1, round(OBSERVE_fs / schedule.timestep_fs))
    n_steps = -(-round(schedule.duration_fs / schedule.timestep_fs) // observe_every) * observe_every
    n_members, hottest_K = model.n_members, max(schedule.temperatures_K)
    minima = [reference.minimum.atoms for reference in references]
    sharing = {s: together for together in like_sizes(minima) for s in together}
    batches = {together[0]: Batch([minima[s] for s in together]) for together in sharing.values()}
    compared: list[int] = []

    def start(identity: int) -> Start:
        replica = replicas[identity]
        together = sharing[replica.structure]
        batch, member = batches[together[0]], None
        if first_member is not None:
            member = (first_member + replica.structure + replica.number) % n_members
        return Start(
            batch.positions([replica.positions])[0],
            batch.velocities([replica.velocities])[0],
            group=(together[0], "mean" if member is None else member),
            kind=together.index(replica.structure),
            temperature_K=schedule.temperatures_K[replica.temperature],
            known={"structure": replica.structure, "member": member},
        )

    def ensemble(group: tuple[int, int | str]) -> Ensemble:
        first, member = group
        together, batch = sharing[first], batches[first]
        sizes = np.array([len(atoms) for atoms in batch.structures])
        share = np.full(n_members, 1 / n_members) if isinstance(member, str) else np.eye(n_members)[member]
        watched = Watched(
            replace(batch.committee(model), drive=batch.each([share] * len(sizes)), force_spread=True),
            limits.force_eV_per_A,
            batch.each(limits.energy_eV_per_atom * sizes),
            batch.each([references[s].energy_eV + limits.above_eV for s in together]),
            limits.above_eV,
            limits.largest_force_eV_per_A,
        )
        return Ensemble(
            watched,
            OwnTemperature(Berendsen(schedule.timestep_fs, hottest_K, schedule.damping_fs)),
            batch.masses_amu(),
            n_steps=n_steps,
            observe_every=observe_every,
            campaign_seed=schedule.campaign_seed,
            observers=(potential_info, frames),
            stop=Pause(OneCluster.of(*batch.structures)),
            removed=batch.removed,
            width=schedule.width,
            chunk=100,
        )

    def row(start: Start, ended: Trajectory) -> Row:
        atoms = minima[start.known["structure"]]
        if see is not None:
            see(ended)
        if not compared:
            _check_batched(model, atoms, ended, start.known["member"])
            compared.append(ended.trajectory_id)
        return vars(_visit(ended, schedule.timestep_fs, len(atoms)))

    runner = in_engine(start, ensemble, row, running=folder)
    running = range(len(replicas)) if only is None else only
    rows = run_shard(running, runner, ArrayLedger(folder), "replicas")
    return [Visit(**{name: _KINDS.get(name, float)(row[name]) for name in row}) for row in rows]


def _visit(trajectory: Trajectory, timestep_fs: float, n_atoms: int) -> Visit:
    rows = {name: values[-1] for name, values in trajectory.rows.items()}
    return Visit(
        OUTCOMES[trajectory.outcome],
        trajectory.n_steps * timestep_fs,
        float(rows["energy_spread_eV"]),
        float(rows["force_spread_eV_per_A"]),
        float(rows["energy"]),
        rows["positions"][:n_atoms],
        rows["velocities"][:n_atoms],
    )


def _check_batched(model: Model, atoms: Atoms, trajectory: Trajectory, member: int | None) -> None:
    """Compare a first frame with the plain path, float64, one member at a time: mapping can go wrong."""
    expected, _ = ModelSurface(model, atoms).surface(trajectory.rows["positions"][0, : len(atoms)], member)
    found = float(trajectory.rows["energy"][0])
    if abs(found - expected) > SAME_eV_per_atom * len(atoms):
        raise RuntimeError(f"batched and plain evaluation differ: {found:.6f} and {expected:.6f} eV")


_KINDS: dict[str, Callable[[Any], Any]] = {"outcome": str, "positions": np.asarray, "velocities": np.asarray}
