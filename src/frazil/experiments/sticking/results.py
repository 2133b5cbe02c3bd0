"""From shards, binding sites and surfaces to the tables of the sticking experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest, t

from frazil.analysis.estimates import Estimate, counts_of, members_std, proportion_of
from frazil.analysis.predictive import another_value
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.analysis.statistics import difference_paired, jeffreys
from frazil.errors import UserError
from frazil.experiments.sticking.coefficients import weights
from frazil.experiments.sticking.residence import (
    attempt_frequency_per_ps,
    residence_times,
    typical_energy,
)  # fmt: skip
from frazil.experiments.sticking.settings import CO, H2
from frazil.experiments.sticking.tables import (
    ATTEMPT_FREQUENCIES,
    BEYOND,
    CONDITION,
    NEARER_A,
    PAIRS,
    PROBABILITIES,
    RESIDENCE_TIMES,
    SENSITIVITY,
)  # fmt: skip

Array = NDArray[np.float64]
PUBLISHED = (H2, *CO)
"""The projectile and the ice of the paper, whose tables stand beside a run's own."""
SHORTER = (0.5, 0.7, 0.85)
"""Parts of the duration after which the projectile could be called stuck: for its sensitivity."""


@dataclass(frozen=True)
class Results:
    """All tables of a run, the truth's probabilities on the same starts if they were run, and the paper's.

    The paper's tables are of H2 on CO, and empty for others.
    """

    trajectories: pandas.DataFrame
    probabilities: pandas.DataFrame
    coefficients: pandas.DataFrame
    truth: pandas.DataFrame | None
    truth_pairs: pandas.DataFrame | None
    truth_coefficients: pandas.DataFrame | None
    sites: pandas.DataFrame
    sites_summary: pandas.DataFrame
    atoms: pandas.DataFrame
    paths: pandas.DataFrame
    attempts: pandas.DataFrame
    residence: pandas.DataFrame
    residence_sites: pandas.DataFrame
    checks: pandas.DataFrame
    temperatures: pandas.DataFrame
    radial: pandas.DataFrame
    paper_probabilities: pandas.DataFrame
    paper_coefficients: pandas.DataFrame
    paper_residence: pandas.DataFrame
    truth_margin: float = 0.1
    ended: str = ""
    sensitivity: pandas.DataFrame = field(default_factory=lambda: SENSITIVITY.frame([]))
    truth_id: str = ""
    """The ``model_id`` of the known truth, where it ran."""
    projectile: str = PUBLISHED[0]
    ice: str = PUBLISHED[1]

    @property
    def is_published(self) -> bool:
        """Whether this is the system of the paper."""
        return (self.projectile, self.ice) == PUBLISHED


def trials(trajectories: pandas.DataFrame) -> list[tuple[dict[str, Any], list[tuple[int, int]], float]]:
    """Return of each condition what it is, (stuck, all) of each member, and a design effect of 1."""
    return [
        (
            dict(zip([*CONDITION, "collision_energy_K"], tuple(keys), strict=True)),
            counts_of(part["outcome"] == "stuck", part["model_id"]),
            1.0,
        )
        for keys, part in trajectories.groupby([*CONDITION, "collision_energy_K"], sort=True)
    ]


def probabilities(
    trajectories: pandas.DataFrame, scale: float = MODEL_ERROR_SCALE, confidence: float = 0.95
) -> pandas.DataFrame:
    """Return the table ``sticking_probabilities.csv``; failed trajectories stay in n.

    ``model_std`` and the total interval: of ``estimates.proportion``, empty where one model ran.
    ``confidence``: higher than 0.95 where a campaign ran until it was enough (``stopping.rule_for``).
    """
    rows = []
    for keys, part in trajectories.groupby([*CONDITION, "collision_energy_K"], sort=True):
        stuck = part["outcome"] == "stuck"
        phase, surface_K, energy_K = tuple(keys)
        rows.append(
            {
                "phase": phase, "surface_temperature_K": surface_K, "collision_energy_K": energy_K,
                "n": len(part), "n_stuck": int(stuck.sum()),
                "n_failed": int(part["outcome"].isin(["failed", "dissociated"]).sum()),
                **proportion_of(stuck, part["model_id"], scale, confidence=confidence).row("probability"),
            }
        )  # fmt: skip
    return PROBABILITIES.frame(rows)


