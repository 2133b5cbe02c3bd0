"""Processes that are cheap alone give the outputs of their snapshots, by real Nextflow."""

import json
from pathlib import Path
from typing import Any

import pytest
from snapshots import FOLDER, cases_of, check, harness, project, run

FILES = sorted(FOLDER.glob("modules/*.nf.test"))
TESTS = {test.title: test for file in FILES for test in cases_of(file)}


@pytest.fixture(scope="module")
def found(nextflow: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Title → description of the outputs."""
    folder = project(tmp_path_factory.mktemp("processes") / "project", root, harness([*TESTS.values()], root))
    run(nextflow, folder, "--outdir", "results")
    return {title: json.loads((folder / f"{title}.json").read_text()) for title in TESTS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_outputs_are_those_of_the_snapshot(file: Path, found: dict[str, Any]) -> None:
    for test in cases_of(file):
        check(file.with_name(file.name + ".snap"), test.title, found[test.title])
