"""One kind of estimate: a value, what sampling leaves open, what the members of a committee leave open, both.

Every experiment's proportions, means, curves and functions of them get both errors here, by the same
formulas. A model's part that is not known (one model ran) is nan, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from frazil.analysis.predictive import another_proportion, another_value
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.analysis.statistics import jeffreys

Array = NDArray[np.float64]
Number = float | Array
NAN = float("nan")
ROUNDING = 1e-3
"""Of the spreads' root mean square: below lies the rounding of a component that vanishes by symmetry."""
MODEL_UNKNOWN = "sampling alone: one model ran, its error is unknown"
UNKNOWN_TOLD = (
    "The scatter of a committee's members is all that tells the error of a potential.",
    "Train or give a committee, best of six members or more.",
)
"""Of the gate of an error that one model leaves unknown: why, and what to do."""
ONE_POTENTIAL = "One model ran: the potential's error is unknown, and no interval here holds it."


@dataclass(frozen=True)
class Estimate:
    """A value (or a curve, arrays of one shape) and its errors.

    ``low_95``, ``high_95``: interval of the sampling alone. ``model_std``: the standard deviation between
    members beyond what their sampling explains. ``total_*``: interval of both, that of what another member
    would find (``predictive``). nan is not known.
    """

    value: Any
    low_95: Any
    high_95: Any
    model_std: Any = NAN
    total_low_95: Any = NAN
    total_high_95: Any = NAN

    @property
    def text(self) -> str:
        """The total interval in words; where the model's part is unknown, the sampling's, and that it is."""
        if np.isnan(self.total_low_95):
            if np.isnan(self.low_95):
                return "interval not known"
            return f"95 % interval {self.low_95:.3g} to {self.high_95:.3g} ({MODEL_UNKNOWN})"
        return f"95 % interval {self.total_low_95:.3g} to {self.total_high_95:.3g} (sampling and model error)"

    def row(self, name: str) -> dict[str, Any]:
        """Return the columns of a table, the value under its own name."""
        return {
            name: self.value, "low_95": self.low_95, "high_95": self.high_95, "model_std": self.model_std,
            "total_low_95": self.total_low_95, "total_high_95": self.total_high_95,
        }  # fmt: skip


