"""Both errors of an estimate: what sampling leaves open, and what the members of a committee leave open."""

import numpy as np
import pytest

from frazil.analysis.estimates import estimate, mean_of, members_std, proportion, proportion_of
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
