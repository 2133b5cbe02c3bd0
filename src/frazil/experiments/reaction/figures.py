"""Figures of reaction profiles, each with its data beside it."""

from pathlib import Path

import pandas

from frazil.experiments.reaction.tables import CENTROID
from frazil.report.plot import BLACK, CYCLE, label, new, save
from frazil.report.section import Figure


def profiles(table: pandas.DataFrame, truth: pandas.DataFrame | None, level: str, out: Path) -> Figure:
    """Draw the profiles of centroids and densities, with the intervals of sampling and model error."""
    canvas, axes = new(1, 2, width_in=7.2, height_in=3.2, share_y=True)
    for place, ((n_beads, isotope), own) in enumerate(table.groupby(["n_beads", "isotope"], sort=False)):
        told = "classical" if n_beads == 1 else f"{isotope}, {n_beads} beads"
        for kind, rows in own.groupby("kind"):
            axis, colour = axes[0, int(kind != CENTROID)], CYCLE[place % len(CYCLE)]
            low, high = (rows[f"total_{end}_meV"].fillna(rows[f"{end}_meV"]) for end in ("low_95", "high_95"))
            axis.plot(rows["coordinate_A"], rows["free_energy_meV"], color=colour, label=told)
            axis.fill_between(rows["coordinate_A"], low, high, color=colour, alpha=0.2, linewidth=0)
            if n_beads == 1:  # one bead's centroid is its density
                axes[0, 1].plot(rows["coordinate_A"], rows["free_energy_meV"], color=colour, label=told)
    if truth is not None:
        axes[0, 0].plot(
            truth["coordinate_A"], truth["truth_meV"], "--", color=BLACK, label=f"{level}, classical"
        )
    for axis, title in zip(axes[0], ("centroid", "density of the nuclei"), strict=True):
        label(axis, "coordinate (Å)", "free energy (meV)", title)
        axis.legend()
    return save(
        canvas, table, out, "profile",
        "Free-energy profiles of centroids, for rate theory, and of the nuclei's density; 95 % of sampling, "
        "and of model error where members tell it.",
    )  # fmt: skip


def path_and_windows(path: pandas.DataFrame, windows: pandas.DataFrame, out: Path) -> Figure:
    """Draw the energies along the path, and each window's overlap with the next."""
    canvas, axes = new(1, 2, width_in=7.2, height_in=3.0)
    axes[0, 0].plot(path["coordinate_A"], path["energy_meV"], "o-", label="potential")
    if path["label_energy_meV"].notna().any():
        axes[0, 0].plot(path["coordinate_A"], path["label_energy_meV"], "x--", color=BLACK, label="labels")
    for (n_beads, isotope), own in windows.groupby(["n_beads", "isotope"], sort=False):
        told = "classical" if n_beads == 1 else f"{isotope}, {n_beads} beads"
        shown = own.dropna(subset=["overlap_next"])
        axes[0, 1].plot(shown["coordinate_A"], shown["overlap_next"], "o-", label=told)
    axes[0, 1].set_ylim(0, 0.55)
    label(axes[0, 0], "coordinate (Å)", "energy (meV)", "path")
    label(axes[0, 1], "coordinate (Å)", "overlap with the next", "windows")
    for axis in axes[0]:
        axis.legend()
    return save(
        canvas, path, out, "path_energies",
        "Energies along the path, and the overlap of each window with the next (0.5: the same).",
    )  # fmt: skip
