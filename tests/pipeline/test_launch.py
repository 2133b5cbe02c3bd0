"""The parameters' check and help, by real Nextflow, before any task."""

import fcntl
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from snapshots import Run

from frazil.holder import RECORD


def n_tasks(folder: Path) -> int:
    return len(list(folder.glob("work/*/*/.command.run")))


def test_bad_parameters_stop_the_run_with_a_line_each_before_any_task(
    run_pipeline: Run, tmp_path: Path
) -> None:
    given = {
        "--frames.n_molecule": "9",
        "--frames.n_molecules": "1",
        "--labels.dataset": "nowhere.xyz",
        "--deepmd.compress": "perhaps",
        "--sticking.gas_temperatures_K": "50,5; touch bad",
        "--experiments": "sticking,stickin",
        "--colour": "red",
    }
    done = run_pipeline(tmp_path, *(word for pair in given.items() for word in pair), status=2)
    assert sorted(line for line in done.stderr.splitlines() if line.startswith("error: ")) == sorted(
        [
            "error: --frames.n_molecule: unknown parameter; "
            "did you mean --frames.n_molecules? (--help lists all)",
            "error: --colour: unknown parameter; allowed: see --help",
            "error: --experiments: given sticking,stickin (did you mean sticking?); allowed: a "
            "comma-separated list, each one of density, dynamic_training, field, hydrogen_bond, "
            "infrared, level_of_theory, photodesorption, raman, reaction, sticking, vibrations, none twice",
            "error: --labels.dataset: given nowhere.xyz (which does not exist); "
            "allowed: an existing file or folder",
            "error: --frames.n_molecules: given 1; allowed: an integer from 3 to 500",
            "error: --deepmd.compress: given perhaps; allowed: true or false",
            "error: --sticking.gas_temperatures_K: given 50,5; touch bad; allowed: a comma-separated list, "
            "each text like surface or 50 or 12.5, none twice, in K",
        ]
    )
    assert n_tasks(tmp_path) == 0


def test_help_lists_every_parameter_and_stops(run_pipeline: Run, tmp_path: Path) -> None:
    lines = run_pipeline(tmp_path, "--help").stdout.splitlines()
    for line in (
        "  --outdir  a folder that can be written; default: results",
        "frames: Training frames made by the toolkit: aggregates and trajectories at the labelling level.",
        "  --frames.n_molecules  an integer from 3 to 500; default: 50",
        "  --sticking.model  an existing folder; default: not set",
    ):
        assert line in lines
    assert n_tasks(tmp_path) == 0


def test_command_line_goes_over_the_profile_and_both_reach_the_tasks(
    run_pipeline: Run, tmp_path: Path
) -> None:
    arguments = ("--experiments", "sticking", "--sticking.n_polar", "1e0", "--sticking.model_error", "false")
    run_pipeline(tmp_path, "-profile", "demo", "-stub-run", *arguments)
    sticking = json.loads((tmp_path / "results/run.json").read_text())["parameters"]["sticking"]
    assert sticking["n_polar"] == 1
    assert sticking["energies_K"] == [12, 116, 348], "the profile's"
    assert sticking["start_height_A"] == 8, "the default"


def test_a_run_that_will_be_refused_opens_no_report_of_the_one_that_has_the_folder(
    nextflow: Path, root: Path, tmp_path: Path
) -> None:
    def enabled() -> set[str]:
        words = [nextflow, "config", root, "-profile", "local", "-flat"]
        told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        return {line for line in told.splitlines() if ".enabled = " in line and "docker" not in line}

    files = ("trace", "report", "timeline", "dag")
    assert enabled() == {f"{file}.enabled = true" for file in files}
    (tmp_path / "results").mkdir()
    with (tmp_path / "results" / RECORD).open("w") as record:
        fcntl.lockf(record, fcntl.LOCK_EX)
        assert enabled() == {f"{file}.enabled = false" for file in files}


def test_a_run_without_an_environment_says_how_to_make_it(nextflow: Path, root: Path, tmp_path: Path) -> None:
    """From a copy without ``.frazil``, by a Nextflow that brings none: before any task."""
    copy, bare = tmp_path / "copy", tmp_path / "bare"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".*", "results", "work", "tests"))
    home = nextflow.resolve().parents[1]
    text = nextflow.read_text().replace('export PATH="$frazil/venv/bin:$frazil/bin:$PATH"', "")
    text = re.sub(r"^frazil=.*$", f"frazil={home}", text, flags=re.MULTILINE)
    bare.write_text(text)
    known = [folder for folder in os.environ["PATH"].split(":") if not folder.startswith(str(home))]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", bare, "run", copy / "main.nf", "-profile", "demo", "--experiments", "field"],
        cwd=tmp_path, env={**env, "PATH": ":".join(known), "NXF_ANSI_LOG": "false"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: no environment for tasks: {copy} has no .frazil/venv, and python3")
    assert f"make it by `make -C {copy} setup`" in line
    assert n_tasks(tmp_path) == 0