def with_model_error(
    table: pandas.DataFrame, trajectories: pandas.DataFrame, scale: float = MODEL_ERROR_SCALE
) -> pandas.DataFrame:
    """Return sticking coefficients with ``model_std, total_low_95, total_high_95``; empty where one ran.

    Each member has an S of its own, from its own trajectories: a member's errors go together over all
    energies. ``model_std`` is what of their variance counting does not explain, as in ``probabilities``. The
    total interval is another member's S, on the logit scale, where τ has the prior of probabilities.
    """
    rows = []
    for row in table.to_dict("records"):
        own = trajectories[(trajectories[CONDITION] == [row[name] for name in CONDITION]).all(axis=1)]
        members, variances, model_std = _members_of_coefficient(own, float(row["gas_temperature_K"]))
        value, low, high = (float(row[name]) for name in ("coefficient", "low_95", "high_95"))
        total = np.nan, np.nan
        if len(members):
            ends = logit(np.clip([value, low, high], 1e-9, 1 - 1e-9))
            slopes = members * (1 - members)
            found = another_value(
                ends[0], (ends[1], ends[2]), logit(members), variances / slopes**2, scale
            )  # by the delta method
            total = min(low, float(expit(found[0]))), max(high, float(expit(found[1])))
        rows.append(row | Estimate(value, low, high, model_std, *total).row("coefficient"))
    return pandas.DataFrame(rows)


def _members_of_coefficient(trajectories: pandas.DataFrame, gas_K: float) -> tuple[Array, Array, float]:
    """Return S(T_g) of each member (M,), its variance by counting (M,), and the standard deviation beyond it.

    None unless all members ran all energies. The first two are of (k + 1/2)/(n + 1), Jeffreys' mean, so that
    no member is certain; the last is of k/n.
    """
    stuck = (trajectories["outcome"] == "stuck").groupby(
        [trajectories["model_id"], trajectories["collision_energy_K"]]
    )
    sizes, counts = stuck.size().unstack(), stuck.sum().unstack()
    if len(sizes) < 2 or sizes.isna().any(axis=None):
        return np.zeros(0), np.zeros(0), np.nan
    w, constant = weights(sizes.columns.to_numpy(float), gas_K)
    n, k = sizes.to_numpy(float), counts.to_numpy(float)
    pooled = k.sum(axis=0) / n.sum(axis=0)
    own = (k / n) @ w + constant
    beyond = members_std(own, (w**2 * pooled * (1 - pooled) / n).sum(axis=1))
    mean = (k + 0.5) / (n + 1)
    return mean @ w + constant, (w**2 * mean * (1 - mean) / (n + 2)).sum(axis=1), float(beyond)


def sensitivity(trajectories: pandas.DataFrame) -> pandas.DataFrame:
    """Return the part that sticks by nearer distances and shorter times than those that decide.

    Of all energies together, by phase and surface temperature. ``exceeds``: it leaves Jeffreys' interval of
    what decides.
    """
    rows = []
    for condition, part in trajectories.groupby(CONDITION, sort=True):
        stuck, n = (part["outcome"] == "stuck").to_numpy(), len(part)
        low, high = jeffreys(int(stuck.sum()), n)
        duration_fs = float(part["time_fs"].max())
        others = [("duration_fs", duration_fs, stuck)]
        for fraction in SHORTER:
            late = (part["outcome"] == "bounced") & (part["time_fs"] > fraction * duration_fs)
            others.append(("duration_fs", fraction * duration_fs, stuck | late.to_numpy()))
        for distance_A in NEARER_A:
            if BEYOND.format(distance_A) in part:
                gone = part[BEYOND.format(distance_A)].notna().to_numpy()
                others.append(("bounce_A", float(distance_A), stuck & ~gone))
        for criterion, setting, held in others:
            p = float(held.mean())
            rows.append((*condition, criterion, setting, n, p, p - stuck.mean(), int(not low <= p <= high)))
    return SENSITIVITY.frame(rows)


