"""Errors of a batch, by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.learning.batches import assemble, prepare, residuals, squared
from frazil.potentials.gmnn.architecture import Architecture


def test_squared_errors_count_atoms_components_and_weights() -> None:
    shape = Architecture(("C", "O"), cutoff_A=4.0)
    made = []
    for n, weight in ((1, 1.0), (2, 0.5)):
        atoms = Atoms("CO" * n, positions=np.arange(6.0 * n).reshape(2 * n, 3), info={"weight": weight})
        atoms.calc = SinglePointCalculator(atoms, energy=3.0, forces=np.ones((2 * n, 3)))
        made.append(atoms)
    prepared = prepare(shape, made)
    batch = assemble(prepared, [0, 1], 4, max(prepared.rooms.values())[0])
    energies, forces = np.full(4, 99.0), np.full(batch.forces.shape, 7.0)
    energies[:2] = 4.0, 1.0
    forces[:6] = 1.5
    energy, force = squared(batch, *residuals(batch, energies, forces))
    assert energy == pytest.approx(1.0 * 1.0**2 / 2 + 0.5 * 2.0**2 / 4)
    assert force == pytest.approx((1.0 + 0.5) * 0.5**2)
