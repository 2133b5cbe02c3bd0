"""Starts at one temperature, runs of every member from the same starts, and the density of each run.

Weights cannot stand for the members: they say which starts count, not at which frequency these move. So each
member runs by itself; since all share their starts, the scatter of starts cancels in what the members differ
by. Starts are canonical under the members' mean: drawn from the harmonic ensemble, then Langevin dynamics.
"""

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from frazil.campaigns import Check, Row, Runner, Start, in_engine
from frazil.experiments.at_rest import source_of
from frazil.experiments.starts import MOST_AT_ONCE, Motion, canonical_starts
from frazil.experiments.vibrations.results import analyse
from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import (
    Subject,
    density_of,
    subject_of,
    wavenumbers_cm1,
)
from frazil.experiments.vibrations.tables import ARRAYS, BROKEN_AT_START
from frazil.experiments.vibrations.tables import TRAJECTORIES as TABLE
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.integrity import OUTCOMES, OneCluster
from frazil.md.observers import energies
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Trajectory, drift_meV_per_ps
from frazil.units import kB

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]


def members(settings: Vibrations) -> int:
    """Return how many members run every start."""
    assert settings.model is not None
    return source_of(settings.model).n_members


def runner(settings: Vibrations, campaign_seed: int) -> Runner:
    """Return the runner of all starts and members; ids count (start, member), the last fastest."""

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        numbers = sorted({identity // subject.n_members for identity in ids})
        begun = starts(subject, settings, campaign_seed, numbers, check)
        good: dict[int, Motion] = {}
        for identity in ids:
            one = begun[identity // subject.n_members]
            if isinstance(one, Trajectory):
                yield identity, _row(subject, identity, one, BROKEN_AT_START, settings)
            else:
                good[identity] = one

        def start(identity: int) -> Start:
            return Start(*good[identity], group=identity % subject.n_members)

        def row(start: Start, ended: Trajectory) -> Row:
            return _row(subject, ended.trajectory_id, ended, OUTCOMES[ended.outcome], settings)

        yield from in_engine(start, lambda member: _ensemble(subject, settings, member), row)(
            list(good), check
        )

    return run


def starts(
    subject: Subject, settings: Vibrations, campaign_seed: int, numbers: Sequence[int], check: Check
) -> dict[int, Motion | Trajectory]:
    """Return positions (natoms, 3), Å, and velocities, ASE units, of starts by number
    (``canonical_starts``).
    """
    return canonical_starts(
        subject.modes.minimum, subject.source.potential(subject.atoms), OneCluster.at_rest(subject.atoms),
        settings.temperature_K, settings.equilibration_fs, settings.timestep_fs, campaign_seed,
        "vibrations-start", numbers, check,
    )  # fmt: skip


def velocities(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``velocities`` (natoms, 3), Å per ASE time."""
    return {"velocities": state.velocities}


def _ensemble(subject: Subject, settings: Vibrations, member: int) -> Ensemble:
    """Return what the runs of a member share."""
    observe_every = round(settings.velocity_every_fs / settings.timestep_fs)
    n_rows = round(settings.duration_fs / settings.velocity_every_fs)
    one = member if subject.n_members > 1 else None
    return Ensemble(
        subject.source.potential(subject.atoms, one), VelocityVerlet(settings.timestep_fs),
        subject.atoms.get_masses(), n_rows * observe_every, observe_every,
        observers=(energies, velocities), stop=OneCluster.at_rest(subject.atoms),
        width=min(settings.n_trajectories, settings.shard_size, MOST_AT_ONCE), chunk=250,
    )  # fmt: skip


def _row(subject: Subject, identity: int, ended: Trajectory, outcome: str, settings: Vibrations) -> Row:
    """Return what is kept of a run: of one that did not finish no density."""
    number, member = divmod(identity, subject.n_members)
    row = {
        "trajectory_id": number, "member": member, "outcome": outcome,
        "ended_fs": ended.n_steps * settings.timestep_fs, "temperature_K": np.nan, "energy_std_meV": np.nan,
        "energy_drift_meV_per_ps": np.nan, "density": np.full(len(wavenumbers_cm1(settings)), np.nan),
    }  # fmt: skip
    if outcome != FINISHED:
        return row
    kinetic = ended.rows["kinetic_energy"]
    total_meV = 1e3 * (ended.rows["energy"] + kinetic)
    n_modes = len(subject.modes.minimum.modes.wavenumbers_cm1)
    _, density = density_of(ended.rows["velocities"], subject.atoms.get_masses(), settings)
    return row | {
        "temperature_K": 2 * float(kinetic.mean()) / (n_modes * kB),
        "energy_std_meV": float(total_meV.std()),
        "energy_drift_meV_per_ps": drift_meV_per_ps(total_meV, settings.velocity_every_fs),
        "density": density,
    }