def pairs(model: pandas.DataFrame, truth: pandas.DataFrame) -> pandas.DataFrame:
    """Return how collisions from the same starts end under the model and under the known truth, by phase.

    ``p_value``: of an exact test that sticking under only one of the two is as likely for either (McNemar,
    Psychometrika 12, 153, 1947). ``difference``: of the parts that stick, with its paired interval. Raises
    UserError where the two are not the same collisions.
    """
    both = model.merge(truth, on=["trajectory_id", *CONDITION, "collision_energy_K"], suffixes=("", "_truth"))
    if len(both) != len(model) or len(both) != len(truth):
        raise UserError(
            f"{len(model)} collisions of the model, {len(truth)} of the truth; they must be the same ones"
        )
    rows = []
    for phase, own in both.groupby("phase", sort=True):
        here, there = own["outcome"] == "stuck", own["outcome_truth"] == "stuck"
        more, fewer = int((here & ~there).sum()), int((~here & there).sum())
        low, high = difference_paired(more, fewer, len(own))
        p_value = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
        rows.append({
            "phase": phase, "n": len(own), "n_stuck_model": int(here.sum()),
            "n_stuck_truth": int(there.sum()),
            "only_model": more, "only_truth": fewer, "p_value": float(p_value),
            "difference": (more - fewer) / len(own), "difference_low_95": low, "difference_high_95": high,
        })  # fmt: skip
    return PAIRS.frame(rows)


def attempts_of(paths: pandas.DataFrame, after_fs: float) -> pandas.DataFrame:
    """Return the table ``attempt_frequencies.csv`` of long paths; those that left the surface are left
    out.
    """
    rows = []
    for (phase, identity), part in paths.groupby(["phase", "trajectory_id"]):
        if part["apart_A"].iloc[-1] < 6.0:
            time, height = part["time_fs"].to_numpy(float), part["z_A"].to_numpy(float)
            rows.append((phase, identity, attempt_frequency_per_ps(time, height, after_fs)))
    return ATTEMPT_FREQUENCIES.sorted(ATTEMPT_FREQUENCIES.frame(rows).dropna())


def _with_errors(table: pandas.DataFrame, energy: Estimate, frequencies: Array) -> pandas.DataFrame:
    """Return half-lives with ``low_95, high_95, total_low_95, total_high_95``, s: errors of ln t½ add up."""
    n = len(frequencies)
    of_frequency = np.nan
    if n > 1:
        of_frequency = t.ppf(0.975, n - 1) * frequencies.std(ddof=1) / np.sqrt(n) / frequencies.mean()
    lives, temperatures_K = table["half_life_s"].to_numpy(float), table["surface_temperature_K"]
    found = {}
    for kind in ("", "total_"):
        ends = getattr(energy, f"{kind}low_95"), getattr(energy, f"{kind}high_95")
        longer, shorter = (
            abs(end - energy.value) / temperatures_K for end in ends
        )  # bound deeper, less deep
        found[f"{kind}low_95"] = lives * np.exp(-np.hypot(shorter, of_frequency))
        found[f"{kind}high_95"] = lives * np.exp(np.hypot(longer, of_frequency))
    return table.assign(**found)


def half_lives(
    sites: pandas.DataFrame, attempts: pandas.DataFrame, temperatures_K: Sequence[float], typical: bool,
    scale: float = MODEL_ERROR_SCALE,
) -> pandas.DataFrame:  # fmt: skip
    """Return half-lives by phase: of the typical binding energy (crystalline: median, amorphous: mean, as the
    paper's), or of every converged site.

    Those of the typical energy have both errors: by the scatter of sites and of attempt frequencies, and the
    members' part of the binding energy.
    """
    parts = []
    for phase, own in sites[sites["converged"] == 1].groupby("phase", sort=True):
        frequencies = attempts.loc[attempts["phase"] == phase, "attempt_frequency_per_ps"]
        if not len(frequencies) or not len(own):
            continue
        energies = own["binding_energy_K"]
        frequency = float(frequencies.mean())
        if not typical:
            parts.append(residence_times(str(phase), list(energies), frequency, temperatures_K))
            continue
        energy = typical_energy(own, "median" if phase == "crystalline" else "mean", scale)
        found = residence_times(str(phase), [energy.value], frequency, temperatures_K)
        parts.append(_with_errors(found, energy, frequencies.to_numpy(float)))
    return pandas.concat(parts, ignore_index=True) if parts else RESIDENCE_TIMES.frame([])
