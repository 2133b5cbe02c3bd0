"""The door through which labels come: a level of theory gives energy, forces and dipole to frames.

A labeller is registered in ``LEVELS`` and answers, frame by frame, with a Label or with the reason why there
is none. A failed label is recorded, never fatal.
"""

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import frazil
import frazil.electronic_structure as electronic_structure
from frazil.checkpoints import TimeLimit
from frazil.cli import progress
from frazil.datasets import load_frames, read_co_frames, write_frames
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.label_store import Label, LabelStore
from frazil.potentials.bond import BondCurve

BOND_SCAN_A = np.linspace(0.75, 3.2, 246)


@dataclass(frozen=True)
class Failure:
    """A frame without a label: its number among the frames given, and why."""

    frame: int
    trajectory_id: str
    time_fs: float | str
    reason: str


class Labeller(Protocol):
    """A level of theory. ``code`` names program and settings: labels of two codes never share a dataset."""

    code: str
    version: str

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield a label, or the reason of its absence, for each frame in turn."""
        ...


class VanHemertLabeller:
    """The analytic CO–CO field with guard and excited-bond attraction (``potentials.van_hemert``)."""

    version = frazil.__version__
    batch = 64

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.coupling_eV = float(settings["coupling_eV"])
        self.code = f"frazil-van-hemert(coupling_eV={self.coupling_eV:g})"

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, evaluated in batches of constant width over frames of equal size."""
        answers: list[Label | str] = ["not a list of CO molecules ordered C, O, C, O, …"] * len(frames)
        sizes: dict[int, list[int]] = {}
        for number, atoms in enumerate(frames):
            if atoms.get_chemical_symbols() == ["C", "O"] * (len(atoms) // 2) and len(atoms):
                sizes.setdefault(len(atoms), []).append(number)
        for members in sizes.values():
            for start in range(0, len(members), self.batch):
                chosen = members[start : start + self.batch]
                for number, label in zip(chosen, self._evaluate([frames[i] for i in chosen]), strict=True):
                    answers[number] = label
        yield from answers

    def _evaluate(self, frames: Sequence[Atoms]) -> list[Label]:
        """Return the labels of at most ``batch`` frames of equal size."""
        from frazil.potentials.van_hemert import evaluate

        positions = np.array([atoms.positions for atoms in frames])
        padded = positions[np.minimum(np.arange(self.batch), len(frames) - 1)]
        energies, forces, dipoles = (np.asarray(value) for value in evaluate(padded, self.coupling_eV))
        return [Label(float(energies[i]), forces[i], dipoles[i]) for i in range(len(frames))]


class PySCFLabeller:
    """A level of theory of ``electronic_structure``, frame by frame, for any neutral closed-shell frame."""

    code = electronic_structure.CODE

    def __init__(self, level: str, settings: Mapping[str, Any]) -> None:
        self.level = level
        self.version = electronic_structure.code_version()

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Say on standard error what it will cost; then labels, or the reason where there is none."""
        print(electronic_structure.estimate(frames, self.level), file=sys.stderr)
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        try:
            point = electronic_structure.single_point(atoms, self.level)
        except (UserError, electronic_structure.NotConverged) as error:
            return str(error)
        details: dict[str, float | str] = {
            "label_attempt": point.attempt,
            "label_net_force_eV_per_A": point.net_force_eV_per_A,
            "label_net_torque_eV": point.net_torque_eV,
        }
        return Label(point.energy_eV, point.forces_eV_per_A, point.dipole_eA, details)


LEVELS: dict[str, Callable[[Mapping[str, Any]], Labeller]] = {
    "van-hemert": VanHemertLabeller,
    **{name: partial(PySCFLabeller, name) for name in electronic_structure.LEVELS},
}
"""Levels of theory by name; each makes its labeller from settings (``coupling_eV``, …)."""


def labeller(level: str, **settings: Any) -> Labeller:
    """Return the labeller of a level. Raises UserError for an unknown one."""
    if level not in LEVELS:
        raise UserError(f"unknown label level {level!r}; allowed are {', '.join(LEVELS)}")
    return LEVELS[level](settings)


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
    ``checkpoints`` is a folder in which each finished frame survives: those found there are not done again,
    nor are the labelled frames ``known``, of the same level, code and version.

    Raises UserError for known labels of another origin or without checkpoints; OutOfTime if SIGTERM
    comes and there are checkpoints.
    """
    source = labeller(level, **settings)
    labelled: list[Atoms] = []
    failures: list[Failure] = []
    if len(known) and checkpoints is None:
        raise UserError("known labels without checkpoints; give a folder for --checkpoints too")
    if checkpoints is None:
        answers = source.labels(frames)
    else:
        store = LabelStore(checkpoints, level, source.code, source.version)
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
    found = [store.find(atoms) for atoms in frames]
    fresh = source.labels([atoms for atoms, answer in zip(frames, found, strict=True) if answer is None])

    def answers() -> Iterator[Label | str]:
        with TimeLimit() as limit:
            for number, (atoms, answer) in enumerate(zip(frames, found, strict=True)):
                if answer is None:
                    limit.check(f"the labels of {number} of {len(frames)} frames are in {store.folder}")
                    answer = next(fresh)
                    store.keep(atoms, answer)
                yield answer

    return answers()


def _not_finite(answer: Label) -> str:
    """Return what of a label is not finite, or nothing."""
    values: dict[str, Any] = {
        "energy": answer.energy_eV,
        "forces": answer.forces_eV_per_A,
        "dipole": answer.dipole_eA,
    }
    wrong = [name for name, value in values.items() if value is not None and not np.isfinite(value).all()]
    return f"{', '.join(wrong)} not finite" if wrong else ""


def bond_curve(level: str, bond_lengths_A: np.ndarray = BOND_SCAN_A, **settings: Any) -> BondCurve:
    """Return the level's own curve of one isolated CO. Raises UserError where a length has no label."""
    frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in bond_lengths_A]
    labelled, failures = label(frames, level, **settings)
    if failures:
        length = bond_lengths_A[failures[0].frame]
        raise UserError(
            f"no {level} label of CO at {length:g} Å ({failures[0].reason}); narrow the bond scan"
        )
    return BondCurve(bond_lengths_A, [atoms.get_potential_energy() for atoms in labelled])


