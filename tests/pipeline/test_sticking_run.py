"""The sticking experiment through real Nextflow, on the smallest hemispheres that hold together."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from snapshots import Run

SMALL = {
    "potential": "analytic", "model_error": False, "n_crystalline": 24, "n_crystalline_fixed": 12,
    "n_amorphous": 24, "n_amorphous_fixed": 12, "density_g_per_cm3": 0.95, "surface_temperatures_K": "10",
    "n_snapshots": 2, "thermalization_fs": 400, "anneal_fs": 200, "anneal_temperature_K": 60,
    "binding_area_A2": 9, "binding_spacing_A": 1.5, "binding_max_force_eV_per_A": 0.002,
    "energies_K": "12,348", "n_polar": 2, "n_azimuth": 1, "aim_radius_A": 2, "timestep_fs": 1,
    "duration_fs": 2000, "width": 4, "shard_size": 2, "n_attempts": 2, "attempts_duration_fs": 4000,
    "attempts_after_fs": 1000,
}  # fmt: skip


@pytest.mark.slow
def test_from_surfaces_to_coefficients(run_pipeline: Run, tmp_path: Path, root: Path) -> None:
    (tmp_path / "small.json").write_text(json.dumps({"experiments": "sticking", "sticking": SMALL}))
    run_pipeline(tmp_path, "-params-file", "small.json")
    results = tmp_path / "results/sticking"
    trajectories = pd.read_csv(results / "trajectories.csv")
    assert trajectories["trajectory_id"].tolist() == list(range(8))
    assert set(trajectories["outcome"]) <= {"stuck", "bounced"}
    probabilities = pd.read_csv(results / "sticking_probabilities.csv")
    assert probabilities["n"].tolist() == [2, 2, 2, 2]
    coefficients = pd.read_csv(results / "sticking_coefficients.csv")
    assert coefficients["coefficient"].between(0, 1).all()
    sites = pd.read_csv(results / "binding_energies.csv")
    assert len(sites) == 8
    assert (sites.loc[sites["converged"] == 1, "binding_energy_K"] < 0).all()
    assert "H2 sticking on CO ice" in (tmp_path / "results/report.html").read_text()
    assert json.loads((tmp_path / "results/run.json").read_text())["trajectories"]["sticking"]
    again = ["--results", "results", "--trajectory-id", "5", "--out", "one"]
    subprocess.run([sys.executable, root / "bin/repeat_collision.py", *again], cwd=tmp_path, check=True)
    row = (results / "trajectories.csv").read_text().splitlines()[6]
    assert (tmp_path / "one/trajectories.csv").read_text().splitlines()[1] == row
    shown = json.loads((tmp_path / "results/sticking_trajectories/section.json").read_text())
    assert {movie["name"].split(" ")[0] for movie in shown["movies"]} == set(trajectories["outcome"])
    assert shown["gates"][0]["passed"]


def test_shipped_parameters_pass_the_check(run_pipeline: Run, tmp_path: Path, root: Path) -> None:
    files = list((root / "assets/parameters").glob("*.json"))
    assert files
    for file in files:
        run_pipeline(tmp_path, "-preview", "-params-file", file, "--yes")
