"""Numbers of step 10: probabilities, energies, rotational windows, and the paper's values beside ours."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import ArrayLike

from frazil.analysis.estimates import Estimate, counts_of, estimate, proportion_of
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.analysis.statistics import (
    Clustered,
    bootstrapped,
    cluster_bootstrap,
    density,
    design_effect,
    mean,
    widened,
)  # fmt: skip
from frazil.experiments.photodesorption.shards import Ensemble
from frazil.experiments.photodesorption.tables import (
    BESIDE_PAPER,
    FITS,
    PROBABILITY,
    REFERENCE,
    SENSITIVITY,
    SPECIES,
    SUMMARY,
    WINDOWS,
)  # fmt: skip
from frazil.seeds import rng
from frazil.systems.molecules import Molecules

SHORTER = (0.5, 0.7, 0.85)
"""Parts of the duration that desorption is counted up to, for its sensitivity."""

FEWEST = 5
"""Smallest number of molecules from which a distribution is described."""

WINDOW_meV = 50.0
"""Width of the translational windows of the rotational distributions (paper, figure 9)."""

LOW_TRANSLATION_meV = 71.0
"""Divides low from high translational energies (paper, section III C; figure 8 says 71 and 111)."""

WINDOWS_UP_TO_meV = 200.0
"""Windows drawn and used by the linear fit (paper, figures 9 and 10), and the end of high energies."""

COLD_J = 6.5
"""Below it a quantum number, here a real one, rounds to 6 or less: the paper's J < 7."""

TAIL = 0.03
"""J_max is where the density falls to this part of its maximum (paper, section III C)."""

J_UPPER, ENERGY_UPPER_meV = 120.0, 1500.0
"""Ends of the grids of densities; values beyond keep their place in the norm."""

PEAK_RESAMPLES = 400
MEMBER_RESAMPLES = 100
"""For the variance of what a single member finds."""

NAN = float("nan")


def trials(ensemble: Ensemble) -> list[tuple[dict[str, Any], list[tuple[int, int]], float]]:
    """Return of the one probability (desorbed, all) of each member, and the aggregates' design effect."""
    table = ensemble.trajectories
    hits = table["outcome"] == "desorbed"
    if not len(table):
        return []
    effect = design_effect(hits, ensemble.aggregates_of(ensemble.ids))
    return [({}, counts_of(hits, table["model_id"]), effect)]


def probabilities(
    ensemble: Ensemble, criteria_A: Sequence[float], scale: float = MODEL_ERROR_SCALE,
    confidence: float = 0.95,
) -> pandas.DataFrame:  # fmt: skip
    """Return table ``probability.csv``: trajectories with a crossing, of all (failed ones included).

    Where several models ran some of the trajectories each, the members' part of the error is there too.
    ``n_effective``: how many independent trajectories these are worth, given that they share aggregates.
    ``confidence``: higher than 0.95 where a campaign ran until it was enough (``stopping.rule_for``).
    """
    rows = []
    table = ensemble.trajectories
    whole = table.loc[table["outcome"].isin(["desorbed", "retained"]), "trajectory_id"]
    crossings = ensemble.crossings[ensemble.crossings["trajectory_id"].isin(whole)]
    n_failed = int((table["outcome"] == "failed").sum())
    for criterion in sorted(criteria_A):
        crossed = crossings.loc[np.isclose(crossings["criterion_A"], criterion), "trajectory_id"]
        hits = table["trajectory_id"].isin(crossed)
        effect = design_effect(hits, ensemble.aggregates_of(ensemble.ids))
        found = proportion_of(hits, table["model_id"], scale, effect, confidence)
        rows.append(
            {
                "criterion_A": criterion, "n": len(table), "n_desorbed": crossed.nunique(),
                "n_failed": n_failed, **found.row("probability"), "n_effective": len(table) / effect,
            }
        )  # fmt: skip
    return PROBABILITY.frame(rows)


def by_species(
    ensemble: Ensemble, molecules: Molecules, excited: Mapping[int, int], scale: float = MODEL_ERROR_SCALE
) -> pandas.DataFrame:
    """Return table ``species.csv``: what left of each kind of molecule, the excited one (by id) by itself.

    ``n_desorbed`` of ``n`` trajectories had at least one of them cross the main criterion; failed and
    dissociated ones count as none. ``n_molecules``: how many of the kind there are in an aggregate.
    """
    table = ensemble.trajectories
    whole = table.loc[table["outcome"].isin(["desorbed", "retained"]), "trajectory_id"]
    left = ensemble.desorbed[ensemble.desorbed["trajectory_id"].isin(whole)]
    formulas = np.array(molecules.formulas)
    kind = formulas[left["molecule"].to_numpy(int)]
    own = left["excited"].to_numpy(bool)
    with_one = len([number for number in excited.values() if number >= 0]) / max(len(excited), 1)
    rows = []
    for species in dict.fromkeys(molecules.formulas):
        for hot in (True, False) if species == formulas[0] else (False,):
            some = left[(kind == species) & (own == hot)]
            hits = table["trajectory_id"].isin(some["trajectory_id"])
            effect = design_effect(hits, ensemble.aggregates_of(ensemble.ids))
            there = float((formulas == species).sum())
            rest = there - with_one if species == formulas[0] else there
            rows.append({
                "species": species, "excited": hot, "n_molecules": with_one if hot else rest, "n": len(table),
                "n_desorbed": int(hits.sum()),
                **proportion_of(hits, table["model_id"], scale, effect).row("probability"),
                "mean_n_molecules": len(some) / max(len(table), 1),
                "translational_median_meV": some["translational_energy_meV"].median(),
                "rotational_median_meV": some["rotational_energy_meV"].median(),
            })  # fmt: skip
    return SPECIES.frame(rows)