def write_bond_curve(out: Path | str, level: str, **settings: Any) -> None:
    """Write the level's curve of one isolated CO: bond_length_A, label_eV above its minimum."""
    curve = bond_curve(level, **settings)
    with write_atomic(out) as partial:
        rows = np.column_stack([BOND_SCAN_A, curve.energy(BOND_SCAN_A)])
        np.savetxt(partial, rows, fmt="%.10g", delimiter=",", header="bond_length_A,label_eV", comments="")


def label_file(
    frames: Path | str,
    out: Path | str,
    level: str,
    checkpoints: Path | str | None = None,
    known: Path | str | None = None,
    **settings: Any,
) -> None:
    """Label the frames of a file into another, failures into ``failed.csv`` beside it.

    ``checkpoints`` is a folder of finished frames, ``known`` a file of labels written by an earlier run.

    Raises UserError if not one frame could be labelled, OutOfTime as ``label`` does.
    """
    given = read_co_frames([frames], labelled=False) if level == "van-hemert" else load_frames(frames)
    labelled, failures = label(
        given,
        level,
        show_progress=True,
        checkpoints=checkpoints,
        known=load_frames(known) if known is not None else (),
        **settings,
    )
    with write_atomic(Path(out).with_name("failed.csv")) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["frame", "trajectory_id", "time_fs", "reason"])
        table.writerows(
            [failure.frame, failure.trajectory_id, failure.time_fs, failure.reason] for failure in failures
        )
    if not labelled:
        raise UserError(
            f"none of the {len(given)} frames of {frames} could be labelled ({failures[0].reason})"
        )
    write_frames(out, labelled)
