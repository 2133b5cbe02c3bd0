"""Campaigns of trajectories: an experiment supplies the physics, and one runner does their shards.

An experiment says where a trajectory starts (``start``, a function of the campaign's seed and its id alone),
what it runs under, when it stops, and what its row says (``row``). ``in_engine`` and ``in_lammps`` make a
runner of these; ``run_shard`` keeps every row as it ends, so that a kill, a full disk or a time limit loses
none, and a shard of any size gives the same rows::

    def start(identity: int) -> Start:
        positions_A = rng(seed, "start", identity).normal(size=(2, 3))
        return Start(positions_A, np.zeros((2, 3)))

    def row(start: Start, ended: Trajectory) -> Row:
        return {"outcome": ended.outcome, "energy_eV": float(ended.rows["energy"][-1])}

    runner = in_engine(start, lambda group: Ensemble(potential, integrator, masses_amu, 100, 10), row)
    rows = run_shard(range(20), runner, Ledger(checkpoints, key_of(seed=seed)), "toy trajectories")
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from frazil.checkpoints import TimeLimit, read_arrays
from frazil.cli import progress
from frazil.files import write_atomic
from frazil.md.trajectory import Outcome, Rows, Trajectory

if TYPE_CHECKING:  # the engine needs JAX, LAMMPS does not
    from frazil.md.ensemble import Ensemble
    from frazil.md.lammps import LammpsSession, Observation

Row = dict[str, Any]
"""What is kept of a trajectory: plain JSON values in a ``Ledger``, arrays in an ``ArrayLedger``."""
Check = Callable[[], None]
"""Called where everything is safe; raises OutOfTime after SIGTERM."""
Runner = Callable[[Sequence[int], Check], Iterator[tuple[int, Row]]]
"""Takes ids and a ``Check``, yields (id, row) as trajectories end, in any order."""
Watch = Callable[[Rows], int]
"""Takes a trajectory's new rows, in order; returns the number of the last one needed, or −1 to go on."""


@dataclass(frozen=True)
class Start:
    """Where one trajectory starts.

    positions_A (natoms, 3). velocities (natoms, 3), in ASE's units for the engine, Å/fs for LAMMPS. group:
    trajectories of one group share an ensemble (a potential or member, structures). kind: which of the
    ensemble's structures. temperature_K: its thermostat's own, if it has one. types (natoms,): for LAMMPS.
    known: what its row says already.
    """

    positions_A: np.ndarray
    velocities: np.ndarray
    group: Hashable = None
    kind: int = 0
    temperature_K: float | None = None
    types: np.ndarray | None = None
    known: Mapping[str, Any] = field(default_factory=dict)


class Kept(Protocol):
    """Where rows are kept, by id: a ``checkpoints.Ledger`` or an ``ArrayLedger``."""

    def finished(self, ids: Iterable[int]) -> dict[int, Any]:
        """Return the rows of those ids that are finished."""

    def save(self, identity: int, row: Any) -> None:
        """Keep the row of one id, whole or not at all."""


class ArrayLedger:
    """The finished rows of a campaign whose rows are arrays: one ``.npz`` per id, each whole or absent.

    The folder, or one around it, is held by a ``Claim``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def finished(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are finished."""
        rows = {identity: read_arrays(self._file(identity)) for identity in ids}
        return {identity: row for identity, row in rows.items() if row is not None}

    def save(self, identity: int, row: Mapping[str, Any]) -> None:
        """Keep the row of one id (arrays, numbers, text). Raises OSError on a full disk."""
        with write_atomic(self._file(identity)) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **row)

    def _file(self, identity: int) -> Path:
        return self._folder / f"trajectory-{identity:08d}.npz"


def run_shard(ids: Iterable[int], runner: Runner, kept: Kept, description: str) -> list[Row]:
    """Return the rows of trajectories in the order of their ids: those that are kept, and the others run.

    Raises OutOfTime after SIGTERM; every row that was finished is kept.
    """
    wanted = list(ids)
    rows = kept.finished(wanted)
    missing = [identity for identity in wanted if identity not in rows]

    def done() -> str:
        return f"{len(rows)} of {len(wanted)} {description} are saved"

    with TimeLimit() as limit:
        ended = runner(missing, lambda: limit.check(done())) if missing else iter(())
        for identity, row in progress(ended, len(missing), description):
            kept.save(identity, row)
            rows[identity] = row
            limit.check(done())
    return [rows[identity] for identity in wanted]


