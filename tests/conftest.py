"""Fixtures of all tests, and a store of what JAX has compiled, which is most of their time."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import tiny_committee, tiny_dataset, tiny_model, tiny_residual

ROOT = Path(__file__).resolve().parent.parent
# Read by JAX when it is imported, here and in what the tests start. A key is the program and the compiler.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".frazil/jax-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

__all__ = ["tiny_committee", "tiny_dataset", "tiny_model", "tiny_residual"]


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_end() -> Iterator[None]:
    """A process that kept the programs of all files would run out of memory maps (65,530) and crash."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's folder."""
    return ROOT


@pytest.fixture(scope="session")
def nextflow(root: Path) -> Path:
    """The Nextflow that ``make`` set up."""
    executable = root / ".frazil/bin/nextflow"
    if not executable.exists():
        pytest.fail(f"{executable} is not there; run `make setup`")
    return executable
