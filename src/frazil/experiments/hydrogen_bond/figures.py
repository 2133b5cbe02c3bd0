"""Figures of hydrogen-bond strengths, each with its data beside it."""

from pathlib import Path

import numpy as np
import pandas

from frazil.experiments.hydrogen_bond.tables import LAMBDAS, STEPS
from frazil.report.plot import BLACK, BLUE, ORANGE, label, new, save
from frazil.report.section import Figure

COLOURS = (BLUE, ORANGE, BLACK)


def steps(energies: pandas.DataFrame, out: Path) -> Figure:
    """Draw the steps' free energies by both estimators, with the intervals of sampling."""
    canvas, axes = new(width_in=5.5, height_in=3.4)
    axis = axes[0, 0]
    sets = list(energies.groupby("n_beads"))
    shown = [step for step in STEPS if step in set(energies["step"])]
    for place, (n_beads, own) in enumerate(sets):
        rows = own.set_index("step").loc[shown]
        shift = 0.3 * (place - 0.5 * (len(sets) - 1))
        x, colour = np.arange(len(shown)) + shift, COLOURS[place % len(COLOURS)]
        told = "classical" if n_beads == 1 else f"{n_beads} beads"
        for name, mark, offset in (("mbar", "o", 0.0), ("ti", "x", 0.1)):
            axis.errorbar(
                x + offset, rows[f"{name}_meV"], 1.96 * rows[f"{name}_se_meV"], fmt=mark, color=colour,
                label=f"{told}, {'MBAR' if name == 'mbar' else 'integration'}",
            )  # fmt: skip
    axis.axhline(0.0, color=BLACK, linewidth=0.5)
    axis.set_xticks(np.arange(len(shown)), shown)
    label(axis, "step", "free energy (meV)")
    axis.legend()
    return save(canvas, energies, out, "steps", "Free energies of the steps and of all, 95 % of sampling.")


def slopes(windows: pandas.DataFrame, out: Path) -> Figure:
    """Draw the mean slopes along the couplings, and the overlap of neighbouring windows."""
    sampled = [step for step in LAMBDAS if step in set(windows["step"])]
    canvas, axes = new(1, len(sampled) + 1, width_in=2.8 * (len(sampled) + 1), height_in=3.0)
    for place, (n_beads, own) in enumerate(windows.groupby("n_beads")):
        colour = COLOURS[place % len(COLOURS)]
        told = "classical" if n_beads == 1 else f"{n_beads} beads"
        for axis, step in zip(axes[0], sampled, strict=False):
            rows = own[(own["step"] == step) & own["mean_meV"].notna()]
            axis.errorbar(
                rows[LAMBDAS[step]], rows["mean_meV"], 1.96 * rows["se_meV"], fmt="o-", color=colour,
                markersize=3, label=told,
            )  # fmt: skip
        path = own.drop_duplicates("window").dropna(subset=["overlap_next"])
        axes[0, -1].plot(path["window"], path["overlap_next"], "o-", color=colour, label=told)
    axes[0, 1].set_yscale("symlog", linthresh=1000.0)
    axes[0, -1].set_ylim(0, 0.55)
    for axis, step in zip(axes[0], sampled, strict=False):
        coupling = f"λ{LAMBDAS[step][-1]}"
        label(axis, coupling, f"∂U/∂{coupling} (meV)", step)
    label(axes[0, -1], "window", "overlap with the next", "overlap")
    axes[0, 0].legend()
    shown = windows[["n_beads", "step", "window", *LAMBDAS.values(), "mean_meV", "se_meV", "overlap_next"]]
    return save(
        canvas, shown, out, "slopes",
        "Mean slopes of the potential along the couplings, 95 % of sampling, and the overlap of each "
        "window with the next (0.5: the same).",
    )  # fmt: skip
