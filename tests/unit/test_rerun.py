"""make rerun: what is given to the run again, and which tables are the same."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def rerun(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rerun", root / "scripts/rerun.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished(folder: Path, **changed: Any) -> Path:
    """A run.json with a table beside it."""
    folder.mkdir()
    (folder / "table.csv").write_text("a\n1\n")
    run = {
        "success": True, "git_commit": "0", "profile": "local", "launch_dir": "/campaign", "config_files": [],
        "parameters": {"outdir": "results", "campaign_seed": 3, "labels": {}},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run | changed))
    return folder / "run.json"


def test_parameters_are_given_as_they_were(rerun: ModuleType, root: Path) -> None:
    schema = json.loads((root / "nextflow_schema.json").read_text())["properties"]
    given = rerun.given(
        {
            "outdir": "results",
            "campaign_seed": 3,
            "experiments": ["photodesorption"],
            "labels": {"dataset": "my.xyz", "window_starts_fs": [0, 500], "level": None},
        },
        schema,
        Path("/campaign"),
    )
    assert given == {
        "campaign_seed": 3,
        "experiments": "photodesorption",
        "labels": {"dataset": "/campaign/my.xyz", "window_starts_fs": "0,500"},
    }


def test_tables_that_differ_or_are_gone_are_named(rerun: ModuleType, tmp_path: Path) -> None:
    for name, text in {
        "a/times.csv": "step,wall_s\n1,2.5\n",
        "b/times.csv": "step,wall_s\n1,2.6\n",
        "a/x.csv": "1",
        "a/y.csv": "1",
        "a/z.csv": "1",
        "b/x.csv": "1",
        "b/y.csv": "2",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert rerun.differences(tmp_path / "a", tmp_path / "b") == (["times.csv", "x.csv"], ["y.csv", "z.csv"])


def pretended_nextflow(folder: Path, table: str) -> None:
    program = folder / ".frazil/bin/nextflow"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!/bin/bash\nprintf '%s\\n' \"$@\" > given\nmkdir results\nprintf '{table}' > results/table.csv\n"
    )
    program.chmod(0o755)
    (folder / "nextflow_schema.json").write_text(
        '{"properties": {"labels": {"type": "object", "properties": {}}}}'
    )


@pytest.mark.parametrize(("table", "status"), [("a\\n1\\n", 0), ("a\\n2\\n", 1)])
def test_repeats_and_compares(
    rerun: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(rerun, "ROOT", tmp_path / "checkout")
    pretended_nextflow(tmp_path / "checkout", table)
    run = finished(tmp_path / "results", config_files=["/checkout/nextflow.config", __file__, "/gone"])
    assert rerun.main([str(run)]) == status
    told = capsys.readouterr()
    assert ("same    table.csv" in told.out) == (status == 0)
    assert ("DIFFERS table.csv" in told.out) == (status == 1)
    assert "note: the run was of commit 0" in told.err
    assert "note: /gone, given to the run, cannot be read here" in told.err
    again = tmp_path / "results-again"
    given = (again / "given").read_text().splitlines()
    assert given[given.index("-profile") + 1] == "local"
    assert given[given.index("-c") + 1] == __file__
    assert json.loads((again / "parameters.json").read_text())["campaign_seed"] == 3
    assert rerun.main([str(run)]) == 2
    assert "exists; remove it" in capsys.readouterr().err


def test_nothing_to_repeat(rerun: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerun.main([""]) == 2
    assert "allowed: the run.json of a finished run" in capsys.readouterr().err
    assert rerun.main([str(finished(tmp_path / "results", success=False))]) == 2
    assert "is of a run that failed" in capsys.readouterr().err
