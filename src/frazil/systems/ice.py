"""Ice Ih with disordered protons: oxygens of the hexagonal lattice, hydrogens by the ice rules, no dipole.

Each oxygen has four neighbours, each bond one proton, each oxygen two near ones (Bernal & Fowler, J. Chem.
Phys. 1, 515, 1933). Bonds are walked along closed ways drawn at random, which leave each oxygen as often as
they come to it; of such drawings the first is taken whose cell has no dipole.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.neighborlist import neighbor_list

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.seeds import rng
from frazil.units import G_PER_CM3

LENGTH_A = 0.96
"""Of O–H bonds, before anything relaxes them."""
MOST_DRAWINGS = 20_000
NO_DIPOLE = 1e-6
"""Of the sum of bonds' unit vectors."""
FARTHEST = 1.15
"""Oxygens nearer than so many times the ideal bond are neighbours; the next shell is at 1.63."""


def ice(repeats: Sequence[int], a_A: float, c_A: float, seed: int) -> Atoms:
    """Return a cell of 8 molecules, a × √3 a × c, repeated along its vectors; atoms are O, H, H of each.

    Molecules are whole: their hydrogens may stand outside the cell. Raises UserError where no drawing is
    without a dipole.
    """
    places = [(1 / 3, 2 / 3, 1 / 16), (2 / 3, 1 / 3, 9 / 16), (2 / 3, 1 / 3, -1 / 16), (1 / 3, 2 / 3, 7 / 16)]
    hexagonal = Atoms("O4", cell=[a_A, a_A, c_A, 90, 90, 120], pbc=True, scaled_positions=places)
    whole = make_supercell(hexagonal, [[1, 0, 0], [1, 2, 0], [0, 0, 1]]).repeat(tuple(repeats))
    whole.wrap()
    first, second, vectors, images = neighbor_list("ijDS", whole, FARTHEST * _bond_A(a_A, c_A))
    forward = (first < second) | ((first == second) & _positive(images))
    bonds, units = np.stack([first, second], axis=1)[forward], vectors[forward]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    if not (np.bincount(bonds.ravel(), minlength=len(whole)) == 4).all():
        raise UserError(
            f"a lattice of a {a_A:g} and c {c_A:g} Å, whose oxygens have not four neighbours each; c is near "
            "1.63 a: give others"
        )
    random = rng(seed, "ice", *map(int, repeats))
    for _ in range(MOST_DRAWINGS):
        signs = _walked(bonds, len(whole), random)
        if np.linalg.norm(signs @ units) < NO_DIPOLE:
            return _with_protons(whole, bonds, units, signs)
    raise UserError(
        f"{len(whole)} molecules without a dipole were not found in {MOST_DRAWINGS} drawings; take another "
        "seed, or an even number of cells along one vector"
    )


def _bond_A(a_A: float, c_A: float) -> float:
    """Return the longer of the two kinds of bonds."""
    return float(max(3 / 8 * c_A, np.hypot(a_A / np.sqrt(3), c_A / 8)))


def _positive(images: np.ndarray) -> np.ndarray:
    """Return whether the first number of a row that is not 0 is above it."""
    leading = np.take_along_axis(images, np.argmax(images != 0, axis=1)[:, None], axis=1)
    return np.asarray(leading[:, 0] > 0)


def _walked(bonds: np.ndarray, n_oxygens: int, random: np.random.Generator) -> np.ndarray:
    """Return 1 for bonds (n_bonds, 2) walked from the first oxygen to the second, −1 for others."""
    signs = np.zeros(len(bonds), int)
    left: list[list[int]] = [[] for _ in range(n_oxygens)]
    for number in random.permutation(len(bonds)):
        for oxygen in bonds[number]:
            left[oxygen].append(int(number))
    at = 0
    while (signs == 0).any():
        here = [number for number in left[at] if not signs[number]]
        if not here:  # the way is closed: the next begins elsewhere
            at = int(bonds[random.choice(np.flatnonzero(signs == 0)), 0])
            continue
        number = here[0]
        from_first = bonds[number, 0] == at
        signs[number] = 1 if from_first else -1
        at = int(bonds[number, 1 if from_first else 0])
    return signs


def _with_protons(oxygens: Atoms, bonds: np.ndarray, units: np.ndarray, signs: np.ndarray) -> Atoms:
    """Return the molecules: a proton stands near the oxygen that its bond leaves."""
    givers, ways = np.where(signs > 0, bonds[:, 0], bonds[:, 1]), signs[:, None] * units
    positions = [
        np.vstack([place, *(place + LENGTH_A * ways[number] for number in np.flatnonzero(givers == oxygen))])
        for oxygen, place in enumerate(oxygens.positions)
    ]
    return Atoms(["O", "H", "H"] * len(oxygens), np.concatenate(positions), cell=oxygens.cell, pbc=True)


def build(repeats: Sequence[int], a_A: float, c_A: float, seed: int, out: Path) -> str:
    """Write ``ice`` as extended XYZ. Return what it is."""
    found = ice(repeats, a_A, c_A, seed)
    density = found.get_masses().sum() / found.get_volume() * G_PER_CM3
    found.info["name"] = f"ice-{len(found) // 3}"
    write_frames(out, [found])
    return f"{len(found) // 3} molecules, {density:.3f} g/cm³, no dipole"
