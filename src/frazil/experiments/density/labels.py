"""Labels: a converged density, and its response to a field, fitted by functions on the atoms.

The fit has the least error of the Coulomb energy, c = J⁻¹(P|ρ), with charge and dipole held at what they are.
One coupled-perturbed calculation gives the orbitals' response to a uniform field along x, y and z, hence the
polarizability and the density's response, without a field strength to choose. Atomic units inside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ase.units
import numpy as np
from ase import Atoms

from frazil.experiments.density.auxiliary import Auxiliary, held, moments
from frazil.labels import electronic_structure

DEBYE = ase.units.Bohr / ase.units.Debye
"""An atomic unit of the dipole."""
MEV = 1e3 * ase.units.Hartree
A3 = ase.units.Bohr**3
ERROR_GRID = 1
"""PySCF's integration grid for errors of densities."""
POINTS_AT_ONCE = 5000


@dataclass(frozen=True)
class Label:
    """The fitted density of a frame, and what the fit itself costs.

    coefficients (n, 1), or with the response to fields along x, y, z (n, 4), atomic units. dipole_au (3,) and
    polarizability_au (3, 3), bohr³, are of the density that was fitted; the latter is nan if not asked for.
    """

    coefficients: np.ndarray
    energy_eV: float
    n_electrons: int
    dipole_au: np.ndarray
    polarizability_au: np.ndarray
    attempt: str
    n_cycles: int
    errors: dict[str, float]
    """Of the fit: density_fit_percent (∫|Δn|/N) and hartree_fit_meV; before charge and dipole are held
    charge_fit, dipole_fit_D and polarizability_fit_A3 (largest element; nan without a response).
    """


def fitted(atoms: Atoms, level: str, auxiliary: Auxiliary, response: bool) -> Label:
    """Return the label of a frame at a level ``functional/basis``.

    Raises UserError for a frame or basis that cannot be, and ``electronic_structure.NotConverged``.
    """
    from pyscf import df, scf  # type: ignore[import-not-found,unused-ignore]

    field, attempt = electronic_structure.converged(atoms, level)
    molecule, density = field.mol, field.make_rdm1()
    functions = auxiliary.molecule(atoms)
    charges, dipoles = moments(functions)
    coulomb = functions.intor("int2c2e")
    densities = [density]
    polarizability = np.full((3, 3), np.nan)
    if response:
        responses = electronic_structure.responses(field)
        densities += list(responses)
        polarizability = electronic_structure.polarizability_of(molecule, responses)
    three = df.incore.aux_e2(molecule, functions, intor="int3c2e", aosym="s1")
    raw = np.linalg.solve(coulomb, np.einsum("pqP,xpq->Px", three, np.array(densities))).T
    nuclear = molecule.atom_charges() @ molecule.atom_coords()
    dipole = np.asarray(field.dip_moment(unit="AU", verbose=0))
    wanted = np.zeros((len(densities), 4))
    wanted[0] = molecule.nelectron, *(nuclear - dipole)
    wanted[1:, 1:] = -polarizability.T if response else 0.0
    integrals = np.column_stack([charges, dipoles])
    kept, missed = held(raw, coulomb, integrals, wanted), raw @ integrals - wanted
    hartree = 0.5 * np.einsum("pq,pq", scf.hf.SCF(molecule).get_j(dm=density), density)
    errors = {
        "density_fit_percent": 100 * _difference(field, density, functions, kept[0]) / molecule.nelectron,
        "hartree_fit_meV": MEV * float(0.5 * kept[0] @ coulomb @ kept[0] - hartree),
        "charge_fit": float(missed[0, 0]),
        "dipole_fit_D": DEBYE * float(np.linalg.norm(missed[0, 1:])),
        "polarizability_fit_A3": A3 * float(np.abs(missed[1:, 1:]).max()) if response else np.nan,
    }
    return Label(
        kept.T, float(field.e_tot) * ase.units.Hartree, molecule.nelectron, dipole,
        polarizability, attempt, int(field.cycles), errors,
    )  # fmt: skip


def _difference(field: Any, density: np.ndarray, functions: Any, coefficients: np.ndarray) -> float:
    """Return ∫|n − ñ|, electrons, of a density matrix and of fitted coefficients."""
    from pyscf import dft

    total = 0.0
    for points, weights in grid_of(field.mol):
        whole = dft.numint.eval_rho(field.mol, dft.numint.eval_ao(field.mol, points), density)
        total += float(weights @ np.abs(whole - dft.numint.eval_ao(functions, points) @ coefficients))
    return total


def grid_of(molecule: Any, level: int = ERROR_GRID) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield an integration grid of PySCF's in parts: points (n, 3), bohr, and weights (n,)."""
    from pyscf import dft

    grid = dft.gen_grid.Grids(molecule)
    grid.level = level
    grid.build()
    for first in range(0, len(grid.weights), POINTS_AT_ONCE):
        here = slice(first, first + POINTS_AT_ONCE)
        yield grid.coords[here], grid.weights[here]
