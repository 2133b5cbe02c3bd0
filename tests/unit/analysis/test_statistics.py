"""Intervals keep their coverage; densities and comparisons agree with direct forms."""

import math

import numpy as np
import pytest
from scipy.stats import binom, gaussian_kde

from frazil.analysis.statistics import (
    Clustered,
    bandwidth,
    cluster_bootstrap,
    compare,
    density,
    design_effect,
    difference_paired,
    difference_unpaired,
    fraction_by,
    jeffreys,
    mean,
    median,
    widened,
)
from frazil.seeds import rng


def test_jeffreys_against_published_values() -> None:
    # Brown, Cai & DasGupta (2001), table 5: n = 7 (two of them), and the ends.
    assert jeffreys(0, 7) == pytest.approx((0.0, 0.292), abs=1e-3)
    assert jeffreys(1, 7) == pytest.approx((0.016, 0.501), abs=1e-3)
    assert jeffreys(7, 7)[1] == 1.0
    assert all(math.isnan(end) for end in jeffreys(0, 0))


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_jeffreys_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n is needed"):
        jeffreys(k, n)


@pytest.mark.parametrize("p", [0.004, 0.02, 0.1, 0.5, 0.77, 0.98, 0.996])
def test_jeffreys_coverage_by_simulation(p: float) -> None:
    n, runs = 200, 20_000
    draws = rng(1, "coverage", int(1000 * p)).binomial(n, p, size=runs)
    intervals = np.array([jeffreys(k, n) for k in range(n + 1)])
    covered = ((intervals[draws, 0] <= p) & (p <= intervals[draws, 1])).mean()
    exact = sum(binom.pmf(k, n, p) for k in range(n + 1) if intervals[k, 0] <= p <= intervals[k, 1])
    assert covered == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / runs) + 1e-9)
    assert covered > 0.90  # it oscillates about 0.95 (Brown et al., figure 5), never far below here
    # Averaged over neighbouring p the oscillation goes: 95 %, a little more where the ends are 0 and 1.
    scale = np.linspace(0.6, 1.4, 81)
    coverage = []
    for q in p * scale if p < 0.5 else 1 - (1 - p) * scale:
        chances = binom.pmf(np.arange(n + 1), n, q)
        coverage.append(chances[(intervals[:, 0] <= q) & (q <= intervals[:, 1])].sum())
    assert 0.94 < np.mean(coverage) < 0.98


@pytest.mark.parametrize(("p1", "p2"), [(0.5, 0.5), (0.4, 0.4), (0.02, 0.02), (0.97, 0.9)])
def test_newcombe_difference_coverage_by_simulation(p1: float, p2: float) -> None:
    n, runs = 96, 1500
    generator = rng(2, "difference", int(100 * p1))
    first, second = generator.binomial(n, p1, size=runs), generator.binomial(n, p2, size=runs)
    cache: dict[tuple[int, int], tuple[float, float]] = {}
    hits = 0
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        low, high = cache.setdefault((a, b), difference_unpaired(a, n, b, n))
        hits += low <= p1 - p2 <= high
    assert hits / runs > 0.93


def test_difference_has_width_at_the_ends() -> None:
    low, high = difference_unpaired(0, 40, 0, 40)
    assert low < 0 < high
    assert math.isnan(difference_unpaired(0, 0, 1, 2)[0])


def test_cluster_bootstrap_coverage_of_a_clustered_mean() -> None:
    # Clusters of three equal values: taking values as independent would give intervals sqrt(3) too narrow.
    hits, runs, n = 0, 200, 60
    for run in range(runs):
        generator = rng(3, "clusters", run)
        values, ids = np.repeat(generator.normal(size=n), 3), np.repeat(np.arange(n), 3)
        low, high = cluster_bootstrap(mean, [Clustered(values, ids)], np.arange(n), generator, 200)
        hits += low <= 0 <= high
    assert 0.88 <= hits / runs <= 0.99


def test_cluster_bootstrap_keeps_pairs_and_is_seeded() -> None:
    ids = np.arange(30)
    values = rng(4, "pairs").normal(size=30)
    pair = [Clustered(values + 1.0, ids), Clustered(values, ids)]

    def shift(a: np.ndarray, b: np.ndarray) -> float:
        return mean(a) - mean(b)

    assert cluster_bootstrap(shift, pair, ids, rng(5, "x"), 50) == pytest.approx((1.0, 1.0))
    one, two = (cluster_bootstrap(median, pair[:1], ids, rng(6, "x"), 50) for _ in range(2))
    assert one == two
    empty = Clustered(np.empty(0), np.empty(0, dtype=int))
    assert all(math.isnan(end) for end in cluster_bootstrap(median, [empty], ids, rng(6, "x"), 10))
    assert all(math.isnan(end) for end in cluster_bootstrap(median, [empty], [], rng(6, "x"), 10))


