"""Both errors of an estimate: what sampling leaves open, and what the members of a committee leave open."""

import numpy as np
import pytest

from frazil.analysis.estimates import (
    estimate,
    mean_of,
    members_std,
    proportion,
    proportion_of,
    spread_calibration,
    two_way,
)
from frazil.analysis.predictive import another_proportion, another_value
from frazil.analysis.statistics import jeffreys


def test_one_model_leaves_its_error_unknown_and_never_zero() -> None:
    found = proportion(30, 64, [(30, 64)])
    assert (found.value, found.low_95, found.high_95) == (30 / 64, *jeffreys(30, 64))
    assert np.isnan([found.model_std, found.total_low_95, found.total_high_95]).all()
    assert list(found.row("probability")) == [
        "probability", "low_95", "high_95", "model_std", "total_low_95", "total_high_95",
    ]  # fmt: skip
    nothing = proportion(0, 0)
    assert np.isnan([nothing.value, nothing.low_95, nothing.model_std]).all()


def test_members_that_agree_within_counting_show_no_spread_but_few_prove_little() -> None:
    found = proportion(91, 192, [(30, 64), (31, 64), (30, 64)])
    assert found.model_std == 0.0
    assert found.total_low_95 < found.low_95 < found.high_95 < found.total_high_95
    trusted = proportion(91, 192, [(30, 64), (31, 64), (30, 64)], scale=1e-5)
    assert (trusted.total_low_95, trusted.total_high_95) == pytest.approx(jeffreys(91, 192), abs=2e-3)
    many = proportion(480, 1024, [(30, 64)] * 16)
    assert many.total_high_95 - many.total_low_95 < 0.5 * (found.total_high_95 - found.total_low_95)


def test_members_that_part_widen_the_total_interval_within_its_bounds() -> None:
    found = proportion(120, 192, [(60, 64), (50, 64), (10, 64)])
    fractions = np.array([60, 50, 10]) / 64
    p = 120 / 192
    assert found.model_std == pytest.approx(np.sqrt(fractions.var(ddof=1) - p * (1 - p) / 64))
    assert 0 < found.total_low_95 < 10 / 64
    assert 60 / 64 < found.total_high_95 < 1
    hits = np.repeat([1, 0, 1, 0, 1, 0], [60, 4, 50, 14, 10, 54])
    assert proportion_of(hits, np.repeat(["a", "b", "c"], 64)) == found
    assert proportion(0, 192, [(0, 64)] * 3).total_low_95 == 0.0
    assert proportion(192, 192, [(64, 64)] * 3).total_high_95 == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 60), (3, 60), (1000, 2000), (11000, 11000), (110, 11000)])
