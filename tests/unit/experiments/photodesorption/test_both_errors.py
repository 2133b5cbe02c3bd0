"""Both errors of photodesorption: members, aggregates, criteria; and the gates on drift and clustering."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest

from conftest import CRITERIA_A, DURATION_fs
from frazil.analysis.statistics import jeffreys
from frazil.experiments.photodesorption.analysis import analyse
from frazil.experiments.photodesorption.shards import Ensemble, read_ensemble
from frazil.experiments.photodesorption.statistics import probabilities, sensitivity, summarise, trials
from frazil.report.section import Section

Changed = Callable[..., Ensemble]


@pytest.fixture
def changed(tmp_path: Path, write_shards: Callable[..., Path]) -> Changed:
    """A synthetic ensemble whose trajectories have other columns, and its folder."""

    def change(n: int = 120, probability: float = 0.5, **columns: object) -> Ensemble:
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        folder = write_shards(tmp_path / "model", n=n, probability=probability, shard_size=n)
        file = folder / "shard_000000" / "trajectories.csv"
        pandas.read_csv(file).assign(**columns).to_csv(file, index=False)
        found = read_ensemble(folder)
        assert found is not None
        return found

    return change


def gates_of(root: Path, assets: Path) -> dict[str, bool | None]:
    analyse(
        root / "model", CRITERIA_A, 3.0, DURATION_fs, "van-hemert", 2.0,
        assets / "reference/photodesorption.csv", root / "out", n_aggregates=4,
    )  # fmt: skip
    return {gate.name: gate.passed for gate in Section.read(root / "out").gates}


def test_members_make_the_model_s_part_of_every_number(changed: Changed) -> None:
    run = changed(model_id=np.arange(120) % 3)
    row = probabilities(run, [3.0]).iloc[0]
    assert row["total_low_95"] < row["low_95"] < row["high_95"] < row["total_high_95"]
    numbers = summarise(run, 1).set_index("quantity")
    for quantity in (
        "desorption_probability", "mean_desorption_time", "translational_peak", "fraction_above_200_meV",
        "energy_std",
    ):  # fmt: skip
        found = numbers.loc[quantity]
        assert found["total_low_95"] <= found["low_95"] <= found["value"] <= found["high_95"], quantity
        assert found["high_95"] <= found["total_high_95"], quantity
        assert found["model_std"] >= 0, quantity
    one = summarise(changed(), 1)
    assert one[["model_std", "total_low_95", "total_high_95"]].isna().all(axis=None)


def test_few_trajectories_have_no_negative_times_and_energies(changed: Changed) -> None:
    numbers = summarise(changed(n=24, probability=0.9, model_id=np.arange(24) % 3), 1).set_index("quantity")
    positive = numbers.loc[["mean_desorption_time", "translational_peak", "energy_std"]]
    assert (positive[["low_95", "total_low_95"]] >= 0).all(axis=None)
    assert (positive["total_low_95"] == 0).any(), "else the bound is not met here"


def test_what_a_campaign_is_ended_by_is_what_its_table_counts(changed: Changed) -> None:
    """Failed and dissociated trajectories are trials, and no hits; each member has its own."""
    kinds = np.array(["desorbed", "retained", "failed", "dissociated"])
    run = changed(outcome=kinds[np.arange(120) % 4], model_id=np.where(np.arange(120) < 40, "a", "b"))
    ((known, by_member, effect),) = trials(run)
    assert (known, by_member) == ({}, [(10, 40), (20, 80)])
    assert np.isnan(effect), "each has an aggregate of its own here"
    assert trials(Ensemble(run.trajectories[:0], run.desorbed, run.crossings)) == []


def test_trajectories_of_one_aggregate_are_worth_less(changed: Changed, tmp_path: Path, root: Path) -> None:
    """Eight aggregates of which four desorb nearly always: no 120 independent trials."""
    replica = np.arange(120) % 8
    even = (replica < 4) & (np.arange(120) // 8 < 14)
    outcome = np.where(even, "desorbed", "retained")
    run = changed(
        snapshot_id=replica * 1_000_000, outcome=outcome, first_desorption_fs=np.where(even, 900.0, np.nan)
    )
    found = summarise(run, 1).set_index("quantity").loc["desorption_probability"]
    low, high = jeffreys(56, 120)
    assert found["high_95"] - found["low_95"] > 2 * (high - low)
    alike = Ensemble(run.trajectories.assign(snapshot_id=0), run.desorbed, run.crossings)
    found = summarise(alike, 1).set_index("quantity").loc["desorption_probability"]
    assert (found["low_95"], found["high_95"]) == (low, high)
    assert np.isnan(probabilities(alike, [3.0])["n_effective"].iloc[0])
    folded = Ensemble(run.trajectories, run.desorbed, run.crossings, n_aggregates=4)
    assert set(folded.aggregates_of(folded.ids)) == {0, 1, 2, 3}


def test_drift_and_clustering_fail_their_gates(changed: Changed, tmp_path: Path, root: Path) -> None:
    hit = np.isin(np.arange(120) % 4, [0, 1])
    changed(
        energy_drift_meV_per_ps=np.where(np.arange(120) == 7, 270.0, 0.1),
        snapshot_id=(np.arange(120) % 4) * 1_000_000, outcome=np.where(hit, "desorbed", "retained"),
        first_desorption_fs=np.where(hit, 900.0, np.nan),
    )  # fmt: skip
    file = tmp_path / "model/shard_000000/crossings.csv"
    ids = np.flatnonzero(hit)
    pandas.DataFrame({"trajectory_id": ids, "molecule": 0, "criterion_A": 3.0, "crossing_fs": 900.0}).to_csv(
        file, index=False
    )
    passed = gates_of(tmp_path, root / "assets")
    assert passed["energy drift of a trajectory, median (meV/ps)"] is True
    assert passed["energy drift of a trajectory, largest (meV/ps)"] is False
    assert passed["independent trajectories that these are worth, part of all"] is False


def test_quantum_numbers_and_energies_end_where_the_paper_s_windows_do(changed: Changed) -> None:
    run = changed(n=60, probability=1.0)
    n = len(run.desorbed)
    cold = run.desorbed.assign(
        returned=0, vibrational_quantum_number=0.0,
        rotational_quantum_number=np.where(np.arange(n) % 2, 6.4, 6.6),
        translational_energy_meV=np.where(np.arange(n) % 2, 30.0, 300.0),
    )  # fmt: skip
    numbers = summarise(Ensemble(run.trajectories, cold, run.crossings), 1).set_index("quantity")
    assert numbers.loc["translational_peak_v0_j_below_7", "n"] == n // 2
    assert numbers.loc["translational_peak_v0_j_below_7", "value"] == pytest.approx(30.0, abs=1.0)
    assert numbers.loc["j_peak_above_71_meV", "n"] == 0


def test_other_criteria_that_change_the_answer_are_flagged(changed: Changed) -> None:
    run = changed(n=60, probability=1.0)
    times = run.trajectories.assign(first_desorption_fs=np.where(run.ids % 2, 800.0, 2900.0))
    found = sensitivity(
        Ensemble(times, run.desorbed, run.crossings), [2.0, 3.0, 4.0, 5.0], 3.0, DURATION_fs
    ).set_index(["criterion", "setting"])
    assert found.loc[("criterion_A", 3.0), "change"] == 0
    assert found.loc[("duration_fs", 1500.0), "change"] == pytest.approx(-0.5)
    assert found.loc[("duration_fs", 1500.0), "exceeds"] == 1
    assert found.loc[("criterion_A", 2.0), "exceeds"] == 0
