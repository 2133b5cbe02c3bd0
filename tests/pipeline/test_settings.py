"""The parameters' check and help (lib/Settings.groovy), by real Nextflow on a tiny workflow."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCHEMA = {
    "properties": {
        "experiments": {
            "type": "array",
            "items": {"enum": ["photodesorption", "sticking"]},
            "default": "sticking",
        },
        "outdir": {"type": "string", "default": "results", "description": "Folder of the results"},
        "frames": {
            "type": "object",
            "description": "Frames to label",
            "properties": {
                "n_molecules": {
                    "type": "integer",
                    "default": 50,
                    "minimum": 2,
                    "maximum": 200,
                    "description": "CO",
                },
                "timestep_fs": {"type": "number", "default": 0.20, "exclusiveMinimum": 0, "unit": "fs"},
                "tolerance": {"type": "number", "default": 1e-5, "minimum": 0},
                "level": {"type": "string", "enum": ["van-hemert", "import"], "default": "van-hemert"},
                "dataset": {"type": "string", "format": "file-path", "default": None},
                "compress": {"type": "boolean", "default": True},
                "temperatures_K": {
                    "type": "array",
                    "items": {"type": "string", "pattern": "surface|\\d+", "examples": ["surface", "50"]},
                    "default": "surface,50",
                },
                "starts_fs": {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0},
                    "default": "0,500,2500",
                },
            },
        },
    }
}
MAIN = """
workflow {
    main:
    if (params.containsKey('help')) {
        println(Settings.help(projectDir))
        exit(0)
    }
    settings = Settings.resolve(params, projectDir)
    println('SETTINGS ' + groovy.json.JsonOutput.toJson(settings))
    TASK()
}
process TASK { script: 'true' }
"""
CONFIG = "profiles { demo { params { frames { n_molecules = 8; starts_fs = '1,2' } } } }\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(root: Path, nextflow: Path, tmp_path: Path) -> Run:
    project = tmp_path / "a project"
    (project / "lib").mkdir(parents=True)
    shutil.copy(root / "lib/Settings.groovy", project / "lib")
    (project / "nextflow_schema.json").write_text(json.dumps(SCHEMA))
    (project / "main.nf").write_text(MAIN)
    (project / "nextflow.config").write_text(CONFIG)

    def run_nextflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(nextflow), "-q", "run", "main.nf", "-ansi-log", "false", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)

    return run_nextflow


def test_bad_parameters_stop_the_run_with_a_line_each_before_any_task(run: Run, tmp_path: Path) -> None:
    given = {
        "--frames.n_molecule": "9",
        "--frames.n_molecules": "1",
        "--frames.timestep_fs": "-0.5",
        "--frames.tolerance": "small",
        "--frames.level": "ccsd",
        "--frames.dataset": "nowhere.xyz",
        "--frames.compress": "perhaps",
        "--frames.starts_fs": "0,-3",
        "--frames.temperatures_K": "50,50; touch bad",
        "--experiments": "sticking,stickin",
        "--out-dir": "here",
        "--colour": "red",
    }
    result = run(*(word for pair in given.items() for word in pair))

    assert result.returncode == 2
    assert sorted(result.stderr.splitlines()) == sorted(
        [
            "error: --frames.n_molecule: unknown parameter; "
            "did you mean --frames.n_molecules? (--help lists all)",
            "error: --frames.n_molecules: given 1; allowed: an integer from 2 to 200",
            "error: --frames.timestep_fs: given -0.5; allowed: a number above 0, in fs",
            "error: --frames.tolerance: given small; allowed: a number at least 0",
            "error: --frames.level: given ccsd; allowed: one of van-hemert, import",
            "error: --frames.dataset: given nowhere.xyz (which does not exist); allowed: an existing file",
            "error: --frames.compress: given perhaps; allowed: true or false",
            "error: --frames.starts_fs: given 0,-3; "
            "allowed: a comma-separated list, each a number at least 0",
            "error: --frames.temperatures_K: given 50,50; touch bad; "
            "allowed: a comma-separated list, each text like surface or 50",
            "error: --experiments: given sticking,stickin; "
            "allowed: a comma-separated list, each one of photodesorption, sticking",
            "error: --out-dir: unknown parameter; did you mean --outdir? (--help lists all)",
            "error: --colour: unknown parameter; allowed: see --help",
        ]
    )
    assert "SETTINGS" not in result.stdout
    assert n_tasks(tmp_path) == 0


def test_wrong_shapes_are_named(run: Run) -> None:
    result = run("--frames", "8", "--outdir")

    assert result.returncode == 2
    for line in (
        "error: --frames: given 8; it is a group: set one of its parameters, as --frames.n_molecules VALUE",
        "error: --outdir: given true; allowed: text",
    ):
        assert line in result.stderr.splitlines()


def n_tasks(folder: Path) -> int:
    return len(list(folder.glob("a project/work/*/*/.command.run")))


def settings_of(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert result.returncode == 0, result.stdout + result.stderr
    match = re.search(r"^SETTINGS (.*)$", result.stdout, re.MULTILINE)
    assert match, result.stdout
    return json.loads(match[1])


def test_defaults_come_from_the_schema_and_the_task_runs(run: Run, tmp_path: Path) -> None:
    assert settings_of(run()) == {
        "experiments": ["sticking"],
        "outdir": "results",
        "frames": {
            "n_molecules": 50,
            "timestep_fs": 0.2,
            "tolerance": 1e-5,
            "level": "van-hemert",
            "dataset": None,
            "compress": True,
            "temperatures_K": ["surface", "50"],
            "starts_fs": [0, 500, 2500],
        },
    }
    assert n_tasks(tmp_path) == 1


def test_command_line_goes_over_the_profile_and_the_profile_over_the_schema(run: Run, tmp_path: Path) -> None:
    dataset = tmp_path / "frames.extxyz"
    dataset.touch()
    frames = f"--frames.timestep_fs 1e-1 --frames.compress false --frames.dataset {dataset}"
    arguments = f"-profile demo --experiments sticking,photodesorption {frames}"
    settings = settings_of(run(*arguments.split()))

    assert settings["experiments"] == ["sticking", "photodesorption"]
    assert settings["frames"] == {
        "n_molecules": 8,
        "timestep_fs": 0.1,
        "tolerance": 1e-5,
        "level": "van-hemert",
        "dataset": str(dataset),
        "compress": False,
        "temperatures_K": ["surface", "50"],
        "starts_fs": [1, 2],
    }


def test_help_lists_every_parameter_and_stops(run: Run, tmp_path: Path) -> None:
    result = run("--help")

    assert result.returncode == 0
    for line in (
        "  --experiments  a comma-separated list, each one of photodesorption, sticking; default: sticking",
        "  --outdir  text; default: results",
        "      Folder of the results",
        "frames: Frames to label",
        "  --frames.n_molecules  an integer from 2 to 200; default: 50",
        "  --frames.timestep_fs [fs]  a number above 0; default: 0.2",
        "  --frames.dataset  an existing file; default: not set",
    ):
        assert line in result.stdout.splitlines()
    assert n_tasks(tmp_path) == 0


def test_the_projects_schema_is_written_in_the_dialect(root: Path) -> None:
    words = {"type", "default", "unit", "description", "enum", "format", "items", "minItems"}
    words |= {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}

    def check(name: str, spec: dict[str, object]) -> None:
        assert spec.get("description"), f"{name} has no description"
        if spec["type"] == "object":
            assert set(spec) == {"type", "description", "properties"}, name
            properties = spec["properties"]
            assert isinstance(properties, dict)
            for leaf, leaf_spec in properties.items():
                check(f"{name}.{leaf}", leaf_spec)
            return
        assert set(spec) <= words, name
        assert spec["type"] in ("string", "integer", "number", "boolean", "array"), name
        assert ("items" in spec) == (spec["type"] == "array"), name
        assert spec.get("format") in (None, "path", "file-path", "directory-path"), name
        suffixes = ("_fs", "_ps", "_eV", "_eV_per_A", "_meV", "_K", "_A", "_hours")
        suffixes += ("_A2", "_deg", "_g_per_cm3", "_s")
        assert ("unit" in spec) == name.endswith(suffixes), f"{name}: its unit is in its name and beside it"

    for name, spec in json.loads((root / "nextflow_schema.json").read_text())["properties"].items():
        check(name, spec)


def test_no_parameter_is_free_text_that_could_reach_a_command_line(root: Path) -> None:
    def free(specs: dict[str, Any]) -> list[str]:
        found = []
        for name, spec in specs.items():
            if spec["type"] == "object":
                found += free(spec["properties"])
            value = spec.get("items", spec)
            if value.get("type") == "string" and not {"enum", "format", "pattern"} & set(value):
                found.append(name)
        return found

    assert free(json.loads((root / "nextflow_schema.json").read_text())["properties"]) == ["outdir"]
