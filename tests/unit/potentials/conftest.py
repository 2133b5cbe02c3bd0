"""What tests of the compiled kernels share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frazil.potentials.kernels import library


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Choose the kernels anew, as a process would with another environment."""

    def choose(wanted: str) -> Any:
        monkeypatch.setenv(library.VARIABLE, wanted)
        library.chosen.cache_clear()
        library.say.cache_clear()
        return library.chosen()

    yield choose
    library.chosen.cache_clear()
