"""A new experiment is two files (docs/extending.md): it has settings, shards, tables and a report."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

COPIED = (
    "bin",
    "conf",
    "lib",
    "modules",
    "subworkflows",
    "src",
    "main.nf",
    "nextflow.config",
    "requirements.lock",
)
TOY = Path(__file__).with_name("toy")


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the toy added."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    (copy / "assets").symlink_to(root / "assets")
    shutil.copytree(TOY, copy / "src/frazil/experiments/toy")
    return copy


def run(nextflow: Path, checkout: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [nextflow, "run", checkout / "main.nf", "-profile", "local", "--experiments", "toy", *arguments],
        cwd=folder, env={**os.environ, "NXF_ANSI_LOG": "false", "PYTHONPATH": str(checkout / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_two_files_are_an_experiment(nextflow: Path, checkout: Path, tmp_path: Path) -> None:
    done = run(nextflow, checkout, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    table = tmp_path / "results/toy/trajectories.csv"
    assert pd.read_csv(table)["trajectory_id"].tolist() == list(range(10))
    page = (tmp_path / "results/report.html").read_text()
    assert "bonds are long" in page
    assert "<b>core-hours</b>" in page, "the run's own line is written when it has ended"
    found = json.loads((tmp_path / "results/run.json").read_text())
    assert found["parameters"]["toy"]["temperature_K"] == 300
    assert found["trajectories"]["toy"]["model"]["total"] == 10
    assert 0 < found["core_hours"] < 1

    one = [checkout / "bin/frazil", "repeat-trajectory", "--experiment", "toy", "--results", "results"]
    subprocess.run(
        [*one, "--trajectory-id", "3", "--out", "one"], cwd=tmp_path, check=True,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
    )  # fmt: skip
    row = table.read_text().splitlines()[4]
    assert (tmp_path / "one/trajectories.csv").read_text().splitlines()[1] == row

    before = table.read_bytes()
    again = run(nextflow, checkout, tmp_path, "-resume", "--toy.shard_size", "7")
    assert again.returncode == 0, again.stdout + again.stderr
    assert table.read_bytes() == before, "the shard size changes nothing"


def test_its_settings_are_checked_like_all_others(nextflow: Path, checkout: Path, tmp_path: Path) -> None:
    done = run(nextflow, checkout, tmp_path, "--toy.temperature_K", "-5", "--toy.longest", "2")
    assert done.returncode == 2
    assert (
        "error: --toy.temperature_K: given -5; allowed: a number above 0 and at most 3000, in K"
        in done.stderr
    )
    assert "did you mean --toy.longest_A?" in done.stderr
