"""One kind of estimate: a value, what sampling leaves open, what the members of a committee leave open, both.

Every experiment's proportions, means, curves and functions of them get both errors here, by the same
formulas. A model's part that is not known (one model ran) is nan, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
from numpy.typing import ArrayLike, NDArray

from frazil.analysis.statistics import jeffreys

Array = NDArray[np.float64]
Number = float | Array
NAN = float("nan")
Z_95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A value (or a curve, arrays of one shape) and its errors.

    ``low_95``, ``high_95``: interval of the sampling alone. ``model_std``: the standard deviation between
    members beyond what their sampling explains. ``total_*``: interval of both. nan is not known.
    """

    value: Any
    low_95: Any
    high_95: Any
    model_std: Any = NAN
    total_low_95: Any = NAN
    total_high_95: Any = NAN

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
    bounds: tuple[float, float] = (-np.inf, np.inf),
    z: float = Z_95,
) -> Estimate:
    """Return the estimate of a value with its sampling interval and the values of the committee's members.

    Args:
        value: of all samples together; a number, or an array of a curve.
        interval: its sampling interval, 95 %.
        members: (M, …) each member's own value; fewer than two leave the model's part unknown.
        sampling_variances: (M, …) variance of each member's value by its sampling.
        bounds: no total interval reaches beyond.
        z: half-width of the members' normal interval in standard deviations.
    """
    spread = members_std(members, sampling_variances, np.shape(value))
    low, high = total_interval(value, interval, spread, z)
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


def total_interval(
    value: Number, interval: tuple[Number, Number], model_std: Number, z: float = Z_95
) -> tuple[Array, Array]:
    """Return the interval of sampling and model together: half-widths added in quadrature."""
    low, high = interval
    reach = z * np.asarray(model_std)
    return value - np.hypot(value - low, reach), value + np.hypot(high - value, reach)


def proportion(k: int, n: int, by_member: Sequence[tuple[int, int]] = ()) -> Estimate:
    """Return the estimate of a proportion, k of n: Jeffreys' interval; nan without trials.

    ``by_member``: (k, n) of each member of the committee that ran some of the trials.
    """
    if not n:
        return Estimate(NAN, NAN, NAN)
    p = k / n
    counts = np.array(by_member, float).reshape(-1, 2)
    trials = counts[:, 1]
    return estimate(p, jeffreys(k, n), counts[:, 0] / trials, p * (1 - p) / trials, (0.0, 1.0))


def proportion_of(hits: ArrayLike, members: ArrayLike) -> Estimate:
    """Return the estimate of the part of trials that are hits (n,), each run by one of the members (n,)."""
    counts = pandas.Series(np.asarray(hits, bool)).groupby(np.asarray(members)).agg(["sum", "size"])
    by_member = [(int(k), int(n)) for k, n in counts.to_numpy()]
    return proportion(sum(k for k, _ in by_member), sum(n for _, n in by_member), by_member)
