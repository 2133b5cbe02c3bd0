"""Starts at one temperature, runs of every member from the same starts, and the density of each run.

Weights cannot stand for the members: they say which starts count, not at which frequency these move. So each
member runs by itself; since all share their starts, the scatter of starts cancels in what the members differ
by. Starts are canonical under the members' mean: drawn from the harmonic ensemble, then Langevin dynamics.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import jax
import numpy as np

from frazil.campaigns import Check, Row, Runner
from frazil.experiments.at_rest import source_of
from frazil.experiments.constant_energy import Runs, See
from frazil.experiments.vibrations.results import analyse
from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import (
    Subject,
    absorption_of,
    density_of,
    subject_of,
    wavenumbers_cm1,
)
from frazil.experiments.vibrations.tables import ARRAYS
from frazil.experiments.vibrations.tables import TRAJECTORIES as TABLE
from frazil.md.integrity import broken
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Trajectory

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]


def members(settings: Vibrations) -> int:
    """Return how many members run every start."""
    assert settings.model is not None
    return source_of(settings.model).n_members


def runner(settings: Vibrations, campaign_seed: int, see: See | None = None) -> Runner:
    """Return the runner of all starts and members; ids count (start, member), the last fastest.

    ``see`` is called with the frames of each.
    """

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        runs = replace(runs_of(subject, settings), see=see)
        numbers = sorted({identity // subject.n_members for identity in ids})
        begun = runs.starts(
            settings.temperature_K,
            settings.equilibration_fs,
            campaign_seed,
            "vibrations-start",
            numbers,
            check,
        )

        def row(identity: int, ended: Trajectory, outcome: str) -> Row:
            told = runs.told(identity, ended, outcome, "temperature_K")
            return told | {
                "density": _density(subject, ended, outcome, settings),
                "absorption": _absorption(subject, ended, outcome, settings),
            }

        yield from runs.rows(begun, ids, row, check)

    return run


def runs_of(subject: Subject, settings: Vibrations) -> Runs:
    """Return what runs are, and how they are observed."""
    return Runs(
        subject.source, subject.modes.minimum, broken(subject.atoms), settings.timestep_fs,
        settings.duration_fs, settings.velocity_every_fs,
        velocities if subject.dipole_slopes_e is None else velocities_and_dipole,
        min(settings.n_trajectories, settings.shard_size),
    )  # fmt: skip


def velocities(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``velocities`` (natoms, 3), Å per ASE time."""
    return {"velocities": state.velocities}


def velocities_and_dipole(state: State, system: System) -> dict[str, jax.Array]:
    """Observe the same and ``dipole`` (3,), e Å."""
    return {**velocities(state, system), "dipole": state.info["dipole_e_A"]}


def _density(subject: Subject, ended: Trajectory, outcome: str, settings: Vibrations) -> np.ndarray:
    """Return the density of a run, nan of one that did not finish."""
    if outcome != FINISHED:
        return np.full(len(wavenumbers_cm1(settings)), np.nan)
    return density_of(ended.rows["velocities"], subject.atoms.get_masses(), settings)[1]


def _absorption(subject: Subject, ended: Trajectory, outcome: str, settings: Vibrations) -> np.ndarray:
    """Return the absorption of a run, nan without a dipole and of one that did not finish."""
    if outcome != FINISHED or subject.dipole_slopes_e is None:
        return np.full(len(wavenumbers_cm1(settings)), np.nan)
    return absorption_of(ended.rows["dipole"], settings)
