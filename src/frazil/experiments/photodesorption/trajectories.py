"""One shard of an ensemble: from initial states to finished rows, whatever runs it (``engines``).

A row is a function of the initial state and the settings, never of the shard, its order or a restart.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas

from frazil import campaigns
from frazil.campaigns import Row, Runner, Start, Watch
from frazil.checkpoints import Ledger, key_of
from frazil.errors import UserError
from frazil.experiments.photodesorption.engines import TEACHER, Engine, start_of
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.experiments.photodesorption.outcome import Curves, Tracker
from frazil.experiments.photodesorption.settings import Trajectories
from frazil.experiments.photodesorption.tables import CROSSINGS, DESORBED, TRAJECTORIES
from frazil.files import sha256_of, write_atomic, write_json
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.deepmd.model import files_of
from frazil.settings import values_of
from frazil.systems.co import from_deepmd_types
from frazil.systems.diatomic import BondCurve
from frazil.tables import Table
from frazil.units import fs

STATES, CAMPAIGN = "initial_states.h5", "campaign.json"
"""In a shard and in the results: the starts, and under what they run; with the models all of a repeat."""


def run_shard(
    settings: Trajectories,
    engine: str,
    coupling_eV: float,
    states: Path | str,
    bond_curves: Path | str | Sequence[Path],
    model: Path | str | Sequence[Path] | None,
    first_id: int,
    n_trajectories: int,
    checkpoints: Path | str,
    out: Path | str,
    precision: str = "float32",
) -> None:
    """Run the trajectories with ids from ``first_id`` on and write their tables into ``out``.

    Several models, each with its own bond curves, take turns by a trajectory's id: the members of a
    committee. Finished rows are kept under ``checkpoints``: a killed or full run loses none of them. Raises
    UserError for bad input and OutOfTime after SIGTERM.
    """
    shard = read_initial_states(states).select(first_id, n_trajectories)
    models, tables = _listed(model), _listed(bond_curves)
    if engine == TEACHER:
        models, tables = [], tables[:1]
    elif not models:
        raise UserError(f"engine {engine} needs a model; give --model with a model directory of train")
    elif len(models) != len(tables):
        raise UserError(f"{len(models)} models and {len(tables)} bond curves; give each model its own curves")
    files = [Path(states), *tables, *(file for own in models for file in files_of(own))]
    curves = [curves_of(engine, table) for table in tables]
    physics = Physics(settings, engine, coupling_eV, shard, models, curves, precision)
    ids = [int(i) for i in shard.trajectory_id]
    how = {"engine": engine, "coupling_eV": coupling_eV, "precision": precision}
    key = key_of(settings=asdict(settings), **how, files=[sha256_of(file) for file in files])
    rows = campaigns.run_shard(ids, physics.runner(), Ledger(checkpoints, key), "trajectories")
    write_shard(Path(out), [physics.told(identity) for identity in ids], rows)
    shard.write(Path(out) / STATES)
    write_json(Path(out) / CAMPAIGN, {"settings": values_of(settings), **how})


def _listed(given: Path | str | Sequence[Path] | None) -> list[Path]:
    """Return one path or several as a list."""
    if isinstance(given, str | Path):
        return [Path(given)]
    return [Path(path) for path in given or ()]


def curves_of(engine: str, bond_curves: Path | str) -> Curves:
    """Return the bond curves by which an engine's molecules are judged."""
    columns = ("label_eV", "label_eV") if engine == TEACHER else ("model_co_eV", "model_x1x2_eV")
    return Curves(*(BondCurve.read(bond_curves, column) for column in columns))


def _model_name(model: Path) -> str:
    description = model / "model.json"
    return str(json.loads(description.read_text())["model_id"]) if description.is_file() else model.name


