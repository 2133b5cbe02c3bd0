"""Figures of the infrared experiment, each with its data beside it."""

from pathlib import Path

import numpy as np
import pandas

from frazil.experiments.infrared.spectra_tables import Mean
from frazil.report.plot import BLACK, BLUE, GREEN, GREY, MODEL, TEACHER, label, marker, new, note, save
from frazil.report.section import Figure

SHOWN_cm1 = (0.0, 1500.0)
"""Of silicates; wider where modes lie beyond."""


def learning(rounds: pandas.DataFrame, out: Path) -> Figure:
    """Draw errors of every round against its training frames."""
    canvas, axes = new(columns=3, width_in=9.6, height_in=2.8)
    panels = (
        ({"harmonic_mae_cm1": "mean absolute error"}, "error (cm⁻¹)", "Harmonic wavenumbers"),
        (
            {"force_rmse_eV_per_A": "error (RMSE)", "force_std_eV_per_A": "committee spread"},
            "error (eV/Å)",
            "Forces, test set",
        ),
        ({"dipole_rmse_e_A": "error (RMSE)"}, "error (e Å)", "Dipoles, test set"),
    )
    for axis, (columns, unit, title) in zip(axes[0], panels, strict=True):
        for colour, (column, name) in zip((BLUE, GREEN), columns.items(), strict=False):
            if rounds[column].notna().any():
                axis.plot(rounds["n_train"], rounds[column], "o-", color=colour, label=name)
            else:
                note(axis, "not measured")
        label(axis, "training frames", unit, title)
        if axis.lines:
            axis.set_ylim(bottom=0)
            axis.legend()
    return save(canvas, rounds, out, "learning", "Errors of the committee in every round of active learning.")


def calibration(points: pandas.DataFrame, rounds: pandas.DataFrame, out: Path) -> Figure:
    """Draw the held-out frames' errors against the committee's spread, first and last round."""
    canvas, axes = new(width_in=4.5, height_in=3.2)
    axis = axes[0, 0]
    for colour, number in ((GREY, 0), (MODEL, int(rounds["round"].max()))):
        own = points[points["round"] == number]
        axis.loglog(
            own["force_std_eV_per_A"], own["force_error_eV_per_A"], ".", color=colour, label=f"round {number}"
        )
        factor = float(rounds.loc[rounds["round"] == number, "force_factor"].iloc[0])
        ends = np.array([own["force_std_eV_per_A"].min(), own["force_std_eV_per_A"].max()])
        axis.loglog(ends, factor * ends, "-", color=colour, linewidth=1.0)
    limit = rounds["limit_force_std_eV_per_A"].iloc[-1]
    if pandas.notna(limit):
        marker(axis, float(limit), "limit in the last round", BLACK)
    label(axis, "committee spread of the worst atom (eV/Å)", "its force error (eV/Å)")
    axis.legend()
    return save(
        canvas, points, out, "calibration_points",
        "Held-out frames: error against committee spread. Lines: the calibration (one factor a round).",
    )  # fmt: skip


