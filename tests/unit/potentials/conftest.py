"""What tests of the compiled kernels share."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiled import CARRIED, RUNNABLE
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


@pytest.fixture(scope="module", params=RUNNABLE)
def loaded(request: pytest.FixtureRequest) -> ctypes.CDLL:
    """Each carried file that this processor runs."""
    return library.load(CARRIED[request.param])


@pytest.fixture(scope="session")
def needs_compiler() -> None:
    if library.compiler() is None:
        pytest.skip("no C++ compiler")


SANITIZED = """
import ctypes, sys
import numpy as np

class Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("dims", ctypes.POINTER(ctypes.c_int64)), ("rank", ctypes.c_int64))

def arrays(values):
    return (Array * len(values))(
        *[Array(x.ctypes.data, (ctypes.c_int64 * max(1, x.ndim))(*x.shape), x.ndim) for x in values]
    )

loaded = ctypes.CDLL(sys.argv[1])
for file in sys.argv[3:]:
    stored = np.load(file)
    given, results = ([stored[key] for key in stored.files if key.startswith(of)] for of in ("in", "out"))
    name, n = str(stored["name"]), ctypes.c_int64(len(given))
    wanted = getattr(loaded, name + "_scratch")
    wanted.restype = ctypes.c_int64
    results.append(np.full(wanted(arrays(given), n) - int(sys.argv[2]), 255, np.uint8))
    getattr(loaded, name + "_run")(arrays(given), n, arrays(results))
print("whole")
"""
"""Without JAX, which the sanitizers' own loading breaks."""


@pytest.fixture(scope="session")
def sanitized(needs_compiler: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The kernels under the address and undefined-behaviour sanitizers, and what is loaded before them."""
    options = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    built = library.build(tmp_path_factory.mktemp("built") / "sanitized.so", RUNNABLE[-1], *options)
    runtime = subprocess.run(
        [str(library.compiler()), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(runtime):
        pytest.skip("the compiler has no libasan.so to load first")
    return built, runtime


Calls = list[tuple[str, list[np.ndarray], list[np.ndarray]]]
"""Of kernels: name, inputs, arrays for the results but the scratch memory."""


@pytest.fixture
def within_arrays(sanitized: tuple[Path, str], tmp_path: Path) -> Callable[[Calls], None]:
    """Run kernels under the sanitizers; with too little memory these notice."""
    built, runtime = sanitized

    def check(calls: Calls) -> None:
        files = [str(tmp_path / f"{i}.npz") for i in range(len(calls))]
        for file, (name, given, results) in zip(files, calls, strict=True):
            inputs = {f"in{i:02d}": x for i, x in enumerate(given)}
            np.savez(file, name=name, **inputs, **{f"out{i}": x for i, x in enumerate(results)})

        def run(missing_bytes: int) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", SANITIZED, str(built), str(missing_bytes), *files],
                capture_output=True, text=True,
                env={**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"},
            )  # fmt: skip

        done = run(0)
        assert done.stdout == "whole\n", done.stderr[-2000:]
        assert "ERROR: AddressSanitizer" in run(1000).stderr

    return check
