"""The door through which labels come: a level of theory gives energy, forces and dipole to frames.

A failed label is recorded, never fatal. What each level does is in ``levels``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.checkpoints import TimeLimit
from frazil.cli import progress
from frazil.errors import UserError
from frazil.labels.levels import Labeller, labeller
from frazil.labels.store import Label, LabelStore

WORTH_KEEPING_s = 0.01
"""Labels that cost less are computed again rather than kept in a file each."""


@dataclass(frozen=True)
class Failure:
    """A frame without a label: its number among the frames given, and why."""

    frame: int
    trajectory_id: str
    time_fs: float | str
    reason: str


def label(
    frames: Sequence[Atoms],
    level: str,
    *,
    show_progress: bool = False,
    checkpoints: Path | str | None = None,
    known: Sequence[Atoms] = (),
    **settings: Any,
) -> tuple[list[Atoms], list[Failure]]:
    """Return labelled copies of the frames, and the failures.

    A labelled copy carries a SinglePointCalculator (energy, forces, perhaps dipole) and the info
    ``label_level``, ``label_code`` and ``label_version``. A label that is not finite is a failure.
    ``checkpoints`` is a folder in which each finished frame survives, if it costs anything: those found there
    are not done again, nor are the labelled frames ``known``, of the same level, code and version.

    Raises UserError for known labels of another origin or without checkpoints; OutOfTime if SIGTERM
    comes and there are checkpoints.
    """
    source = labeller(level, **settings)
    labelled: list[Atoms] = []
    failures: list[Failure] = []
    if len(known) and checkpoints is None:
        raise UserError("known labels without checkpoints; give a folder for --checkpoints too")
    cheap = all(source.seconds(atoms) < WORTH_KEEPING_s for atoms in frames)
    if checkpoints is None or (cheap and not len(known)):
        answers = source.labels(frames)
    else:
        store = LabelStore(checkpoints, level, source.code, source.version, source.limit_s)
        store.take(known)
        answers = _kept(source, frames, store)
    if show_progress:
        answers = progress(answers, len(frames), f"labels ({level})")
    for number, (atoms, answer) in enumerate(zip(frames, answers, strict=True)):
        reason = answer if isinstance(answer, str) else _not_finite(answer)
        if reason or isinstance(answer, str):
            info = atoms.info
            failures.append(
                Failure(number, str(info.get("trajectory_id", "")), info.get("time_fs", ""), str(reason))
            )
            continue
        copy = atoms.copy()
        results = {
            "energy": answer.energy_eV,
            "forces": answer.forces_eV_per_A,
            "dipole": answer.dipole_eA,
        }
        given = {name: value for name, value in results.items() if value is not None}
        copy.calc = SinglePointCalculator(copy, **given)
        copy.info |= {"label_level": level, "label_code": source.code, "label_version": source.version}
        copy.info |= answer.details
        labelled.append(copy)
    return labelled, failures


def _kept(source: Labeller, frames: Sequence[Atoms], store: LabelStore) -> Iterator[Label | str]:
    """Yield the frames' answers, each kept as soon as it is there; those already kept are not asked for."""
    found = [store.find(atoms, source.details) for atoms in frames]
    missing = [number for number, answer in enumerate(found) if answer is None]
    with store.claim(frames[number] for number in missing), TimeLimit() as limit:
        for number in missing:  # another process may have labelled some of them
            found[number] = store.find(frames[number], source.details)
        fresh = source.labels([atoms for atoms, answer in zip(frames, found, strict=True) if answer is None])
        for number, (atoms, answer) in enumerate(zip(frames, found, strict=True)):
            if answer is None:
                limit.check(f"the labels of {number} of {len(frames)} frames are in {store.folder}")
                answer = next(fresh)
                store.keep(atoms, answer)
            yield answer


def _not_finite(answer: Label) -> str:
    """Return what of a label is not finite, or nothing."""
    values: dict[str, Any] = {
        "energy": answer.energy_eV,
        "forces": answer.forces_eV_per_A,
        "dipole": answer.dipole_eA,
    }
    wrong = [name for name, value in values.items() if value is not None and not np.isfinite(value).all()]
    return f"{', '.join(wrong)} not finite" if wrong else ""
