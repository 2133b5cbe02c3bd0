"""Figures of the committee: parity, errors, rigid scans (Fig. A.1 of the paper), spread against error."""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas
from ase.data import chemical_symbols

from frazil.experiments.sticking.committee import SPREAD_LIMIT_eV_per_A
from frazil.report.plot import BLACK, BLUE, CYCLE, GREY, PAPER, VERMILLION, label, new, note, save
from frazil.report.section import Figure

if TYPE_CHECKING:
    from frazil.experiments.sticking.committee import Predicted

ELEMENTS = {1: BLUE, 6: BLACK, 8: VERMILLION}
"""Colours of H, C and O, in this order; other elements come after them."""
MOST_POINTS = 3000
PAPER_SCAN_K = 14.0


def draw(
    shown: "Predicted",
    spread: pandas.DataFrame,
    scans: pandas.DataFrame | None,
    regions: pandas.DataFrame,
    learning: pandas.DataFrame,
    out: Path,
) -> list[Figure]:
    """Draw all figures; return the section's entries."""
    first = [] if scans is None else [scan(scans, out)]
    return [
        *first, parity(shown, out), deviation(regions, out), calibration(spread, out), curves(learning, out)
    ]  # fmt: skip


def scan(scans: pandas.DataFrame, out: Path) -> Figure:
    """Labels, members and their mean along rigid scans."""
    names = list(dict.fromkeys(scans["scan"]))
    columns, rows = min(len(names), 3), -(-len(names) // 3)
    canvas, axes = new(rows, columns, 3.6 * columns, 3.1 * rows, share_x=True, share_y=True)
    lowest = scans["label_K"].min()
    members = [name for name in scans if str(name).startswith("gmnn-") and name != "gmnn-mean_K"]
    for free in axes.flat[len(names) :]:
        free.remove()
    for axis, name in zip(axes.flat, names, strict=False):
        own = scans[scans["scan"] == name]
        for member in members:
            axis.plot(own["distance_A"], own[member], color=GREY, linewidth=0.8, alpha=0.8)
        axis.plot(own["distance_A"], own["gmnn-mean_K"], color=BLUE, label="committee (grey: members)")
        axis.plot(own["distance_A"], own["label_K"], "o", color=VERMILLION, label="labels")
        low = own["label_K"].min()
        axis.axhspan(low - PAPER_SCAN_K, low + PAPER_SCAN_K, color=PAPER, alpha=0.15, label="± 14 K (paper)")
        axis.set_ylim(1.2 * lowest, -0.8 * lowest)
        label(axis, "distance from the bound place (Å)", "energy (K)", name)
        axis.legend()
    caption = "Rigid scans (off 10 molecules if made here); band: the paper's difference of the minima."
    return save(canvas, scans, out, "scan_curves", caption)


def parity(shown: "Predicted", out: Path) -> Figure:
    """Forces and energies of the mean against the labels, and the errors' histogram."""
    canvas, axes = new(columns=3, width_in=10.5)
    mean, labels = shown.forces_eV_per_A.mean(axis=0), shown.force_labels_eV_per_A
    parts = []
    others = [int(number) for number in np.unique(shown.numbers) if number not in ELEMENTS]
    colours = {**ELEMENTS, **dict(zip(others, cycle(CYCLE[3:]), strict=False))}
    for number, colour in colours.items():
        own, name = shown.numbers == number, chemical_symbols[number]
        if not own.any():
            continue
        x, y = labels[own].ravel(), mean[own].ravel()
        every = max(1, len(x) // MOST_POINTS)
        axes[0, 0].plot(x[::every], y[::every], ".", color=colour, markersize=2, label=name)
        error = 1000 * (y - x)
        wide = max(float(np.quantile(np.abs(error), 0.98)), 1e-6)
        axes[0, 1].hist(
            error, np.linspace(-wide, wide, 41), density=True, histtype="step", color=colour, label=name
        )
        parts.append(
            pandas.DataFrame({"element": name, "label_eV_per_A": x[::every], "model_eV_per_A": y[::every]})
        )
    ends = [float(labels.min()), float(labels.max())]
    axes[0, 0].plot(ends, ends, color=GREY, linewidth=0.8, zorder=0.5)
    label(axes[0, 0], "label (eV/Å)", "committee (eV/Å)", "forces")
    label(axes[0, 1], "error (meV/Å)", "density", "errors of force components")
    energy = 1000 * (shown.energies_eV.mean(axis=0) - shown.energy_labels_eV) / shown.n_atoms
    axes[0, 2].hist(energy, bins=20, color=BLUE, alpha=0.4)
    label(axes[0, 2], "error (meV/atom)", "frames", "errors of energies")
    axes[0, 0].legend()
    axes[0, 1].legend()
    caption = (
        "The committee's mean on the validation frames: parity of forces, errors of forces and of energies."
    )
    return save(canvas, pandas.concat(parts), out, "parity", caption)


def deviation(regions: pandas.DataFrame, out: Path) -> Figure:
    """The members' spread of forces, and their mean's error, over the distance to another molecule."""
    canvas, axes = new()
    axis = axes[0, 0]
    if not len(regions):
        note(axis, "no frame of several molecules")
    for colour, (element, part) in zip(CYCLE, regions.groupby("element", sort=False), strict=False):
        middle = 0.5 * (part["nearest_low_A"] + part["nearest_high_A"])
        axis.semilogy(middle, part["spread_rms_eV_per_A"], "o-", color=colour, label=f"{element}, spread")
        axis.semilogy(
            middle, part["error_of_mean_rms_eV_per_A"], "x--", color=colour, label=f"{element}, error"
        )
    axis.axhline(SPREAD_LIMIT_eV_per_A, color=PAPER, linewidth=0.8, label="1 kcal/mol/Å (paper)")
    label(axis, "distance to another molecule's nearest atom (Å)", "force, rms (eV/Å)")
    axis.legend()
    caption = (
        "How far the members' forces are apart, and those of their mean from the labels, by the distance "
        "of an atom to the nearest one of another molecule; validation frames."
    )
    return save(canvas, regions, out, "deviation_by_region", caption)


def calibration(spread: pandas.DataFrame, out: Path) -> Figure:
    """Spread of the members against the true error, on validation frames."""
    own = spread[(spread["subset"] == "validation") & spread["quantity"].str.startswith("force")]
    canvas, axes = new()
    axis = axes[0, 0]
    if not len(own):
        note(axis, "no spread to compare")
    for colour, (quantity, part) in zip(CYCLE, own.groupby("quantity"), strict=False):
        axis.loglog(
            part["spread_rms"],
            part["error_of_mean_rms"],
            "o-",
            color=colour,
            label=str(quantity).replace("_", " "),
        )
    if len(own):
        ends = [own["spread_rms"].min(), own["spread_rms"].max()]
        axis.plot(ends, ends, color=GREY, linewidth=0.8)
        label(axis, "spread of the members (eV/Å)", "error of their mean (eV/Å)")
        axis.legend()
    return save(
        canvas, own, out, "calibration", "Spread of the members against the error of their mean, in bins."
    )


def curves(learning: pandas.DataFrame, out: Path) -> Figure:
    """Force error on the test frames over the epochs."""
    canvas, axes = new()
    for number, part in learning.groupby("member"):
        axes[0, 0].semilogy(part["epoch"], 1000 * part["test_force_rmse_eV_per_A"], label=f"gmnn-{number:g}")
    label(axes[0, 0], "epoch", "force RMSE on test frames (meV/Å)")
    axes[0, 0].legend()
    return save(canvas, learning, out, "learning", "Force error on the test frames while the members learn.")
