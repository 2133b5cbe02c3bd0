"""The door through which labels come: a level of theory gives energy, forces and dipole to frames.

A failed label is recorded, never fatal. What each level does is in ``labellers``.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.checkpoints import TimeLimit
from frazil.cli import progress
from frazil.datasets import load_frames, read_co_frames, write_frames
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.label_store import Label, LabelStore
from frazil.labellers import CO_ONLY, Labeller, estimate, labeller
from frazil.potentials.bond import BondCurve

WORTH_KEEPING_s = 0.01
"""Labels that cost less are computed again rather than kept in a file each."""
BOND_LENGTHS_A = np.linspace(0.85, 2.4, 311)
"""Lengths at which a model's curve of one CO is held against the labels'."""
UNKNOWN_COST_FRAMES = 10
"""Frames in a shard of a level whose cost is not known."""


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


def bond_curve(level: str, bond_lengths_A: np.ndarray | None = None, **settings: Any) -> BondCurve:
    """Return the level's own curve of one isolated CO, at the level's lengths if none are given.

    Lengths at either end that have no label narrow the curve. Raises UserError for one inside.
    """
    lengths = labeller(level, **settings).bond_scan_A if bond_lengths_A is None else bond_lengths_A
    frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in lengths]
    labelled, failures = label(frames, level, **settings)
    failed = {failure.frame: failure.reason for failure in failures}
    good = [number for number in range(len(frames)) if number not in failed]
    inside = [number for number in failed if good and good[0] < number < good[-1]]
    if inside or len(good) < len(frames) // 2:
        number = (inside or list(failed))[0]
        raise UserError(
            f"no {level} label of CO at {lengths[number]:g} Å ({failed[number]}); narrow the bond scan"
        )
    return BondCurve(lengths[good], [atoms.get_potential_energy() for atoms in labelled])


def write_bond_curve(out: Path | str, level: str, fine: Path | str | None = None, **settings: Any) -> None:
    """Write the level's curve of one isolated CO: bond_length_A, label_eV above its minimum.

    ``fine`` is another file to write, at ``BOND_LENGTHS_A``, with label_eV relative to anything: labels where
    they cost nothing, otherwise the curve's spline; empty (not a number) where there is neither.
    """
    source = labeller(level, **settings)
    curve = bond_curve(level, **settings)
    scan = source.bond_scan_A
    scan = scan[(scan >= curve.shortest_A) & (scan <= curve.longest_A)]
    _write_curve(out, scan, curve.energy(scan), "%.10g")
    if fine is None:
        return
    energies = curve.energy(BOND_LENGTHS_A)
    if source.seconds(Atoms("CO")) < WORTH_KEEPING_s:
        frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in BOND_LENGTHS_A]
        labelled, failures = label(frames, level, **settings)
        failed = [failure.frame for failure in failures]
        energies[np.delete(np.arange(len(frames)), failed)] = [a.get_potential_energy() for a in labelled]
        energies[failed] = np.nan
    _write_curve(fine, BOND_LENGTHS_A, energies, "%.17g")


def _write_curve(out: Path | str, lengths_A: np.ndarray, energies_eV: np.ndarray, digits: str) -> None:
    rows = np.column_stack([lengths_A, energies_eV])
    with write_atomic(out) as partial:
        np.savetxt(partial, rows, fmt=digits, delimiter=",", header="bond_length_A,label_eV", comments="")


def plan_shards(frames: Path | str, out: Path | str, level: str, shard_hours: float, **settings: Any) -> str:
    """Write the frames as files ``0000.extxyz``, … of about ``shard_hours`` of labelling each, in order.

    Returns the estimate of what all of them cost, and the level's warning. Raises UserError for frames that
    cannot be read.
    """
    if not shard_hours > 0:
        raise UserError(f"shards of {shard_hours:g} h; the time must be positive")
    given, source = _unlabelled(frames, level), labeller(level, **settings)
    costs = np.array([source.seconds(atoms) for atoms in given])
    costs[np.isnan(costs)] = 3600 * shard_hours / UNKNOWN_COST_FRAMES
    place = np.floor((np.cumsum(costs) - costs / 2) / (3600 * shard_hours)).astype(int)
    for number, (_, members) in enumerate(itertools.groupby(range(len(given)), key=lambda i: place[i])):
        write_frames(Path(out) / f"{number:04d}.extxyz", [given[i] for i in members])
    return "\n".join(filter(None, [f"{level}: {estimate(given, source)}", source.warning(given)]))


def label_file(
    frames: Path | str,
    out: Path | str,
    level: str,
    checkpoints: Path | str | None = None,
    known: Path | str | None = None,
    allow_none: bool = False,
    **settings: Any,
) -> None:
    """Label the frames of a file into another, failures into ``failed.csv`` beside it.

    ``checkpoints`` is a folder of finished frames, ``known`` a file of labels written by an earlier run. With
    ``allow_none`` a file without one good label (a shard of bad luck) becomes an empty one.

    Raises UserError if not one frame could be labelled, OutOfTime as ``label`` does.
    """
    given = _unlabelled(frames, level)
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
    if not labelled and not allow_none:
        raise UserError(
            f"none of the {len(given)} frames of {frames} could be labelled ({failures[0].reason})"
        )
    write_frames(out, labelled)


def gather(labelled: Sequence[Path | str], failed: Sequence[Path | str], out: Path | str, name: str) -> str:
    """Put shards together: ``labelled-NAME.extxyz``, ``failed.csv`` and ``labels.csv`` (counts) in ``out``.

    Shards come in the order of their frames. Returns, for people, how many frames have no label and the
    commonest reason; nothing where all have one. Raises UserError if no shard holds a label.
    """
    frames = [atoms for path in labelled if Path(path).stat().st_size for atoms in load_frames(path)]
    rows: list[list[str]] = []
    for shard, path in enumerate(failed):
        with Path(path).open(newline="") as file:
            rows += [[str(shard), *row] for row in list(csv.reader(file))[1:]]
    if not frames:
        raise UserError(f"none of the {len(rows)} frames of {name} could be labelled ({rows[0][-1]})")
    write_frames(Path(out) / f"labelled-{name}.extxyz", frames)
    with write_atomic(Path(out) / "failed.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["shard", "frame", "trajectory_id", "time_fs", "reason"], *rows]
        )
    attempts = Counter(str(atoms.info.get("label_attempt", "")) for atoms in frames)
    origin = [str(frames[0].info[key]) for key in ("label_level", "label_code", "label_version")]
    with write_atomic(Path(out) / "labels.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [
                ["label_level", "label_code", "label_version", "n_labelled", "n_failed", "attempts"],
                [*origin, len(frames), len(rows), " ".join(f"{k}:{n}" for k, n in attempts.items() if k)],
            ]
        )
    if not rows:
        return ""
    (reason, times), *_ = Counter(row[-1] for row in rows).most_common(1)
    return (
        f"labels of {name}: {len(rows)} of {len(frames) + len(rows)} frames have none and are left out "
        f"(labels/{name}/failed.csv); {times} because: {reason}"
    )


def _unlabelled(frames: Path | str, level: str) -> list[Atoms]:
    """Return the frames to be labelled at a level: in molecular order where it labels CO only."""
    return read_co_frames([frames], labelled=False) if level in CO_ONLY else load_frames(frames)
