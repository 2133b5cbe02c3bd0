"""Tables of the sticking experiment: probabilities with both errors, attempts, half-lives, bad tables."""

from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.analysis.statistics import jeffreys
from frazil.errors import UserError
from frazil.experiments.sticking.binding import Grid, summary
from frazil.experiments.sticking.clusters import TABLE_1, sampled
from frazil.experiments.sticking.results import (
    attempts_of,
    half_lives,
    probabilities,
    read_all,
    read_trajectories,
)


def table(stuck: dict[str, int], n: int = 64, failed: int = 0) -> pandas.DataFrame:
    rows = []
    for model, count in stuck.items():
        for k in range(n):
            outcome = "stuck" if k < count else "failed" if k >= n - failed else "bounced"
            rows.append((len(rows), "crystalline", 10.0, 12.0, model, outcome))
    columns = [
        "trajectory_id", "phase", "surface_temperature_K", "collision_energy_K", "model_id", "outcome",
    ]  # fmt: skip
    return pandas.DataFrame(rows, columns=columns)


def test_failed_trajectories_stay_in_the_denominator() -> None:
    (row,) = probabilities(table({"analytic": 30}, failed=4)).to_dict("records")
    assert (row["n"], row["n_stuck"], row["n_failed"]) == (64, 30, 4)
    assert row["probability"] == 30 / 64
    assert (row["low_95"], row["high_95"]) == jeffreys(30, 64)
    assert np.isnan([row["model_std"], row["total_low_95"], row["total_high_95"]]).all()


def test_the_model_s_error_is_what_counting_does_not_explain() -> None:
    (agree,) = probabilities(table({"gmnn-0": 30, "gmnn-1": 31, "gmnn-2": 30})).to_dict("records")
    assert agree["model_std"] == 0.0
    assert agree["total_low_95"] == pytest.approx(agree["low_95"])
    (differ,) = probabilities(table({"gmnn-0": 10, "gmnn-1": 30, "gmnn-2": 50})).to_dict("records")
    assert differ["model_std"] == pytest.approx(np.sqrt((20 / 64) ** 2 - (30 * 34) / 64**3), rel=1e-9)
    assert differ["total_low_95"] == 0.0
    assert differ["total_high_95"] > differ["high_95"]


def test_attempts_and_half_lives_follow_the_paper_s_choice() -> None:
    time = np.arange(0.0, 10000.0, 20.0)
    bouncing = 3.0 + 0.3 * np.cos(2 * np.pi * time / 250.0)
    paths = [
        pandas.DataFrame({"time_fs": time, "z_A": bouncing, "apart_A": apart}).assign(
            phase=phase, trajectory_id=i
        )
        for i, (phase, apart) in enumerate([("crystalline", 3.0), ("crystalline", 9.0), ("amorphous", 3.0)])
    ]
    attempts = attempts_of(pandas.concat(paths), 2000.0)
    assert attempts["trajectory_id"].tolist() == [0, 2]
    assert attempts["attempt_frequency_per_ps"].to_numpy() == pytest.approx(4.0, rel=0.02)
    sites = pandas.DataFrame(
        {
            "phase": ["crystalline"] * 3 + ["amorphous"] * 3,
            "binding_energy_K": [-300.0, -250.0, -100.0, -200.0, -150.0, -40.0],
            "converged": [1, 1, 1, 1, 1, 0], "model_std_K": np.nan,
        }
    )  # fmt: skip
    typical = half_lives(sites, attempts, [10.0], True).set_index("phase")["binding_energy_K"]
    assert typical["crystalline"] == -250.0
    assert typical["amorphous"] == -175.0
    assert len(half_lives(sites, attempts, [5.0, 10.0], False)) == 10
    counted = summary(sites).set_index("phase")
    assert counted.loc["amorphous", "n_unconverged"] == 1
    assert counted.loc["crystalline", "median_K"] == -250.0


def test_broken_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no trajectories\.csv"):
        read_trajectories(tmp_path)
    for shard in ("a", "b"):
        (tmp_path / shard).mkdir()
        table({"analytic": 3}, 5).to_csv(tmp_path / shard / "trajectories.csv", index=False)
    with pytest.raises(UserError, match="trajectory 0 occurs twice"):
        read_trajectories(tmp_path)
    table({"analytic": 3}, 5).replace("stuck", "lost").to_csv(tmp_path / "b/trajectories.csv", index=False)
    (tmp_path / "a/trajectories.csv").unlink()
    with pytest.raises(UserError, match="outcome 'lost'"):
        read_trajectories(tmp_path)
    with pytest.raises(UserError, match="no column x_A"):
        read_all(tmp_path, "trajectories.csv", ["x_A"])


def test_the_grid_of_sites_is_the_paper_s() -> None:
    grid = Grid(400.0, 1.0, 2.5, 0.001, 2000, 8, 1)
    points = grid.points()
    assert points.shape == (400, 2)
    assert np.allclose(points.mean(axis=0), 0.0)
    with pytest.raises(UserError, match="all must be positive"):
        Grid(400.0, 0.0, 2.5, 0.001, 2000, 8, 1).check()


def test_table_1_has_the_paper_s_counts() -> None:
    assert sum(row.n_frames for row in TABLE_1) == 20344
    with pytest.raises(UserError, match="a scale of 0 of Table 1"):
        next(sampled(0.0, 1))
