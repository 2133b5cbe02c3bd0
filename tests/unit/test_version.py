"""The version has one home; what has to repeat it says the same."""

import re
from pathlib import Path

import pytest

import frazil

REPEATED = {
    "nextflow.config": r"version\s+= '([^']+)'",
    "CITATION.cff": r"(?m)^version: (\S+)$",
    "CHANGELOG.md": r"\A# Changelog\n\n## (\S+) \(",
    "CONTRIBUTING.md": r"git tag -a v(\S+) -m",
}


@pytest.mark.parametrize(("file", "says"), REPEATED.items())
def test_the_version_is_everywhere_the_same(root: Path, file: str, says: str) -> None:
    assert re.findall(says, (root / file).read_text()) == [frazil.__version__]


def test_the_package_takes_it_from_its_home(root: Path) -> None:
    project = (root / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert "\nversion =" not in project
    build = (root / "containers/build.sh").read_text()
    assert "__version__" in build
