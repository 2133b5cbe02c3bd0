"""Crystals of α-CO that move, with the polarizabilities of the known truth."""

from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from frazil.data.structures import read_structures
from frazil.learning.polarizability import LABEL
from frazil.potentials.polarizability import along, load

ASSETS = Path(__file__).parents[1] / "assets"


def moved(n: int, seed: int = 1) -> list[Atoms]:
    """Return crystals whose molecules turn, shift and stretch as at some 10 K, with the true labels."""
    (crystal,) = read_structures(ASSETS / "structures/alpha_co.extxyz", periodic=True)
    rng = np.random.default_rng(seed)
    molecules = crystal.positions.reshape(-1, 2, 3)
    middle, bond = molecules.mean(axis=1), molecules[:, 1] - molecules[:, 0]
    frames = []
    for _ in range(n):
        turns = Rotation.from_rotvec(rng.normal(scale=0.1, size=bond.shape))
        turned = turns.apply(bond) * (1 + rng.normal(scale=0.004, size=(len(bond), 1)))
        centre = middle + rng.normal(scale=0.06, size=middle.shape)
        atoms = crystal.copy()
        atoms.positions = np.stack([centre - turned / 2, centre + turned / 2], axis=1).reshape(-1, 3)
        frames.append(atoms)
    source = load(ASSETS / "polarizabilities/alpha-co")
    found = along(source.function(crystal))(np.stack([atoms.positions for atoms in frames]))[:, 0]
    for atoms, tensor in zip(frames, found, strict=True):
        atoms.info |= {LABEL: tensor, "label_level": "co-bonds"}
    return frames


def labels(frames: list[Atoms]) -> np.ndarray:
    return np.array([atoms.info[LABEL] for atoms in frames])