def test_without_spread_the_predictive_interval_is_jeffreys_own(k: int, n: int) -> None:
    parts = [(k // 2, n // 2), (k - k // 2, n - n // 2)]
    low, high = jeffreys(k, n)
    assert another_proportion(parts, scale=1e-6) == pytest.approx((low, high), abs=0.01 * (high - low))


def test_the_predictive_interval_is_that_of_the_integral_done_directly() -> None:
    """Posterior draws of (μ, τ) by importance sampling, and another member's probability from each."""
    counts, rng = np.array([(5, 20), (9, 20), (14, 20)]), np.random.default_rng(2)
    tau = np.tan(np.pi / 2 * rng.uniform(0, np.arctan(4.0) * 2 / np.pi, 40_000))
    mu = rng.normal(0.0, 2.0, len(tau))
    p = 1 / (1 + np.exp(-mu))
    weight = np.sqrt(p * (1 - p)) * np.exp(0.5 * (mu / 2.0) ** 2)
    node, share = np.polynomial.hermite_e.hermegauss(40)
    for k, n in counts:
        own = 1 / (1 + np.exp(-(mu[:, None] + tau[:, None] * node)))
        weight *= (own**k * (1 - own) ** (n - k)) @ share
    other = 1 / (1 + np.exp(-(mu + tau * rng.normal(size=len(tau)))))
    order = np.argsort(other)
    below = np.cumsum(weight[order]) / weight.sum()
    low, high = np.interp([0.025, 0.975], below, other[order])
    assert another_proportion([tuple(c) for c in counts.tolist()]) == pytest.approx((low, high), abs=0.01)


def test_the_spread_of_members_is_found_beyond_their_sampling() -> None:
    """Members drawn with a known spread, each measured with a known error: their part comes out."""
    random = np.random.default_rng(1)
    true, error = 0.3, 0.5
    members = true * random.normal(size=(400, 50)) + error * random.normal(size=(400, 50))
    found = members_std(members, np.full((400, 50), error**2))
    assert found.shape == (50,)
    assert np.sqrt((found**2).mean()) == pytest.approx(true, rel=0.1)
    assert np.isnan(members_std([[1.0, 2.0], [1.1, 2.1]], [[0.1, np.nan], [0.1, 0.2]])).tolist() == [
        False,
        True,
    ]


def test_curves_have_both_errors_point_by_point() -> None:
    value, half = np.array([1.0, 5.0]), np.array([0.1, 0.4])
    members = np.array([[0.8, 5.0], [1.2, 5.0]])
    found = estimate(value, (value - half, value + half), members, np.full((2, 2), 1e-4), scale=0.2)
    assert found.model_std == pytest.approx([np.sqrt(0.08 - 1e-4), 0.0])
    assert (found.total_low_95 < value - half).all()
    assert (found.total_high_95 > value + half).all()
    assert found.total_high_95[0] - 1.0 > 0.4  # members 0.2 to either side
    assert found.total_high_95[1] - 5.0 < 0.6
    alone = estimate(value, (value - half, value + half))
    assert np.isnan(alone.model_std).tolist() == [True, True]
    assert np.isnan(alone.total_low_95).tolist() == [True, True]


def test_without_spread_a_value_keeps_its_lopsided_interval() -> None:
    low, high = another_value(0.9, (0.7, 1.0), [0.9, 0.9, 0.9], [0.01] * 3, 1e-6)
    assert (low, high) == pytest.approx((0.7, 1.0), abs=1e-4)


def test_one_model_s_mean_leaves_its_error_unknown() -> None:
    found = mean_of([1.0, 2.0, 3.0], ["a", "a", "a"], (0.5, 3.5))
    assert found.value == 2.0
    assert np.isnan([found.model_std, found.total_low_95]).all()
    assert "its error is unknown" in found.text
    two = mean_of([1.0, 2.0, 3.0, 4.0], ["a", "a", "b", "b"], (0.5, 3.5))
    assert two.model_std == pytest.approx(np.sqrt(2.0 - 0.25))
    assert "sampling and model error" in two.text


def layouts(
    n: int, n_members: int, n_starts: int, member: float, start: float, rest: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return values (M, R, n) of n committees about truths (n,) that are each one more member."""
    rng = np.random.default_rng(seed)
    members = member * rng.normal(size=(n_members + 1, 1, n))
    values = members[1:] + start * rng.normal(size=(1, n_starts, n))
    return values + rest * rng.normal(size=(n_members, n_starts, n)), members[0, 0]


def test_two_way_layout_is_that_of_its_mean_squares() -> None:
    """Searle et al.: σ² of the members is (MS_member − MS_error)/R; MS_member is R times their variance."""
    values = np.random.default_rng(3).normal(size=(4, 6)) + 2 * np.arange(4.0)[:, None]
    means = values.mean(axis=1)
    left = values - means[:, None] - values.mean(axis=0) + values.mean()
    of_error = (left**2).sum() / (3 * 5)
    of_members = 6 * ((means - values.mean()) ** 2).sum() / 3
    assert of_error > 0.3, "else this shows nothing"
    found = two_way(values)
    assert found.model_std == pytest.approx(np.sqrt((of_members - of_error) / 6))
    assert found.standard_error == pytest.approx(values.mean(axis=0).std(ddof=1) / np.sqrt(6))


def test_two_way_layout_gives_back_its_variance_components() -> None:
    values, _ = layouts(4000, 6, 12, 2.0, 3.0, 1.5)
    found = two_way(values)
    squares = found.members.var(axis=0, ddof=1) - found.residual_variance / 12
    assert squares.mean() == pytest.approx(2.0**2, rel=0.04)
    assert found.residual_variance.mean() == pytest.approx(1.5**2, rel=0.02)
    expected = 3.0**2 / 12 + 1.5**2 / (6 * 12)
    assert (found.standard_error**2).mean() == pytest.approx(expected, rel=0.03)
    shifted = found.members - found.mean
    assert (shifted.std(axis=0, ddof=1) ** 2).mean() == pytest.approx(2.0**2 + 1.5**2 / 12, rel=0.04), (
        "starts are shared: their scatter is no part of what members differ by"
    )
    none, _ = layouts(4000, 6, 12, 0.0, 3.0, 1.5)
    assert np.median(two_way(none).model_std) < 0.2


@pytest.mark.parametrize("n_members", [3, 4, 6])
@pytest.mark.parametrize(("start", "rest"), [(0.3, 0.3), (3.0, 1.0)])
def test_total_interval_holds_the_truth_as_one_more_member(n_members: int, start: float, rest: float) -> None:
    values, truth = layouts(4000, n_members, 16, 1.0, start, rest)
    found = two_way(values).estimate()
    inside = (found.total_low_95 < truth) & (truth < found.total_high_95)
    assert 0.93 < inside.mean() < 0.97, inside.mean()
    naive = 2 * two_way(values).members.std(axis=0, ddof=1)
    assert (np.abs(truth - found.value) < naive).mean() < 0.92, "twice the members' deviation covers less"


def test_sampling_interval_holds_what_all_starts_would_give() -> None:
    values, _ = layouts(4000, 4, 8, 0.0, 3.0, 1.0)
    found = two_way(values).estimate()
    assert 0.93 < ((found.low_95 < 0) & (found.high_95 > 0)).mean() < 0.97


def test_one_member_or_one_start_leaves_its_part_unknown() -> None:
    one = two_way(np.arange(5.0)[None]).estimate()
    assert one.value == 2.0
    assert one.low_95 < 2.0 < one.high_95
    assert np.isnan([one.model_std, one.total_low_95, one.total_high_95]).all()
    alone = two_way(np.arange(5.0)[:, None]).estimate()
    assert np.isnan([alone.low_95, alone.total_low_95]).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_is_the_factor_that_spreads_lack(factor: float) -> None:
    rng = np.random.default_rng(1)
    members = rng.normal(size=(8, 60_000))
    spreads, errors = members.std(axis=0, ddof=1), members.mean(axis=0) - factor * rng.normal(size=60_000)
    assert spread_calibration(errors, spreads, 8) == pytest.approx(factor, rel=0.03)
    assert np.isnan(spread_calibration(errors, spreads, 3)), "three members have no mean of 1/s²"
    assert np.isnan(spread_calibration(errors, np.zeros(60_000), 8))
    assert np.isnan(spread_calibration([], [], 8))
    planar, rounding = errors.copy(), spreads.copy()
    planar[::3], rounding[::3] = 1e-6, 1e-9
    assert spread_calibration(planar, rounding, 8) == pytest.approx(factor, rel=0.03), "0 by symmetry"
