"""One collision of a finished run again, from its id."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.repeated import MODEL, Repeated, called, campaign_of, marked, row_of
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.collisions import condition, run, start, tables_of
from frazil.experiments.sticking.driver import ANALYTIC, Driver, driver
from frazil.experiments.sticking.preparation import read_surfaces
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign
from frazil.experiments.sticking.tables import TRAJECTORIES
from frazil.md.trajectory import Trajectory

TABLE, TITLE = TRAJECTORIES, "Typical collisions"
TIME_TOLD = "how long it took"
CURVE, CURVE_LABEL, LINE = "z_A", "height of the projectile above the surface (Å)", "bounce_A"
CURVE_TOLD = (
    "Height of the projectile's centre above the surface in each of these collisions; dashed, how far it has "
    "to be from every atom of the surface to be called bounced."
)


def order_fs(table: pandas.DataFrame) -> pandas.Series:
    """Return the time by which trajectories of one outcome are put in order."""
    return table["time_fs"]


def repeat(results: Path, trajectory_id: int, ensemble: str = MODEL) -> Repeated:
    """Run one collision of a finished run again, alone.

    ``results``: the run's folder, which holds the ensemble's campaign, the surfaces and the committee.
    Raises UserError where one of them or the trajectory is missing.
    """
    sticking = results / "sticking"
    row = row_of(sticking / called(TRAJECTORIES.file, ensemble), trajectory_id)
    known = campaign_of(results, "sticking", ensemble)
    known = {name: value for name, value in known.items() if name not in ("projectile", "ice")}
    source = _driver(results, row, known.pop("model", ""))
    campaign = Campaign(**known)
    phase = condition(campaign, trajectory_id)["phase"]
    prepared = {folder: read_surfaces(folder) for folder in sorted(sticking.glob("surfaces/*"))}
    fitting = [folder for folder, own in prepared.items() if own[0].info["phase"] == phase]
    if not fitting:
        raise UserError(f"{sticking} has no {phase} surface; give the results of a whole run")
    surfaces, projectile = prepared[fitting[0]], projectiles.read(fitting[0], source)
    seen: list[Trajectory] = []
    (found,) = run(campaign, source, surfaces, projectile, [trajectory_id], see=seen.append)
    begun = start(campaign, trajectory_id, surfaces, projectile).known
    (surface,) = [s for s in surfaces if s.info["surface_id"] == begun["surface_id"]
                  and s.info["surface_temperature_K"] == begun["surface_temperature_K"]]  # fmt: skip
    curve = pandas.DataFrame(found["path"]).assign(bounce_A=campaign.bounce_A)
    tables = [
        (table.named(called(table.name, ensemble)), content)
        for table, content in tables_of([found], {trajectory_id})
    ]
    return Repeated(tables, _frames(surface, projectile, seen[0], found), curve)


def _driver(results: Path, row: str, named: str) -> Driver:
    """Return what drove a run: the known truth, an ASE calculator by its name, or the published committee."""
    if ANALYTIC in row.split(","):
        return driver(ANALYTIC)
    if named:
        return driver(named)
    ready = [path for path in sorted(results.glob("*/committee")) if (path / "model.h5").is_file()]
    if not ready:
        raise UserError(f"{results} has no potential/committee/model.h5; give the results of a whole run")
    curves = ready[0] / "molecular_curves.csv"
    return driver(ready[0] / "model.h5", curves if curves.is_file() else "")


def _frames(surface: Atoms, projectile: Projectile, ended: Trajectory, row: dict[str, Any]) -> list[Atoms]:
    numbers, own = np.append(surface.numbers, projectile.atoms.numbers), slice(len(surface), None)
    frames = []
    for positions, velocities, time_fs in zip(
        ended.rows["positions"], ended.rows["velocities"], row["path"]["time_fs"], strict=True
    ):
        frame = marked(Atoms(numbers=numbers, positions=positions), own)
        frame.set_velocities(velocities)
        frame.info = {"trajectory_id": row["trajectory_id"], "time_fs": float(time_fs)}
        frames.append(frame)
    return frames


def caption(row: pandas.Series, outcome: str) -> str:
    """Return what is seen of a typical collision; ``row`` is its row in the table."""
    turns = f"{row['n_bounces']} turn{'s' if row['n_bounces'] != 1 else ''}"
    return (
        f"The projectile (ringed) at {row['collision_energy_K']:g} K and {row['polar_angle_deg']:.0f}° from "
        f"the normal, on {row['phase']} ice at {row['surface_temperature_K']:g} K: {outcome} after "
        f"{row['time_fs']:g} fs, with {turns} near the surface."
    )
