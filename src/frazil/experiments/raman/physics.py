"""Starts at several temperatures, runs of every member from the same starts, cross spectra of each run.

A run is of one member of the potential; every member of the polarizability sees it afterwards, on its frames.
So members of a learned polarizability cost no dynamics, and share every start and every frame.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import jax
import numpy as np

from frazil.analysis.raman import PAIRS, components_of, packed
from frazil.campaigns import Check, Row, Runner
from frazil.experiments.at_rest import source_of
from frazil.experiments.constant_energy import Motion, Runs, See
from frazil.experiments.raman.results import analyse
from frazil.experiments.raman.settings import Raman
from frazil.experiments.raman.subject import Subject, cross_spectra_of, subject_of, wavenumbers_cm1
from frazil.experiments.raman.tables import ARRAYS
from frazil.experiments.raman.tables import TRAJECTORIES as TABLE
from frazil.md.integrity import broken
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Trajectory

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]

MOST_ROWS = 4_000_000
"""Atoms' positions that wait on the host for their polarizabilities, times observations: 100 MB."""


def members(settings: Raman) -> int:
    """Return how many members run every start: the potential's."""
    assert settings.model is not None
    return source_of(settings.model).n_members


def temperature_of(settings: Raman, number: int) -> float:
    """Return the temperature (K) of a start by its number."""
    return settings.temperatures_K[number % len(settings.temperatures_K)]


def runner(settings: Raman, campaign_seed: int, see: See | None = None) -> Runner:
    """Return the runner of all starts and members; ids count (start, member), the last fastest.

    ``see`` is called with the frames of each.
    """

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        runs, n_members = replace(runs_of(subject, settings), see=see), subject.source.n_members
        numbers = sorted({identity // n_members for identity in ids})
        begun: dict[int, Motion | Trajectory] = {}
        for temperature_K in settings.temperatures_K:
            own = [n for n in numbers if temperature_of(settings, n) == temperature_K]
            if own:
                begun |= runs.starts(
                    temperature_K, settings.equilibration_fs, campaign_seed, "raman-start", own, check
                )

        def row(identity: int, ended: Trajectory, outcome: str) -> Row:
            number, member = divmod(identity, n_members)
            temperature_K = temperature_of(settings, number)
            return runs.told(identity, ended, outcome, "kinetic_temperature_K") | {
                "temperature_K": temperature_K,
                "cross_spectra": _cross_spectra(subject, member, temperature_K, ended, outcome, settings),
            }

        yield from runs.rows(begun, ids, row, check)

    return run


def positions(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``positions`` (natoms, 3), Å."""
    return {"positions": state.positions}


def runs_of(subject: Subject, settings: Raman) -> Runs:
    """Return what runs are, and how they are observed."""
    n_rows = round(settings.duration_fs / settings.polarizability_every_fs)
    room = max(1, MOST_ROWS // (n_rows * len(subject.atoms)))
    return Runs(
        subject.source, subject.minimum, broken(subject.atoms), settings.timestep_fs, settings.duration_fs,
        settings.polarizability_every_fs, positions, min(settings.n_trajectories, settings.shard_size, room),
    )  # fmt: skip


def _cross_spectra(
    subject: Subject, member: int, temperature_K: float, ended: Trajectory, outcome: str, settings: Raman
) -> np.ndarray:
    """Return the cross spectra of a run, (members of the polarizability that see it, n, 21); nan of one that
    did not finish.
    """
    seen = subject.seen_by(member)
    if outcome != FINISHED:
        return np.full((len(seen), len(wavenumbers_cm1(settings)), len(PAIRS)), np.nan)
    components = components_of(subject.seeing(ended.rows["positions"]))
    return np.stack([packed(cross_spectra_of(components[:, one], settings, temperature_K)) for one in seen])
