"""Errors of a batch, by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.learning.batches import assemble, batches, prepare, residuals, squared
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


def test_what_one_frame_has_more_than_another_counts_by_itself() -> None:
    """Errors that two frames share do not hide what the atoms between them are wrong by."""
    shape = Architecture(("H", "C", "O"), cutoff_A=4.0)
    made = []
    for symbols, pair in (
        ("COCOH2", "a"),
        ("CO", ""),
        ("COCO", "a"),
        ("COH2", "b"),
        ("CO", "b"),
        ("COCO", "c"),
    ):
        atoms = Atoms(symbols, positions=np.arange(3.0 * len(Atoms(symbols))).reshape(-1, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=3.0, forces=np.zeros((len(atoms), 3)))
        atoms.info = {"weight": 0.5, **({"pair": pair} if pair else {})}
        made.append(atoms)
    ready = prepare(shape, made)
    (batch,) = batches(ready, np.arange(6), 8)
    sizes = [int(n) for n in batch.n_atoms]
    assert sizes == [6, 4, 2, 4, 2, 4, 0, 0], "frames of a pair do not follow each other"
    assert batch.partner.tolist() == [1, 1, 2, 4, 4, 5, 6, 7]
    energies = 3.0 + np.array([7.0, 6.8, 0.1, -1.0, -0.8, 0.2, 0.0, 0.0])
    energy, _ = squared(batch, *residuals(batch, energies, np.zeros(batch.forces.shape)))
    plain = 7.0**2 / 6 + 6.8**2 / 4 + 0.1**2 / 2 + 1.0**2 / 4 + 0.8**2 / 2 + 0.2**2 / 4
    assert energy == pytest.approx(0.5 * (plain + 0.2**2 / 2 + 0.2**2 / 2))
    split = batches(ready, np.array([0, 1, 5, 3, 4, 2]), 1)
    assert all((part.partner == np.arange(1)).all() for part in split), (
        "a partner that is elsewhere counts nothing"
    )


def test_a_pair_on_either_side_of_a_power_of_two_is_in_one_batch() -> None:
    shape = Architecture(("H", "C", "O"), cutoff_A=4.0)
    made = []
    for symbols, pair in (("CO" * 16 + "H2", "a"), ("CO" * 16, "a"), ("CO", ""), ("CO" * 3, "")):
        atoms = Atoms(symbols)
        atoms.positions = 10.0 * np.arange(3.0 * len(atoms)).reshape(-1, 3)
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
        atoms.info = {"pair": pair} if pair else {}
        made.append(atoms)
    found = batches(prepare(shape, made), np.arange(4), 2)
    assert sorted((batch.n_atoms.tolist(), batch.partner.tolist()) for batch in found) == [
        ([2.0, 6.0], [0, 1]),
        ([34.0, 32.0], [1, 1]),
    ]
