"""The pages of the API name what is there, and the site holds every page of the docs."""

import importlib
import re
from pathlib import Path

import pytest

NAMED = re.compile(r"^::: (frazil[\w.]*)(?:\n    options:\n      members: \[([^]]*)\])?", re.MULTILINE)
API = (Path(__file__).parents[2] / "docs/api.md").read_text()


@pytest.mark.parametrize(("module", "members"), NAMED.findall(API))
def test_names_of_the_api_are_there_and_documented(module: str, members: str) -> None:
    found = importlib.import_module(module)
    assert found.__doc__
    for member in filter(None, members.split(", ")):
        assert getattr(found, member).__doc__, f"{module}.{member}"


def test_the_site_has_every_page(root: Path) -> None:
    listed = set(re.findall(r"(?m)^ +- ([\w.]+\.md)$", (root / "mkdocs.yml").read_text()))
    assert listed == {file.name for file in (root / "docs").glob("*.md")}
