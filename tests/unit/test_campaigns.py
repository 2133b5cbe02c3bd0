"""A campaign of ten lines by the one shard runner: killed, resumed or cut anyhow, its rows are the same."""

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from frazil.campaigns import ArrayLedger, Row, Runner, Start, in_engine, run_shard
from frazil.checkpoints import Ledger
from frazil.errors import OutOfTime
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin
from frazil.md.state import State, System
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.analytic.simple import HarmonicBonds
from frazil.seeds import rng

MASSES_amu = np.array([12.0, 16.0])
SEED, FAR = 5, int(Outcome.FIRST_OF_EXPERIMENT)


def start(identity: int) -> Start:
    apart = 1.1 + 0.1 * rng(SEED, "toy", identity).random()
    stiffness = 1 + identity % 2
    return Start(
        np.array([[0, 0, 0], [0, 0, apart]]), np.zeros((2, 3)), group=stiffness, known={"id": identity}
    )


def ensemble(stiffness: int) -> Ensemble:
    springs = HarmonicBonds(float(stiffness), 1.1)
    return Ensemble(
        springs, Langevin(1.0, 300.0, 50.0), MASSES_amu, 60, 10, SEED, stop=too_long, width=3, chunk=1
    )


def too_long(state: State, system: System) -> jax.Array:
    return jnp.where(jnp.linalg.norm(state.positions[1] - state.positions[0]) > 1.3, FAR, 0)


def row(start: Start, ended: Trajectory) -> Row:
    return {**start.known, "outcome": ended.outcome, "energies_eV": ended.rows["energy"].tolist()}


RUNNER = in_engine(start, ensemble, row)


def shard(ids: Iterable[int], checkpoints: Path, runner: Runner = RUNNER) -> list[str]:
    return [json.dumps(found) for found in run_shard(ids, runner, Ledger(checkpoints, "toy"), "toys")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return shard(range(10), tmp_path_factory.mktemp("whole"))


def test_rows_are_in_the_order_of_their_ids_and_stop_rules_hold(whole: list[str]) -> None:
    rows = [json.loads(text) for text in whole]
    assert [found["id"] for found in rows] == list(range(10))
    assert {found["outcome"] for found in rows} == {int(Outcome.FINISHED), FAR}
    assert {len(found["energies_eV"]) for found in rows if found["outcome"] == Outcome.FINISHED} == {7}
    assert all(len(found["energies_eV"]) < 7 for found in rows if found["outcome"] == FAR)


@pytest.mark.parametrize("size", [1, 4])
def test_shards_of_any_size_have_the_same_rows(whole: list[str], size: int, tmp_path: Path) -> None:
    parts = [shard(range(n, min(n + size, 10)), tmp_path) for n in range(0, 10, size)]
    assert [text for part in parts for text in part] == whole


@pytest.mark.parametrize("after_rows", [1, 6])
def test_a_kill_loses_no_finished_row_and_changes_none(
    whole: list[str], after_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = Ledger.save

    def noted(ledger: Ledger, identity: int, found: Any) -> None:
        save(ledger, identity, found)
        saved.append(identity)
        if len(saved) == after_rows:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Ledger, "save", noted)
    with pytest.raises(OutOfTime, match=f"{after_rows} of 10 toys are saved"):
        shard(range(10), tmp_path)
    assert len(saved) == after_rows
    assert shard(range(10), tmp_path) == whole
    assert sorted(saved) == list(range(10)), "none was run twice"
    assert shard(range(3, 10), tmp_path) == whole[3:]
    assert len(saved) == 10


def test_a_batch_goes_on_where_it_was_killed(whole: list[str], tmp_path: Path) -> None:
    """With a folder for running batches a kill costs a chunk, not the trajectories under way."""
    chunks = 0

    def check() -> None:
        nonlocal chunks
        chunks += 1
        if chunks == 3:
            raise OutOfTime("killed")

    runner = in_engine(start, ensemble, row, running=tmp_path / "running")
    with pytest.raises(OutOfTime):
        dict(runner([0, 2, 4], check))
    assert [file.name for file in (tmp_path / "running").iterdir()] == ["running-1.npz"]
    found = dict(runner([0, 2, 4], lambda: None))
    assert [json.dumps(found[identity]) for identity in (0, 2, 4)] == whole[:6:2]


def test_a_rule_with_a_history_ends_trajectories_on_the_host(tmp_path: Path) -> None:
    def third(_: Start) -> Any:
        seen: list[int] = []

        def watch(rows: Rows) -> int:
            seen.extend(rows["step"])
            return len(rows["step"]) - 1 if len(seen) >= 3 else -1

        return watch

    runner = in_engine(start, ensemble, lambda _, ended: {"steps": ended.rows["step"].tolist()}, third)
    assert [json.loads(text)["steps"] for text in shard([1, 4], tmp_path, runner)] == [[0, 10, 20]] * 2


def test_rows_of_arrays_are_kept_too(tmp_path: Path) -> None:
    runner = in_engine(
        start, ensemble, lambda _, ended: {"outcome": "done", "energies_eV": ended.rows["energy"]}
    )
    (first,) = run_shard([7], runner, ArrayLedger(tmp_path), "toys")

    def refuse(ids: Any, check: Any) -> Any:
        raise AssertionError("nothing is left to run")

    (again,) = run_shard([7], refuse, ArrayLedger(tmp_path), "toys")
    assert str(again["outcome"]) == "done"
    assert (again["energies_eV"] == first["energies_eV"]).all()
