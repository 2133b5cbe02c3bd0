"""What a predicted density is judged by: itself, moments, energies, potential, and one step of the field.

Errors of densities are against the fitted ones, which were learned from; what the fit misses stands with each
frame. Atomic units inside; ``QUANTITIES`` says the units of what comes out.
"""

from dataclasses import dataclass
from typing import Any

import ase.units
import numpy as np
from ase import Atoms
from ase.data import vdw_radii

from frazil.errors import UserError
from frazil.experiments.density.auxiliary import Auxiliary, moments
from frazil.experiments.density.labels import A3, DEBYE, MEV, grid_of
from frazil.experiments.density.model import Predicted
from frazil.labels import electronic_structure

SURFACE_SCALE = 1.4
"""Of van der Waals radii: the surface of the potential."""
SURFACE_POINTS = 80
"""About each atom; those within another's sphere are left out."""
VOLT = ase.units.Hartree
VARIANCE, RESPONSE_VARIANCE = "variance", "response variance"
DENSITY, CHARGE, DIPOLE, HARTREE = "density", "charge", "dipole", "Hartree energy"
POTENTIAL, POLARIZABILITY, STEP = "potential", "polarizability", "energy after a step"


@dataclass(frozen=True)
class Quantity:
    """How errors of a quantity are told: their unit, and whether their root mean square or mean is taken."""

    unit: str
    is_root: bool
    meaning: str


QUANTITIES = {
    VARIANCE: Quantity("%", True, "√(ΣΔcᵀSΔc / Σ(c − c̄)ᵀS(c − c̄)) of the density"),
    DENSITY: Quantity("%", False, "∫|Δn| over the electrons"),
    CHARGE: Quantity("e", True, "electrons missed, before they are held"),
    DIPOLE: Quantity("D", True, "length of the dipole's error"),
    HARTREE: Quantity("meV/atom", True, "½cᵀJc"),
    POTENTIAL: Quantity("mV", True, f"electrostatic, where {SURFACE_SCALE} van der Waals radii end"),
    RESPONSE_VARIANCE: Quantity("%", True, "the same of the density's response to a field"),
    POLARIZABILITY: Quantity("Å³", True, "√(Σ_xy Δα_xy²)"),
    STEP: Quantity("meV/atom", True, "of one step of the self-consistent field, above the converged energy"),
}


@dataclass(frozen=True)
class Part:
    """Errors of one frame, by the model and its members (1 + M,), and what they are measured in.

    Of a root mean square ``errors`` are squares. ``scale`` is 1 but for variances, whose part it is.
    """

    errors: np.ndarray
    scale: float = 1.0


