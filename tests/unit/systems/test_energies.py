import numpy as np
import pytest
from numpy.testing import assert_allclose

from frazil.systems.co import MOLECULE_MASSES_amu
from frazil.systems.diatomic import BondCurve, REDUCED_MASS_CO_amu
from frazil.systems.energies import kinetic_energy_eV, molecular_energies, temperature_K
from frazil.units import fs, hbar, kB

DEPTH_eV, EXPONENT_per_A, LENGTH_A = 11.2301, 2.3281, 1.12821


@pytest.fixture(scope="module")
def morse() -> BondCurve:
    lengths = np.linspace(0.7, 4.0, 1000)
    return BondCurve(lengths, DEPTH_eV * (1 - np.exp(-EXPONENT_per_A * (lengths - LENGTH_A))) ** 2)


def molecules(
    lengths: np.ndarray, radial: np.ndarray, tangential: np.ndarray, drift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions, velocities (Å/fs): bonds along x, relative speeds (ASE) along x, y, drift along z."""
    total = MOLECULE_MASSES_amu.sum()
    shares = np.array([-MOLECULE_MASSES_amu[1], MOLECULE_MASSES_amu[0]]) / total
    positions = np.zeros((len(lengths), 2, 3))
    velocities = np.zeros_like(positions)
    positions[..., 0] = shares * lengths[:, None]
    velocities[..., 0], velocities[..., 1] = shares * radial[:, None], shares * tangential[:, None]
    velocities[..., 2] = drift[:, None]
    return positions, velocities * fs


def test_translation(morse: BondCurve) -> None:
    drift = np.sqrt(2 * np.array([0.025, 0.2]) / MOLECULE_MASSES_amu.sum())
    zero = np.zeros(2)
    found = molecular_energies(
        *molecules(np.full(2, LENGTH_A), zero, zero, drift), MOLECULE_MASSES_amu, morse
    )
    assert_allclose(found.translational_energy_meV, [25.0, 200.0], rtol=1e-12)
    assert_allclose(found.rotational_energy_meV, 0, atol=1e-12)
    assert_allclose(found.vibrational_energy_meV, 0, atol=1e-6)
    assert_allclose(found.vibrational_quantum_number, -0.5, atol=1e-3)


def test_rigid_rotor(morse: BondCurve) -> None:
    J = np.array([0.0, 1.0, 5.0, 12.0])
    momentum = np.sqrt(J * (J + 1)) * hbar
    zero = np.zeros(4)
    tangential = momentum / (REDUCED_MASS_CO_amu * LENGTH_A)
    found = molecular_energies(
        *molecules(np.full(4, LENGTH_A), zero, tangential, zero), MOLECULE_MASSES_amu, morse
    )
    assert_allclose(found.rotational_quantum_number, J, atol=1e-9)
    expected = 1000 * J * (J + 1) * hbar**2 / (2 * REDUCED_MASS_CO_amu * LENGTH_A**2)
    assert_allclose(found.rotational_energy_meV, expected, rtol=1e-6)


def test_morse_levels_at_any_phase_of_the_bond(morse: BondCurve) -> None:
    v = np.array([0.0, 1.0, 10.0, 39.0, 40.0])
    quantum = hbar * EXPONENT_per_A * np.sqrt(2 * DEPTH_eV / REDUCED_MASS_CO_amu)
    levels = quantum * (v + 0.5) - (quantum * (v + 0.5)) ** 2 / (4 * DEPTH_eV)
    for stretch in (0.0, 0.02, -0.02):
        lengths = np.full(len(v), LENGTH_A + stretch)
        radial = np.sqrt(2 * (levels - morse.energy(lengths)) / REDUCED_MASS_CO_amu)
        found = molecular_energies(*molecules(lengths, radial, 0 * v, 0 * v), MOLECULE_MASSES_amu, morse)
        assert_allclose(found.vibrational_quantum_number, v, atol=1e-4)
        assert_allclose(found.vibrational_energy_meV, 1000 * levels, rtol=1e-9)


def test_outside_the_curve_vibration_is_not_a_number(morse: BondCurve) -> None:
    zero = np.zeros(1)
    found = molecular_energies(*molecules(np.array([5.0]), zero, zero, zero), MOLECULE_MASSES_amu, morse)
    assert np.isnan(found.vibrational_quantum_number).all()
    assert found.rotational_quantum_number == 0


def test_rotating_the_frame_changes_nothing(morse: BondCurve) -> None:
    rng = np.random.default_rng(3)
    one = np.ones(1)
    positions, velocities = molecules(1.2 * one, 0.5 * one, 0.3 * one, 0.1 * one)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    before = molecular_energies(positions, velocities, MOLECULE_MASSES_amu, morse)
    after = molecular_energies(positions @ rotation.T, velocities @ rotation.T, MOLECULE_MASSES_amu, morse)
    for name, value in vars(before).items():
        assert_allclose(getattr(after, name), value, rtol=1e-9)


def test_temperature_counts_3n_minus_6_degrees() -> None:
    velocities = np.random.default_rng(1).normal(size=(5, 16, 3)) * 1e-3
    masses = np.tile(MOLECULE_MASSES_amu, 8)
    kinetic_eV = kinetic_energy_eV(velocities, masses)
    assert_allclose(temperature_K(velocities, masses), 2 * kinetic_eV / (42 * kB))
    alone = velocities[0, :2], MOLECULE_MASSES_amu
    assert temperature_K(*alone) == pytest.approx(2 * kinetic_energy_eV(*alone) / kB)
