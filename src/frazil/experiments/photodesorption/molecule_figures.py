"""Figures of the desorbed molecules: translational, rotational and vibrational distributions."""

from pathlib import Path

import numpy as np
import pandas
from matplotlib.axes import Axes

from frazil.analysis.statistics import Clustered, density, jeffreys
from frazil.experiments.photodesorption.results import Results
from frazil.experiments.photodesorption.shards import Ensemble
from frazil.experiments.photodesorption.statistics import (
    FEWEST,
    J_UPPER,
    TAIL,
    ENERGY_UPPER_meV,
    LOW_TRANSLATION_meV,
    WINDOWS_UP_TO_meV,
)
from frazil.report.plot import (
    AIMD,
    MODEL,
    PAPER,
    TEACHER,
    Histogram,
    bin_edges,
    label,
    marker,
    new,
    note,
    save,
)
from frazil.report.section import Figure

Drawn = Figure | str
"""A figure, or the sentence that says why there is none."""


def compared(results: Results) -> list[tuple[str, str, Ensemble]]:
    """Return (name, colour, ensemble) of model and teacher, the model on the starts that both ran, and of
    trajectories that another program ran.
    """
    given = [("AIMD", AIMD, results.ensembles["aimd"])] if "aimd" in results.ensembles else []
    if "teacher" not in results.ensembles:
        return [("model", MODEL, results.model), *given]
    teacher = results.ensembles["teacher"]
    shared = np.intersect1d(results.model.ids, teacher.ids)
    return [
        ("model", MODEL, results.model.restricted(shared)),
        ("teacher", TEACHER, teacher.restricted(shared)),
        *given,
    ]


def paper_value(results: Results, quantity: str, method: str = "MLP") -> float:
    """Return the paper's value of a quantity, nan where the reference table has none."""
    table = results.comparison
    rows = table[(table["quantity"] == quantity) & (table["paper_method"] == method)]
    return float(rows["paper"].iloc[0]) if len(rows) else float("nan")


def mark_paper(results: Results, axes: Axes, quantity: str, text: str, scale: float = 1.0) -> None:
    """Mark the paper's value of a quantity on the axis, where it has one."""
    value = paper_value(results, quantity)
    if np.isfinite(value):
        marker(axes, value * scale, f"paper, {text}")


def too_few(what: str, n: int) -> str:
    """Return the sentence that stands where a figure would be."""
    return f"{what} not drawn: too few molecules ({n}, at least {FEWEST} are needed)."


def translational_energies(results: Results, out: Path | str) -> Drawn:
    """Distribution of the translational energy of desorbed molecules."""
    column = "translational_energy_meV"
    samples = [(name, color, item.of(column).values) for name, color, item in compared(results)]
    if len(samples[0][2]) < FEWEST:
        return too_few("Translational energies", len(samples[0][2]))
    canvas, grid = new()
    axes = grid[0, 0]
    histogram = Histogram("meV")
    edges = bin_edges([values for *_, values in samples if len(values)], (5, 10, 20, 25, 50), 60.0, 1000.0)
    for name, color, values in samples:
        if len(values) >= FEWEST:
            histogram.add(axes, name, color, values, edges, ENERGY_UPPER_meV)
    mark_paper(results, axes, "translational_peak", "peak at 25 meV")
    for limit, text in ((200.0, "few above"), (800.0, "none above")) if results.is_published else ():
        if edges[-1] >= limit:
            marker(axes, limit, f"paper, {text} {limit:g} meV")
    axes.set_xlim(0, edges[-1])
    label(axes, "translational energy (meV)", "density (meV⁻¹)")
    axes.legend()
    caption = (
        "Translational energy of desorbed molecules: histogram and kernel density (reflected at 0). The "
        "paper's "
        "figure 7 peaks near 25 meV, with few molecules above 200 meV and none above 800 meV."
    )
    if not results.is_published:
        caption = caption.partition(" The paper's")[0]
    return save(canvas, histogram.table(), out, "translational_energy", caption)


