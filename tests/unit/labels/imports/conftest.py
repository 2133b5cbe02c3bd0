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


def same(found: list[Atoms], wanted: list[Atoms], accuracy: float = 2e-6) -> None:
    """Compare labels and interatomic distances."""
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.get_chemical_symbols() == theirs.get_chemical_symbols()
        assert not ours.pbc.any()
        assert ours.get_all_distances() == pytest.approx(theirs.get_all_distances(), abs=accuracy)
        assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-5)
        assert ours.get_forces() == pytest.approx(theirs.get_forces(), abs=1e-5)


@pytest.fixture
def trajectory() -> Trajectory:
    """Return a maker of ``n`` frames of vibrating CO and H2, all-electron energies."""

    def make(n: int = 40, zero_eV: float = -3110.0, phase: float = 0.0) -> list[Atoms]:
        frames = []
        for step in range(n):
            stretch = 0.1 * np.sin(0.3 * step + phase) + 1e-4 * (step + 1)
            positions = [[0, 0, 0], [0, 0, 1.13 + stretch], [3.5, 0, 0], [3.5, 0.74 + 0.5 * stretch, 0]]
            frames.append(_labelled(np.array(positions), zero_eV))
            frames[-1].info["time_fs"] = 0.5 * step
        return frames

    return make