def _peak_below(upper: float) -> Callable[[np.ndarray], float]:
    return lambda values: density(values, upper).peak if len(values) else NAN


def estimated(
    ensemble: Ensemble,
    statistic: Callable[[np.ndarray], float],
    sample: Clustered,
    campaign_seed: int,
    stream: str,
    scale: float = MODEL_ERROR_SCALE,
    resamples: int = PEAK_RESAMPLES,
) -> Estimate:
    """Return a statistic of a sample by trajectory with both errors.

    Sampling: bootstrap over trajectories, widened by what the sample's values share within an aggregate.
    Members: the statistic of each, its variance by bootstrap. nan for fewer than two values. Times, energies
    and quantum numbers are not negative, and no interval of theirs reaches below 0.
    """
    if len(sample.values) < 2:
        return Estimate(statistic(sample.values) if len(sample.values) else NAN, NAN, NAN)
    value = statistic(sample.values)
    interval = cluster_bootstrap(statistic, [sample], ensemble.ids, rng(campaign_seed, stream), resamples)
    low, high = widened(
        value, interval, design_effect(sample.values, ensemble.aggregates_of(sample.clusters))
    )
    interval = max(low, 0.0), high
    members, own, variances = ensemble.column_of("model_id", sample.clusters), [], []
    for number, member in enumerate(np.unique(members)):
        part = sample.values[members == member], sample.clusters[members == member]
        if len(np.unique(part[1])) < FEWEST:
            continue
        generator = rng(campaign_seed, f"{stream}, members", number)
        drawn = bootstrapped(statistic, [Clustered(*part)], part[1], generator, MEMBER_RESAMPLES)
        own.append(statistic(part[0]))
        variances.append(float(np.nanvar(drawn, ddof=1)))
    unit = float(sample.values.std(ddof=1))
    return estimate(value, interval, own, variances, scale * unit, bounds=(0.0, np.inf))


def rotational_windows(
    ensemble: Ensemble, campaign_seed: int, scale: float = MODEL_ERROR_SCALE
) -> pandas.DataFrame:
    """Return table ``rotational_windows.csv``: J_peak and J_max by kernel density in 50 meV windows.

    From 0 to 200 meV, and on to the window of the fastest molecule. Empty where under 5 molecules are.
    """
    left = ensemble.left_for_good
    energies = left["translational_energy_meV"]
    fastest = max(WINDOWS_UP_TO_meV - 1, float(energies.max()) if len(left) else 0.0)
    rows = []
    for low in np.arange(0.0, fastest, WINDOW_meV):
        inside = left[(energies >= low) & (energies < low + WINDOW_meV)]
        sample = ensemble.of("rotational_quantum_number", inside)
        n = len(sample.values)
        row = {
            "translational_low_meV": low, "translational_high_meV": low + WINDOW_meV, "n": n,
            "j_peak": NAN, "j_max": NAN,
            "translational_mean_meV": mean(inside["translational_energy_meV"].to_numpy(float)),
        }  # fmt: skip
        peak = Estimate(NAN, NAN, NAN)
        if n >= FEWEST:
            found = density(sample.values, J_UPPER)
            row["j_peak"], row["j_max"] = found.peak, found.tail(TAIL)
            peak = estimated(ensemble, _peak_below(J_UPPER), sample, campaign_seed, f"window {low:g}", scale)
        row |= {f"j_peak_{name}": value for name, value in peak.row("").items() if name}
        rows.append(row)
    return WINDOWS.frame(rows)


def rotational_fits(windows: pandas.DataFrame) -> pandas.DataFrame:
    """Return least-squares lines of J_peak and J_max against the windows' mean energy, up to 200 meV.

    Empty where fewer than 3 windows hold enough molecules.
    """
    used = windows[windows["translational_high_meV"] <= WINDOWS_UP_TO_meV]
    rows = []
    for quantity in ("j_peak", "j_max"):
        points = used.dropna(subset=[quantity])
        x, y = points["translational_mean_meV"].to_numpy(float), points[quantity].to_numpy(float)
        slope, intercept, r = NAN, NAN, NAN
        if len(points) >= 3:
            slope, intercept = np.polyfit(x, y, 1)
            r = float(np.corrcoef(x, y)[0, 1]) if y.std() > 0 else NAN
        rows.append(
            {
                "quantity": quantity, "n_windows": len(points), "slope_per_meV": slope,
                "intercept": intercept, "correlation": r,
            }
        )  # fmt: skip
    return FITS.frame(rows)


