"""The label step: frames in shards of known cost, labelled one by one, put together again."""

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.data.frames import load_frames, read_co_frames, write_frames
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.labels.label import label
from frazil.labels.levels import CO_ONLY, estimate, labeller

UNKNOWN_COST_FRAMES = 10
"""Frames in a shard of a level whose cost is not known."""


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


def gather(
    labelled: Sequence[Path | str],
    failed: Sequence[Path | str],
    out: Path | str,
    name: str,
    allow_none: bool = False,
) -> str:
    """Put shards together: ``labelled-NAME.extxyz``, ``failed.csv`` and ``labels.csv`` (counts) in ``out``.

    Shards come in the order of their frames. Returns, for people, how many frames have no label and the
    commonest reason; nothing where all have one. Raises UserError if no shard holds a label, unless
    ``allow_none``, which writes an empty file.
    """
    frames = [atoms for path in labelled if Path(path).stat().st_size for atoms in load_frames(path)]
    rows: list[list[str]] = []
    for shard, path in enumerate(failed):
        with Path(path).open(newline="") as file:
            rows += [[str(shard), *row] for row in list(csv.reader(file))[1:]]
    if not frames and not allow_none:
        raise UserError(f"none of the {len(rows)} frames of {name} could be labelled ({rows[0][-1]})")
    write_frames(Path(out) / f"labelled-{name}.extxyz", frames)
    with write_atomic(Path(out) / "failed.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["shard", "frame", "trajectory_id", "time_fs", "reason"], *rows]
        )
    attempts = Counter(str(atoms.info.get("label_attempt", "")) for atoms in frames)
    origin = [
        str(frames[0].info[key]) if frames else "" for key in ("label_level", "label_code", "label_version")
    ]
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
