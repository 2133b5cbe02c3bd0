"""Sampling windows: which frames of a trajectory are kept."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from frazil.errors import UserError

WINDOW_STARTS_fs = (0.0, 500.0, 2500.0)
WINDOW_INTERVALS_fs = (100.0, 10.0, 100.0)
"""The paper's windows: one frame per 100 fs, from 500 fs on one per 10 fs, from 2500 fs on one per 100 fs."""


def window_times_fs(
    duration_fs: float,
    starts_fs: Sequence[float] = WINDOW_STARTS_fs,
    intervals_fs: Sequence[float] = WINDOW_INTERVALS_fs,
) -> np.ndarray:
    """Return the times (fs) to keep of a trajectory: each start's interval up to the next start."""
    if len(starts_fs) != len(intervals_fs) or not len(starts_fs):
        raise UserError(
            f"{len(starts_fs)} window starts and {len(intervals_fs)} intervals; give as many of each, "
            "at least one"
        )
    if (np.diff(starts_fs) <= 0).any() or starts_fs[0] < 0 or min(intervals_fs) <= 0:
        raise UserError(
            f"window starts {list(starts_fs)} fs and intervals {list(intervals_fs)} fs; starts must rise "
            "from 0 or more, intervals must be positive"
        )
    ends = [*starts_fs[1:], duration_fs + 1e-6]
    windows = [
        np.arange(start, min(end, duration_fs + 1e-6) - 1e-9, interval)
        for start, end, interval in zip(starts_fs, ends, intervals_fs, strict=True)
    ]
    return np.concatenate(windows)


def apply_windows(
    frames: Sequence[Atoms], starts_fs: Sequence[float], intervals_fs: Sequence[float]
) -> list[Atoms]:
    """Return the frames nearest to the windows' times, each once, of every trajectory."""
    by_trajectory: dict[str, list[Atoms]] = {}
    for number, atoms in enumerate(frames):
        if "time_fs" not in atoms.info or "trajectory_id" not in atoms.info:
            raise UserError(f"frame {number} has no time_fs or no trajectory_id; sampling windows need both")
        by_trajectory.setdefault(str(atoms.info["trajectory_id"]), []).append(atoms)
    kept: list[Atoms] = []
    for members in by_trajectory.values():
        members = sorted(members, key=lambda atoms: float(atoms.info["time_fs"]))
        times = np.array([float(atoms.info["time_fs"]) for atoms in members])
        wanted = window_times_fs(times[-1], starts_fs, intervals_fs)
        nearest = {int(np.abs(times - time).argmin()) for time in wanted}
        kept += [members[i] for i in sorted(nearest)]
    return kept
