"""Molecules and aggregates: tags of the excited one, packing, relaxing, exciting, and LAMMPS data files.

Atoms are ordered molecule by molecule, C, O, C, O, …; molecule m is atoms 2m and 2m + 1.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from ase.optimize import LBFGS
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.seeds import derived_seed

if TYPE_CHECKING:
    from frazil.potentials.bond import BondCurve

TYPE_MAP = ["C", "O", "X1", "X2"]
"""DeePMD's types; LAMMPS counts them from 1. X1 and X2 are the excited molecule's C and O."""
TYPE_ELEMENTS = ["C", "O", "C", "O"]
TYPE_MASSES_amu = np.array([atomic_masses[atomic_numbers[element]] for element in TYPE_ELEMENTS])
MOLECULE_MASSES_amu = TYPE_MASSES_amu[:2]

BOND_LENGTH_A = 1.128
LONGEST_BOND_A = 2.2
"""A C and an O farther apart than this are no molecule on import."""
BOND_SLACK_A = 0.45
"""Bonds may be this much longer than the sum of covalent radii: CO up to 1.87 Å, H2 to 1.07, C–C to 1.97."""
PACKING_DISTANCE_A = 2.8


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


def molecules_of(atoms: Atoms, slack_A: float = BOND_SLACK_A) -> list[np.ndarray]:
    """Return the atoms of each molecule, by their bonds: nearer than the covalent radii plus ``slack_A``.

    A cell is not looked at. Molecules come in the order of their first atoms, atoms ascending.
    """
    radii = covalent_radii[atoms.numbers]
    vectors = atoms.positions[:, None] - atoms.positions[None]
    bonded = np.linalg.norm(vectors, axis=-1) < radii[:, None] + radii[None] + slack_A
    n_molecules, owner = connected_components(csr_array(bonded), directed=False)
    return [np.flatnonzero(owner == molecule) for molecule in range(n_molecules)]


def molecular_centres(positions_A: np.ndarray) -> np.ndarray:
    """Return centres of mass (..., molecules, 3) of positions (..., natoms, 3); velocities work as well."""
    molecules = positions_A.reshape(*positions_A.shape[:-2], -1, 2, 3)
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    return np.asarray(weights[0] * molecules[..., 0, :] + weights[1] * molecules[..., 1, :])


def bond_lengths(positions_A: np.ndarray) -> np.ndarray:
    """Return the bond lengths (..., molecules), Å, of positions (..., natoms, 3)."""
    return np.asarray(np.linalg.norm(positions_A[..., 1::2, :] - positions_A[..., ::2, :], axis=-1))


def closest_contact(positions_A: np.ndarray) -> np.ndarray:
    """Return the smallest distance (...), Å, between atoms of different molecules; infinite if none."""
    first, second = np.triu_indices(positions_A.shape[-2], 1)
    apart = first // 2 != second // 2
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


def random_aggregate(n_molecules: int, radius_A: float, campaign_seed: int, aggregate_id: int) -> Atoms:
    """Return CO molecules packed at random (positions, orientations) in a sphere, by Packmol; not relaxed.

    Raises UserError where they do not fit.
    """
    if n_molecules < 1 or radius_A <= 0:
        raise UserError(f"{n_molecules} molecules in a sphere of {radius_A:g} Å; both must be positive")
    region = f"inside sphere 0. 0. 0. {radius_A}"
    atoms = pack(n_molecules, region, PACKING_DISTANCE_A, campaign_seed, "packmol", aggregate_id)
    atoms.positions -= molecular_centres(atoms.positions).mean(axis=0)
    set_excited(atoms, -1)
    return atoms


def pack(
    n_molecules: int, region: str, distance_A: float, campaign_seed: int, stream: str, identity: int
) -> Atoms:
    """Return CO molecules at random in a region (Packmol's words), atoms at least ``distance_A`` apart.

    Packmol: Martínez et al., J. Comput. Chem. 30, 2157 (2009). Raises UserError where they do not fit.
    """
    program = shutil.which("packmol", path=str(Path(sys.executable).parent)) or shutil.which("packmol")
    if program is None:
        raise UserError("packmol is not installed; install it beside this Python (pip install packmol)")
    seed = derived_seed(campaign_seed, stream, identity)
    with tempfile.TemporaryDirectory(prefix="packmol-") as directory:
        Path(directory, "co.xyz").write_text(f"2\n\nC 0 0 0\nO 0 0 {BOND_LENGTH_A}\n")
        # Packmol rewinds its input: it must be a file, not a pipe.
        Path(directory, "pack.inp").write_text(
            f"tolerance {distance_A}\nfiletype xyz\noutput packed.xyz\nseed {seed}\nnloop 100\n"
            f"structure co.xyz\n  number {n_molecules}\n  {region}\nend structure\n"
        )
        with Path(directory, "pack.inp").open() as text:
            done = subprocess.run([program], stdin=text, cwd=directory, capture_output=True, text=True)
        if "Success!" not in done.stdout:
            if "Userguide" not in done.stdout or "runtime error" in done.stderr:
                raise RuntimeError(f"packmol failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            where = " and ".join(line.strip() for line in region.splitlines())
            raise UserError(
                f"{n_molecules} CO do not fit {where} with {distance_A:g} Å between molecules; give a larger "
                "aggregate radius, or a lower density"
            )
        packed = ase.io.read(Path(directory, "packed.xyz"))
    return Atoms(packed.symbols, positions=packed.positions)


def relax(atoms: Atoms, calculator: Any, max_force_eV_per_A: float = 0.005, max_steps: int = 10000) -> Atoms:
    """Return the atoms relaxed with an ASE calculator (L-BFGS), at rest, without the calculator.

    Raises UserError if the forces do not fall below the limit in ``max_steps``.
    """
    relaxed = atoms.copy()
    relaxed.set_momenta(np.zeros_like(relaxed.positions))
    relaxed.calc = calculator
    with LBFGS(relaxed, logfile=None) as optimizer:
        converged = optimizer.run(fmax=max_force_eV_per_A, steps=max_steps)
    if not converged:
        raise UserError(
            f"an aggregate of {len(atoms) // 2} molecules did not relax below {max_force_eV_per_A:g} eV/Å in "
            f"{max_steps} steps; give a larger aggregate radius"
        )
    relaxed.calc = None
    return relaxed


def set_internal_energy(
    positions_A: np.ndarray,
    velocities: np.ndarray,
    molecule: int,
    energy_eV: float,
    curve: "BondCurve",
    sign: int,
) -> np.ndarray:
    """Return velocities (natoms, 3) with one molecule's energy along its bond set: p_r²/2μ + V(r) = energy.

    Velocities are in ASE units. The molecule's centre-of-mass velocity and the part of the relative velocity
    perpendicular to the bond do not change; ``sign`` +1 stretches, −1 compresses. Raises UserError where V(r)
    at the present bond length already exceeds ``energy_eV`` (above the bond's minimum).
    """
    carbon, oxygen = 2 * molecule, 2 * molecule + 1
    bond = positions_A[oxygen] - positions_A[carbon]
    length = float(np.linalg.norm(bond))
    radial_energy = energy_eV - float(curve.energy(length))
    if not radial_energy >= 0:
        raise UserError(
            f"an internal energy of {energy_eV:g} eV cannot be given at a bond length of {length:.3f} Å, "
            "whose potential is higher; give a higher energy or another snapshot"
        )
    along = bond / length
    relative = velocities[oxygen] - velocities[carbon]
    speed = np.sign(sign) * np.sqrt(2 * radial_energy / curve.reduced_mass_amu)
    relative = relative + (speed - relative @ along) * along
    centre = molecular_centres(velocities[[carbon, oxygen]])[0]
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    changed = velocities.copy()
    changed[carbon] = centre - weights[1] * relative
    changed[oxygen] = centre + weights[0] * relative
    return changed


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
    read = ase.io.read(path, format="lammps-data", atom_style="atomic", Z_of_type=z_of_type, units="metal")
    atoms = from_deepmd_types(np.asarray(read.arrays["type"]) - 1, read.positions)
    if read.has("momenta"):
        atoms.set_velocities(read.get_velocities())
    return atoms