@dataclass(frozen=True)
class Physics:
    """The physics of a campaign: starts, what ends a trajectory, and its row, whatever runs it.

    ``models`` (none for the teacher) and their ``curves`` take turns by the id.
    """

    settings: Trajectories
    engine: str
    coupling_eV: float
    shard: InitialStates
    models: Sequence[Path]
    curves: Sequence[Curves]
    precision: str = "float32"

    def member(self, identity: int) -> int:
        """Return which of the models runs a trajectory."""
        return identity % len(self.curves)

    @cached_property
    def names(self) -> list[str]:
        """What the table calls the models, or the teacher."""
        return [_model_name(own) for own in self.models] or [f"{TEACHER}-{self.coupling_eV:g}"]

    def told(self, identity: int) -> Row:
        """Return what the table says of a trajectory before it runs."""
        index = int(np.searchsorted(self.shard.trajectory_id, identity))
        return {
            "trajectory_id": identity,
            "snapshot_id": int(self.shard.snapshot_id[index]),
            "model_id": self.names[self.member(identity)],
            "excited_molecule": int(self.shard.excited_molecule[index]),
            "excitation_energy_eV": float(self.shard.excitation_energy_eV[index]),
            "initial_temperature_K": float(self.shard.initial_temperature_K[index]),
        }

    def runner(self) -> Runner:
        """Return the runner of the engine that was asked for."""
        return self._engine.runner(self.start, self.row, self.watch)

    @cached_property
    def _engine(self) -> Engine:
        settings = self.settings
        return Engine(
            self.engine, self.models, self.shard.n_molecules, settings.timestep_fs, settings.n_steps,
            settings.observe_every, self.precision, self.coupling_eV,
        )  # fmt: skip

    def start(self, identity: int) -> Start:
        """Return the start of a trajectory, velocities in Å/fs."""
        index = int(np.searchsorted(self.shard.trajectory_id, identity))
        return start_of(self.shard, index, self.member(identity))

    def watch(self, start: Start) -> Watch:
        """Return the stop rule of a trajectory: over where it has failed or a molecule has dissociated."""
        tracker = self._tracker(start)

        def last_needed(rows: Rows) -> int:
            return next((n for n, now in enumerate(self._engine.moments(rows)) if tracker.observe(now)), -1)

        return last_needed

    def row(self, start: Start, ended: Trajectory) -> Row:
        """Return the rows and frames of a trajectory that has ended, as plain JSON values."""
        tracker, frames = self._tracker(start), list[Row]()
        kept = start.known["trajectory_id"] < self.settings.keep_frames_trajectories
        for now in self._engine.moments(ended.rows):
            tracker.observe(now)
            if kept and now.time_fs >= len(frames) * self.settings.keep_frames_every_fs - 1e-6:
                frames.append(
                    {
                        "time_fs": now.time_fs,
                        "potential_energy_eV": now.potential_energy_eV,
                        "positions_A": now.positions_A.tolist(),
                        "velocities_A_per_fs": now.velocities_A_per_fs.tolist(),
                        "types": np.asarray(start.types).tolist(),
                    }
                )
        if ended.outcome == Outcome.GIVEN_UP:
            tracker.fail(ended.failure)
        elif ended.outcome == Outcome.CROWDED:
            tracker.fail("more neighbours than any list may hold")
        curves = self.curves[self.member(start.known["trajectory_id"])]
        return {**tracker.rows(curves), "frames": frames}

    def _tracker(self, start: Start) -> Tracker:
        return Tracker(self.settings.limits, start.known["excited_molecule"])


def write_shard(out: Path, starts: Sequence[Row], rows: Sequence[Row]) -> None:
    """Write a shard's tables, each whole or not at all.

    ``starts``: what each trajectory began with, columns of TRAJECTORIES; ``rows``: of a tracker, and frames.
    """
    frames = [
        atoms_of(start["trajectory_id"], frame)
        for start, row in zip(starts, rows, strict=True)
        for frame in row["frames"]
    ]
    for table, content in tables_of(starts, rows):
        table.write(content, out)
    with write_atomic(out / "frames.extxyz") as partial_file:
        partial_file.touch()
        if frames:
            ase.io.write(partial_file, frames, format="extxyz")


def tables_of(starts: Sequence[Row], rows: Sequence[Row]) -> list[tuple[Table, pandas.DataFrame]]:
    """Return the tables of trajectories, as ``write_shard`` takes them."""
    ids = [int(start["trajectory_id"]) for start in starts]
    trajectories = [{**start, **row["trajectory"]} for start, row in zip(starts, rows, strict=True)]
    found = [(TRAJECTORIES, TRAJECTORIES.frame(trajectories))]
    for table in (DESORBED, CROSSINGS):
        entries = [(i, entry) for i, row in zip(ids, rows, strict=True) for entry in row[table.name]]
        found.append((table, table.frame([{"trajectory_id": i, **entry} for i, entry in entries])))
    return found


def atoms_of(identity: int, frame: Row) -> ase.Atoms:
    """Return a frame of a row as atoms with velocities."""
    atoms = from_deepmd_types(np.array(frame["types"]), np.array(frame["positions_A"]))
    atoms.set_velocities(np.array(frame["velocities_A_per_fs"]) / fs)
    atoms.info.update(
        trajectory_id=identity, time_fs=frame["time_fs"], potential_energy_eV=frame["potential_energy_eV"]
    )
    return atoms
