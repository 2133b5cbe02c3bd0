"""Numbers of step 10: probabilities, energies, rotational windows, and the paper's values beside ours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from frazil.analysis.estimates import proportion_of
from frazil.analysis.statistics import Clustered, cluster_bootstrap, density, jeffreys, mean
from frazil.experiments.photodesorption.shards import Ensemble
from frazil.experiments.photodesorption.tables import (
    BESIDE_PAPER,
    FITS,
    PROBABILITY,
    REFERENCE,
    SUMMARY,
    WINDOWS,
)  # fmt: skip
from frazil.seeds import rng

FEWEST = 5
"""Smallest number of molecules from which a distribution is described."""

WINDOW_meV = 50.0
"""Width of the translational windows of the rotational distributions (paper, figure 9)."""

LOW_TRANSLATION_meV = 71.0
"""Divides low from high translational energies (paper, section III C; figure 8 says 71 and 111)."""

WINDOWS_UP_TO_meV = 200.0
"""Windows drawn and used by the linear fit (paper, figures 9 and 10)."""

TAIL = 0.03
"""J_max is where the density falls to this part of its maximum (paper, section III C)."""

J_UPPER, ENERGY_UPPER_meV = 120.0, 1500.0
"""Ends of the grids of densities; values beyond keep their place in the norm."""

PEAK_RESAMPLES = 400

NAN = float("nan")


def probabilities(ensemble: Ensemble, criteria_A: Sequence[float]) -> pandas.DataFrame:
    """Return table ``probability.csv``: trajectories with a crossing, of all (failed ones included).

    Where several models ran some of the trajectories each, the members' part of the error is there too.
    """
    rows = []
    table = ensemble.trajectories
    whole = table.loc[table["outcome"].isin(["desorbed", "retained"]), "trajectory_id"]
    crossings = ensemble.crossings[ensemble.crossings["trajectory_id"].isin(whole)]
    n_failed = int((table["outcome"] == "failed").sum())
    for criterion in sorted(criteria_A):
        crossed = crossings.loc[np.isclose(crossings["criterion_A"], criterion), "trajectory_id"]
        found = proportion_of(table["trajectory_id"].isin(crossed), table["model_id"])
        rows.append(
            {
                "criterion_A": criterion, "n": len(table), "n_desorbed": crossed.nunique(),
                "n_failed": n_failed, **found.row("probability"),
            }
        )  # fmt: skip
    return PROBABILITY.frame(rows)


def _peak(values: np.ndarray, upper: float) -> float:
    return density(values, upper).peak if len(values) else NAN


def _peak_interval(sample: Clustered, upper: float, campaign_seed: int, stream: str) -> tuple[float, float]:
    return cluster_bootstrap(
        lambda values: _peak(values, upper),
        [sample],
        np.unique(sample.clusters),
        rng(campaign_seed, stream),
        PEAK_RESAMPLES,
    )


def rotational_windows(ensemble: Ensemble, campaign_seed: int) -> pandas.DataFrame:
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
            "j_peak": NAN, "j_max": NAN, "j_peak_low_95": NAN, "j_peak_high_95": NAN,
            "translational_mean_meV": mean(inside["translational_energy_meV"].to_numpy(float)),
        }  # fmt: skip
        if n >= FEWEST:
            found = density(sample.values, J_UPPER)
            row["j_peak"], row["j_max"] = found.peak, found.tail(TAIL)
            row["j_peak_low_95"], row["j_peak_high_95"] = _peak_interval(
                sample, J_UPPER, campaign_seed, f"window {low:g}"
            )
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


def summarise(ensemble: Ensemble, campaign_seed: int) -> pandas.DataFrame:
    """Return the numbers that the paper reports too: quantity, value, 95 % interval, unit, n."""
    counts, left, ids = ensemble.counts, ensemble.left_for_good, ensemble.ids
    rows: list[dict[str, object]] = []

    def add(quantity: str, value: float, interval: tuple[float, float], unit: str, n: int) -> None:
        low, high = interval
        rows.append(
            {"quantity": quantity, "value": value, "low_95": low, "high_95": high, "unit": unit, "n": n}
        )

    def proportion(quantity: str, k: int, n: int) -> None:
        add(quantity, k / n if n else NAN, jeffreys(k, n), "", n)

    def peak(quantity: str, sample: Clustered, upper: float, unit: str) -> None:
        n = len(sample.values)
        enough = n >= FEWEST
        interval = _peak_interval(sample, upper, campaign_seed, quantity) if enough else (NAN, NAN)
        add(quantity, _peak(sample.values, upper) if enough else NAN, interval, unit, n)

    proportion("desorption_probability", counts["desorbed"], counts["total"])
    first = ensemble.first_desorptions
    n = len(first.values)
    interval = cluster_bootstrap(mean, [first], ids, rng(campaign_seed, "mean time")) if n > 1 else (NAN, NAN)
    add("mean_desorption_time", mean(first.values), interval, "fs", n)
    add("earliest_desorption", float(first.values.min()) if n else NAN, (NAN, NAN), "fs", n)
    translational, j = left["translational_energy_meV"], left["rotational_quantum_number"]
    v = left["vibrational_quantum_number"].astype(float).round()
    peak("translational_peak", ensemble.of("translational_energy_meV"), ENERGY_UPPER_meV, "meV")
    cold = left[(v == 0) & (j < 7)]
    sample = ensemble.of("translational_energy_meV", cold)
    peak("translational_peak_v0_j_below_7", sample, ENERGY_UPPER_meV, "meV")
    for limit in (200, 800):
        proportion(f"fraction_above_{limit}_meV", int((translational > limit).sum()), len(left))
    proportion("fraction_v1", int((v == 1).sum()), int(v.notna().sum()))
    for name, chosen in (
        ("below", translational < LOW_TRANSLATION_meV),
        ("above", translational >= LOW_TRANSLATION_meV),
    ):
        sample = ensemble.of("rotational_quantum_number", left[chosen])
        peak(f"j_peak_{name}_{LOW_TRANSLATION_meV:g}_meV", sample, J_UPPER, "")
    spread = ensemble.trajectories["energy_std_meV"].dropna().to_numpy(float)
    everyone = Clustered(spread, np.arange(len(spread)))
    interval = NAN, NAN
    if len(spread) > 1:
        clusters = everyone.clusters
        interval = cluster_bootstrap(mean, [everyone], clusters, rng(campaign_seed, "energy std"))
    add("energy_std", mean(spread), interval, "meV", len(spread))
    return SUMMARY.frame(rows)


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
