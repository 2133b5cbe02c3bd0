"""One trajectory of a finished run again, from its id."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas

from frazil.errors import UserError
from frazil.experiments.photodesorption.aggregates import CURVE_FILE, MEMBERS
from frazil.experiments.photodesorption.engines import Model
from frazil.experiments.photodesorption.initial_states import read_initial_states
from frazil.experiments.photodesorption.settings import TEACHER, Trajectories
from frazil.experiments.photodesorption.tables import TRAJECTORIES
from frazil.experiments.photodesorption.trajectories import (
    STATES,
    Physics,
    atoms_of,
    curves_of,
    tables_of,
)
from frazil.experiments.photodesorption.validation import member_of
from frazil.experiments.repeated import MODEL, Repeated, called, campaign_of, marked, row_of
from frazil.settings import load

TABLE, TITLE = TRAJECTORIES, "Typical trajectories of photodesorption"
TIME_TOLD = "the time of its first desorption, else its length"
CURVE, CURVE_LABEL, LINE = "beyond_A", "outermost molecule beyond the surface (Å)", "criterion_A"
CURVE_TOLD = (
    "How far the outermost molecule is from the centre of the aggregate at the start, less that distance at "
    "the start; dashed, the criterion beyond which a molecule has desorbed."
)


def order_fs(table: pandas.DataFrame) -> pandas.Series:
    """Return the time by which trajectories of one outcome are put in order."""
    return table["first_desorption_fs"].fillna(table["duration_fs"])


def repeat(results: Path, trajectory_id: int, ensemble: str = MODEL) -> Repeated:
    """Run one trajectory of a finished run again, alone.

    ``results``: the run's folder, which holds starts and campaign of each ensemble, and the committee.
    Raises UserError where one of them or the trajectory is missing.
    """
    folder = results / "photodesorption"
    trajectories = TRAJECTORIES.named(called(TRAJECTORIES.name, ensemble))
    row_of(folder / trajectories.file, trajectory_id)
    table = trajectories.read(folder).set_index("trajectory_id")
    campaign = campaign_of(results, "photodesorption", ensemble)
    states = read_initial_states(folder / called(STATES, ensemble)).select(trajectory_id, 1)
    engine = campaign["engine"]
    potential = results / "potential"
    if "potential" in campaign:
        trained = results / "aggregates"  # beside the errors of a committee that was trained in the run
        given = trained if (trained / CURVE_FILE).is_file() else potential
        models, curves = _given(given, campaign["model"], trajectory_id)
    else:
        models, curves = _models(potential, engine, str(table["model_id"].loc[trajectory_id]))
    settings = load(Trajectories, campaign["settings"])
    all_frames = replace(
        settings, keep_frames_trajectories=trajectory_id + 1, keep_frames_every_fs=settings.observe_fs
    )
    physics = Physics(
        all_frames, engine, campaign["coupling_eV"], states, models,
        [curves_of(engine, curves, states.molecules)], campaign["precision"],
    )  # fmt: skip
    ((_, row),) = physics.runner()([trajectory_id], lambda: None)
    tables = [
        (table.named(called(table.name, ensemble)), content)
        for table, content in tables_of([physics.told(trajectory_id)], [row])
    ]
    frames = [atoms_of(trajectory_id, frame) for frame in row["frames"]]
    if not frames:  # failed before anything was seen
        return Repeated(tables)
    for frame in frames:
        marked(frame, frame.arrays["excited"] > 0)
    centres = np.array([states.molecules.centres(frame.positions) for frame in frames])
    outermost = np.linalg.norm(centres - states.molecules.middle(centres[0]), axis=-1).max(axis=1)
    curve = pandas.DataFrame(
        {
            "time_fs": [frame.info["time_fs"] for frame in frames],
            "beyond_A": outermost - outermost[0],
            "criterion_A": settings.limits.criterion_A,
        }
    )
    return Repeated(tables, frames, curve)


def _given(potential: Path, model: str, trajectory_id: int) -> tuple[list[Model], Path]:
    """Return what drove a trajectory under a potential that was given, and the curves of its member."""
    if not (potential / CURVE_FILE).is_file():
        raise UserError(f"{potential} has no {CURVE_FILE}; give the results of a whole run")
    what: Path | str = potential / "model" if (potential / "model").is_dir() else model
    each = sorted((potential / MEMBERS).glob("*.csv"))
    if not each:
        return [Model(what)], potential / CURVE_FILE
    return [Model(what, trajectory_id % len(each))], each[trajectory_id % len(each)]


def _models(potential: Path, engine: str, model_id: str) -> tuple[list[Model], Path]:
    """Return the model of a row (none of the teacher's) and the bond curves that its molecules are judged by.

    The teacher's curves are the same column in the tables of all members.
    """
    model = member_of(potential, model_id)
    if engine == TEACHER:
        models, tables = [], sorted(model.parent.glob("*.csv"))
    else:
        models, tables = [model], [model.with_name(f"{model.name}.csv")]
    if not all(own.is_dir() for own in models) or not tables or not tables[0].is_file():
        raise UserError(f"{potential.parent} has no {model} with its .csv; give the results of a whole run")
    return [Model(own) for own in models], tables[0]


def caption(row: pandas.Series, outcome: str) -> str:
    """Return what is seen of a typical trajectory; ``row`` is its row in the table."""
    told = {
        "desorbed": f"the first molecule of {row['n_desorbed']} left at {row['first_desorption_fs']:g} fs",
        "retained": f"none left within {row['duration_fs']:g} fs",
        "dissociated": f"a bond broke at {row['duration_fs']:g} fs",
        "failed": f"{row['failure']}",
    }
    return (
        f"One molecule (ringed) was given {row['excitation_energy_eV']:g} eV at "
        f"{row['initial_temperature_K']:.0f} K: {told[outcome]}."
    )
