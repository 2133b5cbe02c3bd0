"""Trajectories of a finished run once more, from their ids; and the typical ones, for the report.

A trajectory is a function of the campaign and its id, so that its frames need not be kept: whoever wants to
look at one runs it again, and its row has to come out as it stands in the table.
"""

import csv
import importlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments import campaign
from frazil.experiments.campaign import physics_of
from frazil.files import write_atomic
from frazil.parameters import campaigns
from frazil.report import plot
from frazil.report.movie import MARKED, thinned
from frazil.report.section import Figure, Gate, Movie, Section
from frazil.tables import Table

REPEATS = {
    "photodesorption": "frazil.experiments.photodesorption.repeated:repeat",
    "sticking": "frazil.experiments.sticking.repeated:repeat",
    "infrared": "frazil.experiments.infrared.repeated:repeat",
    "dynamic_training": "frazil.experiments.dynamic_training.repeated:repeat",
}
"""Experiment -> its function (results, trajectory_id, ensemble) -> Repeated; their modules say the rest."""
MODEL, LONG, LEARNING, EXPLORATION = "model", "long", "learning", "exploration"
ENSEMBLES = {
    "photodesorption": (MODEL, "teacher", "teacher_control", "model_control"),
    "sticking": (MODEL, "truth", "attempts"),
    "dynamic_training": (MODEL, LONG),
    "infrared": (MODEL, LEARNING),
}
"""Experiment -> its ensembles, where there are more than the model's."""
NOT_KEPT = {
    ("photodesorption", EXPLORATION): "results have the committee of the last round alone. While the work "
    "folder is there, the .command.sh of a round's task (PROPOSE in pipeline_info/trace.tsv) runs it again",
}
"""Ensembles whose trajectories cannot be repeated, and why."""
ID = "trajectory_id"
"""The column of a table that knows a trajectory; an experiment of another one says so."""
CAMPAIGN = "campaign.json"
FRAMES = "frames.extxyz"
SAME = (
    "A trajectory is a function of the campaign's seed and its id. Run again on the same kind of processor "
    "it has to give the same row, to the last digit.",
    "Compare the versions and the host in run.json with those of the machine that ran it again.",
)


@dataclass(frozen=True)
class Repeated:
    """A trajectory that was run again.

    tables: the first has its row, known by ``column``. frames: all observations, each with ``time_fs``.
    curve: ``time_fs`` and what the experiment watches; no frames and no curve where the experiment has none.
    """

    tables: list[tuple[Table, pandas.DataFrame]]
    frames: list[Atoms] = field(default_factory=list)
    curve: pandas.DataFrame | None = None
    column: str = ID


def called(name: str, ensemble: str) -> str:
    """Return what results call an ensemble's file: of the teacher ``teacher_trajectories.csv``."""
    return name if ensemble == MODEL else f"{ensemble}_{name}"


def repeat(
    experiment: str, results: Path, trajectory_id: int, n_frames: int, out: Path, ensemble: str = MODEL
) -> str:
    """Run one trajectory of a finished run again; write its tables, its frames and its curve over time.

    Return in words that it came out the same.

    ``results`` is the run's folder, of which the experiment's own and the potential's are read. Raises
    UserError for an experiment without trajectories, for results that are not whole, for an ensemble or an id
    that is not there, and where the row does not come out as it stands there.
    """
    if (experiment, ensemble) in NOT_KEPT:
        raise UserError(f"trajectories of {ensemble} are not repeated: {NOT_KEPT[experiment, ensemble]}")
    allowed = ENSEMBLES.get(experiment, (MODEL,))
    if ensemble not in allowed:
        raise UserError(f"ensemble {ensemble!r}; {experiment} has {', '.join(allowed)}")
    told, known = _run(experiment, results, trajectory_id, n_frames, out, ensemble)
    if told != known:
        raise UserError(
            f"trajectory {trajectory_id} came out as {told}, not as {known}; repeat it with the versions of "
            "run.json, on the same kind of processor"
        )
    return f"trajectory {trajectory_id} came out as in the results; its tables and frames are in {out}"


def repeat_collision(results: Path, trajectory_id: int, n_frames: int, out: Path) -> str:
    """Run one collision of a finished run again: ``repeat`` of the experiment sticking."""
    return repeat("sticking", results, trajectory_id, n_frames, out)


def _run(
    experiment: str, results: Path, identity: int, n_frames: int, out: Path, ensemble: str = MODEL
) -> tuple[str, str]:
    """Run a trajectory and write what it gives; return its row now and its row in the results."""
    found = _repeat(experiment, results, identity, ensemble)
    table = found.tables[0][0]
    for declared, content in found.tables:
        declared.write(content, out)
    if found.frames:
        write_frames(out / FRAMES, _few(found.frames, n_frames))
    if found.curve is not None:
        with write_atomic(out / "curve.csv") as partial:
            found.curve.to_csv(partial, index=False, float_format="%.8g")
    told = row_of(out / table.file, identity, found.column)
    return told, row_of(results / experiment / table.file, identity, found.column)


