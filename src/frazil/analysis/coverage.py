"""How often total intervals hold the truth, by simulation: truth and members drawn alike, as is assumed.

Each function returns the part of campaigns whose interval holds the truth. ``tau`` is the standard deviation
of the members, in the unit of its prior; None draws it from the prior in every campaign.
"""

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from scipy.special import expit, logit

from frazil.analysis.estimates import estimate
from frazil.analysis.predictive import LARGEST_LOGITS, LARGEST_SCALES, another_proportion
from frazil.analysis.settings import MODEL_ERROR_SCALE

Array = NDArray[np.float64]
CORRELATION = 0.9
"""Of the runs that start alike, for bands."""


def drawn_spreads(
    n: int, tau: float | None, rng: np.random.Generator, largest: float, scale: float = MODEL_ERROR_SCALE
) -> Array:
    """Return τ (n,) as given, or from the half-Cauchy prior that ends at ``largest``."""
    if tau is not None:
        return np.full(n, tau)
    return np.asarray(scale * np.tan(rng.uniform(0, np.arctan(largest / scale), n)))


def of_proportions(
    p: float, n: int, n_members: int, tau: float | None, n_campaigns: int, rng: np.random.Generator,
    scale: float = MODEL_ERROR_SCALE,
) -> float:  # fmt: skip
    """Return the coverage of another member's probability about p, ``n`` trials in all, dealt in turn."""
    spread = drawn_spreads(n_campaigns, tau, rng, LARGEST_LOGITS, scale)
    own = expit(logit(p) + spread[:, None] * rng.normal(size=(n_campaigns, n_members + 1)))
    trials = np.bincount(np.arange(n) % n_members, minlength=n_members)
    held = 0
    for truth, counts in zip(own[:, -1], rng.binomial(trials, own[:, :-1]), strict=True):
        low, high = another_proportion(list(zip(counts.tolist(), trials.tolist(), strict=True)), scale)
        held += low <= truth <= high
    return held / n_campaigns


def of_means(
    n: int, n_members: int, tau: float | None, n_campaigns: int, rng: np.random.Generator,
    scale: float = MODEL_ERROR_SCALE,
) -> float:  # fmt: skip
    """Return the coverage of another member's mean, ``n`` normal values of unit variance in all."""
    each = n // n_members
    truth, offsets = _offsets(n_members, tau, n_campaigns, rng, scale)
    values = offsets[:, None] + rng.normal(size=(n_members, each, n_campaigns))
    flat = values.reshape(-1, n_campaigns)
    error = np.sqrt(values.var(axis=1, ddof=1).mean(axis=0) / len(flat))
    variances = values.var(axis=1, ddof=1) / each
    return _held(truth, flat, error, n_members * (each - 1), values.mean(axis=1), variances, scale)


def of_bands(
    n_starts: int, n_members: int, tau: float | None, n_campaigns: int, rng: np.random.Generator,
    scale: float = MODEL_ERROR_SCALE,
) -> float:  # fmt: skip
    """Return the coverage of another member's spectrum at a point; members share starts (``CORRELATION``)."""
    truth, offsets = _offsets(n_members, tau, n_campaigns, rng, scale)
    shared = np.sqrt(CORRELATION) * rng.normal(size=(1, n_starts, n_campaigns))
    own = np.sqrt(1 - CORRELATION) * rng.normal(size=(n_members, n_starts, n_campaigns))
    runs = offsets[:, None] + shared + own
    starts = runs.mean(axis=0)
    error = starts.std(axis=0, ddof=1) / np.sqrt(n_starts)
    apart = runs - starts
    variances = apart.var(axis=1, ddof=1) / n_starts * n_members / (n_members - 1)
    return _held(truth, starts, error, n_starts - 1, runs.mean(axis=1), variances, scale)


def _offsets(
    n_members: int, tau: float | None, n_campaigns: int, rng: np.random.Generator, scale: float
) -> tuple[Array, Array]:
    """Return what the truth (n_campaigns,) and the members (M, n_campaigns) are off."""
    spread = drawn_spreads(n_campaigns, tau, rng, LARGEST_SCALES * scale, scale)
    drawn = spread * rng.normal(size=(n_members + 1, n_campaigns))
    return drawn[-1], drawn[:-1]


def _held(
    truth: Array, sample: Array, error: Array, freedom: int, members: Array, variances: Array, scale: float
) -> float:
    value, half = sample.mean(axis=0), scipy.stats.t.ppf(0.975, freedom) * error
    found = estimate(
        value, (value - half, value + half), members, variances, scale * sample.std(axis=0, ddof=1)
    )
    return float(((found.total_low_95 <= truth) & (truth <= found.total_high_95)).mean())
