"""A trajectory whose forces are the gradient of its energy: CO and H2 with harmonic bonds."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

Trajectory = Callable[..., list[Atoms]]


def _labelled(positions: np.ndarray, zero_eV: float) -> Atoms:
    atoms = Atoms("COHH", positions)
    forces = np.zeros((4, 3))
    energy = zero_eV
    for first, length, constant in ((0, 1.13, 110.0), (2, 0.74, 35.0)):
        bond = positions[first + 1] - positions[first]
        stretch = np.linalg.norm(bond) - length
        energy += 0.5 * constant * stretch**2
        along = constant * stretch * bond / np.linalg.norm(bond)
        forces[first] += along
        forces[first + 1] -= along
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


@pytest.fixture
def trajectory() -> Trajectory:
    """Return a maker of ``n`` frames of vibrating CO and H2, all-electron energies."""

    def make(n: int = 40, zero_eV: float = -3110.0, phase: float = 0.0) -> list[Atoms]:
        frames = []
        for step in range(n):
            stretch = 0.1 * np.sin(0.3 * step + phase) + 1e-4 * step
            positions = [[0, 0, 0], [0, 0, 1.13 + stretch], [3.5, 0, 0], [3.5, 0.74 + 0.5 * stretch, 0]]
            frames.append(_labelled(np.array(positions), zero_eV))
            frames[-1].info["time_fs"] = 0.5 * step
        return frames

    return make
