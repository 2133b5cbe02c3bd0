"""Molecular crystals from any file that ASE reads (CIF, extxyz, …), their molecules kept whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from frazil.data.cells import heights
from frazil.errors import UserError
from frazil.systems.molecules import BOND_SLACK_A, check_closed_shell, ordered
from frazil.systems.starts import CLOSEST

LONGEST_REACH_A = 500.0


@dataclass(frozen=True)
class Crystal:
    """A cell (3, 3), Å, rows its vectors, and the whole molecules that it holds, somewhere in space."""

    cell_A: np.ndarray
    molecules: tuple[Atoms, ...]

    @property
    def centres_A(self) -> np.ndarray:
        """Centres of mass of the cell's molecules (n_molecules, 3)."""
        return np.array([atoms.get_center_of_mass() for atoms in self.molecules])

    def normal(self, face: Sequence[int]) -> np.ndarray:
        """Return the normal (3,), of any length, of a lattice face (h, k, l)."""
        return np.asarray(np.asarray(face, float) @ np.linalg.inv(self.cell_A).T)

    def around(self, origin_A: np.ndarray, reach_A: float) -> Atoms:
        """Return all molecules whose centres are within a distance of a point, which becomes the origin."""
        if not reach_A < LONGEST_REACH_A:
            raise UserError(f"a crystal of {reach_A:g} Å around its middle; at most {LONGEST_REACH_A:g} Å")
        n = np.ceil(reach_A / heights(self.cell_A)).astype(int) + 2
        cells = np.stack(np.meshgrid(*[np.arange(-k, k + 1) for k in n], indexing="ij"), axis=-1)
        shifts = cells.reshape(-1, 3) @ self.cell_A
        home = np.floor(np.linalg.solve(self.cell_A.T, (self.centres_A - origin_A).T).T) @ self.cell_A
        numbers, positions = [], []
        for atoms, centre, away in zip(self.molecules, self.centres_A, home, strict=True):
            moved = centre - origin_A - away + shifts
            for shift in shifts[np.linalg.norm(moved, axis=1) <= reach_A]:
                numbers.append(atoms.numbers)
                positions.append(atoms.positions - origin_A - away + shift)
        if not numbers:
            return Atoms()
        return Atoms(np.concatenate(numbers), np.concatenate(positions))

    def surface_molecule(self, face: Sequence[int]) -> np.ndarray:
        """Return the centre (3,) of the molecule with the widest gap above it along a face's normal."""
        normal = self.normal(face) / np.gcd.reduce(np.abs(np.asarray(face, int)))
        height = np.round((self.centres_A @ normal) % 1.0, 6) % 1.0  # lattice planes are 1 apart
        levels = np.unique(height)
        gaps = np.diff(np.append(levels, levels[0] + 1.0))
        top = levels[int(np.argmax(np.round(gaps, 6)))]
        return np.asarray(self.centres_A[int(np.flatnonzero(height == top)[0])])


def read_crystal(path: Path | str) -> Crystal:
    """Return the crystal of a file.

    Raises UserError for a file without a cell, disorder (parts of atoms), a network that is bonded without
    end (no molecules), and molecules with open shells.
    """
    try:
        atoms = ase.io.read(path, index=-1, do_not_split_by_at_sign=True)
    except Exception as error:  # ASE's readers raise anything
        raise UserError(f"{path} is no crystal that ASE reads ({error}); give CIF or extxyz") from error
    if atoms.cell.rank < 3:
        raise UserError(f"{path} has no cell in three dimensions; give a crystal")
    occupied = [part for site in (atoms.info.get("occupancy") or {}).values() for part in site.values()]
    if any(part < 1.0 for part in occupied):
        raise UserError(
            f"{path} has atoms that are there in part (occupancies below 1); give an ordered structure"
        )
    atoms.pbc = True
    whole, members = whole_molecules(atoms, str(path))
    molecules = []
    for own in members:
        found = ordered(Atoms(atoms.numbers[own], whole[own]))
        check_closed_shell(found, f"a molecule of {path}")
        molecules.append(found)
    return Crystal(np.array(atoms.cell.array), tuple(molecules))


class NoMolecules(UserError):
    """A cell whose bonds have no end: ions, or a covalent network."""


def whole_molecules(atoms: Atoms, name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return positions (natoms, 3) of a crystal with its molecules in one piece, and the atoms of each.

    Molecules come in the order of their first atoms, atoms ascending. Raises UserError for overlaps, and
    NoMolecules for a network that is bonded without end.
    """
    radii = covalent_radii[atoms.numbers]
    first, second, image, apart = neighbor_list("ijSd", atoms, 2 * radii.max() + BOND_SLACK_A)
    bonded = apart < radii[first] + radii[second] + BOND_SLACK_A
    if (apart < CLOSEST * (radii[first] + radii[second])).any():
        raise UserError(f"{name} has atoms {apart.min():.2f} Å apart; give a structure without overlaps")
    first, second, image = first[bonded], second[bonded], image[bonded]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(atoms),) * 2)
    n_molecules, owner = connected_components(graph, directed=False)
    cells = _unwrapped(first, second, image, owner, name)
    members = [np.flatnonzero(owner == number) for number in range(n_molecules)]
    return atoms.positions + cells @ atoms.cell.array, members


def _unwrapped(
    first: np.ndarray, second: np.ndarray, image: np.ndarray, owner: np.ndarray, name: str
) -> np.ndarray:
    """Return the cells (natoms, 3) that the atoms lie in when each molecule is in one piece."""
    cells = np.zeros((len(owner), 3), int)
    seen = np.zeros(len(owner), bool)
    for start in range(len(owner)):
        if seen[start]:
            continue
        seen[start], todo = True, [start]
        while todo:
            here = todo.pop()
            for other, shift in zip(second[first == here], image[first == here], strict=True):
                there = cells[here] + shift
                if not seen[other]:
                    seen[other], cells[other] = True, there
                    todo.append(int(other))
                elif (cells[other] != there).any():
                    raise NoMolecules(
                        f"{name} has no whole molecules: atom {other} is bonded to its own image in another "
                        "cell; molecular crystals only, not ionic or covalent ones"
                    )
    return cells


def formulas_of(crystal: Crystal) -> list[str]:
    """Return the Hill formulas of the kinds of molecules, sorted."""
    return sorted({atoms.get_chemical_formula() for atoms in crystal.molecules})