def summarise(ensemble: Ensemble, campaign_seed: int, scale: float = MODEL_ERROR_SCALE) -> pandas.DataFrame:
    """Return the numbers that the paper reports too: quantity, value, both errors, unit, n."""
    left, ids = ensemble.left_for_good, ensemble.ids
    rows: list[dict[str, object]] = []

    def add(quantity: str, found: Estimate, unit: str, n: int) -> None:
        rows.append({"quantity": quantity, **found.row("value"), "unit": unit, "n": n})

    def proportion(quantity: str, hits: ArrayLike, trajectories: np.ndarray) -> None:
        members = ensemble.column_of("model_id", trajectories)
        effect = design_effect(hits, ensemble.aggregates_of(trajectories))
        found = proportion_of(hits, members, scale, 1.0 if np.isnan(effect) else effect)
        add(quantity, found, "", len(trajectories))

    def peak(quantity: str, sample: Clustered, upper: float, unit: str) -> None:
        found = Estimate(NAN, NAN, NAN)
        if len(sample.values) >= FEWEST:
            found = estimated(ensemble, _peak_below(upper), sample, campaign_seed, quantity, scale)
        add(quantity, found, unit, len(sample.values))

    def average(quantity: str, sample: Clustered, stream: str, unit: str) -> None:
        found = estimated(ensemble, mean, sample, campaign_seed, stream, scale, 1000)
        add(quantity, found, unit, len(sample.values))

    proportion("desorption_probability", ensemble.trajectories["outcome"] == "desorbed", ids)
    first = ensemble.first_desorptions
    average("mean_desorption_time", first, "mean time", "fs")
    earliest = Estimate(float(first.values.min()) if len(first.values) else NAN, NAN, NAN)
    add("earliest_desorption", earliest, "fs", len(first.values))
    translational, j = left["translational_energy_meV"], left["rotational_quantum_number"]
    v = left["vibrational_quantum_number"].astype(float).round()
    peak("translational_peak", ensemble.of("translational_energy_meV"), ENERGY_UPPER_meV, "meV")
    cold = left[(v == 0) & (j < COLD_J)]
    sample = ensemble.of("translational_energy_meV", cold)
    peak("translational_peak_v0_j_below_7", sample, ENERGY_UPPER_meV, "meV")
    of_molecules = left["trajectory_id"].to_numpy()
    for limit in (200, 800):
        proportion(f"fraction_above_{limit}_meV", translational > limit, of_molecules)
    proportion("fraction_v1", v[v.notna()] == 1, of_molecules[v.notna()])
    for name, chosen in (
        ("below", translational < LOW_TRANSLATION_meV),
        ("above", translational.between(LOW_TRANSLATION_meV, WINDOWS_UP_TO_meV)),
    ):
        sample = ensemble.of("rotational_quantum_number", left[chosen])
        peak(f"j_peak_{name}_{LOW_TRANSLATION_meV:g}_meV", sample, J_UPPER, "")
    spread = ensemble.trajectories.dropna(subset=["energy_std_meV"])
    everyone = Clustered(spread["energy_std_meV"].to_numpy(float), spread["trajectory_id"].to_numpy())
    average("energy_std", everyone, "energy std", "meV")
    return SUMMARY.frame(rows)


def sensitivity(
    ensemble: Ensemble, criteria_A: Sequence[float], criterion_A: float, duration_fs: float
) -> pandas.DataFrame:
    """Return the desorption probability by other distances and shorter times than those that decide.

    ``exceeds``: the change from what decides is larger than its sampling interval reaches on that side.
    """
    table = probabilities(ensemble, criteria_A)
    base = table[np.isclose(table["criterion_A"], criterion_A)].iloc[0]
    times = ensemble.first_desorptions.values
    others = [("criterion_A", row["criterion_A"], row["probability"]) for _, row in table.iterrows()]
    for part in SHORTER:
        by_then = (times <= part * duration_fs).sum() / len(ensemble.ids)
        others.append(("duration_fs", part * duration_fs, by_then))
    rows = [
        (name, setting, p, p - base["probability"], int(not base["low_95"] <= p <= base["high_95"]))
        for name, setting, p in others
    ]
    return SENSITIVITY.frame(rows)


def beside_paper(summary: pandas.DataFrame, reference: Path | str) -> pandas.DataFrame:
    """Return our numbers beside the paper's, one row per value that the paper gives for them.

    Raises:
        UserError: the reference table is missing or lacks a column.
    """
    table = REFERENCE.read(reference, by_hand=True)
    joined = summary.merge(
        table.rename(columns={"value": "paper"})[["quantity", "paper", "method", "source", "note"]],
        on="quantity",
        how="inner",
    )
    names = {"value": "this_run", "method": "paper_method", "source": "paper_section"}
    return BESIDE_PAPER.arranged(joined.rename(columns=names))
