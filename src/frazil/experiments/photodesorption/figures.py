"""Figures of the photodesorption experiment; each is drawn, or says why it is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas

from frazil.analysis.statistics import fraction_by
from frazil.experiments.photodesorption.molecule_figures import (
    Drawn,
    compared,
    mark_paper,
    paper_value,
    rotational_by_window,
    rotational_low_high,
    rotational_trend,
    too_few,
    translational_energies,
    vibrational_numbers,
)
from frazil.experiments.photodesorption.results import Results
from frazil.experiments.photodesorption.statistics import FEWEST, probabilities
from frazil.report.plot import AIMD, CONTROL, MODEL, PAPER, PURPLE, TEACHER, Histogram, label, new, save
from frazil.report.section import Figure

MOST_PATHS = 16
"""Trajectories drawn in the figure of the teacher's energy along the model's paths."""


def draw(results: Results, out: Path | str) -> tuple[list[Figure], list[str]]:
    """Draw every figure that the data allow; return them, and the reasons for those left out."""
    makers: list[Callable[[Results, Path | str], Drawn]] = [
        probability_over_time, probability_by_criterion, desorption_times, translational_energies,
        rotational_low_high, rotational_by_window, rotational_trend, vibrational_numbers, energy_conservation,
        teacher_along_paths,
    ]  # fmt: skip
    drawn = [make(results, out) for make in makers]
    return [item for item in drawn if isinstance(item, Figure)], [
        item for item in drawn if isinstance(item, str)
    ]


def probability_over_time(results: Results, out: Path | str) -> Drawn:
    """Desorption probability against time, with 95 % bands, model and teacher on the same starts."""
    canvas, grid = new()
    axes = grid[0, 0]
    times = np.linspace(0.0, results.duration_fs, 301)
    rows = []
    series = compared(results)
    if len(series[0][2].ids) < len(results.model.ids):
        series.append(("model, all starts", PURPLE, results.model))
    controls = {"teacher_control": "teacher without coupling", "model_control": "model without excitation"}
    series += [
        (text, CONTROL, results.ensembles[key]) for key, text in controls.items() if key in results.ensembles
    ]
    styles = {CONTROL: ":", TEACHER: "--", AIMD: "-."}
    for name, color, ensemble in series:
        n = len(ensemble.ids)
        p, low, high = fraction_by(ensemble.first_desorptions.values, n, times)
        text = f"{name} ({ensemble.counts['desorbed']} of {n})"
        axes.plot(times / 1000, p, color=color, linestyle=styles.get(color, "-"), label=text)
        if color in (MODEL, TEACHER, AIMD):
            axes.fill_between(times / 1000, low, high, color=color, alpha=0.15, linewidth=0)
        columns = {"time_fs": times, "probability": p, "low_95": low, "high_95": high}
        rows.append(pandas.DataFrame({"series": name, "n": n, **columns}))
    label(axes, "time (ps)", "desorption probability")
    axes.set(xlim=(0, results.duration_fs / 1000), ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    caption = (
        f"Probability that a molecule has desorbed (criterion {results.criterion_A:g} Å) by a given time, "
        f"with "
        "95 % Jeffreys bands; failed and dissociated trajectories stay in the denominator."
    )
    return save(canvas, pandas.concat(rows), out, "desorption_probability", caption)


def probability_by_criterion(results: Results, out: Path | str) -> Drawn:
    """Desorption probability against the desorption criterion."""
    canvas, grid = new()
    axes = grid[0, 0]
    rows = []
    series = [(*item, 0.0) for item in compared(results)]
    for index, (name, color, ensemble, _) in enumerate(series):
        table = probabilities(ensemble, results.probability["criterion_A"].tolist())
        p = table["probability"].to_numpy()
        bars = [p - table["low_95"], table["high_95"] - p]
        x = table["criterion_A"] + 0.06 * (index - (len(series) - 1) / 2)
        axes.errorbar(x, p, yerr=np.clip(bars, 0, None), fmt="os^"[index], color=color, label=name)
        rows.append(
            table.assign(series=name)[["series", "criterion_A", "n", "probability", "low_95", "high_95"]]
        )
    for method, shape in (("MLP", "D"), ("AIMD", "^")) if results.is_published else ():
        value = paper_value(results, "desorption_probability", method)
        axes.plot(3.0, value, shape, color=PAPER, fillstyle="none", label=f"paper, {method} (50 CO, 5 ps)")
    label(axes, "desorption criterion beyond the surface (Å)", "desorption probability")
    axes.set_ylim(-0.02, 1.02)
    axes.legend()
    caption = (
        "Desorption probability for several distances beyond the aggregate's surface, with 95 % Jeffreys "
        "intervals: its sensitivity to the criterion."
    )
    return save(canvas, pandas.concat(rows), out, "desorption_criterion", caption)


def desorption_times(results: Results, out: Path | str) -> Drawn:
    """Histogram of the first desorption time of each trajectory."""
    samples = [(name, color, item.first_desorptions.values) for name, color, item in compared(results)]
    if len(samples[0][2]) < FEWEST:
        return too_few("Desorption times", len(samples[0][2]))
    canvas, grid = new()
    histogram = Histogram("ps")
    n_bins = int(np.clip(np.sqrt(len(samples[0][2])) * 1.5, 8, 50))
    edges = np.linspace(0.0, results.duration_fs / 1000, n_bins + 1)
    for name, color, values in samples:
        if len(values) >= FEWEST:
            histogram.add(grid[0, 0], name, color, values / 1000, edges)
    mark_paper(results, grid[0, 0], "earliest_desorption", "none before 0.6 ps", 1e-3)
    mark_paper(results, grid[0, 0], "mean_desorption_time", "mean 2 ps", 1e-3)
    label(grid[0, 0], "first desorption (ps)", "density (ps⁻¹)")
    grid[0, 0].legend(loc="upper left")
    caption = "Time of the first desorption of each trajectory in which a molecule desorbed."
    return save(canvas, histogram.table(), out, "desorption_times", caption)


def energy_conservation(results: Results, out: Path | str) -> Drawn:
    """Histogram of the standard deviation of each trajectory's total energy."""
    samples = [
        (name, color, ensemble.trajectories["energy_std_meV"].dropna().to_numpy(float))
        for name, color, ensemble in compared(results)
    ]
    samples = [item for item in samples if len(item[2])]
    if not samples:
        return (
            "Energy conservation not drawn: no trajectory reports a standard deviation of its total energy."
        )
    canvas, grid = new()
    pooled = np.concatenate([values for *_, values in samples])
    end = max(
        float(np.quantile(pooled, 0.99)) * 1.1, 1.2 * np.nan_to_num(paper_value(results, "energy_std")), 0.1
    )
    edges = np.linspace(0.0, end, int(np.clip(2 * np.sqrt(len(pooled)), 10, 60)) + 1)
    histogram = Histogram("meV")
    for name, color, values in samples:
        histogram.add(grid[0, 0], name, color, values, edges)
    mark_paper(results, grid[0, 0], "energy_std", "about 0.98 meV")
    label(grid[0, 0], "standard deviation of the total energy (meV)", "density (meV⁻¹)")
    grid[0, 0].legend()
    beyond = int((pooled > end).sum())
    caption = "Energy conservation: standard deviation of the total energy along each trajectory."
    caption += f" {beyond} of {len(pooled)} lie beyond the axis." if beyond else ""
    return save(canvas, histogram.table(), out, "energy_conservation", caption)


