"""The division of labelled frames into training, test and validation sets."""

import csv
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.data.frames import (
    CUTOFF_A,
    FRAME_COLUMNS,
    fingerprint,
    max_force,
    molecular_formulas,
    read_co_frames,
    read_frames,
    summarise,
    write_frames,
)
from frazil.data.windows import apply_windows
from frazil.errors import UserError
from frazil.files import sha256_of, write_atomic
from frazil.seeds import rng

SUBSETS = ("train", "test", "validation")
FEWEST_PARENTS = 5
"""With fewer there is none for each subset."""
FEWEST_FRAMES = 20
"""Fewer labelled frames are not ``divided``."""


def split(
    frames: Sequence[Atoms], by: str, train_fraction: float, validation_fraction: float, campaign_seed: int
) -> np.ndarray:
    """Return the subset (n,) of each frame: train, test or validation.

    ``by`` "trajectory" keeps a trajectory's frames together, source by source (frames 10 fs apart are nearly
    alike: tests by frame flatter), and from ``FEWEST_PARENTS`` on all that came of one parent, the aggregate
    or cluster whose shape frames share, whatever their source; "frame" is what the paper does. The order of
    the frames changes nothing.
    """
    if by not in ("trajectory", "frame"):
        raise UserError(f"split by {by!r}; allowed are trajectory and frame")
    if not (0 < train_fraction <= 1 and 0 <= validation_fraction <= 1 - train_fraction + 1e-12):
        raise UserError(
            f"train fraction {train_fraction:g}, validation fraction {validation_fraction:g}; the first must "
            "be above 0, the second not negative, and their sum at most 1"
        )
    if by == "frame":
        units = [str(number) for number in range(len(frames))]
        sources = [""] * len(frames)
    else:
        without = [number for number, atoms in enumerate(frames) if "trajectory_id" not in atoms.info]
        if without:
            raise UserError(
                f"frame {without[0]} has no trajectory_id; a split by trajectory needs one in all"
            )
        units = [str(atoms.info["trajectory_id"]) for atoms in frames]
        parents = [str(atoms.info.get("parent", "")) for atoms in frames]
        if len(set(parents) - {""}) >= FEWEST_PARENTS:
            units = [parent or unit for parent, unit in zip(parents, units, strict=True)]
        sources = [str(atoms.info.get("source", "")) for atoms in frames]
    subset_of: dict[str, str] = {}
    for source in sorted(set(sources)):
        members = sorted({u for u, s in zip(units, sources, strict=True) if s == source} - set(subset_of))
        draw = {unit: rng(campaign_seed, "split", zlib.crc32(unit.encode())).random() for unit in members}
        members.sort(key=lambda unit: draw[unit])
        n_train, n_test = _share(len(members), train_fraction, validation_fraction)
        for place, unit in enumerate(members):
            subset_of[unit] = SUBSETS[int(place >= n_train) + int(place >= n_train + n_test)]
    return np.array([subset_of[unit] for unit in units])


def divided(frames: Sequence[Atoms]) -> tuple[list[Atoms], list[Atoms], list[Atoms]]:
    """Return the frames to train on, to choose the best epoch by, and to judge by, of a set that grows.

    Every tenth frame is held out for good, in turn for the one and for the other: errors on frames that chose
    the epoch flatter. A set of ``FEWEST_FRAMES`` has one of each.
    """
    train = [atoms for number, atoms in enumerate(frames) if number % 10 != 9]
    return train, list(frames[9::20]), list(frames[19::20])


def labelled_frames(file: Path, level: str) -> list[Atoms]:
    """Return the frames of a file, none of an empty one. Raises UserError for labels of another level."""
    frames = read_frames([file]) if file.stat().st_size else []
    other = next((a.info.get("label_level") for a in frames if a.info.get("label_level") != level), level)
    if other != level:
        raise UserError(
            f"{file} holds labels of {other or 'no stated level'}, the run's are {level}; "
            "labels of two levels or codes never share a set"
        )
    return frames


