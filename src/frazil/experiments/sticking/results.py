"""From shards, binding sites and surfaces to the tables of the sticking experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from scipy.stats import binomtest

from frazil.analysis.statistics import jeffreys
from frazil.errors import UserError
from frazil.experiments.sticking.coefficients import CONDITION, Z_95, weights
from frazil.experiments.sticking.residence import attempt_frequency_per_ps, residence_times

OUTCOMES = ("stuck", "bounced", "dissociated", "failed")
TRAJECTORY_COLUMNS = ("trajectory_id", *CONDITION, "collision_energy_K", "model_id", "outcome")
NAN = float("nan")


@dataclass(frozen=True)
class Results:
    """All tables of a run, the truth's probabilities on the same starts if they were run, and the paper's."""

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


def read_all(folder: Path | str, name: str, needed: Sequence[str] = ()) -> pandas.DataFrame:
    """Return the tables ``name`` of all folders in a folder, one after the other.

    Raises UserError where there is none, or one lacks a column.
    """
    files = sorted(Path(folder).glob(f"*/{name}"))
    if not files:
        raise UserError(f"{folder} holds no {name}; give a folder of the step that writes it")
    tables = []
    for file in files:
        table = pandas.read_csv(file)
        missing = [column for column in needed if column not in table]
        if missing:
            raise UserError(f"{file} has no column {missing[0]}; needed: {', '.join(needed)}")
        tables.append(table)
    full = [table for table in tables if len(table)]
    return pandas.concat(full, ignore_index=True) if full else tables[0]


def read_trajectories(folder: Path | str) -> pandas.DataFrame:
    """Return all trajectories, sorted by id. Raises UserError for doubled ones or unknown outcomes."""
    table = read_all(folder, "trajectories.csv", TRAJECTORY_COLUMNS)
    doubled = table.loc[table["trajectory_id"].duplicated(), "trajectory_id"]
    if len(doubled):
        raise UserError(f"trajectory {doubled.iloc[0]} occurs twice under {folder}; remove the foreign shard")
    unknown = sorted(set(table["outcome"].astype(str)) - set(OUTCOMES))
    if unknown:
        raise UserError(f"{folder} has the outcome {unknown[0]!r}; allowed: {', '.join(OUTCOMES)}")
    return table.sort_values("trajectory_id", ignore_index=True)


def probabilities(trajectories: pandas.DataFrame) -> pandas.DataFrame:
    """Return the table ``sticking_probabilities.csv``; failed trajectories stay in n.

    ``model_std``: the standard deviation of P between members, by one-way analysis of variance: that of the
    members' fractions less what counting alone explains, 0 where it explains all. Empty where one model ran.
    The total interval adds it (times 1.96) to both half-widths in quadrature.
    """
    rows = []
    for keys, part in trajectories.groupby([*CONDITION, "collision_energy_K"], sort=True):
        n, stuck = len(part), int((part["outcome"] == "stuck").sum())
        p, (low, high) = stuck / n, jeffreys(stuck, n)
        spread, total_low, total_high = NAN, NAN, NAN
        by_member = (part["outcome"] == "stuck").groupby(part["model_id"]).agg(["size", "sum"])
        if len(by_member) > 1:
            counts = by_member.to_numpy(float)
            fractions = counts[:, 1] / counts[:, 0]
            counting = float((p * (1 - p) / counts[:, 0]).mean())
            spread = float(np.sqrt(max(fractions.var(ddof=1) - counting, 0.0)))
            total_low = max(p - float(np.hypot(p - low, Z_95 * spread)), 0.0)
            total_high = min(p + float(np.hypot(high - p, Z_95 * spread)), 1.0)
        phase, surface_K, energy_K = tuple(keys)
        rows.append(
            {
                "phase": phase, "surface_temperature_K": surface_K, "collision_energy_K": energy_K, "n": n,
                "n_stuck": stuck, "n_failed": int(part["outcome"].isin(["failed", "dissociated"]).sum()),
                "probability": p, "low_95": low, "high_95": high, "model_std": spread,
                "total_low_95": total_low, "total_high_95": total_high,
            }
        )  # fmt: skip
    return pandas.DataFrame(rows)


def with_model_error(table: pandas.DataFrame, trajectories: pandas.DataFrame) -> pandas.DataFrame:
    """Return sticking coefficients with ``model_std, total_low_95, total_high_95``; empty where one model
    ran.

    Each member has an S of its own, from its own trajectories: a member's errors go together over all
    energies. ``model_std`` is what of their variance counting does not explain, as in ``probabilities``.
    """
    rows = []
    for row in table.to_dict("records"):
        own = trajectories[(trajectories[CONDITION] == [row[name] for name in CONDITION]).all(axis=1)]
        spread = _spread_of_coefficient(own, float(row["gas_temperature_K"]))
        centre = row["coefficient"]
        low = max(centre - float(np.hypot(centre - row["low_95"], Z_95 * spread)), 0.0)
        high = min(centre + float(np.hypot(row["high_95"] - centre, Z_95 * spread)), 1.0)
        known = np.isfinite(spread)
        rows.append(
            row
            | {
                "model_std": spread,
                "total_low_95": low if known else NAN,
                "total_high_95": high if known else NAN,
            }
        )
    return pandas.DataFrame(rows)


def _spread_of_coefficient(trajectories: pandas.DataFrame, gas_K: float) -> float:
    """Return the standard deviation of S(T_g) between members beyond counting; nan unless all ran all
    energies.
    """
    stuck = (trajectories["outcome"] == "stuck").groupby(
        [trajectories["model_id"], trajectories["collision_energy_K"]]
    )
    sizes, counts = stuck.size().unstack(), stuck.sum().unstack()
    if len(sizes) < 2 or sizes.isna().any(axis=None):
        return NAN
    w, constant = weights(sizes.columns.to_numpy(float), gas_K)
    pooled = (counts.sum() / sizes.sum()).to_numpy(float)
    own = (counts / sizes).to_numpy(float) @ w + constant
    counting = (w**2 * pooled * (1 - pooled) / sizes.to_numpy(float)).sum(axis=1).mean()
    return float(np.sqrt(max(own.var(ddof=1) - counting, 0.0)))


def pairs(model: pandas.DataFrame, truth: pandas.DataFrame) -> pandas.DataFrame:
    """Return how collisions from the same starts end under the model and under the known truth, by phase.

    ``p_value``: of an exact test that sticking under only one of the two is as likely for either (McNemar,
    Psychometrika 12, 153, 1947). Raises UserError where the two are not the same collisions.
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
        p_value = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
        rows.append({
            "phase": phase, "n": len(own), "n_stuck_model": int(here.sum()),
            "n_stuck_truth": int(there.sum()),
            "only_model": more, "only_truth": fewer, "p_value": float(p_value),
        })  # fmt: skip
    return pandas.DataFrame(rows)


