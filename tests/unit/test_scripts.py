"""Every executable in bin/: short, quick to give its help, and without the heavy packages until it works."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "bin").glob("*.py"))
HEAVY = {"jax", "tensorflow", "lammps", "deepmd", "dpdata", "matplotlib", "pandas", "scipy", "statsmodels"}
LONGEST = 40
LONGEST_HELP_S = 2.0

pytestmark = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)


def test_script_is_executable_and_short(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env python3\n")
    assert text.count("\n") <= LONGEST


def test_help_is_quick_and_imports_nothing_heavy(script: Path) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-X", "importtime", str(script), "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    wall_s = time.perf_counter() - start

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage:")
    rows = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    imported = {row.rsplit("|", 1)[-1].strip() for row in rows}
    assert "argparse" in imported
    assert {name.split(".")[0] for name in imported} & HEAVY == set()
    # On a machine that is busy with other work, processor time says what the wall clock cannot.
    assert wall_s < LONGEST_HELP_S or processor_time_s(script) < LONGEST_HELP_S


def processor_time_s(script: Path) -> float:
    before = os.times()
    subprocess.run([sys.executable, str(script), "--help"], capture_output=True, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_unknown_flag_is_refused(script: Path) -> None:
    command = [sys.executable, str(script), "--no-such-flag", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "error:" in result.stderr
    assert "Traceback" not in result.stderr
