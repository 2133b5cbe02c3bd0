"""Free energies whose truth is known: Gaussians, correlated series, and pymbar where it is installed."""

import numpy as np
import pytest

from frazil.analysis.free_energy import effective_number, integrated, mbar, overlap

STIFFNESS, CENTRES = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.0, 0.2, 0.6, 0.8])
EXACT = 0.5 * np.log(STIFFNESS / STIFFNESS[0])
COUNTS = np.array([400, 300, 200, 300])


def reduced(seed: int, counts: np.ndarray = COUNTS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(c, k**-0.5, n) for c, k, n in zip(CENTRES, STIFFNESS, counts, strict=True)]
    x = np.concatenate(drawn)
    return 0.5 * STIFFNESS[:, None] * (x - CENTRES[:, None]) ** 2


def test_mbar_finds_the_free_energies_of_gaussians() -> None:
    found = np.array([mbar(reduced(seed), COUNTS) for seed in range(40)])
    errors = found.std(axis=0, ddof=1) / np.sqrt(40)
    assert found[:, 0] == pytest.approx(0)
    assert (np.abs(found - EXACT).mean(axis=0)[1:] < 0.1).all()
    assert (np.abs(found.mean(axis=0) - EXACT)[1:] < 4 * errors[1:]).all()


def test_a_window_without_samples_and_places_that_it_never_visits() -> None:
    counts = np.array([400, 300, 200, 0])
    energies = reduced(0, counts)
    assert mbar(energies, counts)[3] == pytest.approx(EXACT[3], abs=0.3)
    barred = np.vstack([energies, np.where(energies[0] < 0.5, np.nan, energies[0])])
    part = mbar(barred, np.append(counts, 0))[-1]
    assert part == pytest.approx(-np.log(0.3173), abs=0.15), "of a normal one 0.317 is beyond one deviation"


def test_mbar_is_pymbars() -> None:
    pymbar = pytest.importorskip("pymbar", reason="pymbar is no dependency")
    energies = reduced(1)
    theirs = pymbar.MBAR(energies, COUNTS).compute_free_energy_differences()["Delta_f"][0]
    assert mbar(energies, COUNTS) == pytest.approx(theirs, abs=1e-6)
    series = np.random.default_rng(0).normal(size=2000).cumsum() * 0.01
    ratio = len(series) / pymbar.timeseries.statistical_inefficiency(series, fft=False)
    assert effective_number(series) == pytest.approx(ratio, rel=0.2)


def test_overlap_is_a_half_of_the_same_and_none_of_what_is_apart() -> None:
    rng = np.random.default_rng(0)
    for shift, expected in ((0.0, 0.5), (20.0, 0.0)):
        x = np.concatenate([rng.normal(size=500), rng.normal(size=500) + shift])
        energies = 0.5 * (x - np.array([[0.0], [shift]])) ** 2
        assert overlap(energies, np.array([500, 500]), np.zeros(2))[0] == pytest.approx(expected, abs=1e-6)


def test_integral_of_slopes_in_either_direction_and_beyond() -> None:
    places = np.array([1.0, 0.75, 0.5, 0.25])
    assert integrated(places, 4 * places**3, 0.0) == pytest.approx(-1.0, abs=1e-12)
    assert integrated(places[::-1], 3 * places[::-1] ** 2, 1.0) == pytest.approx(1 - 1 / 64, abs=1e-12)


def test_correlated_values_count_less() -> None:
    rng, rho, n = np.random.default_rng(0), 0.9, 40_000
    noise, series = rng.normal(size=n), np.zeros(n)
    for i in range(1, n):
        series[i] = rho * series[i - 1] + noise[i]
    assert effective_number(series) == pytest.approx(n * (1 - rho) / (1 + rho), rel=0.15)
    assert effective_number(noise) == pytest.approx(n, rel=0.1)
    assert effective_number(np.ones(5)) == 5