def _rotational_panel(
    axes: Axes,
    samples: list[tuple[str, str, Clustered]],
    histogram: Histogram,
    panel: str,
    least: float = 20.0,
) -> None:
    large = [(name, color, item.values) for name, color, item in samples if len(item.values) >= FEWEST]
    label(axes, "rotational quantum number J", "density", panel)
    if not large:
        note(axes, f"too few molecules ({len(samples[0][2].values)})")
        return
    edges = bin_edges([values for *_, values in large], (1, 2, 4), least, J_UPPER)
    for name, color, values in large:
        histogram.add(axes, name, color, values, edges, J_UPPER, panel)
    axes.set_xlim(0, edges[-1])
    axes.legend(loc="upper right")


def rotational_low_high(results: Results, out: Path | str) -> Drawn:
    """J distributions below and above 71 meV of translational energy."""
    column = "rotational_quantum_number"
    n = len(results.model.of(column).values)
    if n < FEWEST:
        return too_few("Rotational distributions", n)
    canvas, grid = new(1, 2, width_in=7.3, height_in=2.8)
    histogram = Histogram("")
    for axes, below, quantity in (
        (grid[0, 0], True, "j_peak_below_71_meV"),
        (grid[0, 1], False, "j_peak_above_71_meV"),
    ):
        samples = []
        for name, color, ensemble in compared(results):
            gone = ensemble.left_for_good
            slow = gone["translational_energy_meV"] < LOW_TRANSLATION_meV
            samples.append((name, color, ensemble.of(column, gone[slow if below else ~slow])))
        panel = f"{'below' if below else 'above'} {LOW_TRANSLATION_meV:g} meV"
        _rotational_panel(axes, samples, histogram, panel)
        if len(samples[0][2].values) >= FEWEST:
            mark_paper(results, axes, quantity, "peak")
            axes.legend(loc="upper right")
    if not histogram.rows:
        return too_few("Rotational distributions", n)
    caption = (
        f"Rotational quantum numbers of molecules with translational energies below and above "
        f"{LOW_TRANSLATION_meV:g} meV (paper, figure 8: peaks near J = 5 and J = 10)."
    )
    if not results.is_published:
        caption = caption.partition(" (paper")[0] + "."
    return save(canvas, histogram.table(), out, "rotational_low_high", caption)


def rotational_by_window(results: Results, out: Path | str) -> Drawn:
    """J distributions in 50 meV windows of translational energy, with J_peak and J_max."""
    windows = results.windows[results.windows["translational_high_meV"] <= WINDOWS_UP_TO_meV]
    most = int(windows["n"].max())
    if most < FEWEST:
        return too_few("Rotational distributions in windows", most)
    canvas, grid = new(2, 2, width_in=7.3, height_in=4.8)
    histogram = Histogram("")
    gone = results.model.left_for_good
    least = 1.05 * float(np.nanmax([20.0, *windows["j_max"]]))
    for axes, (_, row) in zip(grid.flat, windows.iterrows(), strict=False):
        low, high = row["translational_low_meV"], row["translational_high_meV"]
        energies = gone["translational_energy_meV"]
        inside = results.model.of("rotational_quantum_number", gone[(energies >= low) & (energies < high)])
        _rotational_panel(axes, [("model", MODEL, inside)], histogram, f"{low:g}–{high:g} meV", least)
        if np.isfinite(row["j_peak"]):
            top = density(inside.values, J_UPPER).y.max()
            axes.plot(row["j_peak"], top, "o", color=TEACHER, label=f"J_peak = {row['j_peak']:.1f}")
        if np.isfinite(row["j_max"]):
            axes.axvline(row["j_max"], color=TEACHER, linestyle=":", label=f"J_max = {row['j_max']:.1f}")
        if axes.get_legend():
            axes.legend(loc="upper right")
    caption = (
        f"Rotational quantum numbers in windows of translational energy, with their kernel density; J_max is "
        f"where "
        f"it falls to {100 * TAIL:g} % of its maximum{' (paper, figure 9)' * results.is_published}. "
        f"Windows with under {FEWEST} molecules are left out."
    )
    return save(canvas, histogram.table(), out, "rotational_windows_figure", caption)


