"""Nextflow is killed while tasks run; they end by themselves, and the resumed run does nothing twice."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from snapshots import Run

from frazil.checkpoints import Claim
from frazil.experiments.enough import write_decision

COLLISIONS = {
    "potential": "analytic", "model_error": False, "n_crystalline": 8, "n_crystalline_fixed": 4,
    "n_amorphous": 8, "n_amorphous_fixed": 4, "density_g_per_cm3": 0.95, "surface_temperatures_K": "10",
    "n_snapshots": 1, "thermalization_fs": 100, "anneal_fs": 100, "anneal_temperature_K": 60,
    "binding_area_A2": 9, "binding_spacing_A": 2.5, "binding_max_force_eV_per_A": 0.002,
    "energies_K": "12,348", "n_polar": 2, "n_azimuth": 2, "target_halfwidth": 0.3, "aim_radius_A": 2,
    "timestep_fs": 1, "duration_fs": 1000, "width": 1, "shard_size": 4, "n_attempts": 1,
    "attempts_duration_fs": 2000, "attempts_after_fs": 1000,
}  # fmt: skip
TOO_LONG_s = 300


def wait_for(seen: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + TOO_LONG_s
    while not seen():
        assert process is None or process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(nextflow: Path, root: Path, folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    words = [nextflow, "run", root / "main.nf", "-profile", "local", *arguments]
    environment = {**os.environ, "NXF_ANSI_LOG": "false"}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )


def below(folder: Path) -> list[Path]:
    """The /proc folders of all processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").resolve().is_relative_to(folder):
                found.append(entry)
    return found


def tell_the_head(folder: Path, what: signal.Signals) -> None:
    """Send a signal to Nextflow in a folder, and to nothing else."""
    for entry in below(folder):
        with suppress(OSError):
            if (entry / "exe").resolve().name == "java":
                os.kill(int(entry.name), what)


def kill_the_head(head: subprocess.Popen[bytes], folder: Path) -> None:
    """Kill Nextflow and nothing else; return when the tasks that it leaves behind have ended."""
    tell_the_head(folder, signal.SIGKILL)
    head.wait()
    wait_for(lambda: not below(folder))


def tasks(folder: Path, process: str) -> Iterator[Path]:
    """The folders of tasks of a process, killed head's tasks too."""
    for script in folder.glob("work/*/*/.command.run"):
        if re.search(rf"^### name: '(\w+:)*{process}\b", script.read_text(), re.MULTILINE):
            yield script.parent


def running(folder: Path, process: str) -> list[Path]:
    """The folders of a process's tasks that have begun and not ended."""
    begun = (task for task in tasks(folder, process) if (task / ".command.begin").exists())
    return [task for task in begun if not (task / ".exitcode").exists()]


def shards(folder: Path) -> dict[str, bytes]:
    """The tables of all shards of collisions that have ended well, by the shard's name."""
    codes = {task: task / ".exitcode" for task in tasks(folder, "RUN_COLLISIONS")}  # one may not have begun
    ended = [task for task, code in codes.items() if code.exists() and code.read_text() == "0"]
    return {file.parent.name: file.read_bytes() for task in ended for file in task.glob("*/trajectories.csv")}


