"""Functions on the atoms that a density is expanded in: n(r) = Σ c_iaν λμ φ_ν λμ(r − r_i), in atomic units.

The functions are those of an auxiliary basis of PySCF, with further diffuse ones on request. A model knows
them by element, degree λ and radial function ν, with μ = −λ … λ as featomic has its components; PySCF has x,
y, z of λ = 1 in another order, which ``layout`` undoes.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from frazil.errors import UserError

DIFFUSE_RATIO = 2.5
"""Of the exponents of diffuse functions, each to the next; the first is that far below the basis's least."""
MOST_DIFFUSE_DEGREE = 2
"""Diffuse functions are added up to this λ."""
P_ORDER = [1, 2, 0]
"""Where PySCF has μ = −1, 0, 1 of a p function, which it calls y, z, x."""


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary basis by PySCF's name, and how many diffuse functions are added for each element and λ."""

    name: str
    n_diffuse: int = 0

    @property
    def text(self) -> str:
        """The basis in words; two models or densities of one text have the same functions."""
        return self.name + (f" + {self.n_diffuse} diffuse" if self.n_diffuse else "")

    def molecule(self, atoms: Atoms) -> Any:
        """Return PySCF's molecule of a frame (positions in Å) whose basis these functions are.

        Raises UserError for an element that the basis lacks.
        """
        from pyscf import gto  # type: ignore[import-not-found,unused-ignore]

        shells = {symbol: _shells(self.name, self.n_diffuse, symbol) for symbol in set(atoms.symbols)}
        geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
        return gto.M(atom=geometry, unit="Angstrom", basis=shells, spin=None, verbose=0)

    def radial(self, symbol: str) -> tuple[int, ...]:
        """Return how many radial functions an element has of λ = 0, 1, …"""
        lone = self.molecule(Atoms(symbol))
        found = layout(lone)
        return tuple(len(found[0, degree]) for degree in range(1 + max(degree for _, degree in found)))

    def elements(self, frames: Sequence[Atoms]) -> dict[int, tuple[int, ...]]:
        """Return the radial functions of every element of some frames, by atomic number, ascending."""
        symbols = {symbol for atoms in frames for symbol in atoms.symbols}
        return {atomic_numbers[s]: self.radial(s) for s in sorted(symbols, key=atomic_numbers.__getitem__)}


@cache
def _shells(name: str, n_diffuse: int, symbol: str) -> list[list[Any]]:
    from pyscf import gto
    from pyscf.lib.exceptions import BasisNotFoundError  # type: ignore[import-not-found,unused-ignore]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another package that might know the basis
            shells = [list(shell) for shell in gto.basis.load(name, symbol)]
    except (BasisNotFoundError, KeyError, RuntimeError) as error:
        raise UserError(
            f"auxiliary basis {name} has no functions of {symbol} ({str(error).splitlines()[0]}); take "
            "another, such as def2-universal-jkfit, or leave such frames out"
        ) from None
    degrees = {shell[0] for shell in shells}
    for degree in sorted(degrees):
        if degree <= MOST_DIFFUSE_DEGREE:
            least = min(row[0] for shell in shells if shell[0] == degree for row in shell[1:])
            shells += [[degree, [least / DIFFUSE_RATIO**k, 1.0]] for k in range(1, n_diffuse + 1)]
    return shells


def layout(molecule: Any) -> dict[tuple[int, int], np.ndarray]:
    """Return where the functions of (atom, λ) stand among all: (radial functions, 2λ + 1), μ ascending."""
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    first = 0
    for shell in range(molecule.nbas):
        atom, degree = molecule.bas_atom(shell), molecule.bas_angular(shell)
        for _ in range(molecule.bas_nctr(shell)):
            own = np.arange(first, first + 2 * degree + 1)
            found.setdefault((atom, degree), []).append(own[P_ORDER] if degree == 1 else own)
            first += 2 * degree + 1
    return {key: np.array(rows) for key, rows in found.items()}


def moments(molecule: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ∫φ (n,) and ∫rφ (n, 3), bohr, of all functions of a molecule.

    Only s functions have a charge, and beside those only p functions a dipole: c r^λ exp(−ar²) Y integrated.
    """
    charges, dipoles = np.zeros(molecule.nao), np.zeros((molecule.nao, 3))
    first = 0
    for shell in range(molecule.nbas):
        degree, n_contracted = molecule.bas_angular(shell), molecule.bas_nctr(shell)
        exponents, weights = molecule.bas_exp(shell), molecule._libcint_ctr_coeff(shell)
        for contraction in range(n_contracted):
            here = first + contraction * (2 * degree + 1)
            if degree == 0:
                charges[here] = np.sqrt(4 * np.pi) * _radial(exponents, weights[:, contraction], 2)
                dipoles[here] = charges[here] * molecule.atom_coord(molecule.bas_atom(shell))
            elif degree == 1:
                size = np.sqrt(4 * np.pi / 3) * _radial(exponents, weights[:, contraction], 4)
                dipoles[here : here + 3] = size * np.eye(3)
        first += n_contracted * (2 * degree + 1)
    return charges, dipoles


def _radial(exponents: np.ndarray, weights: np.ndarray, power: int) -> float:
    """Return Σ c ∫ r^power exp(−ar²) dr from 0 on, of an even power: 2 or 4."""
    factor = {2: 0.25, 4: 0.375}[power] * np.sqrt(np.pi)
    return float(factor * weights @ exponents ** (-(power + 1) / 2))


def held(
    coefficients: np.ndarray, coulomb: np.ndarray, integrals: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return coefficients (…, n) changed the least, in the Coulomb metric (n, n), to have given moments.

    Args:
        coefficients: of densities, atomic units.
        coulomb: J, the functions' Coulomb energies.
        integrals: Q (n, k), each function's part of k moments: charge, or charge and dipole.
        values: v (…, k) that these shall have.

    c + J⁻¹Q (QᵀJ⁻¹Q)⁻¹ (v − Qᵀc): of fitted ones the fit under these constraints (Dunlap, Connolly & Sabin,
    J. Chem. Phys. 71, 3396, 1979). It turns with the frame as the coefficients do.
    """
    directions = np.linalg.solve(coulomb, integrals)
    missing = values - coefficients @ integrals
    return np.asarray(coefficients + missing @ np.linalg.solve(integrals.T @ directions, directions.T))