class Judge:
    """A frame with its label, of which any prediction can be judged."""

    def __init__(
        self, atoms: Atoms, auxiliary: Auxiliary, density: np.ndarray, response: np.ndarray | None
    ) -> None:
        """density (n,), response (n, 3) or None where it was not asked for."""
        self.atoms, self.density, self.response = atoms, density, response
        self.functions = auxiliary.molecule(atoms)
        self.overlap = self.functions.intor("int1e_ovlp")
        self.coulomb = self.functions.intor("int2c2e")
        _, self.dipoles = moments(self.functions)
        self.potentials = potential_of(self.functions, surface_of(atoms))

    def of_density(self, predicted: Predicted, means: np.ndarray) -> dict[str, Part]:
        """Return the errors of a density; means (n,) are the coefficients without environments."""
        found = predicted.coefficients[:, :, 0]
        wrong = found - self.density
        own = self.density - means
        n_atoms, n_electrons = len(self.atoms), int(self.atoms.numbers.sum())
        hartree = [0.5 * float(c @ self.coulomb @ c) for c in (self.density, *found)]
        volts = VOLT * wrong @ self.potentials
        return {
            VARIANCE: Part(_squares(wrong, self.overlap), float(own @ self.overlap @ own)),
            DENSITY: Part(100 * self._absolute(wrong) / n_electrons),
            CHARGE: Part((predicted.charges[:, 0] - n_electrons) ** 2),
            DIPOLE: Part(((DEBYE * wrong @ self.dipoles) ** 2).sum(axis=1)),
            HARTREE: Part((MEV * (np.array(hartree[1:]) - hartree[0]) / n_atoms) ** 2),
            POTENTIAL: Part(1e6 * (volts**2).mean(axis=1)),
        }

    def of_response(self, predicted: Predicted, means: np.ndarray) -> dict[str, Part]:
        """Return the errors of a response; means (n, 3) are the coefficients without environments."""
        assert self.response is not None
        wrong, own = predicted.coefficients - self.response, self.response - means
        squares = sum(_squares(wrong[:, :, field], self.overlap) for field in range(3))
        scale = sum(float(own[:, field] @ self.overlap @ own[:, field]) for field in range(3))
        return {
            RESPONSE_VARIANCE: Part(np.asarray(squares), scale),
            POLARIZABILITY: Part(((A3 * self.polarizabilities(wrong)) ** 2).sum(axis=(1, 2))),
        }

    def dipole_D(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the dipoles (…, 3), Debye, of coefficients (…, n) of neutral densities."""
        nuclear = self.functions.atom_charges() @ self.functions.atom_coords()
        return np.asarray(DEBYE * (nuclear - coefficients @ self.dipoles))

    def polarizabilities(self, coefficients: np.ndarray) -> np.ndarray:
        """Return −∫r_x n^(y), (k, 3, 3), bohr³, of responses (k, n, 3)."""
        return np.asarray(-np.einsum("nx,kny->kxy", self.dipoles, coefficients))

    def _absolute(self, wrong: np.ndarray) -> np.ndarray:
        """Return ∫|Δn|, electrons, of coefficients (k, n)."""
        from pyscf import dft  # type: ignore[import-not-found,unused-ignore]

        total = np.zeros(len(wrong))
        for points, weights in grid_of(self.functions):
            total += weights @ np.abs(dft.numint.eval_ao(self.functions, points) @ wrong.T)
        return total


def _squares(wrong: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Return Δcᵀ S Δc of coefficients (k, n)."""
    return np.asarray(np.einsum("kn,kn->k", wrong @ metric, wrong))


def surface_of(atoms: Atoms) -> np.ndarray:
    """Return points (n, 3), Å, where scaled van der Waals spheres end, outside all others."""
    steps = np.arange(SURFACE_POINTS) + 0.5
    height, turn = 1 - 2 * steps / SURFACE_POINTS, np.pi * (1 + np.sqrt(5)) * steps
    ring = np.sqrt(1 - height**2)
    sphere = np.column_stack([ring * np.cos(turn), ring * np.sin(turn), height])
    radii = SURFACE_SCALE * radii_A(atoms)
    points = (atoms.positions[:, None] + radii[:, None, None] * sphere).reshape(-1, 3)
    distances = np.linalg.norm(points[:, None] - atoms.positions, axis=-1)
    return np.asarray(points[(distances > radii - 1e-6).all(axis=1)])


def radii_A(atoms: Atoms) -> np.ndarray:
    """Return van der Waals radii (n,), Å. Raises UserError for an element that has none."""
    radii = vdw_radii[atoms.numbers]
    if unknown := sorted(set(np.array(atoms.get_chemical_symbols())[np.isnan(radii)].tolist())):
        raise UserError(
            f"no van der Waals radius of {', '.join(unknown)} is known, outside which the potential of "
            f"{atoms.symbols} would be judged; leave such frames out"
        )
    return np.asarray(radii)


def potential_of(functions: Any, points_A: np.ndarray) -> np.ndarray:
    """Return ∫φ(r')/|r − r'| (n, points), atomic units, of all functions at some points."""
    from pyscf import gto

    probes = gto.fakemol_for_charges(points_A / ase.units.Bohr)
    return np.asarray(gto.mole.intor_cross("int2c2e", functions, probes))


SEMILOCAL = {"pbe0": "pbe", "b3lyp": "blyp", "bhandhlyp": "blyp"}
"""Exact exchange needs orbitals: from a density alone, the functional that it was mixed into takes its place.
"""


def is_hybrid(level: str) -> bool:
    """Return whether the functional of a level has exact exchange."""
    return electronic_structure.level(level).method.functional in SEMILOCAL


class FieldStep:
    """One step of the self-consistent field from a density: its potential, orbitals and their energy.

    Of a hybrid functional the first potential is its semilocal relative's, and a second one, with the exact
    exchange of the orbitals found, follows.
    """

    def __init__(self, atoms: Atoms, level: str, functions: Any) -> None:
        from pyscf import df

        self.field = electronic_structure.unconverged(atoms, level)
        molecule = self.field.mol
        self.functions, self.three = functions, df.incore.aux_e2(molecule, functions, intor="int3c2e")
        self.core, self.overlap = self.field.get_hcore(), self.field.get_ovlp()
        self.is_hybrid = is_hybrid(level)
        self.functional = SEMILOCAL.get(self.field.xc, self.field.xc)

    def from_coefficients(self, coefficients: np.ndarray) -> list[np.ndarray]:
        """Return the density matrices after one step from the coefficients (k, n) of some densities."""
        from pyscf import dft

        integrator, molecule = dft.numint.NumInt(), self.field.mol
        focks = self.core + np.einsum("pqn,kn->kpq", self.three, coefficients, optimize=True)
        for points, weights in grid_of(molecule, self.field.grids.level):
            densities = dft.numint.eval_ao(self.functions, points, deriv=1) @ coefficients.T
            orbitals = dft.numint.eval_ao(molecule, points, deriv=1)
            for fock, density in zip(focks, densities.transpose(2, 0, 1), strict=True):
                density = np.where(density[0] < 0, 0.0, density)  # far out, where nothing is
                slope = integrator.eval_xc_eff(self.functional, density, deriv=1, xctype="GGA")[1] * weights
                slope[0] *= 0.5
                half = orbitals[0].T @ np.einsum("xg,xgp->gp", slope, orbitals)
                fock += half + half.T
        return [self._filled(fock) for fock in focks]

    def from_atoms(self) -> np.ndarray:
        """Return the density matrix after one step from atomic densities."""
        start = self.field.get_init_guess(key="minao")
        return self._diagonalized(self.field.get_fock(dm=start))

    def _filled(self, fock: np.ndarray) -> np.ndarray:
        density = self._diagonalized(fock)
        return self._diagonalized(self.field.get_fock(dm=density)) if self.is_hybrid else density

    def _diagonalized(self, fock: np.ndarray) -> np.ndarray:
        energies, orbitals = self.field.eig(fock, self.overlap)
        return np.asarray(self.field.make_rdm1(orbitals, self.field.get_occ(energies, orbitals)))

    def energy_eV(self, density: np.ndarray) -> float:
        """Return the energy of a density matrix."""
        return float(self.field.energy_tot(dm=density)) * ase.units.Hartree

    def cycles(self, density: np.ndarray) -> float:
        """Return the cycles to converge from a density matrix that a step made, this step among them.

        nan where the field does not converge from there.
        """
        self.field.kernel(dm0=density)
        return self.field.cycles + (2 if self.is_hybrid else 1) if self.field.converged else np.nan
