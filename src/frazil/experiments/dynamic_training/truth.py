"""Labelled trajectories for dynamic training: a user's own, or NVE runs of the CO field."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.data.split import SUBSETS
from frazil.data.trajectories import LabelledTrajectory, of_rows
from frazil.errors import UserError
from frazil.experiments.dynamic_training.settings import TrajectoryData
from frazil.files import write_atomic, write_json
from frazil.labels.imports.trajectories import read_trajectories, time_check
from frazil.md.ensemble import Ensemble
from frazil.md.frame_files import write_frames
from frazil.md.integrators import VelocityVerlet
from frazil.md.minimize import minimize
from frazil.md.observers import energies, forces, frames
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.registry import load
from frazil.seeds import rng
from frazil.systems.packing import random_aggregate
from frazil.tables import Table
from frazil.units import kB

TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int name:str subset:str n_frames:int n_gaps:int timestep_fs velocities:str time_scale
    half_step
    """,
    limits={"subset": SUBSETS, "velocities": ("stated", "derived")},
    made_by="prepare_trajectories.py",
)
AGGREGATE_A3 = 150.0
"""Volume of the sphere that a molecule starts in."""


def prepare(data: TrajectoryData, coupling_eV: float, campaign_seed: int, out: Path) -> None:
    """Write ``0000.h5``, … (H5MD), trajectories.csv and summary.json into ``out``.

    Raises UserError for data that ``read_trajectories`` refuses, and too few trajectories.
    """
    if data.dataset is None:
        known = field_runs(data, coupling_eV, campaign_seed)
        truth: dict[str, Any] | None = {"kind": "van-hemert", "coupling_eV": coupling_eV}
    else:
        known = read_trajectories([data.dataset], data.dataset_timestep_fs, data.dataset_velocities)
        truth = None
        levels = sorted({trajectory.level for trajectory in known})
        if len(levels) > 1:
            raise UserError(f"trajectories of several levels: {', '.join(levels)}; give those of one")
    held = data.n_test_trajectories + data.n_validation_trajectories
    if len(known) <= held:
        raise UserError(
            f"{len(known)} trajectories, {held} of them to be held out; give more, or hold fewer out "
            "(n_test_trajectories, n_validation_trajectories)"
        )
    order = rng(campaign_seed, "dynamic-split").permutation(len(known))
    subsets = np.full(len(known), "train", dtype="<U10")
    subsets[order[: data.n_test_trajectories]] = "test"
    subsets[order[data.n_test_trajectories : held]] = "validation"
    rows = []
    for number, trajectory in enumerate(known):
        write(trajectory, out / f"{number:04d}.h5")
        check = time_check(trajectory)
        rows.append(
            {
                "trajectory_id": number, "name": trajectory.name, "subset": subsets[number],
                "n_frames": len(trajectory), "n_gaps": len(trajectory.breaks),
                "timestep_fs": trajectory.timestep_fs,
                "velocities": "derived" if trajectory.derived else "stated",
                "time_scale": check.scale, "half_step": check.half,
            }
        )  # fmt: skip
    TRAJECTORIES.write(rows, out)
    write_json(out / "summary.json", {"truth": truth, "level": known[0].level})


def field_runs(data: TrajectoryData, coupling_eV: float, campaign_seed: int) -> list[LabelledTrajectory]:
    """Return NVE trajectories of the CO field, from minima of random aggregates, every step labelled."""
    n = data.trajectory_molecules
    radius_A = (3 * AGGREGATE_A3 * n / (4 * np.pi)) ** (1 / 3)
    starts = [random_aggregate(n, radius_A, campaign_seed, i) for i in range(data.n_trajectories)]
    atoms = Atoms(starts[0].numbers)
    potential = load("van-hemert", coupling_eV=coupling_eV).potential(atoms)
    minima = minimize(potential, np.array([start.positions for start in starts]), max_force_eV_per_A=0.01)
    speeds = np.sqrt(kB * data.trajectory_temperature_K / atoms.get_masses())[:, None]
    velocities = [
        speeds * rng(campaign_seed, "dynamic-velocities", i).normal(size=(len(atoms), 3))
        for i in range(data.n_trajectories)
    ]
    ensemble = Ensemble(
        potential, VelocityVerlet(data.trajectory_timestep_fs), atoms.get_masses(), data.n_frames - 1, 1,
        campaign_seed, observers=(energies, frames, forces), removed="drift", chunk=100,
    )  # fmt: skip
    found = []
    for ran in ensemble.run(minima.positions, np.array(velocities)):
        if ran.outcome != Outcome.FINISHED:
            raise RuntimeError(f"trajectory {ran.trajectory_id} of the known truth broke")
        name = f"{ran.trajectory_id:04d}"
        found.append(of_rows(name, atoms, ran.rows, data.trajectory_timestep_fs, "van-hemert"))
    return sorted(found, key=lambda trajectory: trajectory.name)


def write(trajectory: LabelledTrajectory, path: Path) -> None:
    """Write a trajectory as H5MD; a gap shows as a step that is left out."""
    steps = np.arange(len(trajectory))
    for first in trajectory.breaks:
        steps[first:] += 1
    rows = {
        "step": steps, "positions": trajectory.positions, "velocities": trajectory.velocities,
        "forces": trajectory.forces, "energy": trajectory.energies,
    }  # fmt: skip
    ran = Trajectory(0, Outcome.FINISHED, len(trajectory) - 1, rows)
    write_frames(path, [ran], trajectory.atoms, trajectory.timestep_fs)


def copy_subset(folder: Path, subset: str, out: Path) -> None:
    """Copy the trajectories of a subset of a folder of ``prepare`` into another such folder."""
    table = TRAJECTORIES.read(folder)
    own = table[table["subset"] == subset]
    TRAJECTORIES.write(own, out)
    for name in ("summary.json", *(f"{number:04d}.h5" for number in own["trajectory_id"])):
        with write_atomic(out / name) as partial:
            shutil.copyfile(folder / name, partial)


def read(folder: Path, subset: str | None = None) -> list[LabelledTrajectory]:
    """Return the trajectories of a folder of ``prepare``, of one subset or all, in the order of their ids."""
    table = TRAJECTORIES.read(folder)
    level = json.loads((folder / "summary.json").read_text())["level"]
    found: list[LabelledTrajectory] = []
    for row in table.itertuples():
        if subset in (None, row.subset):
            (one,) = read_trajectories([folder / f"{row.trajectory_id:04d}.h5"], level=level)
            found.append(replace(one, name=str(row.name), derived=str(row.velocities) == "derived"))
    return found
