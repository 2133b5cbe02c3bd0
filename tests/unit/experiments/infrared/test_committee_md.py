"""Replicas that pause: the first uncertain frame, unphysical ones, and what a kill leaves."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("optax")
pytest.importorskip("featomic")

from frazil import campaigns
from frazil.analysis.normal_modes import Modes
from frazil.errors import OutOfTime
from frazil.experiments.infrared import committee_md
from frazil.experiments.infrared.committee_md import Limits, Schedule, run_replicas
from frazil.experiments.infrared.minima import Reference
from frazil.potentials.interface import Batched, Evaluation
from frazil.pytrees import pytree
from frazil.systems.minima import Minimum

SCHEDULE = Schedule((20.0, 1500.0), 3, 200.0, 1.0, 50.0, 7, 2)
LENGTH_A = 1.5


@pytree
@dataclass(frozen=True)
class Spring:
    """A diatomic spring whose members disagree the more, the longer it is."""

    stiffness: Any
    drive: Any = None
    force_spread: bool = field(default=False, metadata={"static": True})
    cutoff_A = None
    n_atoms = 2

    def batched(self, n_replicas: int) -> Batched:
        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            apart = positions[:, 1] - positions[:, 0]
            length = jnp.sqrt((apart**2).sum(axis=-1))
            pull = (self.stiffness * (length - LENGTH_A) / length)[:, None] * apart
            spread = jnp.maximum(length - LENGTH_A, 0.0)
            info = {"energy_spread_eV": spread, "force_spread_eV_per_A": spread}
            energies = 0.5 * self.stiffness * (length - LENGTH_A) ** 2
            return Evaluation(energies, jnp.stack([pull, -pull], axis=1), info)

        return Batched(lambda _: jnp.zeros(0), evaluate)


class Clock:
    """Stands for TimeLimit: one that is reached after some checks."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __enter__(self) -> "Clock":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def check(self, done: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise OutOfTime(done)


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> list[Reference]:
    monkeypatch.setattr(committee_md.GMNN, "of", lambda *given: Spring(jnp.asarray(20.0)))
    monkeypatch.setattr(committee_md, "_check_batched", lambda *given: None)
    atoms = Atoms("MgO", [[0, 0, 0], [0, 0, LENGTH_A]])
    modes = Modes(np.zeros(1), np.zeros(1), np.zeros((1, 2, 3)))
    return [Reference("dimer", Minimum(atoms, modes), 0.0, "spring")]


def run(references: list[Reference], folder: Path, limits: Limits, clock: Any) -> list[Any]:
    starts, model = SCHEDULE.starts(references), SimpleNamespace(n_members=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaigns, "TimeLimit", lambda: clock)
        return run_replicas(model, references, starts, SCHEDULE, limits, folder)  # type: ignore[arg-type]


def test_replicas_pause_at_their_first_uncertain_frame(references: list[Reference], tmp_path: Path) -> None:
    limits = Limits(0.05, np.inf, 4.0, 15.0)
    visits = run(references, tmp_path, limits, Clock(99))
    assert {visit.outcome for visit in visits[:3]} == {"finished"}, "the cold ones never stretch so far"
    hot = [visit for visit in visits[3:] if visit.outcome == "uncertain"]
    assert hot
    for visit in hot:
        assert 0.05 < visit.force_spread_eV_per_A < 0.1
        assert 0 < visit.time_fs < 200
        assert np.linalg.norm(visit.positions[1] - visit.positions[0]) - LENGTH_A == pytest.approx(
            visit.force_spread_eV_per_A
        )
    wide = run(references, tmp_path / "energy", Limits(np.inf, 0.01, 4.0, 15.0), Clock(99))
    assert any(visit.outcome == "uncertain" for visit in wide), "energy limits are per atom: 0.02 eV of two"
    # 0.9 Å is less than six tenths of the covalent radii's sum: the atoms are on top of each other.
    references[0].minimum.atoms.positions[1, 2] = 0.9
    assert {visit.outcome for visit in run(references, tmp_path / "close", limits, Clock(99))} == {
        "unphysical"
    }
    references[0].minimum.atoms.positions[1, 2] = LENGTH_A
    strained = run(references, tmp_path / "strained", Limits(np.inf, np.inf, 4.0, 0.3), Clock(99))
    assert "unphysical" in {visit.outcome for visit in strained[3:]}


def test_a_kill_between_chunks_changes_nothing(references: list[Reference], tmp_path: Path) -> None:
    limits = Limits(0.05, np.inf, 4.0, 15.0)
    expected = run(references, tmp_path / "whole", limits, Clock(99))
    with pytest.raises(OutOfTime, match="of 6 replicas are saved"):
        run(references, tmp_path / "killed", limits, Clock(0))
    with pytest.raises(OutOfTime):
        run(references, tmp_path / "killed", limits, Clock(1))
    found = run(references, tmp_path / "killed", limits, Clock(99))
    for one, other in zip(expected, found, strict=True):
        assert (one.outcome, one.time_fs) == (other.outcome, other.time_fs)
        assert (one.positions == other.positions).all()
        assert (one.velocities == other.velocities).all()


def test_members_drive_in_turn(references: list[Reference], monkeypatch: pytest.MonkeyPatch) -> None:
    drives: list[tuple[float, ...]] = []
    monkeypatch.setattr(committee_md, "Ensemble", Recorder(drives))
    starts, folder = SCHEDULE.starts(references), Path("nowhere")
    model, free = SimpleNamespace(n_members=2), Limits(np.inf, np.inf, 4.0, 15.0)
    for first, expected in (
        (0, {(1, 0): 4, (0, 1): 2}),
        (1, {(0, 1): 4, (1, 0): 2}),
        (None, {(0.5, 0.5): 6}),
    ):
        drives.clear()
        with pytest.raises(KeyError):  # the stand-in runs nothing
            run_replicas(model, references, starts, SCHEDULE, free, folder, first)  # type: ignore[arg-type]
        assert Counter(drives) == expected


class Recorder:
    """Stands for Ensemble: notes what drives each trajectory."""

    def __init__(self, drives: list[tuple[float, ...]]) -> None:
        self.drives, self.masses_amu = drives, np.ones(2)

    def __call__(self, watched: Any, *given: Any, **options: Any) -> "Recorder":
        assert watched.committee.force_spread
        self.drive = tuple(watched.committee.drive)
        return self

    def run(self, positions: np.ndarray, *given: Any, **options: Any) -> list[Any]:
        assert len(options["temperatures_K"]) == len(positions)
        self.drives += [self.drive] * len(positions)
        return []


def test_starts_depend_on_seed_and_place_only(references: list[Reference]) -> None:
    starts, again = SCHEDULE.starts(references), SCHEDULE.starts(references)
    assert len(starts) == 6
    assert all((a.velocities == b.velocities).all() for a, b in zip(starts, again, strict=True))
    anew = SCHEDULE.fresh(starts[4], references, 1)
    assert (anew.temperature, anew.number, anew.restarts) == (1, 1, 1)
    assert (anew.velocities != starts[4].velocities).any()
