"""Vibrations through real Nextflow, small: a harmonic CO, whose files are staged into the tasks."""

import json
from pathlib import Path

import pandas as pd
import pytest
from snapshots import Run

pytest.importorskip("jax")

SMALL = {
    "model": "own model", "structure": "CO.xyz", "n_trajectories": "4", "shard_size": "2",
    "duration_fs": "2048", "depth_fs": "1024", "band_halfwidth_cm1": "40", "equilibration_fs": "0",
}  # fmt: skip


@pytest.mark.slow
def test_vibrations_of_a_model_of_ones_own(run_pipeline: Run, tmp_path: Path) -> None:
    parts = [{"kind": "harmonic", "stiffness_eV_per_A2": k, "length_A": 1.128} for k in (117.0, 118.0, 119.5)]
    (tmp_path / "own model").mkdir()
    (tmp_path / "own model/model.json").write_text(json.dumps({"kind": "committee", "parts": parts}))
    (tmp_path / "CO.xyz").write_text("2\nname=CO\nC 0 0 0\nO 0 0 1.14\n")
    given = [word for name, value in SMALL.items() for word in (f"--vibrations.{name}", value)]
    run_pipeline(tmp_path, "--experiments", "vibrations", *given)
    results = tmp_path / "results"
    rows = pd.read_csv(results / "vibrations/trajectories.csv")
    assert list(zip(rows["trajectory_id"], rows["member"], strict=True)) == [
        (start, member) for start in range(4) for member in range(3)
    ]
    (peak,) = pd.read_csv(results / "vibrations/peaks.csv").to_dict("records")
    assert peak["position_cm1"] == pytest.approx(peak["harmonic_cm1"], abs=1)
    assert "under the mean of all members" in (results / "report.html").read_text()
    assert (
        json.loads((results / "run.json").read_text())["trajectories"]["vibrations"]["model"]["total"] == 12
    )