def _repeat(experiment: str, results: Path, identity: int, ensemble: str) -> Repeated:
    if experiment in REPEATS:
        module, _, function = REPEATS[experiment].partition(":")
        found: Repeated = getattr(importlib.import_module(module), function)(results, identity, ensemble)
        return found
    if experiment in campaigns():
        parameters = parameters_of(results)
        physics, settings = physics_of(experiment, parameters[experiment])
        row_of(results / experiment / physics.TABLE.file, identity)
        rows, frames = campaign.repeated(physics, settings, parameters["campaign_seed"], [identity])
        moving = [frame for own in frames.values() for frame in own]
        return Repeated([(physics.TABLE, physics.TABLE.frame(rows))], moving)
    allowed = ", ".join([*REPEATS, *campaigns()])
    raise UserError(f"experiment {experiment!r} has no trajectories with ids; allowed: {allowed}")


def keep(
    experiment: str, results: Path, n_trajectories: int, n_frames: int, file_settings: Sequence[str],
    files: Sequence[Path], out: Path,
) -> None:  # fmt: skip
    """Run the first trajectories of a run again and write their frames, and a section with a gate.

    ``results`` has what ``repeat`` reads; ``file_settings`` and ``files`` say where files are that the
    settings of a campaign name. ``frames.extxyz`` has at most ``n_frames`` of each, at equal steps. Raises
    UserError as ``repeat`` does, but for a row that comes out otherwise: the gate tells that.
    """
    column = ID
    if experiment in REPEATS:
        module = importlib.import_module(REPEATS[experiment].partition(":")[0])
        table: Table = module.TABLE
        column = getattr(module, "ID", ID)
        ids = ids_of(results / experiment / table.file, column)[:n_trajectories]
        parts, kept = [], []
        for identity in ids:
            found = _repeat(experiment, results, identity, MODEL)
            parts.append(found.tables[0][1])
            kept += _few(found.frames, n_frames)
        content = pandas.concat(parts)
    else:
        parameters = parameters_of(results)
        placed = dict(zip(file_settings, map(str, files), strict=True))
        physics, settings = physics_of(experiment, parameters[experiment] | placed)
        table = physics.TABLE
        ids = ids_of(results / experiment / table.file)[:n_trajectories]
        seed = parameters["campaign_seed"]
        rows, frames = campaign.repeated(physics, settings, seed, ids, lambda own: _few(own, n_frames))
        content = table.frame(rows)
        kept = [frame for own in frames.values() for frame in own]
    table.write(content, out)
    known = results / experiment / table.file
    n_same = sum(row_of(out / table.file, i, column) == row_of(known, i, column) for i in ids)
    write_frames(out / FRAMES, kept)
    same = Gate.equal(f"{experiment}: kept trajectories that come out the same", n_same, len(ids))
    told = (
        f"The first {len(ids)} trajectories of {experiment} were run again from their ids; "
        f"{out.name}/{FRAMES} has {len(kept)} of their frames: positions, velocities where the run has them, "
        "time_fs and trajectory_id."
    )
    Section(f"Kept trajectories of {experiment}", text=[told], gates=[same.because(*SAME)]).write(out)


def ids_of(table: Path, column: str = ID) -> list[int]:
    """Return the trajectory ids of a table, each once, ascending. Raises UserError where it is missing."""
    return sorted(_rows_of(table, column))


def row_of(table: Path, trajectory_id: int, column: str = ID) -> str:
    """Return the line of a trajectory in a table, or those of its members.

    Raises UserError where one of them is not there.
    """
    known = _rows_of(table, column)
    if trajectory_id not in known:
        raise UserError(f"trajectory {trajectory_id}; {table} has {len(known)}, {min(known)} to {max(known)}")
    return "\n".join(known[trajectory_id])


def _rows_of(table: Path, column: str) -> dict[int, list[str]]:
    """Return the lines of a table by the number in a column. Raises UserError where it is missing."""
    try:
        head, *lines = table.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"there is no {table}; give the folder of the results of a finished run") from error
    place = head.split(",").index(column)
    found: dict[int, list[str]] = {}
    for line in lines:
        found.setdefault(id_of(next(csv.reader([line]))[place]), []).append(line)
    return found


def id_of(cell: str) -> int:
    """Return the id that a cell says: its digits, of ``round-01-00003`` 100003."""
    return int(re.sub(r"\D", "", str(cell)))


def _whole(frames: list[Atoms]) -> list[Atoms]:
    """Return frames without the last ones of a failed trajectory, whose positions are no numbers."""
    return [frame for frame in frames if np.isfinite(frame.positions).all()]