def in_engine(
    start: Callable[[int], Start],
    ensemble: Callable[[Any], "Ensemble"],
    row: Callable[[Start, Trajectory], Row],
    watch: Callable[[Start], Watch] | None = None,
    running: Path | None = None,
) -> Runner:
    """Return the runner of the batched engine.

    Args:
        start: an id's start.
        ensemble: what the trajectories of a group (``Start.group``) share.
        row: what is kept of a trajectory.
        watch: stop rule of one trajectory on the host, for one that needs its history; others belong to the
            ensemble.
        running: folder where batches are kept after every chunk, so that a kill loses a chunk at most.
    """

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        starts = {identity: start(identity) for identity in ids}
        for group in dict.fromkeys(begun.group for begun in starts.values()):
            own = {identity: begun for identity, begun in starts.items() if begun.group == group}
            shared = ensemble(group)
            ended = shared.run(
                np.stack([begun.positions_A for begun in own.values()]),
                np.stack([begun.velocities for begun in own.values()]),
                list(own),
                watch=_of_each({i: watch(begun) for i, begun in own.items()}) if watch else None,
                checkpoint=running / f"running-{_words(group)}.npz" if running else None,
                after_chunk=check,
                temperatures_K=_all_or_none([begun.temperature_K for begun in own.values()]),
                kinds=[begun.kind for begun in own.values()] if np.ndim(shared.masses_amu) == 2 else None,
            )
            for trajectory in ended:
                yield trajectory.trajectory_id, row(own[trajectory.trajectory_id], trajectory)

    return run


def in_lammps(
    session: Callable[[Any], "LammpsSession"],
    start: Callable[[int], Start],
    row: Callable[[Start, Trajectory], Row],
    watch: Callable[[Start], Watch],
    timestep_fs: float,
    n_steps: int,
    observe_every: int,
) -> Runner:
    """Return the runner of LAMMPS: one trajectory after the other, velocity Verlet.

    ``session`` loads the model of a group (``Start.group``); one is loaded at a time. Rows are ``step``,
    ``positions`` (Å), ``velocities_A_per_fs`` and ``energy`` (potential, eV). Where LAMMPS gives up the
    outcome is ``GIVEN_UP``.
    """

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        starts = {identity: start(identity) for identity in ids}
        for group in dict.fromkeys(begun.group for begun in starts.values()):
            with session(group) as opened:
                for identity, begun in starts.items():
                    if begun.group == group:
                        yield identity, row(begun, followed(opened, identity, begun, check))

    def followed(opened: "LammpsSession", identity: int, begun: Start, check: Check) -> Trajectory:
        from frazil.md.lammps import EngineError

        assert begun.types is not None
        watching, seen, failure, outcome = watch(begun), [], "", Outcome.FINISHED
        moments = opened.run(
            begun.positions_A, begun.velocities, begun.types, timestep_fs, n_steps, observe_every
        )
        try:
            for now in moments:
                check()
                seen.append(_row_of(now, timestep_fs))
                if watching(seen[-1]) >= 0:
                    outcome = Outcome.WATCHED
                    break
        except EngineError as error:
            failure, outcome = str(error), Outcome.GIVEN_UP
        rows = {name: np.concatenate([row[name] for row in seen]) for name in (seen[0] if seen else ())}
        return Trajectory(identity, outcome, int(rows["step"][-1]) if seen else 0, rows, failure)

    return run


def _row_of(now: "Observation", timestep_fs: float) -> Rows:
    return {
        "step": np.array([round(now.time_fs / timestep_fs)]), "positions": now.positions_A[None],
        "velocities_A_per_fs": now.velocities_A_per_fs[None], "energy": np.array([now.potential_energy_eV]),
    }  # fmt: skip


def _of_each(watching: Mapping[int, Watch]) -> Callable[[int, Rows], int]:
    return lambda identity, rows: watching[identity](rows)


def _all_or_none(values: Sequence[Any]) -> Sequence[Any] | None:
    return None if values[0] is None else values


def _words(group: Hashable) -> str:
    return "-".join(map(str, group)) if isinstance(group, tuple) else str(group)
