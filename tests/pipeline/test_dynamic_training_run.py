"""Dynamic training through real Nextflow, as small as it gets."""

from pathlib import Path

import pandas as pd
import pytest
from snapshots import Run

SMALL = {
    "n_seeds": "2", "n_trajectories": "6", "n_frames": "310", "trajectory_molecules": "2",
    "n_test_trajectories": "2", "n_validation_trajectories": "1", "n_features": "8", "n_waves": "8",
    "n_layers": "1", "longest": "2", "starts_per_epoch": "256", "learning_rate": "0.003",
    "reset_rate": "0.002", "smallest_rate": "0.0005", "rate_factor": "0.3", "plateau_epochs": "0",
    "n_validation": "4", "n_test_starts": "4", "n_long": "2", "long_fs": "100",
}  # fmt: skip


@pytest.mark.slow
def test_every_arm_of_every_seed(run_pipeline: Run, tmp_path: Path) -> None:
    given = [word for name, value in SMALL.items() for word in (f"--dynamic_training.{name}", value)]
    run_pipeline(tmp_path, "--experiments", "dynamic_training", *given)
    results = tmp_path / "results/dynamic_training"
    rollouts = pd.read_csv(results / "rollouts.csv")
    arms = {("converged", 1), ("restarts", 1), ("same-work", 1), ("dynamic", 2)}
    for seed in (0, 1):
        own = rollouts[rollouts["seed"] == seed]
        assert set(zip(own["arm"], own["subsequence_length"], strict=True)) == arms
        steps = own.set_index("arm")["steps"]
        assert steps["converged"] < steps["dynamic"] <= steps["same-work"]
    assert (rollouts["n_long"] == 2).all()
    assert set(pd.read_csv(results / "differences.csv")["control"]) == {"converged", "restarts", "same-work"}
    assert (pd.read_csv(results / "starts.csv")["arm"] == "truth").sum() > 0
    assert "Dynamic training" in (tmp_path / "results/report.html").read_text()
