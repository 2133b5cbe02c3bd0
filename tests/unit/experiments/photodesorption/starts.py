"""Thermal-like snapshots and Morse bond curves for the tests of photodesorption."""

from pathlib import Path

import ase.io
import numpy as np

from frazil.systems.co import MOLECULE_MASSES_amu, co_types, from_deepmd_types
from frazil.units import fs

CORNERS = 3.7 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)])


def write_snapshots(path: Path, n: int, first_id: int = 0) -> Path:
    """Write snapshots of three CO with slow molecules and no drift."""
    frames = []
    for number in range(first_id, first_id + n):
        rng = np.random.default_rng(number)
        bonds = rng.normal(size=(3, 3))
        bonds *= (1.128 + 0.01 * rng.normal(size=(3, 1))) / np.linalg.norm(bonds, axis=1, keepdims=True)
        centres = CORNERS + 0.05 * rng.normal(size=(3, 3))
        shares = MOLECULE_MASSES_amu[::-1] / MOLECULE_MASSES_amu.sum()
        positions = np.stack([centres - shares[0] * bonds, centres + shares[1] * bonds], axis=1).reshape(
            -1, 3
        )
        atoms = from_deepmd_types(co_types(3), positions)
        velocities = rng.normal(size=(6, 3)) * 5e-4 / fs
        atoms.set_velocities(velocities - atoms.get_masses() @ velocities / atoms.get_masses().sum())
        atoms.info["snapshot_id"] = number
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")
    return path


def write_curves(path: Path) -> Path:
    """Write a bond_curves.csv whose three curves are one Morse curve, the excited one 1 % softer."""
    lengths = np.linspace(0.7, 3.4, 300)
    morse = 11.2301 * (1 - np.exp(-2.3281 * (lengths - 1.12821))) ** 2
    table = np.stack([lengths, morse, morse, 0.99 * morse], axis=1)
    np.savetxt(
        path,
        table,
        delimiter=",",
        header="bond_length_A,label_eV,model_co_eV,model_x1x2_eV",
        comments="",
        fmt="%.12g",
    )
    return path
