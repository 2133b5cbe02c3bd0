"""Ice: whole molecules by the ice rules, without a dipole, the same for a seed."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from ase.neighborlist import neighbor_list

from frazil.errors import UserError
from frazil.systems.ice import build, ice


def test_ice_rules_hold_and_the_cell_has_no_dipole(tmp_path: Path) -> None:
    told = build((2, 1, 1), 4.518, 7.356, 3, tmp_path / "ice.extxyz")
    assert told == "16 molecules, 0.920 g/cm³, no dipole"
    atoms = read(tmp_path / "ice.extxyz")
    assert atoms.get_chemical_symbols() == ["O", "H", "H"] * 16
    first, second, lengths = neighbor_list("ijd", atoms, 2.0)
    oxygen = atoms.numbers == 8
    bonds = oxygen[first] & ~oxygen[second]
    assert np.bincount(first[bonds & (lengths < 1.0)], minlength=48)[oxygen].tolist() == [2] * 16
    assert np.bincount(first[bonds & (lengths > 1.0)], minlength=48)[oxygen].tolist() == [2] * 16
    assert lengths[bonds & (lengths > 1.0)] == pytest.approx(1.8, abs=0.01)
    ways = (atoms.positions.reshape(-1, 3, 3)[:, 1:] - atoms.positions[::3, None]).reshape(-1, 3)
    assert np.abs(ways.sum(axis=0)).max() < 1e-6
    assert np.ptp(ways, axis=0).min() > 1.0


def test_protons_are_the_seeds() -> None:
    one, other, again = (ice((2, 1, 1), 4.518, 7.356, seed).positions for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


def test_a_lattice_that_is_none() -> None:
    with pytest.raises(UserError, match="have not four neighbours each"):
        ice((1, 1, 1), 4.5, 12.0, 1)