def teacher_along_paths(results: Results, out: Path | str) -> Drawn:
    """Total energy under model and teacher along the model's own trajectories."""
    path = results.truth.path
    if results.given:
        return f"No teacher beside {results.given}: its energy along the paths is not drawn."
    if path is None:
        return (
            "Teacher's energy along the model's paths not drawn: no frames kept, or no teacher of this level."
        )
    canvas, grid = new()
    axes = grid[0, 0]
    for index, (_, part) in enumerate(path.groupby("trajectory_id")):
        if index >= MOST_PATHS:
            break
        for who, color, width in (("teacher", TEACHER, 0.9), ("model", MODEL, 1.3)):
            text = f"under the {who}" if index == 0 else None
            y = part[f"{who}_deviation_meV_per_atom"]
            axes.plot(part["time_fs"] / 1000, y, color=color, linewidth=width, alpha=0.8, label=text)
    label(axes, "time (ps)", "change of the total energy (meV/atom)")
    axes.legend(loc="upper left")
    n = path["trajectory_id"].nunique()
    caption = (
        f"Total energy along {min(n, MOST_PATHS)} of {n} trajectories of the model, under the model itself "
        f"(conserved) "
        "and under its teacher: where the teacher's moves, the model's surface differs from it. Holes show "
        "as jumps."
    )
    return save(canvas, path, out, "teacher_energy_along_paths", caption)
