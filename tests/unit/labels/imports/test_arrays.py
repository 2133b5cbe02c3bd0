"""Layouts of arrays: deepmd/npy, npz, HDF5, ASE databases."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.deepmd_npy import to_deepmd
from frazil.labels.imports.readers import Entry, read_entry
from frazil.systems.co import set_excited

from .conftest import same


def test_deepmd_folders(tmp_path: Path) -> None:
    atoms = Atoms("COCO", [[0, 0, 0], [0, 0, 1.1], [4, 0, 0], [4, 0, 1.2]])
    set_excited(atoms, 1)
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((4, 3)))
    to_deepmd([atoms], tmp_path / "data")
    (found,) = read_entry(Entry(tmp_path / "data", level="made-up")).frames
    same([found], [atoms])
    assert found.arrays["excited"].tolist() == [0, 0, 1, 1]