def test_nothing_is_run_twice_after_the_head_died(
    run_pipeline: Run, nextflow: Path, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.json").write_text(json.dumps({"experiments": "sticking", "sticking": COLLISIONS}))
    arguments = ("-params-file", "small.json")
    head = start(nextflow, root, tmp_path, *arguments)
    wait_for(lambda: list(tmp_path.glob("work/*/*/.command.run")), head)
    assert (tmp_path / "results/.frazil-run").is_file(), "held before its first task"
    tell_the_head(tmp_path, signal.SIGSTOP)  # else it may be done when the second has been refused
    (tmp_path / "elsewhere").mkdir()
    there = ("--outdir", tmp_path / "results", "-params-file", tmp_path / "small.json")
    second = run_pipeline(tmp_path / "elsewhere", *there, status=2)
    assert f"started in {tmp_path} at 20" in second.stderr
    assert not list(tmp_path.glob("elsewhere/work/*/*")), "it was refused before any work"
    tell_the_head(tmp_path, signal.SIGCONT)

    wait_for(lambda: running(tmp_path, "ROUND_2:RUN_COLLISIONS"), head)
    killed_ns = time.time_ns()
    kill_the_head(head, tmp_path)  # while collisions of the second round start, or run

    tables = shards(tmp_path)
    assert tables, "an orphan ended well, and its rows stayed"
    rows = {file: file.stat().st_mtime_ns for file in tmp_path.glob("work/checkpoints/*/0*.json")}
    damaged = max(rows, key=lambda file: rows[file])
    assert rows[damaged] > killed_ns, "an orphan wrote it, and Nextflow never heard of its task's end"
    damaged.write_bytes(damaged.read_bytes()[:100])
    units = {file.parent for file in rows}

    claims = [Claim(unit, [10**9]) for unit in units]  # in use: no sweep takes it before we have looked
    run_pipeline(tmp_path, *arguments, "-resume")
    rewritten = {file for file, written in rows.items() if file.stat().st_mtime_ns != written}
    assert rewritten == {damaged}
    errors = [task / ".command.err" for task in tasks(tmp_path, "RUN_COLLISIONS")]
    warnings = [line for file in errors for line in file.read_text().splitlines() if "damaged" in line]
    assert len(warnings) == 1
    assert str(damaged) in warnings[0]
    for claim in claims:
        claim.close()

    assert shards(tmp_path).items() >= tables.items()
    decision = tmp_path / "decision.json"
    write_decision("sticking", tmp_path / "results/sticking", 0.3, 2, 4, decision)
    told = json.loads(decision.read_text())
    assert told["enough"]
    reasons = {(row["n"], row["reason"]) for row in told["conditions"]}
    assert reasons <= {(2, "narrow"), (4, "narrow"), (4, "limit")}, "no condition ran on, or was lost"
    assert len(told["conditions"]) == 4


@pytest.mark.slow
def test_no_training_is_done_twice_after_the_head_died(nextflow: Path, root: Path, tmp_path: Path) -> None:
    small = json.loads(Path(__file__).with_name("small.json").read_text())
    small["deepmd"] |= {"n_steps": 300}
    (tmp_path / "small.json").write_text(json.dumps(small))
    arguments = ("-params-file", "small.json")
    head = start(nextflow, root, tmp_path, *arguments)
    wait_for(lambda: list(tmp_path.glob("work/checkpoints/deepmd-*/training/learning_curve.out")), head)
    kill_the_head(head, tmp_path)

    orphans = {task: models(task) for task in tasks(tmp_path, "TRAIN_DEEPMD")}
    assert all(orphans.values()), "an orphan ended well"
    seals = {
        file: file.stat().st_mtime_ns for file in tmp_path.glob("work/checkpoints/deepmd-*/model.sha256")
    }
    assert len(seals) == len(orphans)
    log = tmp_path / ".nextflow.log"
    log.unlink()
    head = start(nextflow, root, tmp_path, *arguments, "-resume")
    ended = re.compile(r"Task completed .*TRAIN_DEEPMD")
    wait_for(lambda: log.exists() and len(ended.findall(log.read_text())) == 2, head)
    kill_the_head(head, tmp_path)
    for task, first in orphans.items():  # Nextflow has taken the same folder
        assert "training" not in (task / ".command.err").read_text(), "no step was done again"
        assert models(task) == first
    assert all(file.stat().st_mtime_ns == written for file, written in seals.items())


def models(task: Path) -> dict[str, bytes]:
    """The files of the models in a task's folder."""
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in task.glob("model_*/*")}
