"""When a probability is known well enough: looking again and again, and paying for it exactly.

After every round of shards Jeffreys' interval is looked at, and a campaign ends once it is as narrow as asked
for. A fixed-n interval loses coverage by that; a higher confidence and a later first look give it back (Frey,
Am. Stat. 64, 242, 2010). Both are chosen by the exact distribution of the count at the stop, by dynamic
programming over counts with the real sizes of the rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from frazil.analysis.estimates import members_std, proportion
from frazil.analysis.predictive import another_proportion
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.analysis.statistics import jeffreys_of
from frazil.errors import UserError

Array = NDArray[np.float64]
PROBABILITIES = np.concatenate([[0.005, 0.01, 0.015], np.arange(0.02, 0.5, 0.01), [0.5]])
"""Where coverage is asked for; those above 1/2 are mirror images."""
CONFIDENCES = np.arange(0.95, 0.9901, 0.0025)
LATEST_FIRST = 5
"""Rounds before the first look, at most: some more at the start let the confidence be lower later."""
MEAN_COVERAGE, WORST_COVERAGE = 0.95, 0.93
MANY = 10_000
"""Trajectories of each member, for what they would leave open."""


@dataclass(frozen=True)
class AtStop:
    """What a rule gives, at each of ``PROBABILITIES``: the coverage, and how many trajectories it takes."""

    coverage: Array
    trajectories: Array

    @property
    def holds(self) -> bool:
        """Whether it covers enough, in the mean and at the worst."""
        return bool(self.coverage.mean() >= MEAN_COVERAGE and self.coverage.min() >= WORST_COVERAGE)


def looks(size: int, limit: int) -> tuple[int, ...]:
    """Return the numbers of trajectories after rounds of one size, the last one the limit."""
    return (*range(size, limit, size), limit)


def at_stop(target: float, at: Sequence[int], confidence: float) -> AtStop:
    """Return coverage and cost, exactly, of stopping where Jeffreys' interval has ``target`` for half-width.

    ``at``: trajectories at each look, ascending; at the last it stops whatever the width.
    """
    p = PROBABILITIES
    alive = np.ones((len(p), 1))
    coverage, trajectories = np.zeros(len(p)), np.zeros(len(p))
    before = 0
    for number, n in enumerate(at):
        new = binom.pmf(np.arange(n - before + 1), n - before, p[:, None])
        grown = np.zeros((len(p), n + 1))
        for k in range(n - before + 1):
            grown[:, k : k + alive.shape[1]] += new[:, k : k + 1] * alive
        low, high = jeffreys_of(np.arange(n + 1), n, confidence)
        stops = (high - low <= 2 * target) if number < len(at) - 1 else np.ones(n + 1, bool)
        held = (low <= p[:, None]) & (p[:, None] <= high)
        coverage += (grown * (stops & held)).sum(axis=1)
        trajectories += n * (grown * stops).sum(axis=1)
        alive, before = grown * ~stops, n
        if alive.max() < 1e-12:
            break
    return AtStop(coverage, trajectories)


def fixed_need(target: float, limit: int) -> Array:
    """Return how many trajectories a fixed number takes for the half-width, at each of ``PROBABILITIES``."""
    n = np.arange(min(10, limit), limit + 1)[:, None]
    low, high = jeffreys_of(n * PROBABILITIES, n)
    enough = high - low <= 2 * target
    return np.where(enough.any(axis=0), n[np.argmax(enough, axis=0), 0], limit)


@dataclass(frozen=True)
class Rule:
    """When a campaign is looked at, and with which confidence."""

    confidence: float
    looks: tuple[int, ...]


@lru_cache(maxsize=64)
def rule_for(target: float, at: tuple[int, ...]) -> Rule:
    """Return the rule of fewest trajectories that covers 0.95 in the mean over p, and 0.93 at the worst.

    Fewest in proportion to what a fixed number takes, in the mean over p. Raises UserError where there is
    none.
    """
    need, found = np.maximum(fixed_need(target, at[-1]), at[0]), []
    for first in range(min(LATEST_FIRST, len(at))):
        for confidence in CONFIDENCES:
            given = at_stop(target, at[first:], confidence)
            if given.holds:
                cost = float((given.trajectories / need).mean())
                found.append((cost, Rule(float(confidence), at[first:])))
                break
    if not found:
        raise UserError(
            f"no interval of half-width {target:g} keeps its coverage with looks at {at[0]}, … {at[-1]} "
            "trajectories; give larger rounds or a higher limit"
        )
    return min(found, key=lambda item: item[0])[1]


@dataclass(frozen=True)
class Decision:
    """Whether a probability is known well enough, and why: ``narrow``, ``limit``, ``members`` or ``more``.

    ``half_width``: of the interval that the experiment's table gives. ``members_half_width``: what the
    members would leave open after any number of trajectories; nan for one. ``confidence``: of the rule.
    """

    enough: bool
    reason: str
    n: int
    n_hits: int
    design_effect: float
    half_width: float
    members_half_width: float
    confidence: float


def decide(
    by_member: Sequence[tuple[int, int]], target: float, at: Sequence[int],
    scale: float = MODEL_ERROR_SCALE, design_effect: float = 1.0,
) -> Decision:  # fmt: skip
    """Return whether (k, n) of each member are enough for a total interval of half-width ``target``.

    ``at``: the looks of the whole campaign. ``members``: more trajectories would not do, only better labels.
    ``design_effect``: trajectories for one that is independent of all others; the interval is as much wider.
    """
    rule = rule_for(target, tuple(at))
    k, n = (sum(values) for values in zip(*by_member, strict=True))
    found = proportion(k, n, by_member, scale, design_effect, rule.confidence)
    half, open_ = 0.5 * (found.high_95 - found.low_95), float("nan")
    if len(by_member) > 1:
        half = 0.5 * (found.total_high_95 - found.total_low_95)
        left = another_proportion([(MANY * p, MANY) for p in _apart(by_member)], scale)
        open_ = 0.5 * (left[1] - left[0])
    looked = n in rule.looks or n >= at[-1]
    reasons = (("narrow", half <= target and looked), ("members", open_ > target), ("limit", n >= at[-1]))
    reason = next((name for name, holds in reasons if holds), "more")
    return Decision(reason != "more", reason, n, k, design_effect, half, open_, rule.confidence)


def _apart(by_member: Sequence[tuple[int, int]]) -> Array:
    """Return members' probabilities (M,), as far from their mean as they are beyond counting."""
    counts = np.array(by_member, float)
    own = counts[:, 0] / counts[:, 1]
    pooled = counts[:, 0].sum() / counts[:, 1].sum()
    beyond = float(members_std(own, pooled * (1 - pooled) / counts[:, 1]))
    spread = float(own.std(ddof=1))
    return np.asarray(pooled + (own - pooled) * (beyond / spread if spread else 0.0))
