"""Thermalization of an aggregate: NVT in its ground state, and snapshots inside a window of temperature.

Nosé–Hoover chains in LAMMPS with 3N − 6 degrees of freedom: velocities start without drift and rotation,
forces of an isolated aggregate keep it so, and the temperatures here count the same degrees.
"""

from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas
from numpy.typing import NDArray

from frazil.cli import progress
from frazil.data.frames import read_extxyz
from frazil.errors import UserError
from frazil.experiments.photodesorption.settings import (
    SNAPSHOTS_PER_REPLICA,
    SNAPSHOT_EVERY_fs,
    Thermalization,
)  # fmt: skip
from frazil.experiments.photodesorption.tables import TEMPERATURE
from frazil.files import write_atomic
from frazil.md.lammps import LammpsSession, NoseHoover, Observation
from frazil.seeds import rng
from frazil.systems.co import MOLECULE_MASSES_amu, co_types, from_deepmd_types
from frazil.systems.co_energies import temperature_K
from frazil.units import fs


def thermalize(
    settings: Thermalization,
    model: Path | str,
    aggregates: Path | str,
    campaign_seed: int,
    replica: int,
    out: Path | str,
) -> None:
    """Write ``snapshots.extxyz`` and ``temperature.csv`` of one replica into ``out``.

    The replica's aggregate is minimized, heated, equilibrated and run; one snapshot is taken from each of
    ``n_snapshots`` equal parts of the run, or later where none is inside the window in time. Raises UserError
    if the window is met by fewer observations than snapshots asked for.
    """
    aggregate = _aggregate(aggregates, replica)
    types = co_types(len(aggregate) // 2)
    taken: list[Observation] = []
    history: list[tuple[float, float, int]] = []
    with LammpsSession(model, len(types) // 2) as session:
        positions = session.minimize(aggregate.positions, types)
        run = session.run(
            positions,
            _velocities(positions, settings.temperature_K, campaign_seed, replica),
            types,
            settings.timestep_fs,
            round((settings.equilibration_fs + settings.duration_fs) / settings.timestep_fs),
            round(SNAPSHOT_EVERY_fs / settings.timestep_fs),
            NoseHoover(settings.temperature_K, settings.damping_fs),
        )
        n_observations = round((settings.equilibration_fs + settings.duration_fs) / SNAPSHOT_EVERY_fs) + 1
        for now in progress(run, n_observations, f"thermalization {replica}"):
            temperature = float(temperature_K(now.velocities_A_per_fs))
            due = (
                settings.equilibration_fs + len(taken) * settings.duration_fs / settings.snapshots_per_replica
            )
            inside = settings.temperature_low_K <= temperature <= settings.temperature_high_K
            is_snapshot = inside and now.time_fs >= due - 1e-6 and len(taken) < settings.snapshots_per_replica
            if is_snapshot:
                taken.append(now)
            history.append((now.time_fs, temperature, int(is_snapshot)))
            if len(taken) == settings.snapshots_per_replica:
                break
    table = TEMPERATURE.frame(history)
    _require_enough(settings, table, len(taken))
    _write(Path(out), types, taken, table, replica)


def _aggregate(path: Path | str, replica: int) -> ase.Atoms:
    if not Path(path).is_file() or not Path(path).stat().st_size:
        raise UserError(f"aggregates {path} are missing or empty; give the aggregates of sample_frames.py")
    frames = read_extxyz(path)
    return frames[replica % len(frames)]


def _velocities(
    positions_A: NDArray[np.float64], temperature: float, campaign_seed: int, replica: int
) -> NDArray[np.float64]:
    """Return velocities (n_atoms, 3), Å/fs, at exactly this temperature, without drift and rotation."""
    masses = np.tile(MOLECULE_MASSES_amu, len(positions_A) // 2)[:, None]
    velocities = rng(campaign_seed, "thermalize", replica).normal(size=positions_A.shape) / np.sqrt(masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    arms = positions_A - (masses * positions_A).sum(axis=0) / masses.sum()
    inertia = (masses * arms**2).sum() * np.eye(3) - (masses * arms).T @ arms
    angular_momentum = np.cross(arms, masses * velocities).sum(axis=0)
    velocities -= np.cross(np.linalg.pinv(inertia, rcond=1e-8) @ angular_momentum, arms)
    return np.asarray(velocities * np.sqrt(temperature / temperature_K(velocities)))


def _require_enough(settings: Thermalization, table: pandas.DataFrame, n_taken: int) -> None:
    if n_taken == settings.snapshots_per_replica:
        return
    seen = table.loc[table["time_fs"] >= settings.equilibration_fs, "temperature_K"]
    window = f"{settings.temperature_low_K:g} to {settings.temperature_high_K:g} K"
    range_seen = f"{seen.min():.1f} to {seen.max():.1f} K, mean {seen.mean():.1f} K"
    if not n_taken:
        raise UserError(
            f"no snapshot meets the temperature window {window}; the run was at {range_seen}; "
            f"widen the window or equilibrate longer"
        )
    raise UserError(
        f"{n_taken} of {settings.snapshots_per_replica} snapshots found inside the temperature window "
        f"{window}; "
        f"the run was at {range_seen}; give a longer --duration-fs, a wider window or fewer snapshots"
    )


def _write(
    out: Path, types: NDArray[np.int64], taken: list[Observation], table: pandas.DataFrame, replica: int
) -> None:
    frames = []
    for number, now in enumerate(taken):
        atoms = from_deepmd_types(types, now.positions_A)
        atoms.set_velocities(now.velocities_A_per_fs / fs)
        atoms.info.update(
            snapshot_id=replica * SNAPSHOTS_PER_REPLICA + number,
            time_fs=now.time_fs,
            temperature_K=float(temperature_K(now.velocities_A_per_fs)),
        )
        frames.append(atoms)
    with write_atomic(out / "snapshots.extxyz") as partial:
        ase.io.write(partial, frames, format="extxyz")
    TEMPERATURE.write(table, out)
