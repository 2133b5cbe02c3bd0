"""One shard of an ensemble: from initial states to finished rows, by LAMMPS with a model or by the teacher.

A row is a function of the initial state and the settings, never of the shard, its order or a restart.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pandas

from frazil.checkpoints import Ledger, TimeLimit, key_of
from frazil.cli import progress
from frazil.errors import UserError
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.experiments.photodesorption.outcome import (
    CROSSINGS,
    DESORBED,
    TRAJECTORIES,
    Curves,
    Tracker,
)
from frazil.experiments.photodesorption.settings import Trajectories
from frazil.files import sha256_of, write_atomic
from frazil.md.lammps import EngineError, LammpsSession, Observation
from frazil.potentials.deepmd.model import files_of
from frazil.systems.co import MOLECULE_MASSES_amu, from_deepmd_types
from frazil.systems.diatomic import BondCurve
from frazil.units import fs


def run_shard(
    settings: Trajectories,
    engine: str,
    coupling_eV: float,
    states: Path | str,
    bond_curves: Path | str,
    model: Path | str | None,
    first_id: int,
    n_trajectories: int,
    checkpoints: Path | str,
    out: Path | str,
) -> None:
    """Run the trajectories with ids from ``first_id`` on and write their tables into ``out``.

    Finished rows are kept under ``checkpoints`` until the tables are written: a killed or full run loses none
    of them. Raises UserError for bad input and OutOfTime after SIGTERM.
    """
    shard = read_initial_states(states).select(first_id, n_trajectories)
    files = [Path(states), Path(bond_curves)]
    if engine == "deepmd":
        if model is None:
            raise UserError("engine deepmd needs a model; give --model with a model directory of train")
        files += files_of(model)
    curves = _curves(engine, bond_curves)
    ids = [int(i) for i in shard.trajectory_id]
    kept = {identity for identity in ids if identity < settings.keep_frames_trajectories}
    ledger = Ledger(
        checkpoints,
        key_of(
            settings=asdict(settings),
            engine=engine,
            coupling_eV=coupling_eV,
            files=[sha256_of(file) for file in files],
        ),
    )
    rows = ledger.finished(ids)
    todo = [index for index, identity in enumerate(ids) if identity not in rows]
    with TimeLimit() as limit:
        runner = _lammps if engine == "deepmd" else _van_hemert
        results = runner(_Work(settings, coupling_eV, shard, todo, curves, kept, model, limit))
        for index, row in progress(results, len(todo), "trajectories"):
            ledger.save(ids[index], row)
            rows[ids[index]] = row
            limit.check(f"{len(rows)} of {len(ids)} trajectories are saved")
    _write_tables(Path(out), shard, rows, _model_name(engine, coupling_eV, model))
    ledger.close(ids)


def _curves(engine: str, bond_curves: Path | str) -> Curves:
    columns = ("model_co_eV", "model_x1x2_eV") if engine == "deepmd" else ("label_eV", "label_eV")
    return Curves(*(BondCurve.read(bond_curves, column) for column in columns))


def _model_name(engine: str, coupling_eV: float, model: Path | str | None) -> str:
    if engine == "van-hemert":
        return f"van-hemert-{coupling_eV:g}"
    assert model is not None
    description = Path(model) / "model.json"
    if description.is_file():
        return str(json.loads(description.read_text())["model_id"])
    return Path(model).name


class _Follower:
    """Tracks one trajectory and keeps its frames if asked."""

    def __init__(self, settings: Trajectories, shard: InitialStates, index: int, kept: set[int]) -> None:
        self.tracker = Tracker(settings.limits, int(shard.excited_molecule[index]))
        self.over = False
        self._identity = int(shard.trajectory_id[index])
        self._types = shard.types(index)
        self._frames: list[dict[str, Any]] | None = [] if self._identity in kept else None
        self._every_fs = settings.keep_frames_every_fs

    def observe(self, now: Observation) -> None:
        """Take one observation; afterwards ``over`` says whether it was the last one needed."""
        self.over = self.tracker.observe(now)
        if self._frames is not None and now.time_fs >= len(self._frames) * self._every_fs - 1e-6:
            self._frames.append(
                {
                    "time_fs": now.time_fs,
                    "potential_energy_eV": now.potential_energy_eV,
                    "positions_A": now.positions_A.tolist(),
                    "velocities_A_per_fs": now.velocities_A_per_fs.tolist(),
                    "types": self._types.tolist(),
                }
            )

    def row(self, curves: Curves) -> dict[str, Any]:
        """Return the rows and frames of the trajectory, ready for the ledger."""
        return {**self.tracker.rows(curves), "frames": self._frames or []}


@dataclass(frozen=True)
class _Work:
    """What an engine needs: the shard, the rows of it still to do, and what to watch."""

    settings: Trajectories
    coupling_eV: float
    shard: InitialStates
    todo: list[int]
    curves: Curves
    kept: set[int]
    model: Path | str | None
    limit: TimeLimit

    def follow(self, index: int) -> _Follower:
        """Return the follower of one trajectory."""
        return _Follower(self.settings, self.shard, index, self.kept)


def _lammps(work: _Work) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index, row) of one trajectory after the other, all with one loaded model."""
    if not work.todo:
        return
    settings, shard = work.settings, work.shard
    assert work.model is not None
    with LammpsSession(work.model, shard.n_molecules) as session:
        for index in work.todo:
            follower = work.follow(index)
            run = session.run(
                shard.positions_A[index],
                shard.velocities_A_per_fs[index],
                shard.types(index),
                settings.timestep_fs,
                settings.n_steps,
                settings.observe_every,
            )
            try:
                for now in run:
                    work.limit.check("finished trajectories are saved")
                    follower.observe(now)
                    if follower.over:
                        break
            except EngineError as error:
                follower.tracker.fail(str(error))
            yield index, follower.row(work.curves)


