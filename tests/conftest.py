"""Fixtures of all tests."""

from pathlib import Path

import pytest

from models import tiny_committee, tiny_dataset, tiny_model

__all__ = ["tiny_committee", "tiny_dataset", "tiny_model"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def nextflow(root: Path) -> Path:
    """The Nextflow that ``make`` set up."""
    executable = root / ".frazil/bin/nextflow"
    if not executable.exists():
        pytest.fail(f"{executable} is not there; run `make setup`")
    return executable
