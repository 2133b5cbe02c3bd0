"""Errors of a potential along its own trajectories, from the starts of labelled ones (MEPA and its kin).

The engine runs them, so that what is measured is what molecular dynamics will do.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from frazil.data.trajectories import LabelledTrajectory
from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, forces, frames
from frazil.md.trajectory import Trajectory
from frazil.potentials.interface import Potential

Potentials = Callable[[Atoms], Potential]
"""Of atoms: the potential that the engine runs for them."""


@dataclass(frozen=True)
class Along:
    """n trajectories of T frames beside their labels; from where one has broken, all is infinite.

    force_errors (n, T): eq. 11 of the paper for each frame, eV/Å: the mean |ΔF| component of each species,
    summed over the species. plain_errors (n, T): the mean |ΔF| component of all atoms, eV/Å.
    energy_errors (n, T): |ΔE|/N, eV. deviations (n, T): largest distance of an atom from its label's, Å.
    drift (n,): of the total energy from the first to the last frame, eV.
    """

    force_errors: np.ndarray
    plain_errors: np.ndarray
    energy_errors: np.ndarray
    deviations: np.ndarray
    drift: np.ndarray

    def mepa(self, n_frames: int) -> float:
        """Return the mean force error per frame over the first frames, eV/Å (eq. 13)."""
        return float(self.force_errors[:, :n_frames].mean())

    def frames_to(self, deviation_A: float) -> np.ndarray:
        """Return of each the first frame that is further off than a distance (n,); T where none is."""
        off = self.deviations > deviation_A
        return np.where(off.any(axis=1), off.argmax(axis=1), off.shape[1])


def choose_starts(
    trajectories: Sequence[LabelledTrajectory], n_frames: int, n: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Return n starts (trajectory, frame) from which ``n_frames`` follow, of all trajectories alike.

    Sorted; fewer where there are fewer. Raises UserError for a trajectory without any.
    """
    found = []
    for place, trajectory in enumerate(trajectories):
        share = n // len(trajectories) + int(place < n % len(trajectories))
        starts = trajectory.starts(n_frames)
        chosen = random.choice(starts, min(share, len(starts)), replace=False)
        found += [(place, int(first)) for first in sorted(chosen)]
    return found


def run_along(
    potentials: Potentials,
    trajectories: Sequence[LabelledTrajectory],
    starts: Sequence[tuple[int, int]],
    n_frames: int,
    width: int = 8,
    only: Collection[int] | None = None,
    see: Callable[[Trajectory], None] | None = None,
) -> Along:
    """Run a potential from ``starts`` (trajectory, frame) of labelled trajectories for n_frames − 1 steps.

    Those of one structure run together. ``only`` names the starts that run, in batches as wide as if all did;
    ``see`` gets each of them as it ends, by its number. Raises UserError for starts whose labels end before.
    """
    n = len(starts)
    if not n:
        raise UserError("no start to run from; give longer trajectories, or ask for fewer frames")
    errors = {name: np.full((n, n_frames), np.inf) for name in ("force", "plain", "energy", "deviation")}
    drift = np.full(n, np.inf)
    for members in _alike(trajectories, starts):
        first = trajectories[starts[members[0]][0]]
        for i in members:
            trajectories[starts[i][0]].check_subsequence(starts[i][1], n_frames)
        cell = first.atoms.cell.array if first.atoms.pbc.any() else None
        if cell is not None and not first.atoms.pbc.all():
            raise UserError(
                f"{first.name} is periodic along some axes only; the engine takes all three or none"
            )
        ensemble = Ensemble(
            potentials(first.atoms), VelocityVerlet(first.timestep_fs), first.atoms.get_masses(),
            n_frames - 1, 1, observers=(energies, frames, forces), cell_A=cell,
            frozen=None if first.mobile.all() else ~first.mobile, width=min(width, len(members)),
        )  # fmt: skip
        running = [i for i in members if only is None or i in only]
        if not running:
            continue
        positions, velocities = (
            np.stack([getattr(trajectories[starts[i][0]], name)[starts[i][1]] for i in running])
            for name in ("positions", "velocities")
        )
        species = [first.atoms.numbers == number for number in np.unique(first.atoms.numbers)]
        for ran in ensemble.run(positions, velocities, running):
            if see is not None:
                see(ran)
            place, begin = starts[ran.trajectory_id]
            labels, rows = trajectories[place], ran.rows
            done = min(len(rows["step"]), n_frames)
            here = slice(begin, begin + done)
            off = np.abs(rows["forces"][:done] - labels.forces[here])
            by_species = [off[:, own].mean(axis=(1, 2)) for own in species]
            apart = np.linalg.norm(rows["positions"][:done] - labels.positions[here], axis=2)
            own_errors = {
                "force": np.sum(by_species, axis=0),
                "plain": off.mean(axis=(1, 2)),
                "energy": np.abs(rows["energy"][:done] - labels.energies[here]) / len(labels.atoms),
                "deviation": apart.max(axis=1),
            }
            for name, values in own_errors.items():
                errors[name][ran.trajectory_id, :done] = np.where(np.isfinite(values), values, np.inf)
            total = rows["energy"] + rows["kinetic_energy"]
            if done == n_frames and np.isfinite(total).all():
                drift[ran.trajectory_id] = total[-1] - total[0]
    return Along(errors["force"], errors["plain"], errors["energy"], errors["deviation"], drift)


def _alike(trajectories: Sequence[LabelledTrajectory], starts: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the starts of one structure, one time step and one cell, together."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for i, (place, _) in enumerate(starts):
        own = trajectories[place]
        arrays = (own.atoms.numbers, own.atoms.get_masses(), own.mobile, own.atoms.cell.array, own.atoms.pbc)
        key = (*(np.ascontiguousarray(array).tobytes() for array in arrays), str(own.timestep_fs).encode())
        groups.setdefault(key, []).append(i)
    return list(groups.values())
