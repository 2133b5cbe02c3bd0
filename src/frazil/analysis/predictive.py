"""What another member of a committee would find: the total interval of a probability, a mean or a curve.

A deep ensemble takes the truth for exchangeable with its members. So the interval that holds sampling and
model error together is the posterior predictive of another member's value (Gelman et al., Bayesian Data
Analysis, 3rd ed., sections 5.4 and 5.5). Members differ by a standard deviation τ with a half-Cauchy prior
(Gelman, Bayesian Analysis 1, 515, 2006), on the logit scale for probabilities, in units of the standard
deviation of single values for means and curves. As τ goes to 0 the interval becomes that of the sampling.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit, ndtr

from frazil.analysis.settings import MODEL_ERROR_SCALE

Array = NDArray[np.float64]
Z_95 = 1.959964
TAIL = 0.025
N_SPREADS = 48
LARGEST_LOGITS = 4.0
"""Where the prior of τ ends for probabilities: beyond, every member is a coin of its own, and three members
without any success would leave everything possible.
"""
LARGEST_SCALES = 10.0
"""The same for means and curves, in units of the prior's scale."""
REACH = 32.0
"""Ends of the grid of logits: 16, which is a probability of 1e-7, and four of the largest τ."""


def spreads(scale: float, largest: float) -> tuple[Array, Array]:
    """Return values of τ (t,) and their weights by a half-Cauchy prior that ends at ``largest``.

    Nodes are the denser the smaller τ is, so that no likelihood falls between two of them.
    """
    end = np.sqrt(np.arctan(largest / scale) * 2 / np.pi)
    root = end * (np.arange(N_SPREADS) + 0.5) / N_SPREADS
    return scale * np.tan(np.pi / 2 * root**2), root / root.sum()


@lru_cache(maxsize=100_000)
def _of_counts(counts: tuple[tuple[float, float], ...], scale: float) -> tuple[float, float]:
    narrowest = min(1 / np.sqrt(n * (k + 0.5) / (n + 1) * (n - k + 0.5) / (n + 1)) for k, n in counts)
    step = min(narrowest / 3, 0.1)
    size = scipy.fft.next_fast_len(int(2 * REACH / step), real=True)
    step = 2 * REACH / size
    logit = -REACH + step * np.arange(size)
    tau, weight = spreads(scale, LARGEST_LOGITS)
    frequency = 2 * np.pi * scipy.fft.rfftfreq(size, step)
    blurred = np.exp(-0.5 * np.outer(tau, frequency) ** 2)
    # log w(τ, μ): Jeffreys' prior of p on μ, times each member's likelihood, its own logit integrated out
    log_w = 0.5 * logit - np.logaddexp(0.0, logit) + np.log(weight)[:, None]
    for k, n in dict.fromkeys(counts):
        log_likelihood = k * logit - n * np.logaddexp(0.0, logit)
        likelihood = np.exp(log_likelihood - log_likelihood.max())
        seen = scipy.fft.irfft(scipy.fft.rfft(likelihood) * blurred, size)
        log_w += counts.count((k, n)) * np.log(np.maximum(seen, 1e-18))
    w = np.exp(log_w - log_w.max())
    other = scipy.fft.irfft((scipy.fft.rfft(w) * blurred).sum(axis=0), size).clip(min=0.0)
    below = np.cumsum(other) / other.sum()
    new = np.flatnonzero(np.diff(below, prepend=0.0) > 1e-12)
    low, high = PchipInterpolator(below[new], logit[new] + step / 2)([TAIL, 1 - TAIL])
    return float(expit(low)), float(expit(high))


def another_proportion(
    by_member: Sequence[tuple[float, float]], scale: float = MODEL_ERROR_SCALE
) -> tuple[float, float]:
    """Return the 95 % interval of another member's probability, from (k, n) of two members or more
    (effective numbers may be no integers).

    logit p_m = μ + τ z_m, k_m ~ Binomial(n_m, p_m), z normal; Jeffreys' prior of p on μ, half-Cauchy(scale)
    on τ: exact on a grid of both. As for Jeffreys' interval the lower end is 0 where no trial was a success,
    the upper end 1 where all were.
    """
    counts = tuple(sorted((float(k), float(n)) for k, n in by_member if n))
    low, high = _of_counts(counts, float(scale))
    successes, trials = (sum(values) for values in zip(*counts, strict=True))
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


def another_value(
    value: ArrayLike,
    interval: tuple[ArrayLike, ArrayLike],
    members: ArrayLike,
    sampling_variances: ArrayLike,
    scale: ArrayLike,
) -> tuple[Array, Array]:
    """Return the 95 % interval of another member's value, point by point of a curve.

    A normal likelihood: members (M, …) scatter about their mean by τ and their sampling, so that another one
    lies about ``value`` by the sampling of ``value``, whose interval is given (its halves may differ), and
    τ √(1 + 1/M). Of τ there is the half-Cauchy(scale) prior; the posterior is summed over a grid.

    Args:
        value: of all samples together (…).
        interval: its sampling interval, 95 %.
        members: (M, …) each member's own value, two members or more.
        sampling_variances: (M, …) of each member's value, without what all members share.
        scale: (…) of τ's prior, in the value's unit, positive.
    """
    centre, own = np.asarray(value, float), np.asarray(members, float)
    low, high = (np.asarray(end, float) for end in interval)
    unit = np.maximum(np.broadcast_to(np.asarray(scale, float), centre.shape), 1e-300)
    node, weight = spreads(1.0, LARGEST_SCALES)
    ones = (1,) * own.ndim
    tau = node.reshape(-1, *ones[1:]) * unit
    variance = np.asarray(sampling_variances, float) + tau[:, None] ** 2
    precision = 1 / variance
    middle = (precision * own).sum(axis=1) / precision.sum(axis=1)
    misfit = (precision * (own - middle[:, None]) ** 2).sum(axis=1)
    log_w = np.log(weight).reshape(-1, *ones[1:]) - 0.5 * (
        np.log(variance).sum(axis=1) + np.log(precision.sum(axis=1)) + misfit
    )
    w = np.exp(log_w - log_w.max(axis=0))
    w /= w.sum(axis=0)
    reach = []
    for half in (centre - low, high - centre):
        widths = np.sqrt((half / Z_95) ** 2 + tau**2 * (1 + 1 / len(own)))
        reach.append(_tail_of_mixture(w, widths))
    return centre - reach[0], centre + reach[1]


def _tail_of_mixture(weights: Array, widths: Array) -> Array:
    """Return beyond which distance (…) a mixture of normals (t, …) about 0 has ``TAIL`` on each side."""
    short, long = np.zeros(weights.shape[1:]), 40.0 * widths.max(axis=0)
    for _ in range(60):
        middle = 0.5 * (short + long)
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = (weights * ndtr(-middle / np.maximum(widths, 1e-300))).sum(axis=0)
        short, long = np.where(beyond > TAIL, middle, short), np.where(beyond > TAIL, long, middle)
    return np.asarray(np.where(np.isfinite(widths).all(axis=0), 0.5 * (short + long), np.nan))
