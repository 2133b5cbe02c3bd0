"""Spectra against what is known exactly: harmonic molecules, rotors, lines, and areas."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from frazil.analysis.normal_modes import Modes, normal_modes
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import (
    LIGHT_cm_per_fs,
    average,
    infrared_spectrum,
    resolution_cm1,
    vibrational_density,
)
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import frames
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree
from frazil.units import fs, kB

CHARGES = np.array([-0.6, 0.35, 0.25])
TEMPERATURE_K, TIMESTEP_fs = 300.0, 0.25


@pytree
@dataclass(frozen=True)
class Quadratic(Analytic):
    """½ x·H·x about a structure."""

    hessian: Any
    minimum: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        away = (positions_A - self.minimum).ravel()
        return 0.5 * away @ self.hessian @ away


def springs(positions: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """Hessian of springs at rest between all pairs of three atoms."""
    hessian = np.zeros((9, 9))
    for k, (i, j) in zip(stiffness, [(0, 1), (0, 2), (1, 2)], strict=True):
        unit = (positions[i] - positions[j]) / np.linalg.norm(positions[i] - positions[j])
        row = np.zeros(9)
        row[3 * i : 3 * i + 3], row[3 * j : 3 * j + 3] = unit, -unit
        hessian += k * np.outer(row, row)
    return hessian


@pytest.fixture(scope="module")
def water() -> tuple[Quadratic, Modes, np.ndarray]:
    atoms = molecule("H2O")
    masses = atoms.get_masses()
    hessian = springs(atoms.positions, np.array([30.0, 26.0, 4.0]))
    derivatives = np.kron(CHARGES, np.eye(3))
    modes = normal_modes(hessian, atoms.positions, masses, derivatives)
    return Quadratic(jnp.asarray(hessian), jnp.asarray(atoms.positions)), modes, masses


@pytest.fixture(scope="module")
def runs(water: tuple[Quadratic, Modes, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Dipoles (runs, n_steps, 3) and velocities of NVE runs, each mode with kT and a phase of its own."""
    potential, modes, masses = water
    rng = np.random.default_rng(0)
    phases = rng.uniform(0, 2 * np.pi, (4, 3))
    speeds = np.sqrt(2 * kB * TEMPERATURE_K) * np.cos(phases)
    omega = 2 * np.pi * LIGHT_cm_per_fs * modes.wavenumbers_cm1 / fs
    amplitude = np.sqrt(2 * kB * TEMPERATURE_K) / omega * np.sin(phases)
    ensemble = Ensemble(
        potential, VelocityVerlet(TIMESTEP_fs), masses, n_steps=24000, observe_every=4, observers=(frames,),
        width=4, chunk=6000,
    )  # fmt: skip
    start = np.asarray(potential.minimum) + np.einsum("rm,max->rax", amplitude, modes.displacements)
    moving = np.einsum("rm,max->rax", speeds, modes.displacements)
    found = sorted(ensemble.run(start, moving), key=lambda run: run.trajectory_id)
    dipoles = np.array([np.einsum("a,tax->tx", CHARGES, run.rows["positions"]) for run in found])
    return dipoles, np.array([run.rows["velocities"] for run in found])


def area(wavenumbers: np.ndarray, values: np.ndarray, centre: float, half_width: float) -> float:
    near = np.abs(wavenumbers - centre) < half_width
    return float(np.trapezoid(values[near], wavenumbers[near]))


def test_harmonic_molecule_peaks_at_its_frequencies_with_their_intensities(
    water: tuple[Quadratic, Modes, np.ndarray], runs: tuple[np.ndarray, np.ndarray]
) -> None:
    modes, chosen = water[1], Spectrum(temperature_K=TEMPERATURE_K, highest_cm1=5000.0)
    spectrum = average([infrared_spectrum(dipoles, 4 * TIMESTEP_fs, chosen) for dipoles in runs[0]])
    assert spectrum.n_runs == 4
    for wavenumber, intensity in zip(modes.wavenumbers_cm1, modes.intensities_km_per_mol, strict=True):
        near = np.abs(spectrum.wavenumber_cm1 - wavenumber) < 100
        peak = spectrum.wavenumber_cm1[near][spectrum.intensity[near].argmax()]
        # Verlet's own shift of a frequency is ω³Δ²/24.
        phase = 2 * np.pi * LIGHT_cm_per_fs * wavenumber * TIMESTEP_fs
        assert peak == pytest.approx(wavenumber * (1 + phase**2 / 24), abs=2.5)
        found = area(spectrum.wavenumber_cm1, spectrum.intensity, wavenumber, 100)
        assert found == pytest.approx(intensity, rel=0.02)


def test_area_of_the_vibrational_density_is_the_number_of_modes(
    water: tuple[Quadratic, Modes, np.ndarray], runs: tuple[np.ndarray, np.ndarray]
) -> None:
    _, modes, masses = water
    densities = [
        vibrational_density(velocities, masses, 4 * TIMESTEP_fs, TEMPERATURE_K) for velocities in runs[1]
    ]
    wavenumbers, density = densities[0][0], np.mean([density for _, density in densities], axis=0)
    assert np.trapezoid(density, wavenumbers) == pytest.approx(3, rel=0.01)
    for wavenumber in modes.wavenumbers_cm1:
        assert area(wavenumbers, density, wavenumber, 100) == pytest.approx(1, rel=0.02)


