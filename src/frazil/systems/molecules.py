"""Molecules of any kind: one at rest by its name, SMILES or file; which atoms belong together; orientations.

Inside a molecule carbon comes first, then other elements from heavy to light, hydrogen last: C, O; O, H, H.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from frazil.errors import UserError
from frazil.systems.co import BOND_LENGTH_A, closest_contact

BOND_SLACK_A = 0.45
"""Bonds may be this much longer than the sum of covalent radii: CO up to 1.87 Å, H2 to 1.07, C–C to 1.97."""
LONGEST_A = {("C", "O"): 1.6, ("H", "H"): 1.5}
"""Longer ones are broken; other bonds are where they are longer than their radii and the slack allow."""
SMILES = "smiles:"
MOLECULE = "molecule"
"""Array of the molecule that each atom belongs to, from 0."""
EMBEDDING_SEED = 7


def centre_weights(masses_amu: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Return weights (groups, natoms), whose sums over positions are the groups' centres of mass."""
    weights = np.zeros((len(groups), len(masses_amu)))
    for row, own in zip(weights, groups, strict=True):
        row[own] = masses_amu[own] / masses_amu[own].sum()
    return weights


def bonds_of(atoms: Atoms, slack_A: float = BOND_SLACK_A) -> np.ndarray:
    """Return the bonds (n_bonds, 2): atoms nearer than their covalent radii and ``slack_A``; no cell."""
    radii = covalent_radii[atoms.numbers]
    pairs = cKDTree(atoms.positions).query_pairs(2 * radii.max(initial=0.0) + slack_A, output_type="ndarray")
    lengths = np.linalg.norm(atoms.positions[pairs[:, 0]] - atoms.positions[pairs[:, 1]], axis=1)
    pairs = pairs[lengths < radii[pairs].sum(axis=1) + slack_A]
    return np.asarray(pairs[np.lexsort(pairs.T[::-1])])


def molecules_of(atoms: Atoms, slack_A: float = BOND_SLACK_A) -> list[np.ndarray]:
    """Return the atoms of each molecule, by their bonds: nearer than the covalent radii plus ``slack_A``.

    A cell is not looked at. Molecules come in the order of their first atoms, atoms ascending.
    """
    return _joined(bonds_of(atoms, slack_A), len(atoms))


def _joined(bonds: np.ndarray, n_atoms: int) -> list[np.ndarray]:
    graph = coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms))
    n_molecules, owner = connected_components(graph, directed=False)
    return [np.flatnonzero(owner == molecule) for molecule in range(n_molecules)]


