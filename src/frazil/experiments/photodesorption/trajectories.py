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
from frazil.experiments.photodesorption.engines import (
    LAMMPS,
    Engine,
    Model,
    source_of,
    start_of,
)
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.experiments.photodesorption.outcome import Curves, Tracker, curve_of
from frazil.experiments.photodesorption.settings import TEACHER, Trajectories
from frazil.experiments.photodesorption.tables import CROSSINGS, DESORBED, TRAJECTORIES
from frazil.files import sha256_of, write_atomic, write_json
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.deepmd.model import files_of
from frazil.potentials.registry import NAMED
from frazil.settings import values_of
from frazil.systems.molecules import Molecules
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
    model: Path | str | Sequence[Path | str] | None,
    first_id: int,
    n_trajectories: int,
    checkpoints: Path | str,
    out: Path | str,
    precision: str = "float32",
) -> None:
    """Run the trajectories with ids from ``first_id`` on and write their tables into ``out``.

    Several models, each with its own bond curves, take turns by a trajectory's id: the members of a
    committee; one potential with several bond curves is such a committee itself. Finished rows are kept under
    ``checkpoints``: a killed or full run loses none of them. Raises UserError for bad input and OutOfTime
    after SIGTERM.
    """
    shard = read_initial_states(states).select(first_id, n_trajectories)
    tables = [Path(table) for table in _listed(bond_curves)]
    if engine == TEACHER:
        models, tables = [], tables[:1]
    else:
        models = models_of(_listed(model), len(tables), engine, precision)
    files = [Path(states), *tables]
    curves = [curves_of(engine, table, shard.molecules) for table in tables]
    physics = Physics(settings, engine, coupling_eV, shard, models, curves, precision)
    ids = [int(i) for i in shard.trajectory_id]
    how = {"engine": engine, "coupling_eV": coupling_eV, "precision": precision}
    if models and is_given(tables[0]):
        source = source_of(models[0].what, precision)
        how |= {"model": str(models[0].what), "potential": source.kind, "level": source.level}
    digests = [sha256_of(file) for file in files] + [_digest(own, engine, precision) for own in models]
    key = key_of(settings=asdict(settings), **how, files=digests)
    rows = campaigns.run_shard(ids, physics.runner(), Ledger(checkpoints, key), "trajectories")
    write_shard(Path(out), [physics.told(identity) for identity in ids], rows)
    shard.write(Path(out) / STATES)
    write_json(Path(out) / CAMPAIGN, {"settings": values_of(settings), **how})


def _listed(given: Path | str | Sequence[Path | str] | None) -> list[Path | str]:
    """Return one path or name, or several, as a list."""
    return [given] if isinstance(given, str | Path) else list(given or ())


def models_of(given: Sequence[Path | str], n_tables: int, engine: str, precision: str) -> list[Model]:
    """Return the models that take turns, one for each table of bond curves.

    Raises UserError for none, and where neither models nor the members of the one are as many.
    """
    if not given:
        raise UserError(f"engine {engine} needs a model; give --model with a model directory of train")
    if len(given) == n_tables:
        return [Model(what) for what in given]
    if len(given) == 1 and engine != LAMMPS and source_of(given[0], precision).n_members == n_tables:
        return [Model(given[0], member) for member in range(n_tables)]
    raise UserError(f"{len(given)} models and {n_tables} bond curves; give each model its own curves")


def is_given(bond_curves: Path | str) -> bool:
    """Return whether bond curves are of prepare-aggregates: a potential that was given, not trained here."""
    with Path(bond_curves).open(encoding="utf-8") as file:
        return "model_eV" in file.readline().strip().split(",")


def curves_of(engine: str, bond_curves: Path | str, molecules: Molecules) -> Curves:
    """Return the bond curves by which an engine's molecules are judged, of no meaning for larger ones."""
    columns = ("label", "label") if engine == TEACHER else ("ground", "excited")
    masses_amu = molecules.atom_masses_amu[molecules.members[0]]
    reduced_amu = masses_amu.prod() / masses_amu.sum() if len(masses_amu) == 2 else masses_amu.sum()
    return Curves(*(curve_of(bond_curves, column, reduced_amu) for column in columns))


def _digest(model: Model, engine: str, precision: str) -> list[object]:
    if engine == LAMMPS:
        return [sha256_of(*files_of(Path(model.what)))]
    return [source_of(model.what, precision).digest, model.member]


def _model_name(model: Model) -> str:
    description = Path(model.what) / "model.json"
    content = json.loads(description.read_text()) if description.is_file() else {}
    if "model_id" in content:
        return str(content["model_id"])
    if str(model.what) in NAMED or str(model.what).startswith("ase:") or content:
        source = source_of(model.what)
        part = "" if source.n_members == 1 else "-mean" if model.member is None else f"-{model.member}"
        return f"{source.kind}{part}"
    return Path(model.what).name


@dataclass(frozen=True)
class Physics:
    """The physics of a campaign: starts, what ends a trajectory, and its row, whatever runs it.

    ``models`` (none for the teacher) and their ``curves`` take turns by the id.
    """

    settings: Trajectories
    engine: str
    coupling_eV: float
    shard: InitialStates
    models: Sequence[Model]
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
            self.engine, self.models, self.shard.molecules, self.shard.reference_A, settings.timestep_fs,
            settings.n_steps, settings.observe_every, self.precision, self.coupling_eV,
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
        tags = self.shard.molecules.owner == start.known["excited_molecule"]
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
                        "numbers": self.shard.molecules.numbers.tolist(),
                        "excited": tags.astype(int).tolist(),
                    }
                )
        if ended.outcome == Outcome.GIVEN_UP:
            tracker.fail(ended.failure)
        elif ended.outcome == Outcome.CROWDED:
            tracker.fail("more neighbours than any list may hold")
        curves = self.curves[self.member(start.known["trajectory_id"])]
        return {**tracker.rows(curves), "frames": frames}

    def _tracker(self, start: Start) -> Tracker:
        return Tracker(self.settings.limits, self.shard.molecules, start.known["excited_molecule"])


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
    atoms = ase.Atoms(numbers=frame["numbers"], positions=np.array(frame["positions_A"]))
    atoms.set_array("excited", np.array(frame["excited"]), int)
    atoms.set_velocities(np.array(frame["velocities_A_per_fs"]) / fs)
    atoms.info.update(
        trajectory_id=identity, time_fs=frame["time_fs"], potential_energy_eV=frame["potential_energy_eV"]
    )
    return atoms