def test_rotating_dipole_is_one_line() -> None:
    wavenumber, size_e_A = 21.0, 0.8
    time = 1.0 * np.arange(40000)
    phase = 2 * np.pi * LIGHT_cm_per_fs * wavenumber * time
    dipoles = size_e_A * np.stack([np.cos(phase), np.sin(phase), np.zeros_like(phase)], axis=1)
    chosen = Spectrum(depth_fs=8000.0, highest_cm1=5000.0)
    wavenumbers, intensity = infrared_spectrum(dipoles, 1.0, chosen)
    assert wavenumbers[intensity.argmax()] == pytest.approx(wavenumber, abs=0.25 * resolution_cm1(chosen))
    speed = 2 * np.pi * LIGHT_cm_per_fs * wavenumber
    # ∫ dω of ∫ C cos ωt dt over positive frequencies is π C(0), with C(0) = μ²Ω².
    total = np.trapezoid(intensity, 2 * np.pi * LIGHT_cm_per_fs * wavenumbers)
    assert total == pytest.approx(np.pi * (size_e_A * speed) ** 2, rel=0.01)


def test_free_linear_rotors_give_the_classical_envelope() -> None:
    # Angular speeds of a linear rotor at T: P(Ω) ∝ Ω exp(−IΩ²/2kT), so that the spectrum is ω³ exp(−Iω²/2kT).
    temperature_K, inertia = 300.0, 8.7
    rng = np.random.default_rng(1)
    speeds = np.sqrt(2 * kB * temperature_K / inertia * rng.exponential(size=400)) * fs
    time = 4.0 * np.arange(4000)
    chosen = Spectrum(depth_fs=8000.0, temperature_K=temperature_K, highest_cm1=300.0)
    spectra = []
    for speed in speeds:
        phase = speed * time + rng.uniform(0, 2 * np.pi)
        dipoles = 0.1 * np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=1)
        spectra.append(infrared_spectrum(dipoles, 4.0, chosen))
    found = average(spectra)
    peak = np.sqrt(3 * kB * temperature_K / inertia) * fs / (2 * np.pi * LIGHT_cm_per_fs)
    smooth = np.convolve(found.intensity, np.full(61, 1 / 61), "same")
    assert found.wavenumber_cm1[smooth.argmax()] == pytest.approx(peak, rel=0.15)
    # N_A μ²/(6 ε₀ c² I), in km/mol: twice a vibration's, for two directions.
    expected = 2 * 974.864 * 0.1**2 / inertia
    assert np.trapezoid(found.intensity, found.wavenumber_cm1) == pytest.approx(expected, rel=0.1)


@effort(deadline=None, max_examples=15, derandomize=True)
@given(
    first=st.floats(150.0, 1000.0), apart=st.floats(60.0, 400.0),
    timestep_fs=st.sampled_from([0.5, 1.0, 2.0]), depth_fs=st.sampled_from([1024.0, 2048.0]),
)  # fmt: skip
def test_lines_are_found_within_half_a_resolution(
    first: float, apart: float, timestep_fs: float, depth_fs: float
) -> None:
    time = np.arange(0, 20000.0, timestep_fs)
    chosen = Spectrum(depth_fs=depth_fs, highest_cm1=5000.0)
    lines = (first, first + apart)
    dipoles = np.stack(
        [np.cos(2 * np.pi * LIGHT_cm_per_fs * line * time + 0.3 * line) for line in lines] + [0 * time],
        axis=1,
    )
    wavenumbers, intensity = infrared_spectrum(dipoles, timestep_fs, chosen)
    for line in lines:
        near = np.abs(wavenumbers - line) < apart / 2
        assert wavenumbers[near][intensity[near].argmax()] == pytest.approx(
            line, abs=resolution_cm1(chosen) / 2
        )
    # The higher line's width at half its height, by a spline, as the grid has four points in a resolution.
    higher = np.linspace(lines[1] - apart / 2, lines[1] + apart / 2, 4001)
    height = CubicSpline(wavenumbers, intensity)(higher)
    assert np.ptp(higher[height > height.max() / 2]) == pytest.approx(resolution_cm1(chosen), rel=0.03)


def test_quantum_corrections_at_known_ratios() -> None:
    time = 0.5 * np.arange(20000)
    dipoles = np.stack([np.cos(2 * np.pi * LIGHT_cm_per_fs * 1000.0 * time)] * 3, axis=1)
    of = {
        name: infrared_spectrum(
            dipoles, 0.5, Spectrum(temperature_K=300.0, correction=name, highest_cm1=5000.0)
        )
        for name in ("none", "standard", "schofield")
    }
    at = of["none"][1].argmax()
    x = 1000.0 / 208.512  # kT/hc at 300 K, cm⁻¹
    assert of["standard"][1][at] / of["none"][1][at] == pytest.approx(np.tanh(x / 2) / (x / 2), rel=2e-3)
    assert of["schofield"][1][at] / of["none"][1][at] == pytest.approx(np.sinh(x / 2) / (x / 2), rel=2e-3)