@dataclass(frozen=True)
class Molecules:
    """Which atoms are one molecule and which are bonded; told by one structure, and kept while atoms move.

    numbers (natoms,): atomic numbers. members: the atoms of each molecule, ascending. bonds (n_bonds, 2).
    """

    numbers: np.ndarray
    members: tuple[np.ndarray, ...]
    bonds: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms) -> "Molecules":
        """Return the molecules of a structure without a cell, in the order of their first atoms."""
        bonds = bonds_of(atoms)
        return cls(atoms.numbers.copy(), tuple(_joined(bonds, len(atoms))), bonds)

    @classmethod
    def told_by(cls, atoms: Atoms) -> "Molecules":
        """Return the molecules that an array ``molecule`` (natoms,) tells, kind by kind; without it, CO.

        Bonds are those of the first one of each kind alone: near ones of other molecules do not count.
        """
        if MOLECULE not in atoms.arrays:
            return cls.alike(molecule("CO"), len(atoms) // 2)
        owner = atoms.arrays[MOLECULE]
        kinds: list[tuple[Atoms, int]] = []
        for number in range(int(owner.max(initial=-1)) + 1):
            one = Atoms(atoms[owner == number])
            if kinds and np.array_equal(kinds[-1][0].numbers, one.numbers):
                kinds[-1] = (kinds[-1][0], kinds[-1][1] + 1)
            else:
                kinds.append((one, 1))
        found = cls.of_kinds(kinds)
        if not np.array_equal(found.numbers, atoms.numbers) or not np.array_equal(found.owner, owner):
            raise UserError(f"{atoms.symbols}: its column {MOLECULE} tells no molecules one after the other")
        return found

    @classmethod
    def alike(cls, one: Atoms, n_molecules: int) -> "Molecules":
        """Return so many molecules like one, atoms molecule by molecule in its order, with its bonds."""
        return cls.of_kinds([(one, n_molecules)])

    @classmethod
    def of_kinds(cls, kinds: Sequence[tuple[Atoms, int]]) -> "Molecules":
        """Return so many molecules like each, kind by kind, atoms in its order, with its bonds."""
        numbers, members, bonds, first = [np.empty(0, int)], [], [np.empty((0, 2), int)], 0
        for one, number in kinds:
            starts = first + len(one) * np.arange(number)
            first += len(one) * number
            numbers.append(np.tile(one.numbers, number))
            members += list(np.arange(len(one)) + starts[:, None])
            bonds.append((bonds_of(one) + starts[:, None, None]).reshape(-1, 2))
        return cls(np.concatenate(numbers), tuple(members), np.concatenate(bonds))

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def owner(self) -> np.ndarray:
        """The molecule of each atom (natoms,)."""
        found = np.empty(len(self.numbers), int)
        for molecule, own in enumerate(self.members):
            found[own] = molecule
        return found

    @cached_property
    def atom_masses_amu(self) -> np.ndarray:
        """Standard masses of the atoms (natoms,)."""
        return np.asarray(atomic_masses[self.numbers])

    @cached_property
    def is_co(self) -> bool:
        """Whether atoms come C, O, C, O, …, as DeePMD's types and LAMMPS have them here."""
        return bool(
            np.array_equal(self.numbers, np.tile([6, 8], len(self)))
            and np.array_equal(self.owner, np.arange(2 * len(self)) // 2)
        )

    @cached_property
    def masses_amu(self) -> np.ndarray:
        """Standard masses of the molecules (n_molecules,)."""
        return np.array([atomic_masses[self.numbers[own]].sum() for own in self.members])

    @cached_property
    def formulas(self) -> list[str]:
        """Hill formulas of the molecules."""
        return [Atoms(numbers=self.numbers[own]).get_chemical_formula() for own in self.members]

    @cached_property
    def n_of_first_kind(self) -> int:
        """How many molecules at the beginning are made of the same atoms as the first."""
        first = self.numbers[self.members[0]]
        other = (n for n, own in enumerate(self.members) if not np.array_equal(self.numbers[own], first))
        return next(other, len(self))

    @cached_property
    def name(self) -> str:
        """The formulas of all kinds, in their order: CO, or CO and N2."""
        return " and ".join(dict.fromkeys(self.formulas))

    @cached_property
    def first(self) -> np.ndarray:
        """The first atom of each molecule (n_molecules,)."""
        return np.array([own[0] for own in self.members], int)

    @cached_property
    def longest_A(self) -> np.ndarray:
        """Lengths (n_bonds,) beyond which bonds are broken."""
        elements = Atoms(numbers=self.numbers).get_chemical_symbols()
        radii = covalent_radii[self.numbers]
        return np.array([
            LONGEST_A.get(
                (min(elements[i], elements[j]), max(elements[i], elements[j])),
                radii[i] + radii[j] + BOND_SLACK_A,
            )
            for i, j in self.bonds
        ])  # fmt: skip

    def centres(self, positions_A: np.ndarray) -> np.ndarray:
        """Return centres of mass (..., n_molecules, 3) of positions (..., natoms, 3); velocities work too."""
        most = max(len(own) for own in self.members)
        total = np.zeros((*positions_A.shape[:-2], len(self), 3))
        for place in range(most):
            has = [len(own) > place for own in self.members]
            atom = np.array([own[min(place, len(own) - 1)] for own in self.members])
            weight = np.where(has, atomic_masses[self.numbers[atom]], 0.0) / self.masses_amu
            total = total + weight[:, None] * positions_A[..., atom, :]
        return total

    def middle(self, centres_A: np.ndarray) -> np.ndarray:
        """Return the centre of mass (3,) of all molecules, whose own (n_molecules, 3) are given."""
        weights = self.masses_amu / self.masses_amu[0]  # of one kind exactly 1
        return np.asarray((weights[:, None] * centres_A).sum(axis=0) / weights.sum())

    def closest_contact(self, positions_A: np.ndarray) -> np.ndarray:
        """Return the smallest distance (...), Å, between atoms of different molecules; infinite if none."""
        return closest_contact(positions_A, self.owner)

    def bond_lengths(self, positions_A: np.ndarray) -> np.ndarray:
        """Return the lengths (..., n_bonds), Å, of all bonds."""
        first, second = self.bonds.T
        return np.asarray(np.linalg.norm(positions_A[..., second, :] - positions_A[..., first, :], axis=-1))

    def broken(self, positions_A: np.ndarray) -> tuple[int, float] | None:
        """Return a molecule with a bond too long in frames (n, natoms, 3), and how long; None if all hold."""
        if not len(self.bonds):
            return None
        first, second = self.bonds.T
        lengths = np.linalg.norm(positions_A[:, second] - positions_A[:, first], axis=-1).max(axis=0)
        worst = int((lengths - self.longest_A).argmax())
        if lengths[worst] <= self.longest_A[worst]:
            return None
        owner = next(number for number, own in enumerate(self.members) if first[worst] in own)
        return owner, float(lengths[worst])


def molecule(what: str | Path) -> Atoms:
    """Return one molecule: a name that ASE knows (H2O, CH3OH), ``smiles:…``, or a file that ASE reads.

    CO and H2 are those of the published studies, 1.128 and 0.7414 Å long. Raises UserError for what is none
    of these, more or less than one molecule, ions, and open shells.
    """
    text = str(what)
    if text == "CO":
        return Atoms("CO", [[0.0, 0.0, 0.0], [0.0, 0.0, BOND_LENGTH_A]], info={"name": "CO"})
    if text == "H2":
        from frazil.potentials.analytic.h2_co import H2_LENGTH_A

        return Atoms("H2", 0.5 * H2_LENGTH_A * np.array([[0, 0, 1.0], [0, 0, -1.0]]), info={"name": "H2"})
    if text.startswith(SMILES):
        atoms = _of_smiles(text.removeprefix(SMILES))
    elif Path(text).is_file():
        atoms = _of_file(Path(text))
    else:
        atoms = _of_name(text)
    check_closed_shell(atoms, text)
    found = ordered(atoms)
    if len(molecules_of(found)) != 1:
        raise UserError(
            f"{text} holds {len(molecules_of(found))} molecules by its bonds (covalent radii and "
            f"{BOND_SLACK_A:g} Å); give one molecule in a file of its own"
        )
    found.info["name"] = found.get_chemical_formula()
    return found


def bond_of(one: Atoms, bond: Sequence[int] = ()) -> tuple[int, int]:
    """Return a bond of one molecule, by its two atoms; none given is the only one of a diatomic.

    Raises UserError for a bond that the molecule does not have.
    """
    known = [(int(i), int(j)) for i, j in bonds_of(one)]
    name, symbols = one.get_chemical_formula(), one.get_chemical_symbols()
    listed = ", ".join(f"{i},{j} ({symbols[i]}–{symbols[j]})" for i, j in known) or "none"
    if not bond and len(known) == 1:
        return known[0]
    if not bond:
        raise UserError(f"{name} has several bonds; say which is excited (--bond): {listed}")
    if tuple(sorted(bond)) not in known:
        raise UserError(f"bond {','.join(map(str, bond))} is none of {name}, whose bonds are {listed}")
    return (int(bond[0]), int(bond[1]))


def check_closed_shell(atoms: Atoms, what: str) -> None:
    """Raise UserError for ions, odd electrons, and a multiplicity or magnetic moments that say open."""
    info = atoms.info
    charge = float(info.get("charge", 0)) or float(atoms.get_initial_charges().sum().round(6))
    if charge:
        raise UserError(f"{what} has a charge of {charge:g}; molecules here are neutral")
    multiplicity = float(info.get("multiplicity", 1))
    moment = abs(float(atoms.get_initial_magnetic_moments().sum()))
    if multiplicity != 1 or moment > 1e-6 or int(atoms.numbers.sum()) % 2:
        raise UserError(
            f"{what} ({atoms.get_chemical_formula()}) has an open shell (electrons that are not paired); "
            "molecules here have closed shells: give another molecule"
        )


def ordered(atoms: Atoms) -> Atoms:
    """Return plain atoms of one molecule in the order of this module: C, then heavy to light, H last."""
    order = sorted(
        range(len(atoms)), key=lambda i: (atoms.numbers[i] != 6, atoms.numbers[i] == 1, -atoms.numbers[i], i)
    )
    return Atoms(atoms.numbers[order], atoms.positions[order])


def _of_name(name: str) -> Atoms:
    from ase.build import molecule as known
    from ase.collections import g2

    if name in g2.names:
        return known(name)
    raise UserError(
        f"no molecule {name}: neither a file nor a name that ASE knows; give a file (xyz, extxyz, …), "
        f"{SMILES}…, or a name such as CO, N2, H2O, NH3, CO2, CH4, CH3OH"
    )


def _of_file(path: Path) -> Atoms:
    try:
        images = ase.io.read(path, index=":", do_not_split_by_at_sign=True)
    except Exception as error:  # ASE's readers raise anything
        raise UserError(f"{path} is no structure that ASE reads ({error}); give xyz or extxyz") from error
    if len(images) != 1 or not len(images[0]):
        raise UserError(f"{path} holds {len(images)} structures; give one molecule")
    return images[0]


def _of_smiles(text: str) -> Atoms:
    """Return a molecule of a SMILES, embedded by ETKDG (Riniker & Landrum 2015) and relaxed by MMFF94."""
    try:
        from rdkit import Chem, RDLogger
        from rdkit.Chem import AllChem
    except ImportError as error:
        raise UserError(
            f"{SMILES}{text} needs RDKit, which is not installed here; install the extra smiles (pip "
            "install -e '.[smiles]'), or give the molecule by a file or a name"
        ) from error
    RDLogger.DisableLog("rdApp.*")
    found = Chem.MolFromSmiles(text)
    if found is None:
        raise UserError(f"{SMILES}{text} is no SMILES that RDKit reads; correct it, or give a file")
    if len(Chem.GetMolFrags(found)) != 1:
        raise UserError(f"{SMILES}{text} has {len(Chem.GetMolFrags(found))} molecules; give them one by one")
    radicals = sum(atom.GetNumRadicalElectrons() for atom in found.GetAtoms())
    found = Chem.AddHs(found)
    if AllChem.EmbedMolecule(found, randomSeed=EMBEDDING_SEED) != 0:
        raise UserError(f"{SMILES}{text} could not be embedded in space; give the molecule by a file")
    if AllChem.MMFFHasAllMoleculeParams(found):
        AllChem.MMFFOptimizeMolecule(found, maxIters=2000)
    atoms = Atoms(
        [atom.GetSymbol() for atom in found.GetAtoms()], found.GetConformer().GetPositions(),
        info={"charge": Chem.GetFormalCharge(found), "multiplicity": radicals + 1},
    )  # fmt: skip
    return atoms


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a rotation matrix (3, 3) drawn uniformly."""
    w, x, y, z = (quaternion := rng.normal(size=4)) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
