"""Canonical starts of runs at constant energy: a draw of the harmonic ensemble, then Langevin dynamics."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from frazil.campaigns import Check
from frazil.md.ensemble import Ensemble, Stop
from frazil.md.integrators import Langevin
from frazil.md.observers import frames
from frazil.md.state import without_motion
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.interface import Potential
from frazil.systems.minima import Minimum
from frazil.systems.starts import canonical

DAMPING_fs = 100.0
"""Of the Langevin dynamics before a start."""
SEEN_EVERY = 100
"""Steps between two looks at it, at most."""
MOST_AT_ONCE = 128

Motion = tuple[np.ndarray, np.ndarray]
"""Positions and velocities (natoms, 3)."""


def cell_of(potential: Potential, atoms: Atoms) -> np.ndarray | None:
    """Return the cell (3, 3), Å, that the engine's lists take; None of free atoms, and of what knows its
    own.
    """
    return atoms.cell.array if atoms.pbc.all() and potential.cutoff_A is not None else None


def canonical_starts(
    minimum: Minimum, potential: Potential, stop: Stop | None, temperature_K: float, equilibration_fs: float,
    timestep_fs: float, campaign_seed: int, stream: str, numbers: Sequence[int], check: Check,
) -> dict[int, Motion | Trajectory]:  # fmt: skip
    """Return positions (natoms, 3), Å, and velocities, ASE units, of starts by number.

    Drift, and of what is free rotation, of the whole are taken out. A start whose equilibration broke is that
    trajectory. ``stream`` names the random numbers of the draws.
    """
    atoms = minimum.atoms
    drawn = {number: canonical(minimum, temperature_K, campaign_seed, stream, number) for number in numbers}
    found: dict[int, Motion | Trajectory] = dict(drawn)
    if equilibration_fs:
        n_steps = round(equilibration_fs / timestep_fs)
        observe_every = next(n for n in range(min(SEEN_EVERY, n_steps), 0, -1) if n_steps % n == 0)
        bath = Langevin(timestep_fs, temperature_K, DAMPING_fs)
        shared = Ensemble(
            potential, bath, atoms.get_masses(), n_steps, observe_every, campaign_seed, observers=(frames,),
            stop=stop, cell_A=cell_of(potential, atoms), width=min(len(drawn), MOST_AT_ONCE),
        )  # fmt: skip
        x, v = (np.stack([motion[i] for motion in drawn.values()]) for i in (0, 1))
        for ended in shared.run(x, v, list(drawn), after_chunk=check):
            finished = ended.outcome == Outcome.FINISHED
            last = (ended.rows["positions"][-1], ended.rows["velocities"][-1])
            found[ended.trajectory_id] = last if finished else ended
    removed = "drift" if atoms.pbc.any() else "drift and rotation"
    for number, one in found.items():
        if not isinstance(one, Trajectory):
            found[number] = one[0], without_motion(one[0], one[1], atoms.get_masses(), removed)
    return found
