"""One trajectory of a finished run again, from its id."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.photodesorption.aggregates import CURVE_FILE, MEMBERS
from frazil.experiments.photodesorption.engines import Model
from frazil.experiments.photodesorption.initial_states import read_initial_states
from frazil.experiments.photodesorption.outcome import Curves
from frazil.experiments.photodesorption.settings import TEACHER, Trajectories
from frazil.experiments.photodesorption.tables import ALONG, TRAJECTORIES
from frazil.experiments.photodesorption.trajectories import (
    STATES,
    Physics,
    atoms_of,
    curves_of,
    tables_of,
)
from frazil.experiments.photodesorption.validation import member_of
from frazil.experiments.repeated import MODEL, Repeated, called, campaign_of, marked, row_of
from frazil.report.plot import BLUE, GREY, VERMILLION, label, new, note, save
from frazil.report.section import Figure
from frazil.settings import load
from frazil.systems.energies import molecular_energies
from frazil.systems.molecules import Molecules
from frazil.units import fs

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
    judged_by = curves_of(engine, curves, states.molecules)
    all_frames = replace(
        settings, keep_frames_trajectories=trajectory_id + 1, keep_frames_every_fs=settings.observe_fs
    )
    physics = Physics(
        all_frames, engine, campaign["coupling_eV"], states, models,
        [judged_by], campaign["precision"],
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
    return Repeated([*tables, (ALONG, energies_along(frames, states.molecules, judged_by))], frames, curve)


def energies_along(frames: Sequence[Atoms], molecules: Molecules, curves: Curves) -> pandas.DataFrame:
    """Return the table ``energies_along.csv``: each molecule's energies in frames of one trajectory.

    Translation and rotation are of the molecule as if it were free, vibration above its own curve's minimum
    (of the kind that is excited).
    """
    positions = np.array([frame.positions for frame in frames])
    velocities = np.array([frame.get_velocities() for frame in frames]) * fs
    is_excited = frames[0].arrays["excited"] > 0
    parts = []
    for number, own in enumerate(molecules.members):
        excited = bool(is_excited[own].any())
        curve = curves.excited if excited else curves.ground
        found = molecular_energies(
            positions[:, own], velocities[:, own], molecules.atom_masses_amu[own],
            curve if number < molecules.n_of_first_kind else None,
        )  # fmt: skip
        values = {name: values for name, values in vars(found).items() if name in ALONG.names}
        times = [frame.info["time_fs"] for frame in frames]
        parts.append(
            pandas.DataFrame({"time_fs": times, "molecule": number, "excited": int(excited), **values})
        )
    return pandas.concat(parts)


def further_figures(folders: Mapping[str, Path], out: Path) -> list[Figure]:
    """Return the figure of molecules' energies along trajectories that were repeated into these folders."""
    tables = {name: ALONG.read(folder) for name, folder in folders.items() if (folder / ALONG.file).is_file()}
    if not tables:
        return []
    canvas, axes = new(2, len(tables), 3.6 * len(tables), 5.0, share_x=True)
    parts = []
    for (above, below), (name, table) in zip(axes.T, tables.items(), strict=True):
        others = table[table["excited"] == 0].groupby("time_fs")["translational_energy_meV"]
        excited = table[table["excited"] == 1].set_index("time_fs")
        drawn = excited[["vibrational_energy_meV", "translational_energy_meV"]].assign(
            others_mean_meV=others.mean(), others_largest_meV=others.max()
        )
        time_ps = drawn.index.to_numpy() / 1000
        above.plot(time_ps, drawn["vibrational_energy_meV"] / 1000, color=VERMILLION)
        if drawn["vibrational_energy_meV"].isna().all():
            note(above, "told of diatomics only")
        label(above, "", "vibration of the excited one (eV)", name)
        for column, colour, what in (
            ("translational_energy_meV", VERMILLION, "excited"),
            ("others_largest_meV", BLUE, "fastest of the others"),
            ("others_mean_meV", GREY, "mean of the others"),
        ):
            below.plot(time_ps, drawn[column], color=colour, label=what)
        label(below, "time (ps)", "translation (meV)")
        below.legend()
        parts.append(drawn.reset_index().assign(series=name))
    caption = (
        "Energies of molecules along these trajectories: vibration of the excited one above, translation of "
        "the excited one, of the fastest other and of the others in the mean below."
    )
    return [save(canvas, pandas.concat(parts), out, "energies_along", caption)]


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
