"""The frames of a campaign and their division, checked before the first label.

The division follows from the campaign's seed alone, so that every shard knows it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.experiments.density.auxiliary import Auxiliary
from frazil.experiments.density.measures import radii_A
from frazil.experiments.density.model import check_frame
from frazil.experiments.density.settings import Density
from frazil.labels import electronic_structure
from frazil.seeds import rng
from frazil.systems.molecules import check_closed_shell


@dataclass(frozen=True)
class Division:
    """Ids of frames: train in the order in which sets grow, and those that nothing is learned from."""

    train: list[int]
    validation: list[int]
    test: list[int]
    large: list[int]


def auxiliary_of(settings: Density) -> Auxiliary:
    """Return the auxiliary basis that the settings name."""
    return Auxiliary(settings.auxiliary, settings.n_diffuse)


def division_of(settings: Density, campaign_seed: int) -> Division:
    """Return the division; any two settings with the same numbers and seed have the same."""
    n_ordinary = settings.n_trajectories - settings.n_large
    order = rng(campaign_seed, "density-division").permutation(n_ordinary).tolist()
    n_test, n_held = settings.n_test, settings.n_test + settings.n_validation
    return Division(
        order[n_held:], order[n_test:n_held], order[:n_test], list(range(n_ordinary, settings.n_trajectories))
    )


def frames_of(settings: Density, campaign_seed: int) -> list[Atoms]:
    """Return the frames of all ids, checked. Raises UserError for what could not be labelled or learned.

    That is a file of too few frames; a frame that is charged, of an open shell, periodic or of another basis;
    an element that the bases, or van der Waals radii, or the smallest training set lack; fewer environments
    than the model asks for.
    """
    if settings.frames is None:
        raise UserError("no frames; give a file (density.frames)")
    found = load_frames(settings.frames)
    if len(found) < settings.n_trajectories:
        raise UserError(
            f"{settings.frames} has {len(found)} frames, asked for are {settings.n_trajectories}; lower "
            "density.n_trajectories (and n_train, n_test, n_validation), or give more frames"
        )
    chosen = found[: settings.n_trajectories - settings.n_large] + found[len(found) - settings.n_large :]
    for place, atoms in enumerate(chosen):
        _check(atoms, f"frame {place} of {settings.frames}", settings)
    division = division_of(settings, campaign_seed)
    auxiliary_of(settings).elements(chosen)
    for atoms in {frozenset(atoms.symbols): atoms for atoms in chosen}.values():
        electronic_structure.unconverged(atoms, settings.level)  # its basis has these elements
        radii_A(atoms)
    _check_elements(chosen, division, settings)
    return chosen


def _check(atoms: Atoms, where: str, settings: Density) -> None:
    """Raise UserError for a frame that is charged or open, cannot be labelled, or is of another basis."""
    check_frame(atoms, where)
    try:
        electronic_structure.check(atoms)
    except UserError as problem:
        raise UserError(f"{where}: {problem}") from None
    check_closed_shell(atoms, where)
    basis = settings.level.partition("/")[2]
    stated = str(atoms.info.get("basis", "")) or str(atoms.info.get("label_level", "")).partition("/")[2]
    if stated and stated.lower() != basis:
        raise UserError(
            f"{where} is of the basis {stated}, densities are fitted at {settings.level}; give frames of "
            "one basis, or take its labels out (basis, label_level) if only its geometry is meant"
        )
    if "ghost" in atoms.arrays:
        raise UserError(f"{where} has ghost atoms; give frames of real ones")


def _check_elements(frames: Sequence[Atoms], division: Division, settings: Density) -> None:
    first = division.train[: settings.n_train[0]]
    known = {symbol for i in first for symbol in frames[i].symbols}
    for place, atoms in enumerate(frames):
        if place not in division.train and (unknown := set(atoms.symbols) - known):
            raise UserError(
                f"frame {place} of {settings.frames} ({atoms.symbols}) has {', '.join(sorted(unknown))}, "
                f"of which the {len(first)} frames of the smallest training set have no environment; "
                "learn from more frames (density.n_train), or leave such frames out"
            )
    everything = division.train[: settings.n_train[-1]]
    counts = Counter(symbol for i in everything for symbol in frames[i].symbols)
    for symbol, count in counts.items():
        if count < settings.n_environments:
            raise UserError(
                f"{count} environments of {symbol} in {len(everything)} training frames, asked for are "
                f"{settings.n_environments}; lower density.n_environments, or learn from more frames"
            )
