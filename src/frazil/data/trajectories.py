"""Labelled trajectories: consecutive frames with velocities, forces, energies and their time step.

``learning.rollout`` trains on their subsequences; ``labels.imports.trajectories`` reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell

from frazil.errors import UserError


def unwrapped(positions: np.ndarray, cell: Cell, pbc: np.ndarray, breaks: Sequence[int] = ()) -> np.ndarray:
    """Return positions (T, natoms, 3) that go on across the faces of a box, from each gap anew.

    An atom moves by its nearest image from frame to frame. breaks: frames that begin anew.
    """
    if not np.any(pbc):
        return positions
    vectors = np.asarray(cell.complete())
    images = np.round(np.diff(positions, axis=0) @ np.linalg.inv(vectors)) * pbc
    images[[first - 1 for first in breaks]] = 0
    return np.asarray(
        positions - np.concatenate([np.zeros_like(positions[:1]), images.cumsum(axis=0) @ vectors])
    )


@dataclass(frozen=True)
class LabelledTrajectory:
    """T consecutive frames of one structure, ASE units, float64.

    atoms: elements, masses, cell, perhaps the array ``fixed``. positions (T, natoms, 3) Å, unwrapped.
    velocities (T, natoms, 3) Å per ASE time, at the times of the positions. forces (T, natoms, 3) eV/Å,
    energies (T,) eV. breaks: frames that do not follow on the one before (gaps). derived: velocities were
    made of the frames. level: of the labels.
    """

    name: str
    atoms: Atoms
    timestep_fs: float
    positions: np.ndarray
    velocities: np.ndarray
    forces: np.ndarray
    energies: np.ndarray
    breaks: tuple[int, ...] = ()
    derived: bool = False
    level: str = "not stated"

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def mobile(self) -> np.ndarray:
        """Mask (natoms,) of the atoms that move."""
        return ~np.asarray(self.atoms.arrays.get("fixed", np.zeros(len(self.atoms))), bool)

    def runs(self) -> list[tuple[int, int]]:
        """Return first frame and end of every run without a gap."""
        return list(pairwise([0, *self.breaks, len(self)]))

    def starts(self, length: int) -> np.ndarray:
        """Return the first frames of all subsequences of ``length`` frames; none crosses a gap.

        Raises UserError where no run without a gap is so long.
        """
        found = [np.arange(first, end - length + 1) for first, end in self.runs()]
        starts = np.concatenate(found)
        if not len(starts):
            longest = max(end - first for first, end in self.runs())
            raise UserError(
                f"subsequences of {length} frames of {self.name}, whose longest run without a gap has "
                f"{longest}; give longer trajectories, or ask for shorter subsequences"
            )
        return starts

    def check_subsequence(self, first: int, length: int) -> None:
        """Raise UserError for a subsequence that leaves the trajectory or crosses a gap."""
        if not any(begin <= first and first + length <= end for begin, end in self.runs()):
            raise UserError(
                f"frames {first} to {first + length - 1} of {self.name} cross a gap or its end; its runs are "
                f"{', '.join(f'{begin}-{end - 1}' for begin, end in self.runs())}"
            )

    def frame(self, number: int) -> Atoms:
        """Return a frame with its labels and its level."""
        atoms = self.atoms.copy()
        atoms.positions = self.positions[number]
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(self.energies[number]), forces=self.forces[number]
        )
        atoms.info = {"label_level": self.level, "trajectory_id": self.name}
        return atoms


def check_lengths(trajectories: Sequence[LabelledTrajectory], length: int) -> None:
    """Raise UserError unless every trajectory has a subsequence of ``length`` frames."""
    if not trajectories:
        raise UserError("no trajectory to train on; give at least one")
    for trajectory in trajectories:
        trajectory.starts(length)


def of_rows(
    name: str, atoms: Atoms, rows: Mapping[str, np.ndarray], timestep_fs: float, level: str
) -> LabelledTrajectory:
    """Return a trajectory of what the engine's observers ``energies``, ``frames`` and ``forces`` saw at every
    step.
    """
    if len(rows["step"]) > 1 and not (np.diff(rows["step"]) == 1).all():
        raise UserError(f"{name} was not observed at every step; run it with observe_every 1")
    return LabelledTrajectory(
        name, atoms, timestep_fs, rows["positions"], rows["velocities"], rows["forces"], rows["energy"],
        level=level,
    )  # fmt: skip