def attempts_of(paths: pandas.DataFrame, after_fs: float) -> pandas.DataFrame:
    """Return the table ``attempt_frequencies.csv`` of long paths; those that left the surface are left
    out.
    """
    rows = []
    for (phase, identity), part in paths.groupby(["phase", "trajectory_id"]):
        if part["apart_A"].iloc[-1] < 6.0:
            time, height = part["time_fs"].to_numpy(float), part["z_A"].to_numpy(float)
            rows.append((phase, identity, attempt_frequency_per_ps(time, height, after_fs)))
    found = pandas.DataFrame(rows, columns=["phase", "trajectory_id", "attempt_frequency_per_ps"])
    return found.dropna().sort_values(["trajectory_id", "phase"], ignore_index=True)


def half_lives(
    sites: pandas.DataFrame, attempts: pandas.DataFrame, temperatures_K: Sequence[float], typical: bool
) -> pandas.DataFrame:
    """Return half-lives by phase: of the typical binding energy (crystalline: median, amorphous: mean, as the
    paper's), or of every converged site.
    """
    parts = []
    for phase, own in sites[sites["converged"] == 1].groupby("phase", sort=True):
        frequencies = attempts.loc[attempts["phase"] == phase, "attempt_frequency_per_ps"]
        if not len(frequencies) or not len(own):
            continue
        energies = own["binding_energy_K"]
        chosen = [energies.median() if phase == "crystalline" else energies.mean()] if typical else energies
        parts.append(residence_times(str(phase), list(chosen), float(frequencies.mean()), temperatures_K))
    columns = [
        "phase", "surface_temperature_K", "binding_energy_K", "attempt_frequency_per_ps", "half_life_s"
    ]  # fmt: skip
    return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame(columns=columns)
