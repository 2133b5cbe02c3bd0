"""A test run, or a long run, of a finished dynamic training again, under every model and the truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
from ase import Atoms

from frazil.data.trajectories import LabelledTrajectory
from frazil.errors import UserError
from frazil.experiments.constant_energy import frames_of
from frazil.experiments.dynamic_training.analysis import HELD_OUT, MODELS_FOLDER
from frazil.experiments.dynamic_training.judge import (
    CHAOS,
    LONG_RUNS,
    MODEL_IDS,
    STARTS,
    Held,
    long_runs,
    truth_of,
)
from frazil.experiments.dynamic_training.settings import Judgement
from frazil.experiments.repeated import LONG, MODEL, Repeated, parameters_of, row_of
from frazil.learning.along import run_along
from frazil.md.trajectory import Trajectory
from frazil.potentials.registry import Source, load
from frazil.settings import fields_of
from frazil.settings import load as load_settings

TABLE, ID = STARTS, "start"
"""A trajectory is known by the number of its start; it runs under every model."""


def repeat(results: Path, trajectory_id: int, ensemble: str = MODEL) -> Repeated:
    """Run a test run of ``starts.csv`` again, or (``ensemble`` long) one of ``long_trajectories.csv``, under
    every model, and the test run of the truth.

    ``results``: the run's folder, which holds its parameters, the models and the held-out trajectories.
    Frames say which model: ``arm``, ``subsequence_length``, ``seed``. Raises UserError where one of these or
    the number is missing.
    """
    folder = results / "dynamic_training"
    table, column = (LONG_RUNS, "run") if ensemble == LONG else (STARTS, ID)
    row_of(folder / table.file, trajectory_id, column)
    known = table.read(folder)
    known = known[known[column] == trajectory_id]
    parameters = parameters_of(results)
    own = {name: parameters["dynamic_training"][name] for name in fields_of(Judgement)}
    judgement = load_settings(Judgement, own)
    if not (folder / HELD_OUT).is_dir():
        raise UserError(f"{folder} has no {HELD_OUT}; give the results of a whole run")
    tested = Held.of(folder / HELD_OUT, parameters["campaign_seed"], judgement)
    models = pandas.read_csv(folder / "rollouts.csv").set_index(list(MODEL_IDS))["model"]
    rows: list[dict[str, Any]] = []
    frames: list[Atoms] = []
    for number, one in enumerate(known.to_dict("records")):
        ids = {name: one[name] for name in MODEL_IDS}
        trajectories = tested.trajectories
        if one["arm"] == CHAOS:
            source, trajectories = load(truth_of(folder / HELD_OUT)), tested.moved
        else:
            source = _model(folder / MODELS_FOLDER / f"seed_{one['seed']}" / models[tuple(ids.values())])
        start = trajectories[one["trajectory_id"]]
        see = _seen(frames, start, {"trajectory_id": trajectory_id, "member": number, **ids})
        if ensemble == LONG:
            ((row, ran),) = long_runs(source.potential, trajectories, judgement, trajectory_id)
            see(ran)
            row["hole"] = one["hole"]  # which is told by all labels
        else:
            along = run_along(
                source.potential,
                trajectories,
                tested.starts,
                judgement.test_frames,
                only=[trajectory_id],
                see=see,
            )
            row = tested.row(along, trajectory_id)
        rows.append({**ids, **row})
    return Repeated([(table, table.frame(rows))], frames, column=column)


def _model(folder: Path) -> Source:
    if not folder.is_dir():
        raise UserError(f"there is no {folder}; give the results of a whole run")
    return load(folder)


def _seen(
    frames: list[Atoms], start: LabelledTrajectory, known: dict[str, Any]
) -> Callable[[Trajectory], None]:
    """Return what adds the frames of a run from a start."""

    def see(ran: Trajectory) -> None:
        frames.extend(frames_of(start.atoms, ran, start.timestep_fs, **known))

    return see