def _share(n: int, train_fraction: float, validation_fraction: float) -> tuple[int, int]:
    """Return how many of n go to train and test; train gets at least one, then test, then validation."""
    test_fraction = max(0.0, 1 - train_fraction - validation_fraction)
    wanted = [(test_fraction > 1e-9), (validation_fraction > 1e-9)]
    n_validation = max(round(validation_fraction * n), int(wanted[1] and n >= 3))
    n_test = max(round(test_fraction * n), int(wanted[0] and n >= 2))
    n_validation = min(n_validation, n - 1)
    n_test = min(n_test, n - 1 - n_validation)
    return n - n_test - n_validation, n_test


def prepare(
    frames: Sequence[Path | str],
    out: Path | str,
    split_by: str = "trajectory",
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
    max_force_eV_per_A: float = 100.0,
    campaign_seed: int = 1,
    window_starts_fs: Sequence[float] | None = None,
    window_intervals_fs: Sequence[float] | None = None,
    cutoff_A: float = CUTOFF_A,
    molecules: str = "CO",
    periodic: str = "no",
) -> dict[str, Any]:
    """Write a dataset directory (three subsets, frames.csv, summary.json) of files and return the summary.

    ``molecules`` "CO" reads by ``read_co_frames`` with ``cutoff_A``, "any" by ``read_frames`` with
    ``periodic``. Frames with a force above ``max_force_eV_per_A`` and exact doubles are left out, and
    counted. Raises UserError where a test set is asked for and would be empty.
    """
    if (window_starts_fs is None) != (window_intervals_fs is None):
        raise UserError("window starts without intervals, or the reverse; give both or neither")
    if molecules == "CO":
        read = read_co_frames(frames, cutoff_A=cutoff_A)
    else:
        read = read_frames(frames, periodic=periodic)
    kept = read
    if window_starts_fs is not None and window_intervals_fs is not None:
        kept = apply_windows(read, window_starts_fs, window_intervals_fs)
    n_windows = len(kept)
    kept = [atoms for atoms in kept if max_force(atoms) <= max_force_eV_per_A]
    n_calm = len(kept)
    if not kept:
        raise UserError(
            f"all {n_windows} frames have a force above {max_force_eV_per_A:g} eV/Å; check the labels' unit "
            "(eV/Å) or raise the limit"
        )
    kept = list({fingerprint(atoms): atoms for atoms in reversed(kept)}.values())[::-1]
    subsets = split(kept, split_by, train_fraction, validation_fraction, campaign_seed)
    if "test" not in subsets and train_fraction + validation_fraction < 1 - 1e-9:
        raise UserError(
            f"no test set: all {len(kept)} frames are of one {split_by} "
            f"({kept[0].info.get('trajectory_id', 0)}); give more, or split by frame (--labels.split_by "
            "frame)"
        )
    directory = Path(out)
    for subset in SUBSETS:
        chosen = [atoms for atoms, name in zip(kept, subsets, strict=True) if name == subset]
        write_frames(directory / f"{subset}.extxyz", chosen)
    with write_atomic(directory / "frames.csv") as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FRAME_COLUMNS)
        for atoms, subset in zip(kept, subsets, strict=True):
            described = [atoms.info.get(name, "") for name in ("trajectory_id", "time_fs", "source")]
            energy = f"{atoms.get_potential_energy():.8f}"
            n_molecules = sum(molecular_formulas(atoms).values())
            table.writerow([*described, subset, n_molecules, energy, f"{max_force(atoms):.6f}"])
    summary = summarise(kept) | {
        "split_by": split_by,
        "subsets": {name: int((subsets == name).sum()) for name in SUBSETS},
        "n_read": len(read),
        "n_outside_windows": len(read) - n_windows,
        "n_above_max_force": n_windows - n_calm,
        "n_duplicates_dropped": n_calm - len(kept),
        "max_force_limit_eV_per_A": max_force_eV_per_A,
        "sha256": sha256_of(*(directory / f"{subset}.extxyz" for subset in SUBSETS)),
    }
    with write_atomic(directory / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    return summary