def _few(frames: list[Atoms], n_frames: int) -> list[Atoms]:
    """Return at most so many whole frames of each member that ran the trajectory, at equal steps."""
    members: dict[int, list[Atoms]] = {}
    for frame in _whole(frames):
        members.setdefault(frame.info.get("member", 0), []).append(frame)
    return [frame for own in members.values() for frame in thinned(own, n_frames)]


def marked(frame: Atoms, atoms: Any) -> Atoms:
    """Return the frame with some atoms (a mask, places or a slice) marked for the eye."""
    mask = np.zeros(len(frame), bool)
    mask[atoms] = True
    frame.set_array(MARKED, mask)
    return frame


def typical(table: pandas.DataFrame, order_fs: pandas.Series, outcomes: tuple[str, ...]) -> dict[str, int]:
    """Return the id of the trajectory in the middle of each outcome, by a time and then the id."""
    found = {}
    for outcome in outcomes:
        rows = table.assign(order_fs=order_fs)[table["outcome"] == outcome]
        rows = rows.sort_values(["order_fs", "trajectory_id"])
        if len(rows):
            found[outcome] = int(rows["trajectory_id"].iloc[(len(rows) - 1) // 2])
    return found


def show(experiment: str, results: Path, out: Path) -> None:
    """Run the typical trajectory of each outcome again; write their frames, a figure over time, a section.

    Raises UserError as ``repeat`` does, but for a row that comes out otherwise: a gate tells that.
    """
    module = importlib.import_module(REPEATS[experiment].partition(":")[0])
    table: Table = module.TABLE
    trajectories = table.read(results / experiment)
    (outcomes,) = (column.allowed for column in table.columns if column.name == "outcome")
    chosen = typical(trajectories, module.order_fs(trajectories), outcomes)
    told = [
        f"Of each outcome the trajectory in the middle, by {module.TIME_TOLD}, was run again from its id. "
        "It is shown as it came out."
    ]
    if absent := [outcome for outcome in outcomes if outcome not in chosen]:
        told.append(f"No trajectory ended as {' or '.join(absent)}.")
    movies, curves, folders, n_same = [], {}, {}, 0
    for outcome, identity in chosen.items():
        folder = out / outcome
        now, known = _run(experiment, results, identity, MOVIE_FRAMES, folder)
        n_same += now == known
        if not (folder / "frames.extxyz").is_file():
            told.append(f"Trajectory {identity} ({outcome}) left no frame to show.")
            continue
        n = int((trajectories["outcome"] == outcome).sum())
        movies.append(
            Movie(
                f"{folder.name}/frames.extxyz",
                f"{outcome} ({n} of {len(trajectories)}): trajectory {identity}",
                module.caption(trajectories.set_index("trajectory_id").loc[identity], outcome),
                f"bin/frazil repeat-trajectory --experiment {experiment} --results RESULTS "
                f"--trajectory-id {identity} --out again",
            )
        )
        name = f"{outcome}, trajectory {identity}"
        curves[name], folders[name] = pandas.read_csv(folder / "curve.csv"), folder
    same = Gate.equal(f"{experiment}: typical trajectories that come out the same", n_same, len(chosen))
    figures = [_over_time(curves, module, out)] if curves else []
    if hasattr(module, "further_figures"):
        figures += module.further_figures(folders, out)
    Section(module.TITLE, told, [same.because(*SAME)], figures, movies=movies).write(out)


MOVIE_FRAMES = 100
"""Frames of a typical trajectory that are published."""


def _over_time(curves: dict[str, pandas.DataFrame], module: Any, out: Path) -> Figure:
    """Draw what the experiment watches along each of the trajectories."""
    canvas, grid = plot.new()
    for name, curve in curves.items():
        grid[0, 0].plot(curve["time_fs"] / 1000, curve[module.CURVE], label=name)
    limit = next(iter(curves.values()))[module.LINE].iloc[0]
    grid[0, 0].axhline(limit, color=plot.GREY, linestyle="--", linewidth=1)
    plot.label(grid[0, 0], "time (ps)", module.CURVE_LABEL)
    grid[0, 0].legend()
    caption = f"{module.CURVE_TOLD} In a browser a line shows the time of the movie; a click chooses one."
    table = pandas.concat([curve.assign(series=name) for name, curve in curves.items()])
    return plot.save(canvas, table, out, "curves", caption)


def campaign_of(results: Path, experiment: str, ensemble: str = MODEL) -> dict[str, Any]:
    """Return what an experiment of a run wrote of its campaign. Raises UserError where it did not."""
    try:
        file = results / experiment / called(CAMPAIGN, ensemble)
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{results} has no {error.filename}; give the results of a {experiment} run"
        ) from error
    return found


def parameters_of(results: Path) -> dict[str, Any]:
    """Return the parameters of a finished run. Raises UserError where its run.json is missing or broken."""
    try:
        found: dict[str, Any] = json.loads((results / "run.json").read_text(encoding="utf-8"))["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{results} has no run.json with its parameters; give the results of a finished run"
        ) from error
    return found
