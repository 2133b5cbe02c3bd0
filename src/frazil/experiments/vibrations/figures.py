"""Figures of vibrational densities of states, each with its data beside it."""

from pathlib import Path

import numpy as np
import pandas
from matplotlib.axes import Axes

from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import Subject
from frazil.report.plot import BLACK, BLUE, MODEL, ORANGE, TEACHER, label, new, note, save
from frazil.report.section import Figure


def densities(
    settings: Vibrations, subject: Subject, tables: dict[str, pandas.DataFrame], out: Path
) -> Figure:
    """Draw the density with both bands over the harmonic lines of mean, members and labels."""
    density, lines, peaks = tables["vdos"], tables["harmonic"], tables["peaks"]
    end = 1.15 * max(float(lines["wavenumber_cm1"].max()), float(peaks["position_cm1"].max()))
    shown = density[density["wavenumber_cm1"] <= end]
    canvas, axes = new(2, width_in=7.0, height_in=4.6, share_x=True)
    _with_bands(axes[0, 0], shown, "density")
    label(axes[0, 0], "", "density of states (cm)", f"{subject.name}, {settings.temperature_K:g} K")
    axis = axes[1, 0]
    for k, own in enumerate(subject.modes.members_cm1):
        axis.vlines(own, 0.0, 0.6, color=ORANGE, linewidth=0.6, label="members" if k == 0 else None)
    axis.vlines(lines["wavenumber_cm1"], 0.0, 1.0, color=MODEL, linewidth=1.5, label="mean")
    if lines["label_cm1"].notna().any():
        axis.vlines(lines["label_cm1"], 1.0, 1.4, color=TEACHER, linewidth=1.5, label="labels")
    axis.plot(peaks["position_cm1"], np.full(len(peaks), 1.5), "v", color=BLACK, label="bands above")
    axis.set_xlim(0, end)
    axis.set_ylim(0, 2.2)  # room for the legend
    axis.set_yticks([])
    label(axis, "wavenumber (cm⁻¹)", "harmonic lines", "harmonic")
    axis.legend(ncols=4)
    return save(
        canvas, shown, out, "densities",
        "Vibrational density of states along dynamics (classical), mean over members and starts, with the "
        "bands of sampling alone and of both errors; below the harmonic lines.",
    )  # fmt: skip


def _with_bands(axis: Axes, shown: pandas.DataFrame, name: str) -> None:
    """Draw a curve over the wavenumber, with the bands of sampling and, where it is known, of both errors."""
    x = shown["wavenumber_cm1"]
    if shown["total_low_95"].notna().any():
        axis.fill_between(
            x, shown["total_low_95"], shown["total_high_95"], color=ORANGE, alpha=0.35, linewidth=0,
            label="sampling and members, 95 %",
        )  # fmt: skip
    axis.fill_between(
        x, shown["low_95"], shown["high_95"], color=BLUE, alpha=0.35, linewidth=0, label="sampling, 95 %"
    )
    axis.plot(x, shown[name], color=MODEL, linewidth=1.0, label="mean")
    axis.set_ylim(bottom=0)
    axis.legend()


def errors(peaks: pandas.DataFrame, lines: pandas.DataFrame, out: Path) -> Figure:
    """Draw both errors of each band, and what the members differ by in the harmonic lines."""
    canvas, axes = new(width_in=4.5, height_in=3.2)
    axis = axes[0, 0]
    axis.plot(peaks["position_cm1"], peaks["stat_se_cm1"], "o-", color=BLUE, label="sampling (starts)")
    if peaks["model_std_cm1"].notna().any():
        axis.plot(peaks["position_cm1"], peaks["model_std_cm1"], "s-", color=ORANGE, label="members")
        axis.plot(
            lines["members_mean_cm1"], lines["model_std_cm1"], "x", color=BLACK, label="members, harmonic"
        )
    if not len(peaks):
        note(axis, "no bands")
    axis.set_ylim(bottom=0)
    label(axis, "wavenumber (cm⁻¹)", "standard error (cm⁻¹)")
    axis.legend()
    shown = peaks[["band", "position_cm1", "stat_se_cm1", "model_std_cm1"]]
    return save(canvas, shown, out, "band_errors", "Errors of the bands' positions, by what they come from.")


def infrared(
    settings: Vibrations, subject: Subject, tables: dict[str, pandas.DataFrame], out: Path
) -> Figure:
    """Draw the absorption with both bands over the harmonic intensities."""
    found, lines = tables["infrared"], tables["harmonic"]
    end = 1.15 * float(lines["wavenumber_cm1"].max())
    shown = found[found["wavenumber_cm1"] <= end]
    canvas, axes = new(2, width_in=7.0, height_in=4.6, share_x=True)
    _with_bands(axes[0, 0], shown, "absorption")
    title = f"infrared, {subject.name}, {settings.temperature_K:g} K"
    label(axes[0, 0], "", "absorption (km/mol per cm⁻¹)", title)
    axis = axes[1, 0]
    axis.vlines(lines["wavenumber_cm1"], 0.0, lines["intensity_km_per_mol"], color=MODEL, linewidth=1.5)
    axis.set_xlim(0, end)
    axis.set_ylim(bottom=0)
    label(axis, "wavenumber (cm⁻¹)", "intensity (km/mol)", "harmonic, of the mean")
    return save(
        canvas, shown, out, "infrared",
        "Infrared absorption along dynamics (classical), mean over members and starts, with the bands of "
        "sampling alone and of both errors; below the harmonic intensities.",
    )  # fmt: skip
