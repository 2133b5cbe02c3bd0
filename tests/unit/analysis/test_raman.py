"""Raman spectra of any polarization from one matrix: identities, a line of known activity, bad input."""

import ase.units
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from frazil.analysis import raman
from frazil.analysis.settings import LIGHT_cm_per_fs, Spectrum
from frazil.analysis.spectra import cross_spectra, power_spectrum, timestep_shift_cm1
from frazil.errors import UserError
from frazil.units import kB

ANGLES_deg = np.arange(0.0, 180.0, 15.0)
SETTINGS = Spectrum(depth_fs=1000.0)
EVERY_fs = 2.0


def tensors(n: int = 1500) -> np.ndarray:
    """Return symmetric tensors (n, 3, 3) that move at several frequencies, with noise."""
    rng = np.random.default_rng(3)
    t = np.arange(n) * EVERY_fs
    waves = np.cos(2 * np.pi * LIGHT_cm_per_fs * np.array([40, 300, 2200])[:, None] * t + [[0.3], [1.0], [2]])
    drawn = np.einsum("mt,mij->tij", waves, rng.normal(size=(3, 3, 3))) + 0.1 * rng.normal(size=(n, 3, 3))
    return drawn + drawn.swapaxes(1, 2)


@pytest.mark.parametrize("along", [(0, 0, 1), (1, 1, 1), (0, 2, -1)])
@pytest.mark.parametrize("geometry", raman.GEOMETRIES)
def test_spectra_of_the_matrix_are_those_of_each_angle(along: tuple[int, ...], geometry: str) -> None:
    light = raman.Light.of(np.array(along), np.array((1.0, 0, 0) if along[0] == 0 else (1.0, -1, 0)))
    alpha = tensors()
    series = raman.components_of(alpha)
    _, matrices = cross_spectra(series, EVERY_fs, SETTINGS)
    assert np.array_equal(matrices, matrices.swapaxes(1, 2))
    found = raman.intensities(matrices, light.forms(ANGLES_deg, geometry))
    incident, scattered = light.polarizations(ANGLES_deg, geometry)
    for k, (e, s) in enumerate(zip(incident, scattered, strict=True)):
        assert e @ light.along == pytest.approx(0, abs=1e-12)
        assert e @ s == pytest.approx(float(geometry == "parallel"), abs=1e-12)
        _, own = power_spectrum(np.einsum("i,tij,j->t", e, alpha, s)[:, None], EVERY_fs, SETTINGS)
        assert np.abs(found[:, k] - own).max() < 1e-13 * np.abs(own).max()


def test_the_powder_is_the_mean_over_all_orientations() -> None:
    alpha = tensors(1)[0]
    turns = Rotation.random(20000, random_state=1).as_matrix()
    turned = np.einsum("nia,ab,njb->nij", turns, alpha, turns)
    xx, xz = (turned[:, 0, i] ** 2 for i in (0, 2))
    # Natural light along z seen along x: 45a² + 7γ² over 45 is ⟨α_xx²⟩ + ⟨α_xz²⟩ (Long, ch. 5).
    expected, error = (xx + xz).mean(), (xx + xz).std() / np.sqrt(len(xx))
    a = raman.components_of(alpha)
    found = raman.intensities(np.outer(a, a), raman.powder_form()[None])[0]
    assert abs(found - expected) < 4 * error


def test_the_powder_does_not_turn() -> None:
    alpha, turn = tensors(1)[0], Rotation.random(random_state=2).as_matrix()
    one, other = (raman.components_of(x) for x in (alpha, turn @ alpha @ turn.T))
    form = raman.powder_form()
    assert one @ form @ one == pytest.approx(other @ form @ other, rel=1e-12)


def test_the_area_of_a_line_is_its_mode_s_activity() -> None:
    # α = R Q with ⟨Q̇²⟩ = kT: half of the modes' energy 2kT of each of many runs, here of one with all phases.
    temperature_K, line_cm1 = 50.0, 700.0
    tensor = np.array([[1.0, 0.2, 0], [0.2, -0.5, 0.3], [0, 0.3, 0.8]])
    omega = 2 * np.pi * LIGHT_cm_per_fs * line_cm1 / ase.units.fs
    t = np.arange(60001) * EVERY_fs * ase.units.fs
    q = np.sqrt(2 * kB * temperature_K) / omega * np.cos(omega * t)
    series = raman.components_of(q[:, None, None] * tensor)
    wavenumbers, matrices = raman.activity_spectra(series, EVERY_fs, temperature_K, SETTINGS)
    areas = np.trapezoid(matrices, wavenumbers, axis=0)
    assert areas == pytest.approx(raman.mode_activities(tensor[None])[0], rel=2e-3, abs=2e-3)
    mean = np.trapezoid(matrices[:, 0, 0] * wavenumbers, wavenumbers) / areas[0, 0]
    assert mean == pytest.approx(line_cm1, abs=0.5)


def test_components_are_what_their_names_say_and_pairs_theirs() -> None:
    alpha = np.array([[1.0, 12, 13], [12, 2, 23], [13, 23, 3]])
    named = dict(zip(raman.COMPONENTS, raman.components_of(alpha), strict=True))
    assert named == {"xx": 1, "yy": 2, "zz": 3, "yz": 23, "xz": 13, "xy": 12}
    a = raman.components_of(alpha)
    products = dict(zip(raman.PAIRS, raman.packed(np.outer(a, a)), strict=True))
    assert products["xx,yz"] == 23
    assert products["yz,xz"] == 23 * 13
    assert products["xz,xy"] == 13 * 12


