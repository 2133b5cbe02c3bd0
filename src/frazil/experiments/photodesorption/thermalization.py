"""Thermalization of an aggregate: NVT in its ground state, and snapshots inside a window of temperature.

Nosé–Hoover chains with 3N − 6 degrees of freedom, in LAMMPS under a DeePMD model of CO or in the engine
under any potential: velocities start without drift and rotation, forces of an isolated aggregate keep it so,
and the temperatures here count the same degrees.
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
from frazil.experiments.photodesorption.initial import write_index
from frazil.experiments.photodesorption.settings import (
    SNAPSHOTS_PER_REPLICA,
    SNAPSHOT_EVERY_fs,
    Thermalization,
)  # fmt: skip
from frazil.experiments.photodesorption.tables import TEMPERATURE
from frazil.files import write_atomic
from frazil.md.lammps import LammpsSession, NoseHoover, Observation
from frazil.md.trajectory import Outcome, Rows
from frazil.seeds import rng
from frazil.systems.co import co_types, from_deepmd_types
from frazil.systems.energies import temperature_K
from frazil.systems.molecules import MOLECULE
from frazil.units import fs


def thermalize(
    settings: Thermalization,
    model: Path | str,
    aggregates: Path | str,
    campaign_seed: int,
    replica: int,
    out: Path | str,
    engine: str = "lammps",
) -> None:
    """Write ``snapshots.extxyz`` and ``temperature.csv`` of one replica into ``out``.

    The replica's aggregate is minimized (by LAMMPS; others are as they are given), heated, equilibrated and
    run; one snapshot is taken from each of ``n_snapshots`` equal parts of the run, or later where none is
    inside the window in time. Raises UserError if the window is met by fewer observations than snapshots
    asked for, and where the potential ends the run.
    """
    aggregate = _aggregate(aggregates, replica)
    masses_amu = aggregate.get_masses()
    seen = _Seen(settings, masses_amu)
    if engine == "frazil":
        _in_engine(settings, model, aggregate, campaign_seed, replica, seen)
    else:
        types = co_types(len(aggregate) // 2)
        aggregate = from_deepmd_types(types, aggregate.positions)
        with LammpsSession(model, len(types) // 2) as session:
            positions = session.minimize(aggregate.positions, types)
            run = session.run(
                positions,
                _velocities(positions, masses_amu, settings.temperature_K, campaign_seed, replica),
                types,
                settings.timestep_fs,
                round((settings.equilibration_fs + settings.duration_fs) / settings.timestep_fs),
                round(SNAPSHOT_EVERY_fs / settings.timestep_fs),
                NoseHoover(settings.temperature_K, settings.damping_fs),
            )
            n_observations = round((settings.equilibration_fs + settings.duration_fs) / SNAPSHOT_EVERY_fs) + 1
            for now in progress(run, n_observations, f"thermalization {replica}"):
                if seen.look(now):
                    break
    table = TEMPERATURE.frame(seen.history)
    _require_enough(settings, table, len(seen.taken))
    _write(Path(out), aggregate, masses_amu, seen.taken, table, replica)


class _Seen:
    """What was seen of a run: every temperature, and the snapshots that were taken."""

    def __init__(self, settings: Thermalization, masses_amu: NDArray[np.float64]) -> None:
        self._settings, self._masses_amu = settings, masses_amu
        self.taken: list[Observation] = []
        self.history: list[tuple[float, float, int]] = []

    def look(self, now: Observation) -> bool:
        """Take one observation, in order; return whether these are all snapshots that are wanted."""
        settings, wanted = self._settings, self._settings.snapshots_per_replica
        temperature = float(temperature_K(now.velocities_A_per_fs, self._masses_amu))
        due = settings.equilibration_fs + len(self.taken) * settings.duration_fs / wanted
        inside = settings.temperature_low_K <= temperature <= settings.temperature_high_K
        is_snapshot = inside and now.time_fs >= due - 1e-6 and len(self.taken) < wanted
        if is_snapshot:
            self.taken.append(now)
        self.history.append((now.time_fs, temperature, int(is_snapshot)))
        return len(self.taken) == wanted


def _in_engine(
    settings: Thermalization,
    model: Path | str,
    aggregate: ase.Atoms,
    campaign_seed: int,
    replica: int,
    seen: _Seen,
) -> None:
    """Run an aggregate under any potential; a long run is looked at more rarely, to fit into memory."""
    from frazil.md.ensemble import Ensemble
    from frazil.md.integrators import NoseHooverChain
    from frazil.md.observers import energies, frames
    from frazil.potentials.registry import load

    looks = settings.duration_fs / (LOOKS * settings.snapshots_per_replica * SNAPSHOT_EVERY_fs)
    every = max(1, int(looks)) * round(SNAPSHOT_EVERY_fs / settings.timestep_fs)
    n_steps = round((settings.equilibration_fs + settings.duration_fs) / settings.timestep_fs)
    source = load(model)
    like = ase.Atoms(numbers=aggregate.numbers, positions=aggregate.positions)
    masses_amu = aggregate.get_masses()
    ensemble = Ensemble(
        source.potential(like),
        NoseHooverChain(settings.timestep_fs, settings.temperature_K, settings.damping_fs),
        masses_amu,
        n_steps=every * -(-n_steps // every),
        observe_every=every,
        campaign_seed=campaign_seed,
        observers=(energies, frames),
        removed="drift and rotation",
        width=1,
    )

    def watch(_: int, rows: Rows) -> int:
        for number, step in enumerate(rows["step"]):
            now = Observation(
                int(step) * settings.timestep_fs, rows["positions"][number], rows["velocities"][number] * fs,
                float(rows["energy"][number]),
            )  # fmt: skip
            if seen.look(now):
                return number
        return -1

    velocities = _velocities(aggregate.positions, masses_amu, settings.temperature_K, campaign_seed, replica)
    (ended,) = ensemble.run(aggregate.positions[None], velocities[None] / fs, [replica], watch=watch)
    if ended.outcome not in (Outcome.FINISHED, Outcome.WATCHED):
        raise UserError(
            f"replica {replica} under {model} ended as {Outcome(ended.outcome).name} ({ended.failure}); give "
            "a shorter time step (thermalization.timestep_fs), or another potential"
        )


LOOKS = 50
"""At the temperature, for each snapshot that is wanted, in the engine; never more often than LAMMPS looks."""


def _aggregate(path: Path | str, replica: int) -> ase.Atoms:
    if not Path(path).is_file() or not Path(path).stat().st_size:
        raise UserError(f"aggregates {path} are missing or empty; give the aggregates of sample_frames.py")
    frames = read_extxyz(path)
    return frames[replica % len(frames)]


def _velocities(
    positions_A: NDArray[np.float64],
    masses_amu: NDArray[np.float64],
    temperature: float,
    campaign_seed: int,
    replica: int,
) -> NDArray[np.float64]:
    """Return velocities (n_atoms, 3), Å/fs, at exactly this temperature, without drift and rotation."""
    masses = masses_amu[:, None]
    velocities = rng(campaign_seed, "thermalize", replica).normal(size=positions_A.shape) / np.sqrt(masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    arms = positions_A - (masses * positions_A).sum(axis=0) / masses.sum()
    inertia = (masses * arms**2).sum() * np.eye(3) - (masses * arms).T @ arms
    angular_momentum = np.cross(arms, masses * velocities).sum(axis=0)
    velocities -= np.cross(np.linalg.pinv(inertia, rcond=1e-8) @ angular_momentum, arms)
    return np.asarray(velocities * np.sqrt(temperature / temperature_K(velocities, masses_amu)))


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
    out: Path,
    aggregate: ase.Atoms,
    masses_amu: NDArray[np.float64],
    taken: list[Observation],
    table: pandas.DataFrame,
    replica: int,
) -> None:
    """Write the snapshots, with the arrays of the aggregate that tell its molecules."""
    frames = []
    for number, now in enumerate(taken):
        atoms = ase.Atoms(numbers=aggregate.numbers, positions=now.positions_A)
        for name in ("excited", MOLECULE):
            if name in aggregate.arrays:
                atoms.set_array(name, aggregate.arrays[name], int)
        atoms.set_velocities(now.velocities_A_per_fs / fs)
        atoms.info.update(
            snapshot_id=replica * SNAPSHOTS_PER_REPLICA + number,
            time_fs=now.time_fs,
            temperature_K=float(temperature_K(now.velocities_A_per_fs, masses_amu)),
        )
        frames.append(atoms)
    with write_atomic(out / "snapshots.extxyz") as partial:
        ase.io.write(partial, frames, format="extxyz")
    write_index(out / "snapshots.extxyz")
    TEMPERATURE.write(table, out)
