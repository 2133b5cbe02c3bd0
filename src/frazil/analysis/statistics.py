"""Intervals, densities and comparisons of samples; every random number comes from the generator given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.stats import ks_2samp, norm, wasserstein_distance
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

Array = NDArray[np.float64]
NAN_INTERVAL = (float("nan"), float("nan"))


def jeffreys(k: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Jeffreys interval of a proportion, k successes of n (effective numbers may be no integers).

    Quantiles of Beta(k + 1/2, n − k + 1/2); as usual the lower end is 0 at k = 0 and the upper end 1 at k = n
    (Brown, Cai & DasGupta, Statistical Science 16, 101 (2001), section 4.1.2). (nan, nan) for n = 0.

    Raises:
        ValueError: k is not within 0..n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes of {n} trials; 0 <= k <= n is needed")
    if n == 0:
        return NAN_INTERVAL
    low, high = jeffreys_of(k, n, confidence)
    return float(low), float(high)


def jeffreys_of(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Return the same for many at once, arrays of the shape of ``k`` and ``n``, unchecked."""
    low, high = proportion_confint(k, n, alpha=1 - confidence, method="jeffreys")
    return np.where(np.equal(k, 0), 0.0, low), np.where(np.equal(k, n), 1.0, high)


def difference_unpaired(k1: int, n1: int, k2: int, n2: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Newcombe's hybrid score interval of p1 − p2 for independent samples; (nan, nan) if one is empty.

    Newcombe, Statistics in Medicine 17, 873 (1998), method 10. It keeps its coverage at p = 0 and p = 1.
    """
    if n1 == 0 or n2 == 0:
        return NAN_INTERVAL
    low, high = confint_proportions_2indep(
        k1, n1, k2, n2, method="newcomb", compare="diff", alpha=1 - confidence
    )
    return float(low), float(high)


def difference_paired(
    only_first: int, only_second: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of p1 − p2 of ``n`` pairs, from how many were a success in one of the two only.

    Bonett & Price, J. Educ. Behav. Stat. 37, 479 (2012): Wald's with one pair more of either kind. (nan, nan)
    without pairs.
    """
    if n == 0:
        return NAN_INTERVAL
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((first + second - (first - second) ** 2) / (n + 2))
    return max(first - second - half, -1.0), min(first - second + half, 1.0)


@dataclass(frozen=True)
class Clustered:
    """Values that come in clusters: the molecules of one trajectory are not independent of each other.

    values: (n,). clusters: (n,) the cluster (trajectory id) of each value.
    """

    values: Array
    clusters: NDArray


def cluster_bootstrap(
    statistic: Callable[..., float],
    samples: Sequence[Clustered],
    clusters: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of ``statistic(*values)``, whole clusters drawn with replacement.

    All samples are resampled with the same draw of clusters, so that two samples from the same starts stay
    paired. Draws where the statistic is undefined (nan) are left out; (nan, nan) if they are more than half.

    Args:
        statistic: takes one array of values per sample.
        samples: values with their clusters.
        clusters: all cluster ids, those without any value included.
        rng: source of the draws.
        resamples: number of draws.
        confidence: of the interval.
    """
    found = bootstrapped(statistic, samples, clusters, rng, resamples)
    found = found[np.isfinite(found)]
    if not resamples or 2 * len(found) < resamples:
        return NAN_INTERVAL
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrapped(
    statistic: Callable[..., float],
    samples: Sequence[Clustered],
    clusters: ArrayLike,
    rng: np.random.Generator,
    resamples: int,
) -> Array:
    """Return what ``cluster_bootstrap`` takes its quantiles of (resamples,), nan without a cluster."""
    ids = np.unique(np.asarray(clusters))
    if len(ids) == 0:
        return np.full(resamples, np.nan)
    places = [np.searchsorted(ids, sample.clusters) for sample in samples]
    found = np.empty(resamples)
    for index in range(resamples):
        counts = np.bincount(rng.integers(len(ids), size=len(ids)), minlength=len(ids))
        found[index] = statistic(
            *(np.repeat(sample.values, counts[place]) for sample, place in zip(samples, places, strict=True))
        )
    return found


def design_effect(values: ArrayLike, clusters: ArrayLike) -> float:
    """Return how many values (n,) in clusters are worth one that is independent of all others, at least 1.

    The mean square between clusters over the variance of the values: for proportions Pearson's χ² over its
    degrees of freedom (Rao & Scott, Biometrics 48, 577, 1992). nan for one cluster, or where each is one.
    """
    sample = np.asarray(values, float)
    _, places, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    if not 2 <= len(sizes) < len(sample):
        return float("nan")
    variance = sample.var()
    if not variance > 0:
        return 1.0
    of_each = np.bincount(places, weights=sample) / sizes
    between = float((sizes * (of_each - sample.mean()) ** 2).sum()) / (len(sizes) - 1)
    return max(between / variance, 1.0)


def widened(value: float, interval: tuple[float, float], effect: float) -> tuple[float, float]:
    """Return an interval of values that are worth less by a design effect (nan: unknown, taken as 1)."""
    factor = 1.0 if np.isnan(effect) else np.sqrt(effect)
    return value - factor * (value - interval[0]), value + factor * (interval[1] - value)


def mean(values: Array) -> float:
    """Return the mean, nan if empty."""
    return float(values.mean()) if len(values) else float("nan")


def median(values: Array) -> float:
    """Return the median, nan if empty."""
    return float(np.median(values)) if len(values) else float("nan")


def fraction_by(times: Array, n: int, at: ArrayLike) -> tuple[Array, Array, Array]:
    """Return P(event by t) and its Jeffreys 95 % interval at each t, for n subjects followed to the last t.

    ``times``: the events seen (at most n). Nobody leaves early, or who does counts as having had no event, so
    that this is also the Kaplan–Meier estimate 1 − S(t).
    """
    counts = np.searchsorted(np.sort(times), np.asarray(at, dtype=float), side="right")
    intervals = {k: jeffreys(int(k), n) for k in np.unique(counts)}
    low, high = np.array([intervals[k] for k in counts]).reshape(-1, 2).T
    with np.errstate(invalid="ignore"):
        return counts / np.float64(n), low, high


@dataclass(frozen=True)
class Density:
    """A probability density on a grid that starts at 0."""

    x: Array
    y: Array

    @property
    def peak(self) -> float:
        """Position of the maximum."""
        return float(self.x[np.argmax(self.y)])

    def tail(self, fraction: float) -> float:
        """Return where, beyond the maximum, the density first falls to ``fraction`` of it (nan: nowhere)."""
        top = int(np.argmax(self.y))
        below = np.nonzero(self.y[top:] <= fraction * self.y[top])[0]
        return float(self.x[top + below[0]]) if len(below) else float("nan")


def bandwidth(values: Array) -> float:
    """Return Silverman's robust rule, 0.9 min(σ, IQR/1.34) n^(−1/5), here 0 where all values are equal."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    middle = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34
    return 0.9 * (min(spread, middle) if middle > 0 else spread) * len(values) ** -0.2


def density(values: ArrayLike, upper: float, n_bins: int = 2000, width: float | None = None) -> Density:
    """Return a Gaussian kernel density of non-negative values on [0, upper], reflected at 0.

    Binned (``n_bins``) and convolved: equal to the direct sum over kernels but for the width of a bin. Values
    beyond ``upper`` keep their place in the norm. ``width``: standard deviation of the kernel, by default
    ``bandwidth(values)``, at least one bin.

    Raises:
        ValueError: no values, a negative one, or upper <= 0.
    """
    data = np.asarray(values, dtype=float)
    if len(data) == 0 or data.min() < 0 or upper <= 0:
        raise ValueError(
            f"{len(data)} values, upper end {upper}: non-negative values and upper > 0 are needed"
        )
    step = upper / n_bins
    counts, edges = np.histogram(data, bins=n_bins, range=(0.0, upper))
    sigma = max(bandwidth(data) if width is None else width, step) / step
    room = int(6 * sigma) + 1  # so that nothing is reflected at the upper end
    smooth = gaussian_filter1d(np.pad(counts.astype(float), (0, room)), sigma, mode="reflect", truncate=6.0)
    return Density(0.5 * (edges[1:] + edges[:-1]), smooth[:n_bins] / (len(data) * step))


@dataclass(frozen=True)
class Comparison:
    """Two samples compared: Kolmogorov–Smirnov, and the Wasserstein distance with its bootstrap interval."""

    n1: int
    n2: int
    ks_statistic: float
    ks_p: float
    wasserstein: float
    wasserstein_low: float
    wasserstein_high: float


def compare(
    first: Clustered, second: Clustered, clusters: ArrayLike, rng: np.random.Generator, resamples: int = 500
) -> Comparison:
    """Compare two samples. KS takes all values as independent; the interval resamples clusters."""
    n1, n2 = len(first.values), len(second.values)
    if min(n1, n2) == 0:
        return Comparison(n1, n2, *[float("nan")] * 5)
    test = ks_2samp(first.values, second.values)

    def distance(a: Array, b: Array) -> float:
        return float(wasserstein_distance(a, b)) if len(a) and len(b) else float("nan")

    low, high = cluster_bootstrap(distance, [first, second], clusters, rng, resamples)
    return Comparison(
        n1, n2, float(test.statistic), float(test.pvalue), distance(first.values, second.values), low, high
    )
