"""Figures of Raman spectra, each with its data beside it."""

import itertools
from pathlib import Path

import numpy as np
import pandas

from frazil.analysis.raman import GEOMETRIES
from frazil.experiments.raman.settings import Raman
from frazil.experiments.raman.subject import Subject
from frazil.report.plot import BLACK, BLUE, CYCLE, ORANGE, label, new, note, save
from frazil.report.section import Figure

APART_cm1 = 200.0
"""Bands farther apart than this are drawn in panels of their own."""
MARGIN_cm1 = 20.0
MOST_PANELS = 3
MOST_BANDS = 8
"""That are drawn as polar plots: the strongest."""


def ranges(bands: pandas.DataFrame) -> list[tuple[float, float]]:
    """Return where bands stand: ranges of wavenumbers that are far from each other, three at most."""
    ends = bands.sort_values("low_cm1")[["low_cm1", "high_cm1"]].to_numpy()
    found: list[list[float]] = []
    for low, high in ends:
        if found and (low - found[-1][1] < APART_cm1 or len(found) == MOST_PANELS):
            found[-1][1] = max(found[-1][1], high)
        else:
            found.append([low, high])
    return [(max(0.0, low - MARGIN_cm1), high + MARGIN_cm1) for low, high in found]


def maps(subject: Subject, tables: dict[str, pandas.DataFrame], out: Path) -> Figure:
    """Draw the intensity against wavenumber and angle, parallel above crossed, at the lowest temperature."""
    bands, oriented = tables["raman_bands"], tables["oriented"]
    coldest = oriented["temperature_K"].min()
    shown = oriented[oriented["temperature_K"] == coldest]
    parts = ranges(bands[bands["temperature_K"] == coldest])
    canvas, axes = new(2, len(parts), width_in=7.0, height_in=4.6, share_y=True)
    kept = []
    for column, (low, high) in enumerate(parts):
        part = shown[shown["wavenumber_cm1"].between(low, high)]
        kept.append(part)
        largest = part["intensity"].max()
        for row, geometry in enumerate(GEOMETRIES):
            grid = part[part["geometry"] == geometry].pivot(
                index="angle_deg", columns="wavenumber_cm1", values="intensity"
            )
            axis = axes[row, column]
            # The root shows weak bands beside strong ones.
            drawn = np.sqrt(np.maximum(grid.to_numpy(), 0.0) / largest)
            mesh = axis.pcolormesh(
                grid.columns, grid.index, drawn, vmin=0, vmax=1, shading="nearest", rasterized=True
            )
            axis.grid(False)
            x = "wavenumber (cm⁻¹)" if row else ""
            y = "" if column else "angle of the polarizer (°)"
            label(axis, x, y, geometry if not column else "")
    canvas.colorbar(mesh, ax=axes, label="√(intensity over the panels' largest)")
    return save(
        canvas, pandas.concat(kept), out, "raman_map",
        f"Stokes intensity of {subject.name} at {coldest:g} K against the polarizer's angle, with the "
        "analyser along it (parallel) and across (crossed); each range of wavenumbers has its own scale.",
    )  # fmt: skip


def polar(tables: dict[str, pandas.DataFrame], out: Path) -> Figure:
    """Draw each band's intensity around the circle, with its interval and its harmonic form."""
    bands, angles = tables["raman_bands"], tables["raman_angles"]
    coldest = bands["temperature_K"].min()
    own = bands[bands["temperature_K"] == coldest].nlargest(MOST_BANDS, "area").sort_values("band")
    columns = min(4, len(own))
    rows = -(-len(own) // columns)
    canvas, axes = new(rows, columns, width_in=7.0 if columns > 1 else 3.5, height_in=2.3 * rows, polar=True)
    for axis in axes.flat[len(own) :]:
        note(axis, "no band")
    for axis, row in zip(axes.flat, own.itertuples(), strict=False):
        title = f"{row.position_cm1:.1f} cm⁻¹"
        found = angles[(angles["temperature_K"] == coldest) & (angles["band"] == row.band)]
        largest = found["area"].max()
        for geometry, color in zip(GEOMETRIES, (BLUE, ORANGE), strict=True):
            part = found[found["geometry"] == geometry].sort_values("angle_deg")
            # What is the same after half a turn goes around the whole circle.
            turn = np.deg2rad(np.concatenate([part["angle_deg"], part["angle_deg"] + 180.0]))
            low = part["total_low_95"].fillna(part["low_95"])
            high = part["total_high_95"].fillna(part["high_95"])
            around = [np.tile(np.asarray(v) / largest, 2) for v in (part["area"], low, high)]
            axis.fill_between(turn, np.maximum(around[1], 0), around[2], color=color, alpha=0.3, linewidth=0)
            axis.plot(turn, np.maximum(around[0], 0), color=color, label=geometry)
            if part["form_area"].notna().all():
                axis.plot(
                    turn, np.tile(part["form_area"] / largest, 2), color=BLACK, linewidth=0.7,
                    linestyle="--", label="by symmetry" if geometry == GEOMETRIES[0] else None,
                )  # fmt: skip
        axis.set_title(title)
        axis.set_yticklabels([])
        axis.set_ylim(0, None)
    axes.flat[len(own) - 1].legend()
    shown = angles[angles["temperature_K"] == coldest]
    return save(
        canvas, shown, out, "raman_polar",
        f"Intensities of bands at {coldest:g} K around the circle of the polarizer's angles, over each "
        "band's largest, with 95 % intervals; dashed the form by symmetry, with neighbours' wings.",
    )  # fmt: skip


def powder(settings: Raman, subject: Subject, tables: dict[str, pandas.DataFrame], out: Path) -> Figure:
    """Draw the powder spectra of all temperatures with their bands, over the harmonic lines."""
    spectra, bands, lines = tables["raman_spectra"], tables["raman_bands"], tables["harmonic"]
    parts = ranges(bands)
    canvas, axes = new(1, len(parts), width_in=7.0, height_in=2.9)
    kept = []
    for column, (low, high) in enumerate(parts):
        axis = axes[0, column]
        part = spectra[spectra["wavenumber_cm1"].between(low, high)]
        kept.append(part)
        for color, temperature_K in zip(itertools.cycle(CYCLE), settings.temperatures_K, strict=False):
            own = part[part["temperature_K"] == temperature_K]
            ends = [own[f"total_{end}"].fillna(own[end]) for end in ("low_95", "high_95")]
            axis.fill_between(own["wavenumber_cm1"], *ends, color=color, alpha=0.3, linewidth=0)
            axis.plot(
                own["wavenumber_cm1"], own["intensity"], color=color, linewidth=1.0,
                label=f"{temperature_K:g} K",
            )  # fmt: skip
        inside = lines[lines["wavenumber_cm1"].between(low, high)]
        active = inside[inside["activity_A4_per_amu"] > 1e-3 * inside["activity_A4_per_amu"].max()][
            "wavenumber_cm1"
        ]
        top = part["intensity"].max()
        axis.vlines(active, -0.08 * top, -0.02 * top, color=BLACK, linewidth=1.0, label="harmonic, active")
        label(axis, "wavenumber (cm⁻¹)", "Stokes intensity (Å⁴ cm²/amu)" if not column else "")
        if column == len(parts) - 1:
            axis.legend()
    return save(
        canvas, pandas.concat(kept), out, "raman_powder",
        f"Powder spectra of {subject.name} (classical nuclei) with 95 % intervals, of sampling and of "
        "members where these are known; below them the harmonic lines that are active.",
    )  # fmt: skip
