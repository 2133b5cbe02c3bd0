"""Bond curves against the Morse oscillator's exact levels (EBK is exact for it)."""

from pathlib import Path

import numpy as np
import pytest

from frazil.errors import UserError
from frazil.systems.diatomic import BondCurve, REDUCED_MASS_CO_amu
from frazil.units import hbar, inverse_cm

DEPTH, EXPONENT, LENGTH = 11.2301, 2.3281, 1.12821
QUANTUM = hbar * EXPONENT * np.sqrt(2 * DEPTH / REDUCED_MASS_CO_amu)
RADII = np.linspace(0.7, 3.2, 251)


def morse(radii: np.ndarray) -> np.ndarray:
    return DEPTH * (1 - np.exp(-EXPONENT * (radii - LENGTH))) ** 2


def level(v: np.ndarray | float) -> np.ndarray | float:
    return QUANTUM * (v + 0.5) - (QUANTUM * (v + 0.5)) ** 2 / (4 * DEPTH)


@pytest.fixture(scope="module")
def curve() -> BondCurve:
    return BondCurve(RADII, morse(RADII) - 3.0)


def test_minimum_and_wavenumber(curve: BondCurve) -> None:
    assert curve.minimum_A == pytest.approx(LENGTH, abs=1e-6)
    assert curve.harmonic_wavenumber_cm1 == pytest.approx(QUANTUM / inverse_cm, rel=1e-4)
    assert curve.energy(LENGTH) == pytest.approx(0, abs=1e-9)
    assert np.isnan(curve.energy(5.0))


def test_levels_of_a_morse_oscillator(curve: BondCurve) -> None:
    for v in (0, 1, 5, 20, 40, 50):
        assert curve.energy_of(v) == pytest.approx(level(v), rel=1e-6)
    numbers = np.array([[0.0, 1.0, 2.5], [10.0, 40.0, 50.3]])
    assert curve.vibrational_number(level(numbers)) == pytest.approx(numbers, abs=2e-6)


def test_turning_points(curve: BondCurve) -> None:
    energies = np.array([0.01, 1.0, 8.26])
    expected = LENGTH - np.log1p(np.array([[1], [-1]]) * np.sqrt(energies / DEPTH)).T / EXPONENT
    assert curve.turning_points(energies) == pytest.approx(expected, abs=1e-6)


def test_rotation(curve: BondCurve) -> None:
    """A rotor adds B J(J + 1) − α (v + ½) J(J + 1) − D J²(J + 1)² (Pekeris, for a Morse bond)."""
    inertia = REDUCED_MASS_CO_amu * LENGTH**2
    rotational = hbar**2 / (2 * inertia)
    anharmonic = QUANTUM**2 / (4 * DEPTH)
    coupling = 6 * (np.sqrt(anharmonic * rotational**3) - rotational**2) / QUANTUM
    stretching = 4 * rotational**3 / QUANTUM**2
    for v, J in ((0, 5), (1, 12)):
        square = J * (J + 1)
        expected = rotational * square - coupling * (v + 0.5) * square - stretching * square**2
        assert curve.energy_of(v, J) - curve.energy_of(v) == pytest.approx(expected, rel=3e-4)
        momentum = np.sqrt(square) * hbar
        assert curve.vibrational_number(curve.energy_of(v, J), momentum) == pytest.approx(v, abs=1e-6)


def test_the_bottom_of_the_well(curve: BondCurve) -> None:
    assert curve.vibrational_number(0.0) == pytest.approx(-0.5)
    assert curve.vibrational_number(-1.0, 20 * hbar) == pytest.approx(-0.5)
    assert curve.energy_of(-0.5) == pytest.approx(0, abs=1e-12)
    assert curve.vibrational_number(1e-6) == pytest.approx(1e-6 / QUANTUM - 0.5, abs=1e-6)


def test_beyond_the_range(curve: BondCurve) -> None:
    with pytest.raises(UserError, match=r"internal energy of 11\.3 eV leaves the bond curve's range"):
        curve.vibrational_number(np.array([1.0, 11.3]))
    with pytest.raises(UserError, match="leaves the bond curve's range"):
        curve.turning_points(12.0)
    values = curve.vibrational_number(np.array([1.0, 11.3, np.nan]), outside="nan")
    assert np.isfinite(values[0])
    assert np.isnan(values[1:]).all()
    with pytest.raises(UserError, match=r"v = 90 at J = 0 lies above the bond curve's range"):
        curve.energy_of(90)
    with pytest.raises(UserError, match="v must be at least"):
        curve.energy_of(-1)


@pytest.mark.parametrize(
    ("lengths", "energies", "message"),
    [
        (RADII[:5], morse(RADII[:5]), "at least 8 lengths"),
        (RADII, morse(RADII)[:-1], "one energy each"),
        (RADII, np.where(RADII > 3, np.nan, morse(RADII)), "not finite"),
        (RADII[::-1], morse(RADII[::-1]), "do not rise strictly"),
        (RADII[:30], morse(RADII[:30]), "without a minimum between"),
    ],
)
def test_curves_that_are_none(lengths: np.ndarray, energies: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        BondCurve(lengths, energies)


def test_reading(tmp_path: Path, curve: BondCurve) -> None:
    path = tmp_path / "bond_curves.csv"
    rows = [f"{r:.6f},{e:.10f},{'' if r > 3 else e}" for r, e in zip(RADII, morse(RADII), strict=True)]
    path.write_text("bond_length_A,label_eV,model_co_eV\n" + "\n".join(rows) + "\n")
    assert BondCurve.read(path).energy_of(40) == pytest.approx(curve.energy_of(40), rel=1e-6)
    assert BondCurve.read(path, "model_co_eV").longest_A == pytest.approx(3.0)
    with pytest.raises(UserError, match="has no column model_x1x2_eV; needed: bond_length_A"):
        BondCurve.read(path, "model_x1x2_eV")
    with pytest.raises(UserError, match="does not exist; give a bond_curves"):
        BondCurve.read(tmp_path / "none.csv")
