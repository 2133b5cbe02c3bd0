"""Equivariant features of atoms, and how λ ⊗ 1 of a response is coupled to tensors that they can give.

Features are featomic's equivariant power spectra P (environments, 2L + 1, features) of degree L, of the
parity of tensors (σ = 1) and of pseudotensors (σ = −1). A kernel of two environments is the matrix
P_i P_jᵀ (p_i·p_j)^(ζ−1), of 2L + 1 rows and columns, p the invariant features (Grisafi, Wilkins, Csányi &
Ceriotti, Phys. Rev. Lett. 120, 036002, 2018). All are divided by the length of p, which no rotation changes
and which is never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from scipy.special import sph_harm_y

Key = tuple[int, int, int]
"""Atomic number of the centre, degree L, parity σ."""


@dataclass(frozen=True)
class Features:
    """What the environments of an atom are seen by."""

    cutoff_A: float = 4.0
    width_A: float = 0.3
    max_angular: int = 5
    max_radial: int = 5

    def hypers(self) -> dict[str, Any]:
        """Return featomic's settings of the density expansion."""
        return {
            "cutoff": {"radius": self.cutoff_A, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
            "density": {"type": "Gaussian", "width": self.width_A},
            "basis": {
                "type": "TensorProduct", "max_angular": self.max_angular,
                "radial": {"type": "Gto", "max_radial": self.max_radial},
            },
        }  # fmt: skip

    def of(self, frames: Sequence[Atoms], wanted: Sequence[tuple[int, int]]) -> "Environments":
        """Return the features of all atoms of some frames, of degrees and parities (L, σ).

        Columns are those of the elements of these frames, so compare only what one call gave.
        """
        from featomic import SphericalExpansion
        from featomic.clebsch_gordan import EquivariantPowerSpectrum
        from metatensor import Labels

        free = [Atoms(atoms.numbers, atoms.positions) for atoms in frames]
        keys = sorted({(0, 1), *wanted})
        calculator = EquivariantPowerSpectrum(SphericalExpansion(**self.hypers()))
        spectrum = calculator.compute(
            free, selected_keys=Labels(["o3_lambda", "o3_sigma"], np.array(keys)),
            neighbors_to_properties=True,
        )  # fmt: skip
        places: dict[int, np.ndarray] = {}
        values: dict[Key, np.ndarray] = {}
        for key, block in spectrum.items():
            centre = int(key["center_type"])
            places[centre] = np.asarray(block.samples.values)[:, :2]
            values[centre, int(key["o3_lambda"]), int(key["o3_sigma"])] = np.asarray(block.values)
        for centre in places:
            lengths = np.linalg.norm(values[centre, 0, 1], axis=2, keepdims=True)
            for key in [key for key in values if key[0] == centre]:
                values[key] = values[key] / lengths
        return Environments(places, values)


@dataclass(frozen=True)
class Environments:
    """Features by centre, degree and parity.

    places: by element (n, 2), frame and atom of each environment. values: by ``Key`` (n, 2L + 1, features).
    """

    places: dict[int, np.ndarray]
    values: dict[Key, np.ndarray]

    def invariant(self, centre: int) -> np.ndarray:
        """Return the invariant features (n, features) of an element, each of length 1."""
        return self.values[centre, 0, 1][:, 0]

    def kernel(self, key: Key, rows: np.ndarray, columns: np.ndarray, zeta: int) -> np.ndarray:
        """Return the kernels (rows, 2L + 1, columns, 2L + 1) of environments of one element."""
        values, invariant = self.values[key], self.invariant(key[0])
        scalar = (invariant[rows] @ invariant[columns].T) ** (zeta - 1)
        one, other = values[rows], values[columns]
        n = one.shape[1]
        products = one.reshape(-1, one.shape[2]) @ other.reshape(-1, other.shape[2]).T
        return np.asarray(products.reshape(len(rows), n, len(columns), n) * scalar[:, None, :, None])


@cache
def couplings(degree: int, n_fields: int) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Return what a coefficient of degree λ is made of: (L, σ, C), with C (2λ + 1, fields, 2L + 1).

    A density has no field (n_fields 1): L = λ alone. Its response to x, y and z is a vector: λ ⊗ 1 is L =
    λ − 1, λ, λ + 1, of which L = λ is a pseudotensor. The C of all L are orthonormal together.
    """
    if n_fields == 1:
        return ((degree, 1, np.eye(2 * degree + 1)[:, None, :]),)
    up = _with_vector(degree, degree + 1)
    found = [(degree + 1, 1, up)]
    if degree:
        # By Wigner and Eckart any operator that turns like a rotation about an axis is one, up to a factor.
        axial = np.einsum("xyz,myn,pzn->mxp", _LEVI_CIVITA, up, up)
        found = [(degree - 1, 1, _with_vector(degree, degree - 1)), (degree, -1, axial), *found]
    return tuple((L, sigma, C / np.sqrt((C[..., 0] ** 2).sum())) for L, sigma, C in found)


_LEVI_CIVITA = np.array(
    [[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)]
)


def _with_vector(degree: int, other: int) -> np.ndarray:
    """Return ∫ Y_λμ r̂_x Y_LM dΩ, (2λ + 1, 3, 2L + 1), by a quadrature that is exact."""
    cosines, weights = np.polynomial.legendre.leggauss(degree + other + 2)
    azimuths = 2 * np.pi * np.arange(2 * (degree + other) + 4) / (2 * (degree + other) + 4)
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(cosines), azimuths, indexing="ij"))
    w = np.repeat(weights, len(azimuths)) * 2 * np.pi / len(azimuths)
    towards = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    return np.einsum(
        "mg,xg,ng,g->mxn", real_harmonics(degree, theta, phi), towards, real_harmonics(other, theta, phi), w
    )


def real_harmonics(degree: int, theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Return real spherical harmonics (2λ + 1, n), μ = −λ … λ, as featomic and PySCF have them."""
    rows = []
    for m in range(-degree, degree + 1):
        value = sph_harm_y(degree, abs(m), theta, phi)
        part = value.imag if m < 0 else value.real
        rows.append(part * (np.sqrt(2) * (-1) ** m if m else 1.0))
    return np.array(rows)
