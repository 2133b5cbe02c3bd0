"""One run of a finished infrared experiment again, from its id: of the spectra or of the learning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.campaigns import Row, Start, in_engine
from frazil.errors import UserError
from frazil.experiments.constant_energy import frames_of
from frazil.experiments.infrared.dynamics import BatchedRuns, batches_of, models_of
from frazil.experiments.infrared.minima import MINIMA, read_minima
from frazil.experiments.infrared.settings import Learning, Runs
from frazil.experiments.infrared.tables import ACTIVE_LEARNING, KEPT_ROUNDS, RUNS
from frazil.experiments.repeated import LEARNING, MODEL, Repeated, id_of, parameters_of, row_of
from frazil.md.trajectory import Trajectory
from frazil.settings import fields_of, load

TABLE = RUNS


def repeat(results: Path, trajectory_id: int, ensemble: str = MODEL) -> Repeated:
    """Run one run of ``runs.csv`` again, alone, for the structures that shared its batch.

    That table has the runs of model and label. ``ensemble`` learning: a replica of ``active_learning.csv``,
    known by the digits of its ``trajectory_id``.

    ``results``: the run's folder, which holds its parameters, the minima and the committee. Frames and curve
    begin with the equilibration. Raises UserError where one of these or the id is missing.
    """
    if ensemble == LEARNING:
        return _replica(results, trajectory_id)
    folder = results / "infrared"
    row_of(folder / RUNS.file, trajectory_id)
    table = RUNS.read(folder)
    (told,) = table[table["trajectory_id"] == trajectory_id].to_dict("records")
    runs, structure = _batch(results, str(told["structure"]), str(told["engine"]))
    temperature = int(np.argmin(np.abs(np.array(runs.settings.temperatures_K) - told["temperature_K"])))
    place = (structure, told["member"], temperature, told["replica"])
    identity = int(np.ravel_multi_index(place, runs.shape))
    seen: list[Trajectory] = []

    def row(start: Start, ended: Trajectory) -> Row:
        seen.append(ended)
        return runs.row(start, ended)

    ((_, found),) = in_engine(runs.start, runs.ensemble, row)([identity], lambda: None)
    own = {column: told[column] for column in RUNS.names}
    own |= {"outcome": found["outcomes"], "ended_fs": found["ended_fs"]}
    own |= {name: found.get(name, np.nan) for name in ("mean_temperature_K", "energy_drift_meV_per_ps")}
    rows = seen[0].rows
    times_fs = rows["step"] * runs.settings.timestep_fs
    curve = pandas.DataFrame({"time_fs": times_fs, "temperature_K": rows["temperature_K"]})
    for axis, values in zip("xyz", rows["dipole_e_A"].T, strict=True):
        curve[f"dipole_{axis}_e_A"] = values
    atoms = runs.references[structure].minimum.atoms
    frames = [
        Atoms(atoms.numbers, at[: len(atoms)], info={"trajectory_id": trajectory_id, "time_fs": time_fs})
        for time_fs, at in zip(times_fs.tolist(), rows["positions"], strict=True)
    ]
    return Repeated([(RUNS, RUNS.frame([own]))], frames, curve)


def _replica(results: Path, trajectory_id: int) -> Repeated:
    """Run one replica of a round of learning again."""
    from frazil.experiments.infrared.learning import replica_again

    folder = results / "infrared"
    row_of(folder / ACTIVE_LEARNING.file, trajectory_id)
    table = ACTIVE_LEARNING.read(folder)
    (told,) = table[table["trajectory_id"].map(id_of) == trajectory_id].to_dict("records")
    parameters = parameters_of(results)
    values = {name: parameters["infrared"][name] for name in fields_of(Learning) if name != "campaign_seed"}
    settings = load(Learning, {**values, "campaign_seed": parameters["campaign_seed"]})
    place = int(str(told["trajectory_id"]).rpartition("-")[2])
    rounds = results / "learned" / KEPT_ROUNDS
    atoms, visit, ran = replica_again(folder / MINIMA, rounds, int(told["round"]), place, settings)
    again: dict[str, Any] = {str(name): value for name, value in told.items()} | {
        "time_fs": visit.time_fs, "outcome": visit.outcome,
        "committee_std_meV_per_atom": 1000 * visit.energy_spread_eV / len(atoms),
        "force_std_eV_per_A": visit.force_spread_eV_per_A,
    }  # fmt: skip
    rows = ran.rows | {name: ran.rows[name][:, : len(atoms)] for name in ("positions", "velocities")}
    known = {"trajectory_id": trajectory_id, "round": int(told["round"]), "structure": told["structure"]}
    frames = frames_of(atoms, replace(ran, rows=rows), settings.timestep_fs, **known)
    return Repeated([(ACTIVE_LEARNING, ACTIVE_LEARNING.frame([again]))], frames)


def _batch(results: Path, name: str, engine: str) -> tuple[BatchedRuns, int]:
    """Return the runs among which those of a structure were, and its number among their structures."""
    parameters = parameters_of(results)
    own = parameters["infrared"]
    values = {key: own[key] for key in fields_of(Runs) if key in own}
    settings = load(Runs, {**values, "campaign_seed": parameters["campaign_seed"]})
    references = read_minima(results / "infrared" / MINIMA)
    number = [reference.name for reference in references].index(name)
    size = own["structures_per_task"]
    if engine == "label":
        settings = replace(settings, n_replicas=own["n_label_replicas"], timestep_fs=own["label_timestep_fs"])
        size = 1
    first = number - number % size
    model = results / "learned" / "model.h5"
    if engine == "model" and not model.is_file():
        raise UserError(f"{results} has no {model}; give the results of a whole run")
    models = models_of(engine, model, own["members"])
    for _, runs in batches_of(references[first : first + size], engine, models, settings, True):
        names = [reference.name for reference in runs.references]
        if name in names:
            return runs, names.index(name)
    raise UserError(f"{results} has no minimum of {name}; give the results of a whole run")