def test_the_polarizer_turns_from_zero_towards_k_times_it() -> None:
    light = raman.Light.of(np.array([0, 0, 2.0]), np.array([3.0, 0, 0]))
    incident, scattered = light.polarizations(np.array([0.0, 30.0, 90.0]), "crossed")
    half, root = 0.5, np.sqrt(0.75)
    assert incident == pytest.approx(np.array([[1, 0, 0], [root, half, 0], [0, 1, 0]]))
    assert scattered == pytest.approx(np.array([[0, 1, 0], [-half, root, 0], [-1, 0, 0]]))
    a = raman.components_of(np.array([[1.0, 0.25, 0], [0.25, 0.5, 0], [0, 0, 9]]))
    found = raman.intensities(np.outer(a, a), light.forms(np.array([45.0, 135.0]), "parallel"))
    assert found == pytest.approx(np.array([(1 + 0.5 + 0.5) / 2, (1 + 0.5 - 0.5) / 2]) ** 2)


def test_a_line_of_velocity_verlet_is_put_where_its_mode_is() -> None:
    temperature_K, line_cm1, step_fs = 50.0, 2200.0, 1.0
    omega = 2 * np.pi * LIGHT_cm_per_fs * line_cm1
    moved = 2 / step_fs * np.arcsin(omega * step_fs / 2)  # sin(Ωh/2) = ωh/2
    t = np.arange(30001) * EVERY_fs
    q = np.sqrt(2 * kB * temperature_K) * ase.units.fs / omega * np.cos(moved * t)
    series = raman.components_of(q[:, None, None] * np.diag([1.0, 0, 0]))
    for timestep_fs, at in ((step_fs, line_cm1), (0.0, moved / (2 * np.pi * LIGHT_cm_per_fs))):
        x, matrices = raman.activity_spectra(series, EVERY_fs, temperature_K, SETTINGS, timestep_fs)
        line = matrices[:, 0, 0]
        assert np.trapezoid(line * x, x) / np.trapezoid(line, x) == pytest.approx(at, abs=0.7)
    shift = timestep_shift_cm1(line_cm1, step_fs)
    assert shift == pytest.approx(moved / (2 * np.pi * LIGHT_cm_per_fs) - line_cm1)
    assert shift > 15


def test_what_is_silent_is_dark() -> None:
    # Noise without time correlation is flat; a line alone leaves nothing elsewhere (no floor of the lag 0).
    t = np.arange(60001) * EVERY_fs
    alpha = np.zeros((len(t), 3, 3))
    alpha[:, 0, 0] = np.cos(2 * np.pi * LIGHT_cm_per_fs * 700.0 * t)
    wavenumbers, matrices = raman.activity_spectra(raman.components_of(alpha), EVERY_fs, 50.0, SETTINGS)
    line = matrices[:, 0, 0]
    away = np.abs(wavenumbers - 700.0) > 300.0
    assert np.abs(line[away]).max() < 2e-3 * line.max()
    assert np.abs(matrices[:, 1, 1]).max() == 0


def test_packing_keeps_everything() -> None:
    matrices = np.random.default_rng(0).normal(size=(4, 6, 6))
    matrices += matrices.swapaxes(1, 2)
    assert len(raman.PAIRS) == raman.packed(matrices).shape[-1] == 21
    assert np.array_equal(raman.unpacked(raman.packed(matrices)), matrices)


def test_stokes_lines_of_hot_and_cold_modes() -> None:
    cold, hot = (raman.stokes(np.array([50.0, 2000.0]), T, 19000.0) for T in (1.0, 3000.0))
    assert cold * [50.0, 2000.0] == pytest.approx((1 - np.array([50.0, 2000.0]) / 19000) ** 4)
    n = 1 / np.expm1(2000 * ase.units.invcm / (kB * 3000))
    assert hot[1] / cold[1] == pytest.approx(1 + n)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: raman.components_of(np.eye(3) + np.diag([1e-3, 0], 1)), "polarizability 0 is not symmetric"),
        (lambda: raman.components_of(np.full((2, 3, 3), np.nan)), "polarizability 0 is not finite"),
        (lambda: raman.components_of(np.zeros(6)), r"\(…, 3, 3\) is needed"),
        (lambda: raman.Light.of(np.array([0, 0, 1]), np.array([0, 0, 0])), "an angle needs two vectors"),
        (lambda: raman.Light.of(np.array([0, 0, 1]), np.array([1, 0])), "an angle needs two vectors"),
        (lambda: raman.Light.of(np.array([0, 0, 1]), np.array([1, 0, 1])), "not perpendicular"),
        (lambda: raman.stokes(np.array([0.0, 1.0]), 10.0, 19000.0), "above 0 and below the light's own"),
        (lambda: raman.stokes(np.array([20000.0]), 10.0, 19000.0), "above 0 and below the light's own"),
        (
            lambda: raman.Light.of(np.array([0, 0, 1]), np.array([1, 0, 0])).forms(ANGLES_deg, "odd"),
            "allowed are parallel, crossed",
        ),
    ],
)  # fmt: skip
def test_bad_input(call: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        call()  # type: ignore[operator]