def test_fraction_by_counts_everyone() -> None:
    p, low, high = fraction_by(np.array([2000.0, 500.0]), 4, [0.0, 500.0, 1999.0, 3000.0])
    assert p.tolist() == [0.0, 0.25, 0.25, 0.5]
    assert low[0] == 0.0
    assert (low <= p).all()
    assert (p <= high).all()
    assert np.isnan(fraction_by(np.empty(0), 0, [1.0])[0]).all()


def test_density_equals_direct_reflected_kernels() -> None:
    values = rng(7, "kde").gamma(2.0, 4.0, size=400)
    width = bandwidth(values)
    found = density(values, upper=60.0)
    direct = gaussian_kde(values, bw_method=width / values.std(ddof=1))
    expected = direct(found.x) + direct(-found.x)
    assert np.abs(found.y - expected).max() < 2e-3 * expected.max()
    assert np.trapezoid(found.y, found.x) == pytest.approx(1.0, abs=2e-3)
    assert found.peak == pytest.approx(found.x[np.argmax(expected)], abs=0.2)
    top = np.argmax(expected)
    assert found.tail(0.03) == pytest.approx(
        found.x[top + np.nonzero(expected[top:] <= 0.03 * expected.max())[0][0]], abs=0.3
    )


def test_density_of_equal_values_and_of_nothing() -> None:
    assert density([5.0, 5.0, 5.0], upper=10.0).peak == pytest.approx(5.0, abs=0.02)
    assert math.isnan(density([9.9], upper=10.0, width=2.0).tail(0.03))
    for bad in ([], [-1.0]):
        with pytest.raises(ValueError, match="non-negative values"):
            density(bad, upper=10.0)


def test_compare_tells_apart_and_does_not() -> None:
    generator = rng(8, "compare")
    ids = np.arange(200)
    one, same, other = (Clustered(generator.normal(shift, 1, 200), ids) for shift in (0.0, 0.0, 2.0))
    near = compare(one, same, ids, rng(9, "c"), 100)
    far = compare(one, other, ids, rng(9, "c"), 100)
    assert near.ks_p > 0.01
    assert far.ks_p < 1e-6
    assert far.wasserstein == pytest.approx(2.0, abs=0.4)
    assert far.wasserstein_low < 2.0 < far.wasserstein_high + 0.3
    nothing = compare(Clustered(np.empty(0), np.empty(0, dtype=int)), one, ids, rng(9, "c"))
    assert nothing.n1 == 0
    assert math.isnan(nothing.ks_p)


def test_the_paired_difference_covers_at_small_numbers() -> None:
    generator = np.random.default_rng(4)
    for n, first, second in ((40, 0.2, 0.05), (40, 0.1, 0.1), (200, 0.12, 0.02)):
        drawn = generator.multinomial(n, [first, second, 1 - first - second], size=2000)
        ends = np.array([difference_paired(int(a), int(b), n) for a, b, _ in drawn])
        held = (ends[:, 0] <= first - second) & (first - second <= ends[:, 1])
        assert 0.93 < held.mean() < 0.99
    assert np.isnan(difference_paired(0, 0, 0)).all()


def test_the_design_effect_is_one_without_and_large_with_clusters() -> None:
    generator = np.random.default_rng(6)
    clusters = np.repeat(np.arange(30), 20)
    alone = [design_effect(generator.random(600) < 0.4, clusters) for _ in range(200)]
    assert np.mean(alone) < 1.15
    of_each = np.repeat(np.clip(generator.normal(0.5, 0.25, 30), 0, 1), 20)
    assert design_effect(generator.random(600) < of_each, clusters) > 3
    assert design_effect(np.zeros(600), clusters) == 1.0
    assert np.isnan(design_effect(np.ones(5), np.arange(5)))
    assert np.isnan(design_effect(np.ones(5), np.zeros(5)))


def test_intervals_are_widened_by_the_design_effect() -> None:
    assert widened(1.0, (0.9, 1.2), 4.0) == pytest.approx((0.8, 1.4))
    assert widened(1.0, (0.9, 1.2), math.nan) == pytest.approx((0.9, 1.2))