def dipole_parity(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw the components of the test set's dipoles, model against label."""
    canvas, axes = new(width_in=3.6, height_in=3.4)
    axis = axes[0, 0]
    ends = table[["label_D", "model_D"]].to_numpy().min(), table[["label_D", "model_D"]].to_numpy().max()
    axis.plot(ends, ends, "-", color=GREY, linewidth=1.0, label="equal")
    axis.plot(table["label_D"], table["model_D"], ".", color=MODEL, label="components")
    label(axis, "dipole of the label (D)", "dipole of the committee's mean (D)")
    axis.legend()
    return save(canvas, table, out, "dipole_parity", "Dipoles of the test set, model against label.")


def spectrum(
    name: str, spectra: dict[str, list[Mean]], harmonic: pandas.DataFrame, level: str, out: Path
) -> Figure:
    """Draw a structure's spectra at every temperature over the harmonic sticks."""
    models = [mean for mean in spectra["model"] if mean.structure == name]
    labels = {mean.temperature_K: mean for mean in spectra["label"] if mean.structure == name}
    rows = len(models) + 1
    canvas, axes = new(rows, width_in=7.0, height_in=1.9 * rows, share_x=True)
    sticks = harmonic[harmonic["structure"] == name]
    end = max(SHOWN_cm1[1], 1.1 * float(sticks["wavenumber_cm1"].max()))
    parts = []
    for axis, mean in zip(axes[:, 0], models, strict=False):
        for colour, kind, shown in ((TEACHER, level, labels.get(mean.temperature_K)), (MODEL, "model", mean)):
            if shown is None:
                continue
            s = shown.spectrum
            here = s.wavenumber_cm1 <= end
            axis.plot(
                s.wavenumber_cm1[here], s.intensity[here], color=colour, label=f"{kind} ({s.n_runs} runs)"
            )
            axis.fill_between(
                s.wavenumber_cm1[here], s.low_95[here], s.high_95[here], color=colour, alpha=0.2, linewidth=0
            )
            parts.append(shown.table()[here].assign(source=kind))
        label(axis, "", "intensity (km/mol per cm⁻¹)", f"{name}, {mean.temperature_K:g} K")
        axis.legend()
    axis = axes[-1, 0]
    for colour, kind, shift in ((TEACHER, "label", -2.0), (MODEL, "model", 2.0)):
        own = sticks[sticks["method"] == kind]
        if len(own):
            axis.vlines(
                own["wavenumber_cm1"] + shift, 0, own["intensity_km_per_mol"], color=colour, linewidth=2.0,
                label=level if kind == "label" else kind,
            )  # fmt: skip
    label(axis, "wavenumber (cm⁻¹)", "intensity (km/mol)", f"{name}, harmonic")
    axis.set_xlim(0, end)
    axis.set_ylim(0, 1.4 * max(float(sticks["intensity_km_per_mol"].max()), 1.0))  # room for the legend
    axis.legend()
    return save(
        canvas, pandas.concat(parts), out, f"spectrum_{name}",
        f"Infrared spectra of {name} with 95 % bands over runs, and harmonic intensities (sticks drawn 2 "
        "cm⁻¹ beside their places).",
    )  # fmt: skip


def convergence(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw how like spectra of n starts are to those of as many others."""
    canvas, axes = new(width_in=4.6, height_in=3.2)
    axis = axes[0, 0]
    if not len(table):
        note(axis, "one start a spectrum: nothing to compare")
    for (structure, engine, temperature_K), own in table.groupby(["structure", "engine", "temperature_K"]):
        dashed = "--" if engine == "label" else "-"
        axis.plot(
            own["n_starts"],
            own["mean_cosine"],
            f"o{dashed}",
            label=f"{structure}, {engine}, {temperature_K:g} K",
        )
    axis.set_xscale("log", base=2)
    label(axis, "starts in the mean", "cosine with as many others")
    axis.legend()
    caption = "How like spectra are that are means of so many starts, by the number of starts."
    return save(canvas, table, out, "convergence", caption)


def by_starts(table: pandas.DataFrame, name: str, out: Path) -> Figure:
    """Draw a structure's spectra as means of ever more starts, one above the other (the paper's Fig. 6)."""
    temperatures = sorted(table["temperature_K"].unique())
    canvas, axes = new(columns=len(temperatures), width_in=max(4.5, 3.6 * len(temperatures)), height_in=3.6)
    for axis, temperature_K in zip(axes[0], temperatures, strict=True):
        here = table[table["temperature_K"] == temperature_K]
        step = 1.1 * float(here["intensity"].max())
        numbers = sorted(here["n_starts"].unique())
        for (engine, n), own in here.groupby(["engine", "n_starts"]):
            colour = TEACHER if engine == "label" else MODEL
            axis.plot(own["wavenumber_cm1"], own["intensity"] + step * numbers.index(n), color=colour,
                      linewidth=0.8, label=engine if n == numbers[0] else None)  # fmt: skip
        axis.set_yticks([step * place for place in range(len(numbers))], [str(n) for n in numbers])
        axis.set_xlim(0, SHOWN_cm1[1])
        label(axis, "wavenumber (cm⁻¹)", "starts in the mean", f"{name}, {temperature_K:g} K")
        axis.legend()
    caption = f"Spectra of {name} as means of so many starts, shifted by equal steps."
    return save(canvas, table, out, f"spectra_by_starts_{name}", caption)


def summed(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw the sums over sizes against wavelength, with the silicate band."""
    families = sorted(table["family"].unique())
    canvas, axes = new(columns=len(families), width_in=max(4.5, 3.8 * len(families)), height_in=3.0)
    for axis, family in zip(axes[0], families, strict=True):
        own = table[(table["family"] == family) & table["wavelength_um"].between(6.0, 30.0)]
        for temperature_K, part in own.groupby("temperature_K"):
            axis.plot(part["wavelength_um"], part["intensity"], label=f"{temperature_K:g} K")
        marker(axis, 9.7, "9.7 µm")
        n_structures = int(own["n_structures"].iloc[0])
        label(axis, "wavelength (µm)", "intensity (km/mol per cm⁻¹)", f"{family}, {n_structures} sizes")
        axis.legend()
    return save(canvas, table, out, "summed", "Spectra summed over sizes, equal weights, against wavelength.")


def transferability(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw structures in the plane of the training frames, coloured by their harmonic error."""
    canvas, axes = new(width_in=4.6, height_in=3.4)
    axis = axes[0, 0]
    for shape, trained in (("o", 1), ("X", 0)):
        own = table[table["trained"] == trained]
        if len(own):
            drawn = axis.scatter(
                own["pca_1"], own["pca_2"], c=own["harmonic_mae_cm1"], marker=shape, vmin=0,
                vmax=max(float(table["harmonic_mae_cm1"].max()), 1e-6),
                label="trained on" if trained else "unseen",
            )  # fmt: skip
    canvas.colorbar(drawn, ax=axis, label="harmonic error (cm⁻¹)")
    label(axis, "first principal component of SOAP", "second principal component")
    axis.legend()
    return save(canvas, table, out, "places", "Harmonic error against the place among the training frames.")
