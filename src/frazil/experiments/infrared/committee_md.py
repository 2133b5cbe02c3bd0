"""Dynamics of a committee that pauses where its members no longer agree.

Query by committee along molecular dynamics, as in Tang, Bromley & Hammer (2023), sec. II B: Berendsen's
thermostat, every replica going on until its first uncertain frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.checkpoints import TimeLimit
from frazil.experiments.infrared.harmonic import ModelSurface
from frazil.experiments.infrared.initial import too_close
from frazil.experiments.infrared.minima import Reference
from frazil.files import write_atomic
from frazil.md.ensemble import Ensemble, Trajectory
from frazil.md.integrators import Berendsen
from frazil.md.observers import frames, said
from frazil.md.state import Outcome, State, System
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Batched, Evaluation
from frazil.seeds import rng
from frazil.units import kB

UNCERTAIN, UNPHYSICAL = Outcome.FIRST_OF_EXPERIMENT, Outcome.FIRST_OF_EXPERIMENT + 1
OUTCOMES = {
    int(Outcome.FINISHED): "finished",
    int(Outcome.NON_FINITE): "non-finite",
    int(Outcome.CROWDED): "crowded",
    int(UNCERTAIN): "uncertain",
    int(UNPHYSICAL): "unphysical",
}
DETACHED_A = 3.5
"""An atom without a neighbour this near has left the cluster."""
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


@jax.tree_util.register_dataclass
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
        ready = self.committee.batched(n_replicas)

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


def pause(state: State, system: System) -> jax.Array:
    """Return the outcome of an unphysical or uncertain frame, 0 of any other."""
    uncertain = jnp.where(state.info["uncertainty"] > 1, UNCERTAIN, 0)
    return jnp.where(state.info["strain"] > 1, UNPHYSICAL, uncertain)


@dataclass(frozen=True)
class Schedule:
    """Temperatures, replicas of each structure and temperature, and how they run."""

    temperatures_K: tuple[float, ...]
    n_replicas: int
    duration_fs: float
    timestep_fs: float
    damping_fs: float
    campaign_seed: int

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
    limit: TimeLimit,
) -> list[Visit]:
    """Run all replicas until they pause or their time is over; return their visits in order.

    Replicas of one structure and temperature share a batch. Visits are kept in ``folder`` as they end, and
    running batches after every chunk, so that a kill loses nothing. Raises OutOfTime.
    """
    visits: dict[int, Visit] = {}
    for identity in range(len(replicas)):
        if _file(folder, identity).is_file():
            visits[identity] = _read(_file(folder, identity))
    observe_every = max(1, round(OBSERVE_fs / schedule.timestep_fs))
    n_steps = -(-round(schedule.duration_fs / schedule.timestep_fs) // observe_every) * observe_every
    for s, reference in enumerate(references):
        atoms = reference.minimum.atoms
        for t, temperature_K in enumerate(schedule.temperatures_K):
            own = [
                i
                for i, replica in enumerate(replicas)
                if (replica.structure, replica.temperature) == (s, t) and i not in visits
            ]
            if not own:
                continue
            watched = Watched(
                GMNN.of(model, atoms.numbers),
                limits.force_eV_per_A,
                limits.energy_eV_per_atom * len(atoms),
                reference.energy_eV + limits.above_eV,
                limits.above_eV,
                limits.largest_force_eV_per_A,
            )
            ensemble = Ensemble(
                watched,
                Berendsen(schedule.timestep_fs, temperature_K, schedule.damping_fs),
                atoms.get_masses(),
                n_steps=n_steps,
                observe_every=observe_every,
                campaign_seed=schedule.campaign_seed,
                observers=(said, frames),
                stop=pause,
                removed="drift and rotation" if len(atoms) > 2 else "drift",
                width=schedule.n_replicas,
                chunk=100,
            )
            saved = folder / f"running-{s}-{t}.npz"
            running = ensemble.run(
                np.array([replicas[i].positions for i in own]),
                np.array([replicas[i].velocities for i in own]),
                own,
                checkpoint=saved,
                after_chunk=partial(limit.check, f"replicas are kept in {folder}"),
            )
            for trajectory in running:
                visit = _visit(trajectory, atoms, schedule.timestep_fs)
                if not visits:
                    _check_batched(model, atoms, trajectory)
                visits[trajectory.trajectory_id] = visit
                _write(_file(folder, trajectory.trajectory_id), visit)
    return [visits[i] for i in range(len(replicas))]


def _visit(trajectory: Trajectory, atoms: Atoms, timestep_fs: float) -> Visit:
    rows = {name: values[-1] for name, values in trajectory.rows.items()}
    outcome = OUTCOMES[trajectory.outcome]
    moved = Atoms(atoms.numbers, rows["positions"])
    if outcome in ("finished", "uncertain") and not connected(moved):
        outcome = "unphysical"
    return Visit(
        outcome,
        trajectory.n_steps * timestep_fs,
        float(rows["energy_spread_eV"]),
        float(rows["force_spread_eV_per_A"]),
        float(rows["energy"]),
        rows["positions"],
        rows["velocities"],
    )


def connected(atoms: Atoms) -> bool:
    """Return whether no atoms overlap and none has left."""
    if len(atoms) == 1:
        return True
    distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return not too_close(atoms) and bool((distances.min(axis=1) < DETACHED_A).all())


def _check_batched(model: Model, atoms: Atoms, trajectory: Trajectory) -> None:
    """Compare a first frame with the plain path, float64, one member at a time: mapping can go wrong."""
    expected, _ = ModelSurface(model, atoms).surface(trajectory.rows["positions"][0])
    found = float(trajectory.rows["energy"][0])
    if abs(found - expected) > SAME_eV_per_atom * len(atoms):
        raise RuntimeError(f"batched and plain evaluation differ: {found:.6f} and {expected:.6f} eV")


_ARRAYS: dict[str, Callable[[Any], Any]] = {"outcome": str, "positions": np.asarray, "velocities": np.asarray}


def _file(folder: Path, identity: int) -> Path:
    return folder / f"replica-{identity:06d}.npz"


def _write(path: Path, visit: Visit) -> None:
    with write_atomic(path) as partial, partial.open("wb") as file:
        np.savez(file, **vars(visit))


def _read(path: Path) -> Visit:
    with np.load(path, allow_pickle=False) as saved:
        return Visit(**{name: _ARRAYS.get(name, float)(saved[name]) for name in Visit.__dataclass_fields__})
