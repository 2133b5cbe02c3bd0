"""Starts at several temperatures, runs of every member from the same starts, cross spectra of each run.

A run is of one member of the potential; every member of the polarizability sees it afterwards, on its frames.
So members of a learned polarizability cost no dynamics, and share every start and every frame.
"""

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from frazil.analysis.raman import components_of, packed
from frazil.campaigns import Check, Row, Runner, Start, in_engine
from frazil.experiments.at_rest import source_of
from frazil.experiments.raman.results import analyse
from frazil.experiments.raman.settings import Raman
from frazil.experiments.raman.subject import Subject, cross_spectra_of, subject_of, wavenumbers_cm1
from frazil.experiments.raman.tables import ARRAYS, BROKEN_AT_START
from frazil.experiments.raman.tables import TRAJECTORIES as TABLE
from frazil.experiments.starts import MOST_AT_ONCE, Motion, canonical_starts, cell_of
from frazil.md.ensemble import Ensemble, Stop
from frazil.md.integrators import VelocityVerlet
from frazil.md.integrity import OUTCOMES, OneCluster, WholeMolecules
from frazil.md.observers import energies
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Trajectory, drift_meV_per_ps
from frazil.units import kB

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


def runner(settings: Raman, campaign_seed: int) -> Runner:
    """Return the runner of all starts and members; ids count (start, member), the last fastest."""

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        n_members = subject.source.n_members
        begun: dict[int, Motion | Trajectory] = {}
        for temperature_K in settings.temperatures_K:
            numbers = sorted({i // n_members for i in ids})
            own = [n for n in numbers if temperature_of(settings, n) == temperature_K]
            if own:
                begun |= canonical_starts(
                    subject.minimum, subject.source.potential(subject.atoms), stop_of(subject), temperature_K,
                    settings.equilibration_fs, settings.timestep_fs, campaign_seed, "raman-start", own, check,
                )  # fmt: skip
        good: dict[int, Motion] = {}
        for identity in ids:
            one = begun[identity // n_members]
            if isinstance(one, Trajectory):
                yield identity, _row(subject, identity, one, BROKEN_AT_START, settings)
            else:
                good[identity] = one

        def start(identity: int) -> Start:
            return Start(*good[identity], group=identity % n_members)

        def row(start: Start, ended: Trajectory) -> Row:
            return _row(subject, ended.trajectory_id, ended, OUTCOMES[ended.outcome], settings)

        yield from in_engine(start, lambda member: _ensemble(subject, settings, member), row)(
            list(good), check
        )

    return run


def stop_of(subject: Subject) -> Stop:
    """Return the rule that ends a run whose structure broke."""
    rule = WholeMolecules if subject.atoms.pbc.any() else OneCluster
    return rule.at_rest(subject.atoms)


def positions(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``positions`` (natoms, 3), Å."""
    return {"positions": state.positions}


def _ensemble(subject: Subject, settings: Raman, member: int) -> Ensemble:
    """Return what the runs of a member share."""
    observe_every = round(settings.polarizability_every_fs / settings.timestep_fs)
    n_rows = round(settings.duration_fs / settings.polarizability_every_fs)
    potential = subject.source.potential(subject.atoms, member if subject.source.n_members > 1 else None)
    room = max(1, MOST_ROWS // (n_rows * len(subject.atoms)))
    return Ensemble(
        potential, VelocityVerlet(settings.timestep_fs), subject.atoms.get_masses(), n_rows * observe_every,
        observe_every, observers=(energies, positions), stop=stop_of(subject),
        cell_A=cell_of(potential, subject.atoms),
        width=min(settings.n_trajectories, settings.shard_size, MOST_AT_ONCE, room), chunk=250,
    )  # fmt: skip


def _row(subject: Subject, identity: int, ended: Trajectory, outcome: str, settings: Raman) -> Row:
    """Return what is kept of a run: of one that did not finish no spectra."""
    number, member = divmod(identity, subject.source.n_members)
    temperature_K, seen = temperature_of(settings, number), subject.seen_by(member)
    row = {
        "trajectory_id": number, "member": member, "temperature_K": temperature_K, "outcome": outcome,
        "ended_fs": ended.n_steps * settings.timestep_fs, "kinetic_temperature_K": np.nan,
        "energy_std_meV": np.nan, "energy_drift_meV_per_ps": np.nan,
        "cross_spectra": np.full((len(seen), len(wavenumbers_cm1(settings)), 21), np.nan),
    }  # fmt: skip
    if outcome != FINISHED:
        return row
    kinetic = ended.rows["kinetic_energy"]
    total_meV = 1e3 * (ended.rows["energy"] + kinetic)
    n_modes = len(subject.wavenumbers_cm1)
    components = components_of(subject.seeing(ended.rows["positions"]))
    spectra = [packed(cross_spectra_of(components[:, one], settings, temperature_K)) for one in seen]
    return row | {
        "kinetic_temperature_K": 2 * float(kinetic.mean()) / (n_modes * kB),
        "energy_std_meV": float(total_meV.std()),
        "energy_drift_meV_per_ps": drift_meV_per_ps(total_meV, settings.polarizability_every_fs),
        "cross_spectra": np.stack(spectra),
    }
