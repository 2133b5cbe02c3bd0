"""Molecules and aggregates: tags of the excited one, packing, relaxing, exciting, and LAMMPS data files.

Atoms are ordered molecule by molecule, C, O, C, O, …; molecule m is atoms 2m and 2m + 1.
"""

from collections.abc import Sequence
from pathlib import Path

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers

from frazil.errors import UserError
from frazil.files import write_atomic

TYPE_MAP = ["C", "O", "X1", "X2"]
"""DeePMD's types; LAMMPS counts them from 1. X1 and X2 are the excited molecule's C and O."""
TYPE_ELEMENTS = ["C", "O", "C", "O"]
TYPE_MASSES_amu = np.array([atomic_masses[atomic_numbers[element]] for element in TYPE_ELEMENTS])
MOLECULE_MASSES_amu = TYPE_MASSES_amu[:2]

BOND_LENGTH_A = 1.128
LONGEST_BOND_A = 2.2
"""A C and an O farther apart than this are no molecule on import."""


def excited_molecules(atoms: Atoms) -> list[int]:
    """Return the tagged molecules, ascending. Datasets check that both atoms of a molecule are."""
    if "excited" not in atoms.arrays:
        return []
    return sorted({int(atom) // 2 for atom in np.flatnonzero(atoms.arrays["excited"])})


def excited_molecule(atoms: Atoms) -> int:
    """Return the one tagged molecule, or −1 for none. Raises UserError for more than one."""
    tagged = excited_molecules(atoms)
    if len(tagged) > 1:
        raise UserError(f"{len(tagged)} molecules are tagged as excited; at most one is allowed here")
    return tagged[0] if tagged else -1


def set_excited(atoms: Atoms, molecule: int) -> None:
    """Tag one molecule as the excited one, in place; −1 removes the tag."""
    if not -1 <= molecule < len(atoms) // 2:
        raise UserError(f"molecule {molecule} of {len(atoms) // 2}; count from 0, or −1 for none")
    tags = np.zeros(len(atoms), int)
    if molecule >= 0:
        tags[2 * molecule : 2 * molecule + 2] = 1
    atoms.set_array("excited", tags, int)


def deepmd_types(atoms: Atoms, excited_types: bool = True) -> np.ndarray:
    """Return indices into TYPE_MAP (natoms,); without ``excited_types``, tagged atoms are plain C, O."""
    types = np.array([TYPE_MAP.index(symbol) for symbol in atoms.get_chemical_symbols()], int)
    if excited_types and "excited" in atoms.arrays:
        types += 2 * (np.asarray(atoms.arrays["excited"]) > 0)
    return types


def co_types(n_molecules: int, excited_molecule: int = -1) -> np.ndarray:
    """Return types (n_atoms,), indices into TYPE_MAP, of CO molecules, one of them excited (−1: none)."""
    types = np.tile([TYPE_MAP.index("C"), TYPE_MAP.index("O")], n_molecules)
    if excited_molecule >= 0:
        types[2 * excited_molecule : 2 * excited_molecule + 2] = (TYPE_MAP.index("X1"), TYPE_MAP.index("X2"))
    return types


def from_deepmd_types(types: np.ndarray, positions_A: np.ndarray) -> Atoms:
    """Return atoms with tags from indices into TYPE_MAP, the inverse of ``deepmd_types``."""
    atoms = Atoms([TYPE_ELEMENTS[kind] for kind in types], positions=positions_A)
    atoms.set_array("excited", (np.asarray(types) >= 2).astype(int), int)
    return atoms


def molecular_centres(positions_A: np.ndarray) -> np.ndarray:
    """Return centres of mass (..., molecules, 3) of positions (..., natoms, 3); velocities work as well."""
    molecules = positions_A.reshape(*positions_A.shape[:-2], -1, 2, 3)
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    return np.asarray(weights[0] * molecules[..., 0, :] + weights[1] * molecules[..., 1, :])


def bond_lengths(positions_A: np.ndarray) -> np.ndarray:
    """Return the bond lengths (..., molecules), Å, of positions (..., natoms, 3)."""
    return np.asarray(np.linalg.norm(positions_A[..., 1::2, :] - positions_A[..., ::2, :], axis=-1))


def closest_contact(positions_A: np.ndarray, owner: np.ndarray | None = None) -> np.ndarray:
    """Return the smallest distance (...), Å, between atoms of different molecules; infinite if none.

    ``owner`` (natoms,) is the molecule of each atom, two by two if not given.
    """
    first, second = np.triu_indices(positions_A.shape[-2], 1)
    apart = first // 2 != second // 2 if owner is None else owner[first] != owner[second]
    first, second = first[apart], second[apart]
    if not len(first):
        return np.full(positions_A.shape[:-2], np.inf)
    squared = ((positions_A[..., first, :] - positions_A[..., second, :]) ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(squared.min(axis=-1)))


def order_by_molecule(atoms: Atoms) -> Atoms:
    """Return the atoms reordered C, O, C, O, …, each C with the O nearest to it; tags and labels go along.

    Raises UserError unless every atom is a C or an O and pairs up within LONGEST_BOND_A.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    carbons, oxygens = np.flatnonzero(symbols == "C"), np.flatnonzero(symbols == "O")
    if len(carbons) != len(oxygens) or 2 * len(carbons) != len(atoms) or not len(atoms):
        raise UserError(f"{atoms.symbols} is not made of CO molecules; every C needs one O and nothing else")
    distances = np.linalg.norm(atoms.positions[carbons][:, None] - atoms.positions[oxygens][None], axis=-1)
    partners = np.full(len(carbons), -1)
    for flat in np.argsort(distances, axis=None, kind="stable"):
        carbon, oxygen = divmod(int(flat), len(oxygens))
        if partners[carbon] < 0 and oxygen not in partners:
            partners[carbon] = oxygen
    longest = distances[np.arange(len(carbons)), partners].max()
    if longest > LONGEST_BOND_A:
        raise UserError(
            f"a C without an O within {LONGEST_BOND_A:g} Å (nearest free one at {longest:.2f} Å); "
            "only whole CO molecules can be read"
        )
    order = np.stack([carbons, oxygens[partners]], axis=1).ravel()
    ordered = atoms[order]
    if atoms.calc is not None:
        results = {
            name: np.asarray(value)[order] if np.shape(value)[:1] == (len(atoms),) else value
            for name, value in atoms.calc.results.items()
        }
        ordered.calc = SinglePointCalculator(ordered, **results)
    return ordered


def lammps_names(type_map: Sequence[str]) -> list[str]:
    """Return what a model calls the four types of LAMMPS; one without X1 and X2 sees C and O."""
    return [name if name in type_map else {"X1": "C", "X2": "O"}[name] for name in TYPE_MAP]


def write_lammps_data(path: Path | str, atoms: Atoms, margin_A: float = 10.0) -> None:
    """Write a LAMMPS data file (atomic style, metal units) with types 1 to 4, masses and velocities."""
    low, high = atoms.positions.min(axis=0) - margin_A, atoms.positions.max(axis=0) + margin_A
    lines = [
        "CO molecules, types: " + " ".join(TYPE_MAP),
        "",
        f"{len(atoms)} atoms",
        f"{len(TYPE_MAP)} atom types",
    ]
    lines += [f"{a:.17g} {b:.17g} {x}lo {x}hi" for a, b, x in zip(low, high, "xyz", strict=True)]
    lines += ["", "Masses", ""]
    lines += [f"{i} {mass:.17g}  # {TYPE_MAP[i - 1]}" for i, mass in enumerate(TYPE_MASSES_amu, 1)]
    lines += ["", "Atoms # atomic", ""]
    for i, (kind, xyz) in enumerate(zip(deepmd_types(atoms) + 1, atoms.positions, strict=True), 1):
        lines.append(f"{i} {kind} " + " ".join(f"{value:.17g}" for value in xyz))
    if atoms.has("momenta"):
        lines += ["", "Velocities", ""]
        for i, xyz in enumerate(atoms.get_velocities() * (1000 * ase.units.fs), 1):
            lines.append(f"{i} " + " ".join(f"{value:.17g}" for value in xyz))
    with write_atomic(path) as partial:
        partial.write_text("\n".join(lines) + "\n")


def read_lammps_data(path: Path | str) -> Atoms:
    """Return non-periodic atoms with tags from a LAMMPS data file with types 1…4 of TYPE_MAP."""
    if not Path(path).is_file():
        raise UserError(f"no LAMMPS data file {path}")
    z_of_type = {i: atomic_numbers[element] for i, element in enumerate(TYPE_ELEMENTS, 1)}
    read = ase.io.read(
        path,
        format="lammps-data",
        atom_style="atomic",
        Z_of_type=z_of_type,
        units="metal",
        do_not_split_by_at_sign=True,
    )
    atoms = from_deepmd_types(np.asarray(read.arrays["type"]) - 1, read.positions)
    if read.has("momenta"):
        atoms.set_velocities(read.get_velocities())
    return atoms