def _van_hemert(work: _Work) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index, row) of the teacher's trajectories as they end, a batch of replicas at a time."""
    from frazil.md.ensemble import Ensemble
    from frazil.md.integrators import VelocityVerlet
    from frazil.md.observers import energies, frames
    from frazil.potentials.analytic.van_hemert import VanHemert

    if not work.todo:
        return
    settings, shard = work.settings, work.shard
    ensemble = Ensemble(
        VanHemert(work.coupling_eV),
        VelocityVerlet(settings.timestep_fs),
        np.tile(MOLECULE_MASSES_amu, shard.n_molecules),
        n_steps=settings.n_steps,
        observe_every=settings.observe_every,
        observers=(energies, frames),
    )
    followers = {index: work.follow(index) for index in work.todo}

    def watch(index: int, rows: dict[str, np.ndarray]) -> int:
        for row, step in enumerate(rows["step"]):
            followers[index].observe(
                Observation(
                    int(step) * settings.timestep_fs,
                    rows["positions"][row],
                    rows["velocities"][row] * fs,
                    float(rows["energy"][row]),
                )
            )
            if followers[index].over:
                return row
        return -1

    done = ensemble.run(
        shard.positions_A[work.todo],
        shard.velocities_A_per_fs[work.todo] / fs,
        work.todo,
        watch,
        after_chunk=lambda: work.limit.check("finished trajectories are saved"),
    )
    for trajectory in done:
        yield trajectory.trajectory_id, followers.pop(trajectory.trajectory_id).row(work.curves)


def _write_tables(out: Path, shard: InitialStates, rows: dict[int, dict[str, Any]], model_id: str) -> None:
    """Write the shard's tables, sorted by id, each whole or not at all."""
    tables: dict[str, list[dict[str, Any]]] = {"trajectories": [], "desorbed": [], "crossings": []}
    frames = []
    for index, identity in enumerate(map(int, shard.trajectory_id)):
        row = rows[identity]
        tables["trajectories"].append(
            {
                "trajectory_id": identity,
                "snapshot_id": int(shard.snapshot_id[index]),
                "model_id": model_id,
                "excited_molecule": int(shard.excited_molecule[index]),
                "excitation_energy_eV": float(shard.excitation_energy_eV[index]),
                "initial_temperature_K": float(shard.initial_temperature_K[index]),
                **row["trajectory"],
            }
        )
        for name in ("desorbed", "crossings"):
            tables[name] += [{"trajectory_id": identity, **entry} for entry in row[name]]
        frames += [_atoms(identity, frame) for frame in row["frames"]]
    columns = {
        "trajectories": (*TRAJECTORIES, "closest_contact_A", "failure"),
        "desorbed": DESORBED,
        "crossings": CROSSINGS,
    }
    for name, table in tables.items():
        with write_atomic(out / f"{name}.csv") as partial:
            pandas.DataFrame(table, columns=list(columns[name])).to_csv(partial, index=False)
    with write_atomic(out / "frames.extxyz") as partial:
        partial.touch()
        if frames:
            ase.io.write(partial, frames, format="extxyz")


def _atoms(identity: int, frame: dict[str, Any]) -> ase.Atoms:
    atoms = from_deepmd_types(np.array(frame["types"]), np.array(frame["positions_A"]))
    atoms.set_velocities(np.array(frame["velocities_A_per_fs"]) / fs)
    atoms.info.update(
        trajectory_id=identity, time_fs=frame["time_fs"], potential_energy_eV=frame["potential_energy_eV"]
    )
    return atoms
