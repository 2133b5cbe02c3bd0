"""What is left of a trajectory when it has ended, whatever ran it; needs no JAX."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

Rows = dict[str, np.ndarray]
"""What was observed, (observations, …), by name."""


FINISHED = "finished"
"""What tables call a trajectory that ran to its end."""


class Outcome(IntEnum):
    """How a trajectory ended; an experiment's own codes start at ``FIRST_OF_EXPERIMENT``."""

    RUNNING = 0
    FINISHED = 1
    """All steps were done."""
    NON_FINITE = 2
    """A position, velocity or energy is not finite; the last row shows it."""
    WATCHED = 3
    """The host ended it (``run``'s ``watch``)."""
    CROWDED = 4
    """More neighbours than any list may hold; its rows end with the chunk before."""
    GIVEN_UP = 5
    """The engine gave up (LAMMPS); ``Trajectory.failure`` says why, its rows end before."""
    FIRST_OF_EXPERIMENT = 16


@dataclass(frozen=True)
class Trajectory:
    """A finished trajectory: its outcome (``Outcome`` or the experiment's code), steps done, and rows.

    ``rows``: what the observers returned, (observations, …), and ``step``; the first is at step 0.
    """

    trajectory_id: int
    outcome: int
    n_steps: int
    rows: Rows
    failure: str = ""


def drift_meV_per_ps(energies_meV: np.ndarray, every_fs: float) -> float:
    """Return the slope of energies (n,) at equal times: of the total, or of what a thermostat conserves."""
    times_ps = 1e-3 * every_fs * np.arange(len(energies_meV))
    return float(np.polyfit(times_ps, energies_meV - energies_meV[0], 1)[0])
