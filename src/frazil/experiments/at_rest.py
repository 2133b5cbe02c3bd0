"""What experiments on one structure at rest share: its file, its potential, its time step."""

from functools import cache
from pathlib import Path

from ase import Atoms

from frazil.analysis.spectra import LIGHT_cm_per_fs
from frazil.data.structures import check_names, read_structures
from frazil.errors import UserError
from frazil.potentials.registry import Source, load


@cache
def source_of(model: Path) -> Source:
    """Return the source of a model's folder, read once."""
    return load(model)


def structure_of(path: Path, periodic: bool = False) -> tuple[Atoms, str]:
    """Return a file's one structure and its name; a crystal where ``periodic`` says that it may be one.

    Raises UserError for a file of none or several.
    """
    frames = read_structures(path, periodic)
    if len(frames) != 1:
        raise UserError(f"{path} holds {len(frames)} structures; give one")
    return frames[0], check_names(frames)[0]


def check_timestep(name: str, timestep_fs: float, fastest_cm1: float, steps_per_period: int) -> None:
    """Raise UserError for a time step of which fewer than so many make a period of the fastest mode."""
    longest_fs = 1 / (steps_per_period * LIGHT_cm_per_fs * fastest_cm1)
    if timestep_fs > longest_fs:
        raise UserError(
            f"a time step of {timestep_fs:g} fs for {name}, whose fastest mode has {fastest_cm1:.0f} cm⁻¹; "
            f"allowed are {steps_per_period} steps a period, {longest_fs:.2g} fs: lower timestep_fs"
        )