def rotational_trend(results: Results, out: Path | str) -> Drawn:
    """J_peak and J_max against the mean translational energy of the windows."""
    windows = results.windows[results.windows["translational_high_meV"] <= WINDOWS_UP_TO_meV]
    points = windows.dropna(subset=["j_peak"])
    if len(points) < 2:
        return (
            "J_peak and J_max against translational energy not drawn: too few molecules "
            f"({len(points)} windows of 50 meV hold at least {FEWEST}, two are needed)."
        )
    canvas, grid = new(2, 1, height_in=3.8, share_x=True)
    x = points["translational_mean_meV"].to_numpy()
    for axes, (_, fit) in zip(grid[:, 0], results.fits.iterrows(), strict=True):
        y = points[fit["quantity"]].to_numpy()
        bars = None
        if fit["quantity"] == "j_peak":
            bars = np.clip([y - points["j_peak_low_95"], points["j_peak_high_95"] - y], 0, None)
        axes.errorbar(x, y, yerr=bars, fmt="o", color=MODEL)
        if np.isfinite(fit["slope_per_meV"]):
            text = f"{fit['intercept']:.1f} + {fit['slope_per_meV']:.3f} meV⁻¹ E"
            axes.plot(
                x, fit["intercept"] + fit["slope_per_meV"] * x, color=TEACHER, linestyle="--", label=text
            )
            axes.legend(loc="upper left")
        axes.set_ylabel({"j_peak": "J_peak", "j_max": "J_max"}[fit["quantity"]])
    grid[1, 0].set_xlabel("mean translational energy of the window (meV)")
    paper = " (paper, figure 10: both rise linearly)" * results.is_published
    caption = (
        "Most probable and highest populated rotational quantum number against translational energy"
        f"{paper}; bars: 95 % by bootstrap over trajectories."
    )
    return save(canvas, points, out, "rotational_trend", caption)


def vibrational_numbers(results: Results, out: Path | str) -> Drawn:
    """Vibrational quantum numbers of desorbed molecules, the excited one apart."""
    rows = []
    for name, color, ensemble in compared(results):
        gone = ensemble.left_for_good.dropna(subset=["vibrational_quantum_number"])
        v = gone.loc[gone["excited"] == 0, "vibrational_quantum_number"].to_numpy(float).round().astype(int)
        if len(v) < FEWEST:
            if name == "model":
                return too_few("Vibrational quantum numbers", len(v))
            continue
        for level in range(max(3, int(v.max())) + 1):
            k = int((v == level).sum())
            low, high = jeffreys(k, len(v))
            numbers = {"v": level, "n": len(v), "fraction": k / len(v), "low_95": low, "high_95": high}
            rows.append({"series": name, **numbers, "color": color})
    table = pandas.DataFrame(rows)
    canvas, grid = new()
    axes = grid[0, 0]
    for index, (series, part) in enumerate(table.groupby("series", sort=False)):
        p = part["fraction"]
        bars = np.clip([p - part["low_95"], part["high_95"] - p], 0, None)
        text = f"{series} (n = {part['n'].iloc[0]})"
        color, x = str(part["color"].iloc[0]), part["v"] + 0.36 * index - 0.18
        thin = {"linewidth": 0.9}
        axes.bar(x, p, 0.34, yerr=bars, color=color, alpha=0.75, label=text, error_kw=thin)
    paper = paper_value(results, "fraction_v1")
    if np.isfinite(paper):
        axes.plot(
            [0.5, 1.5], [paper, paper], color=PAPER, linestyle="--", label=f"paper: v = 1 about {paper:.0%}"
        )
    axes.set_xticks(range(int(table["v"].max()) + 1))
    label(axes, "vibrational quantum number v (EBK, rounded)", "fraction of molecules")
    axes.legend()
    excited = int((results.model.left_for_good["excited"] == 1).sum())
    caption = (
        "Vibrational quantum numbers of desorbed molecules, with 95 % Jeffreys intervals; the excited "
        "molecule is "
        f"left out (it desorbed {excited} time{'' if excited == 1 else 's'} under the model)."
    )
    return save(canvas, table.drop(columns="color"), out, "vibrational_number", caption)
