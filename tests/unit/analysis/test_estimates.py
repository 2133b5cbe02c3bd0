"""Both errors of an estimate: what sampling leaves open, and what the members of a committee leave open."""

import numpy as np
import pytest

from frazil.analysis.estimates import Z_95, estimate, members_std, proportion, proportion_of, total_interval
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


def test_members_that_agree_within_counting_add_nothing() -> None:
    found = proportion(91, 192, [(30, 64), (31, 64), (30, 64)])
    assert found.model_std == 0.0
    assert (found.total_low_95, found.total_high_95) == pytest.approx((found.low_95, found.high_95))


def test_members_that_part_widen_the_total_interval_within_its_bounds() -> None:
    found = proportion(120, 192, [(60, 64), (50, 64), (10, 64)])
    fractions = np.array([60, 50, 10]) / 64
    p = 120 / 192
    assert found.model_std == pytest.approx(np.sqrt(fractions.var(ddof=1) - p * (1 - p) / 64))
    assert found.total_low_95 == max(p - np.hypot(p - found.low_95, Z_95 * found.model_std), 0.0)
    assert found.total_high_95 == 1.0
    hits = np.repeat([1, 0, 1, 0, 1, 0], [60, 4, 50, 14, 10, 54])
    assert proportion_of(hits, np.repeat(["a", "b", "c"], 64)) == found


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
    found = estimate(value, (value - half, value + half), [[0.8, 5.0], [1.2, 5.0]], np.zeros((2, 2)))
    assert found.model_std == pytest.approx([np.sqrt(0.08), 0.0])
    assert found.total_high_95 == pytest.approx(value + np.hypot(half, Z_95 * found.model_std))
    assert found.total_low_95 == pytest.approx(value - np.hypot(half, Z_95 * found.model_std))
    alone = estimate(value, (value - half, value + half))
    assert np.isnan(alone.model_std).tolist() == [True, True]
    assert np.isnan(alone.total_low_95).tolist() == [True, True]


def test_a_lopsided_interval_stays_lopsided() -> None:
    low, high = total_interval(0.9, (0.7, 1.0), 0.1)
    assert 0.9 - low == pytest.approx(np.hypot(0.2, 0.1 * Z_95))
    assert high - 0.9 == pytest.approx(np.hypot(0.1, 0.1 * Z_95))
