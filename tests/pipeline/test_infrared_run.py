"""The infrared experiment through real Nextflow, killed in the middle of learning and resumed."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import ase.io
import pandas as pd
import pytest
from ase.build import molecule

SMALL = {
    "structures": "two.extxyz",
    "level": "gfn2-xtb", "on_no_minimum": "relax", "n_initial": 20, "initial_temperatures_K": "50,300",
    "max_rounds": 1, "patience": 1, "learning_temperatures_K": "100,200", "n_learning_replicas": 2,
    "learning_duration_fs": 20, "max_frames": 2, "n_members": 2, "n_epochs": 30, "retraining_epochs": 10,
    "batch_size": 8, "learning_rate": 0.01, "n_radial": 1, "hidden": "8", "n_test": 1,
    "temperatures_K": "20,40", "n_replicas": 2, "duration_fs": 300, "equilibration_fs": 20,
    "dipole_every_fs": 2, "depth_fs": 100, "n_label_replicas": 2, "label_timestep_fs": 1,
}  # fmt: skip
TOO_LONG_s = 600


def kill_all_below(folder: Path) -> None:
    """Kill what works in a folder: no process gets to save anything."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").resolve().is_relative_to(folder):
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.mark.slow
def test_killed_while_learning_it_goes_on_where_it_was(nextflow: Path, root: Path, tmp_path: Path) -> None:
    structures = [molecule("H2O"), molecule("NH3")]
    for atoms, name in zip(structures, ("water", "ammonia"), strict=True):
        atoms.info = {"name": name}
    ase.io.write(tmp_path / "two.extxyz", structures)
    (tmp_path / "small.json").write_text(json.dumps({"experiments": "infrared", "infrared": SMALL}))
    command = [
        nextflow,
        "run",
        root / "main.nf",
        "-profile",
        "local",
        "-params-file",
        "small.json",
        "-resume",
    ]
    environment = {**os.environ, "NXF_ANSI_LOG": "false"}
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + TOO_LONG_s
    while not list(tmp_path.glob("work/checkpoints/infrared-*/training.npz")):
        assert first.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_all_below(tmp_path)
    first.wait()
    (ledger,) = tmp_path.glob("work/checkpoints/infrared-*")
    with (ledger / "lock").open("a") as users:
        users.write("another run\n")  # so that the run that succeeds does not sweep it
    trained = (ledger / "training.npz").stat().st_mtime_ns

    second = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stdout + second.stderr
    assert [*tmp_path.glob("work/checkpoints/infrared-*")] == [ledger], "that of round 1 is swept"
    assert (ledger / "training.npz").stat().st_mtime_ns == trained, "the training was done again"
    results = tmp_path / "results/infrared"
    rounds = pd.read_csv(results / "rounds.csv")
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["n_train"].is_monotonic_increasing
    labels = {folder.name for folder in (tmp_path / "results/labels").iterdir()}
    assert labels == {"infrared-initial", "infrared-round-0", "infrared-round-1"}
    runs = pd.read_csv(results / "runs.csv")
    assert len(runs) == 2 * (2 * 2 * 2 + 2 * 2), "two clusters, which share batches under the model"
    assert (runs.loc[runs["engine"] == "label", "outcome"] == "finished").all()
    for identity in (3, 15):
        again = [root / "bin/frazil", "repeat-trajectory", "--experiment", "infrared", "--results", "results"]
        again += ["--trajectory-id", str(identity), "--n-frames", "5", "--out", f"again-{identity}"]
        subprocess.run(again, cwd=tmp_path, check=True)
        row = (tmp_path / f"again-{identity}/runs.csv").read_text().splitlines()[1]
        assert row == (results / "runs.csv").read_text().splitlines()[identity + 1]
    assert "Infrared spectra" in (tmp_path / "results/report.html").read_text()

    third = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert third.returncode == 0, third.stdout + third.stderr
    assert "LEARN:EIGHT_1:ROUND_2:PROPOSE" in third.stdout
    again = [line for line in third.stdout.splitlines() if "Submitted process" in line]
    assert not again, "everything is cached"
