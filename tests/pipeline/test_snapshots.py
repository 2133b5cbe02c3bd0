"""Every process and subworkflow gives the outputs of its snapshot, by real Nextflow."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from snapshots import FOLDER, Case, cases_of, check, harness, project, run

FILES = sorted([*FOLDER.glob("modules/*.nf.test"), *FOLDER.glob("subworkflows/*.nf.test")])
TESTS = {test.title: test for file in FILES for test in cases_of(file)}


@pytest.fixture(scope="module")
def found(nextflow: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Title → description of the outputs: processes and subworkflows as stubs, then what runs really."""
    by_kind: dict[tuple[str, bool], list[Case]] = {}
    for test in TESTS.values():
        own = test.name if test.script.startswith("subworkflows") else "processes"
        by_kind.setdefault((own, test.stub), []).append(test)
    answers = {}
    for (kind, stub), tests in by_kind.items():
        folder = project(tmp_path_factory.mktemp(kind) / "project", root, harness(tests, root))
        run(nextflow, folder, *(["-stub"] if stub else []), "--outdir", "results")
        answers |= {test.title: json.loads((folder / f"{test.title}.json").read_text()) for test in tests}
    return answers


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_outputs_are_those_of_the_snapshot(file: Path, found: dict[str, Any]) -> None:
    for test in cases_of(file):
        check(file.with_name(file.name + ".snap"), test.title, found[test.title])


def test_every_process_and_subworkflow_has_a_stub_test(root: Path) -> None:
    scripts = [*root.glob("modules/*.nf"), *root.glob("subworkflows/*.nf")]
    defined = {
        name
        for script in scripts
        for name in re.findall(r"^(?:process|workflow) (\w+)", script.read_text(), re.M)
    }
    assert {test.name for test in TESTS.values() if test.stub} == defined
