"""What experiments on one structure at rest share: its file, its potential, its time step, its beads, and the
gate of an error that one model leaves unknown.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ase import Atoms

from frazil.analysis.estimates import MODEL_UNKNOWN, UNKNOWN_TOLD
from frazil.analysis.spectra import LIGHT_cm_per_fs
from frazil.data.cells import problem_of_cell
from frazil.data.structures import check_names, read_structures
from frazil.errors import UserError
from frazil.md.rings import beads_needed
from frazil.potentials.calculator import PERIODIC, takes_cells
from frazil.potentials.registry import Source, load
from frazil.report.section import Gate

STEPS_PER_PERIOD = 20
"""Of the fastest mode, at least, where a spectrum is made: velocity Verlet then shifts it by 0.4 % or less,
which is taken out.
"""
ROOM = 1.1
"""How far above the fastest harmonic line a spectrum ends, at least."""


@cache
def source_of(model: Path) -> Source:
    """Return the source of a model's folder, read once."""
    return load(model)


def structure_of(path: Path, periodic: bool = False) -> tuple[Atoms, str]:
    """Return a file's one structure and its name; a crystal where ``periodic`` says that it may be one.

    Raises UserError for a file of none or several, and for a single atom, which has no vibrations.
    """
    frames = read_structures(path, periodic)
    if len(frames) != 1:
        raise UserError(f"{path} holds {len(frames)} structures; give one")
    if len(frames[0]) < 2:
        raise UserError(f"{path} holds a single atom, which has no vibrations; give two or more")
    return frames[0], check_names(frames)[0]


def check_cell(atoms: Atoms, name: str, model: Path, source: Source) -> None:
    """Raise UserError for a crystal whose cell is none, or whose potential is for free atoms."""
    if problem := problem_of_cell(atoms):
        raise UserError(f"{name}: {problem}")
    if atoms.pbc.any() and not takes_cells(source):
        raise UserError(
            f"{name} is a crystal, and {model} of kind {source.kind} is for free atoms; give a GM-NN without "
            f"curves of molecules, or one of {', '.join(PERIODIC)}"
        )


def check_shown(
    name: str, fastest_cm1: float, timestep_fs: float, highest_cm1: float, every_fs: float, every: str
) -> None:
    """Raise UserError for times that cannot show the fastest mode: its period, or the end of the spectra.

    ``every`` is the name of the setting of ``every_fs``, the time between two values of a series.
    """
    check_timestep(name, timestep_fs, fastest_cm1, STEPS_PER_PERIOD)
    end = min(highest_cm1, 0.5 / (LIGHT_cm_per_fs * every_fs))
    if end < ROOM * fastest_cm1:
        raise UserError(
            f"spectra of {name} end at {end:.0f} cm⁻¹, its fastest mode has {fastest_cm1:.0f}; allowed is "
            f"{ROOM * fastest_cm1:.0f} or more: raise highest_cm1, or lower {every}"
        )


def check_timestep(name: str, timestep_fs: float, fastest_cm1: float, steps_per_period: int) -> None:
    """Raise UserError for a time step of which fewer than so many make a period of the fastest mode."""
    longest_fs = 1 / (steps_per_period * LIGHT_cm_per_fs * fastest_cm1)
    if timestep_fs > longest_fs:
        raise UserError(
            f"a time step of {timestep_fs:g} fs for {name}, whose fastest mode has {fastest_cm1:.0f} cm⁻¹; "
            f"allowed are {steps_per_period} steps a period, {longest_fs:.2g} fs: lower timestep_fs"
        )


def check_beads(name: str, n_beads: Sequence[int], temperature_K: float, fastest_cm1: float) -> None:
    """Raise UserError for rings of fewer beads than the fastest mode needs; one is a classical nucleus."""
    needed = beads_needed(fastest_cm1, temperature_K)
    for number in n_beads:
        if 1 < number < needed:
            raise UserError(
                f"{number} beads for {name} at {temperature_K:g} K, whose fastest mode has {fastest_cm1:.0f} "
                f"cm⁻¹; allowed are 2 ħω/kT, {needed} or more (or 1, classical nuclei): raise n_beads"
            )


def error_unknown(what: str = "the potential's error") -> Gate:
    """Return the gate of an error that a committee's members would tell, where one model ran."""
    return Gate.unmeasured(what, "known", MODEL_UNKNOWN).because(*UNKNOWN_TOLD)
