"""The compiled kernels: made, found, loaded, and known to JAX.

The files ``x86-64-v4.so`` (AVX-512) and ``x86-64-v3.so`` (AVX2) are made of the C++ sources beside them and
carried, so that no compiler is needed. On a CPU the best one that the processor runs takes the place of JAX,
wherever it knows what is asked; else JAX runs. Which one it is, and why, is said once on standard error.
``FRAZIL_KERNELS`` chooses: "off", or one of ``LEVELS``. Both files give the same bits (a test compares them).

``python -m frazil.potentials.kernels.library`` compiles for this machine where nothing carried fits; with
``--carried`` it makes the carried files anew.
"""

import argparse
import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax

from frazil.errors import UserError

FOLDER = Path(__file__).parent
SOURCES = ("gmnn.cpp", "se_e2_a.cpp", "neighbours.cpp", "library.cpp")
HEADERS = ("kernel.h", "network.h")
TARGETS = ("frazil_gmnn", "frazil_se_e2_a_float32", "frazil_se_e2_a_float64", "frazil_neighbours")
"""Functions that XLA calls."""
NATIVE = ".native.so"
"""Compiled here; hidden, so that neither images nor -resume take it for code."""
VARIABLE = "FRAZIL_KERNELS"
LEVELS = {
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma"},
    "x86-64-v3": {"avx2", "fma", "bmi2", "f16c", "movbe", "abm"},
}
"""Carried ones, best first, and what /proc/cpuinfo calls that they need."""
FLAGS = (
    "-std=c++17", "-O3", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math",
    "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wno-psabi", "-fPIC", "-shared",
)  # fmt: skip
"""No -ffast-math: some compilers' shared libraries then switch off denormal numbers in the whole process."""


class Array(ctypes.Structure):
    """An array as the kernels take it: data, dimensions, rank."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int64),
    )

    @classmethod
    def of(cls, shape: tuple[int, ...], data: int | None = None) -> "Array":
        """Return an array of a shape at an address."""
        return cls(data, (ctypes.c_int64 * max(1, len(shape)))(*shape), len(shape))


@dataclass(frozen=True)
class Library:
    """A loaded file of kernels, by its level."""

    level: str
    loaded: ctypes.CDLL

    def target(self, name: str) -> str:
        """Return by which name JAX knows one of ``TARGETS``."""
        return f"{name}_{self.level}"

    def scratch_bytes(self, name: str, shapes: Sequence[tuple[int, ...]]) -> int:
        """Return how much memory a call of one of ``TARGETS`` with inputs of these shapes wants, bytes."""
        arrays = (Array * len(shapes))(*map(Array.of, shapes))
        wanted = getattr(self.loaded, f"{name}_scratch")
        wanted.restype = ctypes.c_int64
        return int(wanted(arrays, ctypes.c_int64(len(shapes))))


_capsule_of = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
"""Unlike ``jax.ffi.pycapsule`` it leaves the process's own PyCapsule_New alone, which featomic calls, too."""


def processor_flags() -> set[str]:
    """Return what this processor can do, by Linux's names."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def source_digest() -> str:
    """Return the SHA-256 of the sources, which every file that is made of them states."""
    texts = [(FOLDER / name).read_bytes() for name in (*SOURCES, *HEADERS)]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def compiler() -> str | None:
    """Return a C++ compiler that starts: CXX, or one of the usual names."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "c++", "clang++")):
        try:
            subprocess.run([name, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return name
    return None


def build(out: Path, march: str, *options: str) -> Path:
    """Compile the kernels for processors ``march`` into ``out``, whole or not at all. Raises UserError."""
    name = compiler()
    if name is None:
        raise UserError("no C++ compiler (g++, c++, clang++); install one, or name one by CXX")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
        made = Path(folder) / "kernels.so"
        defined = [f'-DSOURCE="{source_digest()}"', f"-I{jax.ffi.include_dir()}"]
        sources = [str(FOLDER / source) for source in SOURCES]
        # Neither the C++ library nor the mathematical one: a file runs with any glibc.
        libraries = [] if options else ["-nodefaultlibs", "-lc", "-s"]
        done = subprocess.run(
            [name, *FLAGS, f"-march={march}", *defined, *options, *sources, "-o", str(made), *libraries],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise UserError(f"{name} does not compile {FOLDER}:\n{done.stderr}")
        made.replace(out)
    return out


def load(path: Path) -> ctypes.CDLL:
    """Return a compiled file. Raises UserError for one of other sources than these."""
    try:
        loaded = ctypes.CDLL(str(path))
        stated = (ctypes.c_char * 64).in_dll(loaded, "frazil_source").value.decode()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no kernels that load here ({error})") from error
    if stated != source_digest():
        raise UserError(
            f"{path.name} was made of other sources; make it anew: python -m {__name__} --carried"
        )
    return loaded


def found() -> Library | str:
    """Return the kernels for this processor, known to JAX, or why there are none.

    Raises UserError for a wish (``VARIABLE``) that is unknown, or that this processor cannot fulfil.
    """
    wanted, flags = os.environ.get(VARIABLE, ""), processor_flags()
    runnable = [level for level, needed in LEVELS.items() if needed <= flags]
    if wanted not in ("", "off", *LEVELS) or (wanted in LEVELS and wanted not in runnable):
        here = ", ".join(runnable) or "none"
        raise UserError(
            f"{VARIABLE}={wanted}; allowed are off, {', '.join(LEVELS)}, of which this processor runs: {here}"
        )
    if wanted == "off":
        return f"{VARIABLE}=off"
    names = [f"{wanted}.so"] if wanted else [*(f"{level}.so" for level in runnable), NATIVE]
    reasons = []
    for file in [FOLDER / name for name in names if (FOLDER / name).is_file()]:
        try:
            library = Library(file.name.strip(".").removesuffix(".so"), load(file))
            for target in TARGETS:
                function = _capsule_of(getattr(library.loaded, target), None, None)
                jax.ffi.register_ffi_target(library.target(target), function, platform="cpu")
        except Exception as error:  # an XLA of another interface raises what it likes
            reasons.append(str(error))
            continue
        return library
    return "; ".join(reasons) or f"none are there for this processor ({platform.machine()})"


@cache
def say(line: str) -> None:
    """Print a line on standard error, once in a process."""
    print(line, file=sys.stderr)


@cache
def chosen() -> Library | None:
    """Return the kernels that run here; None where JAX runs on no CPU, or there are none."""
    library: Any = found() if jax.default_backend() == "cpu" else "JAX runs on no CPU"
    if isinstance(library, str):
        say(f"no compiled kernels, JAX instead: {library}")
        return None
    say(f"compiled kernels: {library.level}")
    return library


def main() -> None:
    """Compile for this machine where nothing carried fits, or the carried files."""
    parser = argparse.ArgumentParser(description="Compile the kernels")
    parser.add_argument("--carried", action="store_true", help="make the carried files anew")
    if parser.parse_args().carried:
        for level in LEVELS:
            build(FOLDER / f"{level}.so", level)
    elif not any(needed <= processor_flags() for needed in LEVELS.values()):
        build(FOLDER / NATIVE, "native")


if __name__ == "__main__":
    main()