def estimate(
    value: Number,
    interval: tuple[Number, Number],
    members: ArrayLike = (),
    sampling_variances: ArrayLike = (),
    scale: Number = NAN,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Return the estimate of a value with its sampling interval and the values of the committee's members.

    Args:
        value: of all samples together; a number, or an array of a curve.
        interval: its sampling interval, 95 %.
        members: (M, …) each member's own value; fewer than two leave the model's part unknown.
        sampling_variances: (M, …) variance of each member's value by its sampling.
        scale: of the prior of the members' standard deviation, in the value's unit: the setting
            ``model_error_scale`` times the standard deviation of single values.
        bounds: no total interval reaches beyond.
    """
    spread = members_std(members, sampling_variances, np.shape(value))
    low = high = np.full(np.shape(value), NAN)
    if len(np.asarray(members)) >= 2:
        low, high = another_value(value, interval, members, sampling_variances, scale)
        low, high = np.minimum(low, interval[0]), np.maximum(high, interval[1])
    parts = (spread, np.maximum(low, bounds[0]), np.minimum(high, bounds[1]))
    return Estimate(value, *interval, *(part if np.ndim(value) else float(part) for part in parts))


def members_std(members: ArrayLike, sampling_variances: ArrayLike, shape: tuple[int, ...] = ()) -> Array:
    """Return the standard deviation between members (M, …) beyond what sampling explains (one-way ANOVA).

    That of the members' values less the mean of their sampling variances, 0 where those explain all; nan for
    fewer than two members, and where a member's sampling variance is not known.
    """
    values = np.asarray(members, float)
    if len(values) < 2:
        return np.full(shape, NAN)
    beyond = values.var(axis=0, ddof=1) - np.asarray(sampling_variances, float).mean(axis=0)
    return np.asarray(np.sqrt(np.maximum(beyond, 0.0)))


@dataclass(frozen=True)
class TwoWay:
    """Values ν_kr = μ + a_k + b_r + e_kr of members k, run from the same starts r, and what they vary by.

    members (M, …) and starts (R, …): means of each. The members' part of the variance is
    σ_a² = (MS_members − MS_e)/R, the residual's σ_e² = MS_e (two-way layout without replication; Searle,
    Casella & McCulloch, Variance Components, 1992, ch. 4). What all members share by their starts, b_r, is
    no part of the members' error, and is all of the sampling's but for σ_e²/(M R).
    """

    mean: Array
    members: Array
    starts: Array
    residual_variance: Array

    @property
    def standard_error(self) -> Array:
        """Of the mean by the starts (…): the scatter of starts over √R; nan of one start."""
        n = len(self.starts)
        return self.starts.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(self.mean.shape, NAN)

    @property
    def model_std(self) -> Array:
        """Standard deviation between members beyond their own sampling (…), 0 where that explains all."""
        if len(self.members) < 2:
            return np.full(self.mean.shape, NAN)
        beyond = self.members.var(axis=0, ddof=1) - self.residual_variance / len(self.starts)
        return np.asarray(np.sqrt(np.maximum(beyond, 0.0)))

    def estimate(self, calibration: float = 1.0) -> Estimate:
        """Return the estimate of the mean, its intervals by Student's t.

        Sampling: R − 1 degrees of freedom. Total: the sampling's half width and that of another member,
        t_{M−1} s √(1 + 1/M) for the standard deviation s of the members' means, in quadrature.
        ``calibration`` is what the members' spread is multiplied by (``spread_calibration``).
        """
        n_members, half = len(self.members), _t_95(len(self.starts) - 1) * self.standard_error
        spread = self.members.std(axis=0, ddof=1) if n_members > 1 else np.full(self.mean.shape, NAN)
        another = calibration * _t_95(n_members - 1) * np.sqrt(1 + 1 / n_members) * spread
        total = np.sqrt(half**2 + another**2)
        ends = (self.mean, self.mean - half, self.mean + half, self.model_std, self.mean - total,
                self.mean + total)  # fmt: skip
        return Estimate(*(end if self.mean.ndim else float(end) for end in ends))


def two_way(values: ArrayLike) -> TwoWay:
    """Return the layout of values (M, R, …) of M members from the same R starts."""
    own = np.asarray(values, float)
    members, starts, mean = own.mean(axis=1), own.mean(axis=0), own.mean(axis=(0, 1))
    left = own - members[:, None] - starts[None] + mean
    degrees = (own.shape[0] - 1) * (own.shape[1] - 1)
    residual = (left**2).sum(axis=(0, 1)) / degrees if degrees else np.full(mean.shape, NAN)
    return TwoWay(mean, members, starts, residual)


def _t_95(degrees: int) -> float:
    return float(scipy.stats.t.ppf(0.975, degrees)) if degrees > 0 else NAN


def spread_calibration(errors: ArrayLike, spreads: ArrayLike, n_members: int) -> float:
    """Return α, by which the members' standard deviation (n,) is multiplied to fit errors of their mean (n,).

    α² = −1/M + (M − 3)/(M − 1) ⟨Δ²/σ²⟩ (Imbalzano et al., J. Chem. Phys. 154, 074102, 2021), 1 for
    an exchangeable truth; 0 where the errors are smaller than a mean of M can have. nan for M below 4.
    A spread below ``ROUNDING`` of their root mean square is left out: a component that vanishes by symmetry.
    """
    wrong, spread = np.asarray(errors, float), np.asarray(spreads, float)
    used = spread > ROUNDING * np.sqrt(np.sum(spread**2) / max(spread.size, 1))
    if n_members < 4 or not used.any():
        return NAN
    ratio = np.mean((wrong[used] / spread[used]) ** 2)
    return float(np.sqrt(max(0.0, (n_members - 3) / (n_members - 1) * ratio - 1 / n_members)))


def proportion(
    k: int, n: int, by_member: Sequence[tuple[int, int]] = (), scale: float = MODEL_ERROR_SCALE,
    design_effect: float = 1.0, confidence: float = 0.95,
) -> Estimate:  # fmt: skip
    """Return the estimate of a proportion, k of n: Jeffreys' interval; nan without trials.

    Args:
        k: successes.
        n: trials.
        by_member: (k, n) of each member of the committee that ran some of the trials. From two members on
            the total interval is that of another member's probability (``predictive.another_proportion``).
        scale: of the prior of the members' standard deviation, in logits.
        design_effect: trials for one that is independent of all others (``statistics.design_effect``); nan,
            unknown, is taken as 1.
        confidence: of Jeffreys' interval, higher than 0.95 where a campaign was looked at until it was enough
            (``stopping.rule_for``): then its coverage at the stop is 0.95.
    """
    if not n:
        return Estimate(NAN, NAN, NAN)
    worth = 1.0 if np.isnan(design_effect) else design_effect
    low, high = jeffreys(k / worth, n / worth, confidence)
    ran = [(own / worth, trials / worth) for own, trials in by_member if trials]
    if len(ran) < 2:
        return Estimate(k / n, low, high)
    p, counts = k / n, np.array(ran, float)
    trials = counts[:, 1]
    spread = members_std(counts[:, 0] / trials, p * (1 - p) / trials)
    total_low, total_high = another_proportion(ran, scale)
    return Estimate(p, low, high, float(spread), min(total_low, low), max(total_high, high))


def proportion_of(
    hits: ArrayLike, members: ArrayLike, scale: float = MODEL_ERROR_SCALE, design_effect: float = 1.0,
    confidence: float = 0.95,
) -> Estimate:  # fmt: skip
    """Return the estimate of the part of trials that are hits (n,), each run by one of the members (n,)."""
    by_member = counts_of(hits, members)
    k, n = (sum(counts) for counts in zip(*by_member, strict=True)) if by_member else (0, 0)
    return proportion(k, n, by_member, scale, design_effect, confidence)


def counts_of(hits: ArrayLike, members: ArrayLike) -> list[tuple[int, int]]:
    """Return (hits, trials) of each member, in the order of their names."""
    counts = pandas.Series(np.asarray(hits, bool)).groupby(np.asarray(members)).agg(["sum", "size"])
    return [(int(k), int(n)) for k, n in counts.to_numpy()]


def mean_of(
    values: ArrayLike, members: ArrayLike, interval: tuple[float, float], scale: float = MODEL_ERROR_SCALE
) -> Estimate:
    """Return the estimate of the mean of values (n,), each from one of the members (n,).

    ``interval``: its sampling interval. Members with a single value are left out of the model's part.
    """
    sample = np.asarray(values, float)
    groups = [sample[np.asarray(members) == name] for name in np.unique(np.asarray(members))]
    groups = [own for own in groups if len(own) > 1]
    variances = [own.var(ddof=1) / len(own) for own in groups]
    spread = sample.std(ddof=1) if len(sample) > 1 else NAN
    return estimate(float(sample.mean()) if len(sample) else NAN, interval, [own.mean() for own in groups],
                    variances, scale * spread)  # fmt: skip
