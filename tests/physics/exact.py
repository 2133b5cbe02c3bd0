"""Exact canonical averages of nuclei in one dimension, and of rings with any number of beads."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

from frazil.units import hbar, kB

Array = NDArray[np.float64]


def harmonic_energy_eV(frequency: float, temperature_K: float, n_beads: int) -> float:
    """Return ⟨E⟩ of a ring of one degree of freedom, frequency per ASE time: kT Σ_k ω²/(ω_k² + ω²)."""
    thermal = kB * temperature_K
    modes = 2 * n_beads * thermal / hbar * np.sin(np.pi * np.arange(n_beads) / n_beads)
    return float(thermal * (frequency**2 / (modes**2 + frequency**2)).sum())


def ring_density(
    potential: Callable[[Array], Array], mass_amu: float, temperature_K: float, n_beads: int, x: Array
) -> Array:
    """Return the density (n,) of a ring's beads at x (n,), Å, by numerical matrix multiplication.

    The product of P short-time density matrices is exact for P beads (Thirumalai, Bruskin & Berne, J. Chem.
    Phys. 79, 5063, 1983).
    """
    step, beta = x[1] - x[0], 1 / (kB * temperature_K)
    if n_beads == 1:
        density = np.exp(-beta * potential(x))
    else:
        short = beta / n_beads
        apart = x[:, None] - x
        kernel = np.exp(-mass_amu * apart**2 / (2 * hbar**2 * short))
        kernel *= step * np.sqrt(mass_amu / (2 * np.pi * hbar**2 * short))
        half = np.exp(-0.5 * short * potential(x))
        density = np.diag(np.linalg.matrix_power(half[:, None] * kernel * half, n_beads)).copy()
    return density / (density.sum() * step)


def ring_average(
    values: Callable[[Array], Array],
    potential: Callable[[Array], Array],
    mass_amu: float,
    temperature_K: float,
    n_beads: int,
    x: Array,
) -> float:
    """Return the average of a function of position over a ring's beads."""
    density = ring_density(potential, mass_amu, temperature_K, n_beads, x)
    return float((density * values(x)).sum() * (x[1] - x[0]))


def pair_partition(
    potential: Callable[[Array], Array], mass_amu: float, temperature_K: float, n_beads: int, r: Array
) -> float:
    """Return Z of the relative motion of a pair, mass its reduced one, by partial waves at distances r (n,),
    Å.

    Each wave's short-time matrix of the free pair has the modified Bessel function I_{l+1/2}; the trace of
    the P-th power of that with the potential is exact for P beads. That of one free in a volume V is V (m
    kT/2πħ²)^{3/2}.
    """
    step, beta = r[1] - r[0], 1 / (kB * temperature_K)
    stiffness = mass_amu * n_beads / (hbar**2 * beta)
    half = np.exp(-0.5 * beta / n_beads * potential(r))
    apart, product = r[:, None] - r, stiffness * np.sqrt(r[:, None] * r) * step
    total, wave = 0.0, 0
    while True:
        free = product * np.exp(-0.5 * stiffness * apart**2) * ive(wave + 0.5, stiffness * r[:, None] * r)
        eigenvalues = np.linalg.eigvalsh(half[:, None] * free * half)
        added = (2 * wave + 1) * float((eigenvalues**n_beads).sum())
        total, wave = total + added, wave + 1
        if added < 1e-7 * total:
            return total
