"""Stopping when it is enough: coverage at the stop, its cost, the members' part."""

import numpy as np
import pytest
from scipy.stats import binom

from frazil.analysis import stopping
from frazil.analysis.estimates import proportion
from frazil.analysis.statistics import jeffreys
from frazil.analysis.stopping import (
    PROBABILITIES,
    at_stop,
    decide,
    fixed_need,
    looks,
    rule_for,
)
from frazil.errors import UserError


@pytest.mark.parametrize(("target", "size"), [(0.03, 100), (0.05, 36), (0.1, 12)])
def test_coverage_at_the_stop_is_kept_at_little_cost(target: float, size: int) -> None:
    """Exact: 0.95 in the mean over p, 0.93 at the worst, at most 1.3 times the fixed-n trajectories."""
    rule = rule_for(target, looks(size, 2000))
    found = at_stop(target, rule.looks, rule.confidence)
    assert found.coverage.mean() >= 0.95
    assert found.coverage.min() >= 0.93
    need = np.maximum(fixed_need(target, 2000), size)  # no campaign is smaller than a round
    assert (found.trajectories / need).mean() <= 1.3


def test_a_fixed_number_looked_at_again_and_again_loses_its_coverage() -> None:
    found = at_stop(0.03, looks(20, 3000), 0.95)
    assert found.coverage.mean() == pytest.approx(0.951, abs=0.002)
    assert found.coverage.min() == pytest.approx(0.913, abs=0.002)
    assert not found.holds


def test_the_exact_numbers_are_those_of_simulated_campaigns() -> None:
    at, confidence, p = looks(50, 400), 0.96, PROBABILITIES[30]
    rng, held, taken = np.random.default_rng(1), [], []
    for _ in range(1000):
        k = 0
        for number, n in enumerate(at):
            k += rng.binomial(n - (at[number - 1] if number else 0), p)
            low, high = jeffreys(k, n, confidence)
            if high - low <= 0.12 or n == at[-1]:
                break
        held.append(low <= p <= high)
        taken.append(n)
    exact = at_stop(0.06, at, confidence)
    assert np.mean(held) == pytest.approx(exact.coverage[30], abs=0.025)
    assert np.mean(taken) == pytest.approx(exact.trajectories[30], rel=0.02)


def test_one_look_is_the_fixed_interval() -> None:
    found = at_stop(0.01, (150,), 0.95)
    counts = np.arange(151)
    ends = np.array([jeffreys(int(k), 150) for k in counts])
    for p, coverage in zip(PROBABILITIES, found.coverage, strict=True):
        held = (ends[:, 0] <= p) & (p <= ends[:, 1])
        assert coverage == pytest.approx(binom.pmf(counts, 150, p)[held].sum(), abs=1e-9)
    assert found.trajectories == pytest.approx(150)


def test_a_decision_says_why() -> None:
    at = looks(60, 2400)
    assert decide([(20, 60)], 0.05, at).reason == "more"
    assert decide([(400, 1200)], 0.05, at).reason == "narrow"
    assert decide([(200, 600)], 0.02, (300, 600)).reason == "limit"
    apart = decide([(10, 100), (50, 100), (90, 100)], 0.05, at)
    assert (apart.reason, apart.enough) == ("members", True)
    assert apart.members_half_width > 0.05
    alike = decide([(50, 100)] * 8, 0.05, at)
    assert alike.reason == "more"
    assert alike.members_half_width < 0.05


def test_the_interval_that_decides_is_that_of_the_table() -> None:
    """With members, and with trajectories that are worth less than independent ones."""
    by_member, at = [(40, 200), (60, 200), (50, 200)], looks(100, 2400)
    for effect in (1.0, 2.5):
        decision = decide(by_member, 0.01, at, design_effect=effect)
        row = proportion(150, 600, by_member, design_effect=effect, confidence=decision.confidence)
        assert decision.half_width == pytest.approx((row.total_high_95 - row.total_low_95) / 2)
    alone = decide([(150, 600)], 0.05, at)
    assert alone.reason == "narrow"
    assert decide([(150, 600)], 0.05, at, design_effect=3.0).reason == "more"


def test_few_trajectories_have_a_rule_too() -> None:
    rule = rule_for(0.3, (2, 4, 6))
    assert at_stop(0.3, rule.looks, rule.confidence).holds
    assert decide([(0, 6)], 0.05, (2, 4, 6)).reason == "limit"


def test_a_rule_that_cannot_cover_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "WORST_COVERAGE", 1.1)
    with pytest.raises(UserError, match=r"no interval of half-width 0\.35 keeps its coverage with looks at"):
        rule_for(0.35, (10, 20))
