"""Figures of the sticking experiment: Figs. 2 and 4–7 of the paper in kind, the binding map, the surfaces."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase.data import atomic_numbers, vdw_radii
from ase.data.colors import jmol_colors
from matplotlib.collections import EllipseCollection
from scipy.signal import find_peaks

from frazil.experiments.sticking.results import Results
from frazil.experiments.sticking.tables import SITE_TYPES
from frazil.report.plot import BLACK, BLUE, CYCLE, GREEN, GREY, PAPER, VERMILLION, label, new, note, save
from frazil.report.section import Figure

COLOURS = {"crystalline": BLUE, "amorphous": VERMILLION}
PAPER_BINDING_K = {"crystalline": (-266.0, "median", 0.0), "amorphous": (-157.0, "mean", 75.0)}
"""Value, what it is, and the standard deviation of the distribution where the paper gives one."""
PAPER_ATTEMPTS_per_ps = {"crystalline": 3.18, "amorphous": 3.89}
PAPER_LONG: dict[object, str] = {5.0: "40 %", 8.0: "1–2 %", 10.0: "1–2 %"}
"""The paper's share of amorphous sites that hold H2 for more than 1000 s."""
LONG_s = 1.0e3
"""The threshold that the paper draws in its Fig. 7."""


def draw(results: Results, out: Path | str) -> list[Figure]:
    """Draw all figures; return the section's entries."""
    makers = (probability, coefficient, binding, by_type, binding_map, heights, residence, surfaces)
    return [make(results, out) for make in makers]


def _phases(table: pandas.DataFrame) -> list[str]:
    return sorted(table["phase"].unique(), reverse=True)


def _of(table: pandas.DataFrame, phase: str, surface_K: Any) -> pandas.DataFrame:
    return table[(table["phase"] == phase) & (table["surface_temperature_K"] == surface_K)]


def _paper(results: Results, table: str) -> str:
    """Return the end of a caption: where the paper's values are drawn, which they are."""
    return f"; dashed: the paper's {table}." if results.is_published else "."


def probability(results: Results, out: Path | str) -> Figure:
    """P(E) with intervals, the truth's on the same starts, and the paper's (Fig. 4)."""
    phases = _phases(results.probabilities)
    canvas, axes = new(columns=len(phases), width_in=4.0 * len(phases), share_y=True)
    for axis, phase in zip(axes[0], phases, strict=True):
        own = results.probabilities[results.probabilities["phase"] == phase]
        for colour, (surface_K, part) in zip(CYCLE, own.groupby("surface_temperature_K"), strict=False):
            p = part["probability"]
            bars = np.clip([p - part["low_95"], part["high_95"] - p], 0, None)
            axis.errorbar(
                part["collision_energy_K"], p, bars, fmt="o-", color=colour, label=f"T_S = {surface_K:g} K"
            )
            if part["model_std"].notna().any():
                axis.vlines(
                    part["collision_energy_K"], part["total_low_95"], part["total_high_95"], color=colour,
                    linewidth=0.9, linestyles=":", label="with the model's part",
                )  # fmt: skip
            paper = _of(results.paper_probabilities, phase, surface_K)
            axis.plot(
                paper["collision_energy_K"], paper["probability"], "--", color=colour, alpha=0.5,
                label="paper" if len(paper) else None,
            )  # fmt: skip
            if results.truth is not None:
                same = _of(results.truth, phase, surface_K)
                p = same["probability"]
                bars = np.clip([p - same["low_95"], same["high_95"] - p], 0, None)
                axis.errorbar(
                    same["collision_energy_K"] + 3, p, bars, fmt="s:", color=GREEN, label="known truth"
                )
        axis.set(ylim=(-0.03, 1.03))
        label(axis, "collision energy (K)", "sticking probability", phase)
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Sticking probability against collision energy, 95 % Jeffreys intervals (dotted: with the spread of "
        "the committee's members, where they ran)" + _paper(results, "Table 2")
    )
    return save(canvas, results.probabilities, out, "probabilities", caption)


def coefficient(results: Results, out: Path | str) -> Figure:
    """S(T_g) with intervals, and the paper's (Fig. 5)."""
    phases = _phases(results.coefficients)
    canvas, axes = new(columns=len(phases), width_in=4.0 * len(phases), share_y=True)
    for axis, phase in zip(axes[0], phases, strict=True):
        own = results.coefficients[results.coefficients["phase"] == phase]
        for colour, (surface_K, part) in zip(CYCLE, own.groupby("surface_temperature_K"), strict=False):
            x = part["gas_temperature_K"]
            axis.plot(x, part["coefficient"], "o-", color=colour, label=f"T_S = {surface_K:g} K")
            axis.fill_between(x, part["low_95"], part["high_95"], color=colour, alpha=0.15, linewidth=0)
            if part["model_std"].notna().any():
                axis.plot(
                    x, part["total_low_95"], ":", color=colour, linewidth=0.9, label="with the model's part"
                )
                axis.plot(x, part["total_high_95"], ":", color=colour, linewidth=0.9)
            if results.truth_coefficients is not None:
                same = _of(results.truth_coefficients, phase, surface_K)
                axis.plot(
                    same["gas_temperature_K"], same["coefficient"], "s", color=GREEN, label="known truth"
                )
            paper = _of(results.paper_coefficients, phase, surface_K)
            axis.plot(
                paper["gas_temperature_K"], paper["coefficient"], "--", color=colour, alpha=0.5,
                label="paper" if len(paper) else None,
            )  # fmt: skip
        axis.set(ylim=(-0.03, 1.03))
        label(axis, "gas temperature (K)", "sticking coefficient", phase)
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = "Thermal sticking coefficients with propagated 95 % intervals" + _paper(results, "Table 3")
    return save(canvas, results.coefficients, out, "coefficients", caption)


def binding(results: Results, out: Path | str) -> Figure:
    """Distribution of binding energies (Fig. 2)."""
    phases = _phases(results.sites)
    canvas, axes = new(rows=len(phases), height_in=2.2 * len(phases), share_x=True)
    good = results.sites[results.sites["converged"] == 1]
    lowest = np.nanmin([*good["binding_energy_K"], *good["truth_energy_K"], -400.0])
    ends = np.arange(25.0 * np.floor(lowest / 25.0), 25.1, 25.0)
    rows = []
    for axis, phase in zip(axes[:, 0], phases, strict=True):
        values = good.loc[good["phase"] == phase, "binding_energy_K"].to_numpy(float)
        counts, _ = np.histogram(values, ends)
        axis.stairs(counts, ends, fill=True, color=COLOURS[phase], alpha=0.4, label=f"n = {len(values)}")
        known = good.loc[good["phase"] == phase, "truth_energy_K"].dropna().to_numpy(float)
        if len(known):
            axis.stairs(np.histogram(known, ends)[0], ends, color=GREEN, label="known truth, same places")
        value, kind, spread = PAPER_BINDING_K[phase]
        if results.is_published:
            axis.axvline(value, color=PAPER, linestyle="--", label=f"paper's {kind}, {value:g} K")
        if spread and results.is_published:
            axis.axvspan(
                value - spread, value + spread, color=PAPER, alpha=0.12, label=f"paper's ± {spread:g} K"
            )
        middle = np.median(values) if kind == "median" else np.mean(values)
        axis.axvline(float(middle), color=COLOURS[phase], label=f"{kind} here, {middle:.0f} K")
        label(axis, "binding energy (K)", "sites", phase)
        axis.legend()
        rows += [(phase, a, b, n) for a, b, n in zip(ends[:-1], ends[1:], counts, strict=True)]
    data = pandas.DataFrame(rows, columns=["phase", "low_K", "high_K", "n"])
    caption = f"Binding energies of {results.projectile} over the grid, converged sites only."
    return save(canvas, data, out, "binding", caption)


def by_type(results: Results, out: Path | str) -> Figure:
    """Binding energies at top, bridge and hollow sites (the paper's Fig. 3)."""
    phases = _phases(results.sites)
    canvas, axes = new(columns=len(phases), width_in=3.4 * len(phases), share_y=True)
    good = results.sites[results.sites["converged"] == 1]
    for axis, phase in zip(axes[0], phases, strict=True):
        for place, kind in enumerate(SITE_TYPES):
            own = good[(good["phase"] == phase) & (good["site_type"] == kind)]
            values = own["binding_energy_K"].to_numpy(float)
            beside = place + 0.3 * (np.arange(len(values)) / max(len(values) - 1, 1) - 0.5)
            axis.plot(beside, values, ".", color=COLOURS[phase], markersize=4)
            if len(values):
                axis.hlines(values.mean(), place - 0.3, place + 0.3, color=BLACK)
        axis.set_xticks(
            range(len(SITE_TYPES)),
            [f"{k} ({((good['phase'] == phase) & (good['site_type'] == k)).sum()})" for k in SITE_TYPES],
        )
        label(axis, "type of site (number)", "binding energy (K)", phase)
    caption = (
        f"Binding energies of {results.projectile} over one molecule of the surface (top), between two "
        "(bridge), and among more (hollow); lines: means."
    )
    columns = ["phase", "surface_id", "site_id", "site_type", "binding_energy_K"]
    return save(canvas, good[columns], out, "binding_types", caption)


def binding_map(results: Results, out: Path | str) -> Figure:
    """Sites coloured by binding energy over the atoms of the surface, from above and from the side."""
    phases = _phases(results.sites)
    canvas, axes = new(rows=2, columns=len(phases), width_in=4.2 * len(phases), height_in=6.2)
    for column, phase in zip(axes.T, phases, strict=True):
        own = results.sites[(results.sites["phase"] == phase) & (results.sites["converged"] == 1)]
        sites = own[own["surface_id"] == own["surface_id"].min()]
        atoms = results.atoms[results.atoms["phase"] == phase]
        atoms = atoms[atoms["surface_id"].isin(sites["surface_id"])]
        half = MARGIN_A + sites[["x_A", "y_A"]].abs().to_numpy().max(initial=0.0)
        shown = atoms[["x_A", "y_A"]].abs().max(axis=1) <= half
        atoms = atoms[shown & (atoms["z_A"] >= -DEEP_A)]
        for axis, view, up, name, nearness in (
            (column[0], "from above", "y_A", "y (Å)", atoms["z_A"]),
            (column[1], "from the side", "z_A", "height (Å)", -atoms["y_A"]),
        ):
            _spheres(axis, atoms, up, nearness.to_numpy())
            drawn = axis.scatter(
                sites["x_A"], sites[up], c=sites["binding_energy_K"], s=18, edgecolor=BLACK, linewidth=0.4,
                zorder=3,
            )  # fmt: skip
            axis.set(aspect="equal", xlim=(-half, half))
            axis.grid(visible=False)
            label(axis, "x (Å)", name, f"{phase}, {view}")
        column[0].set(ylim=(-half, half))
        column[1].set(ylim=(-DEEP_A, 1.5 + max(sites["z_A"].max(), atoms["z_A"].max())))
        canvas.colorbar(drawn, ax=list(column), label="binding energy (K)", shrink=0.6)
    caption = (
        f"Where {results.projectile} ends after minimization, coloured by its binding energy, over the atoms "
        "of the first surface of each phase, as they were before it came (Jmol's colours, paler the farther "
        f"away; down to {DEEP_A:g} Å)."
    )
    return save(canvas, results.sites, out, "binding_map", caption)


DEEP_A, MARGIN_A = 7.0, 3.0
"""Of the map: how far down atoms are drawn, and how far beyond the outermost site."""


def _spheres(axis: Any, atoms: pandas.DataFrame, up: str, nearness_A: np.ndarray) -> None:
    """Draw atoms as discs of 0.6 van der Waals radii, the nearest in front, the others paler."""
    order = np.argsort(nearness_A)
    atoms, away_A = atoms.iloc[order], (nearness_A.max(initial=0.0) - nearness_A)[order]
    numbers = [atomic_numbers[symbol] for symbol in atoms["element"]]
    diameters = 1.2 * np.nan_to_num(vdw_radii[numbers], nan=2.0)
    strength = 0.65 - 0.5 * away_A[:, None] / max(away_A.max(initial=0.0), 1.0)
    discs = EllipseCollection(
        diameters, diameters, np.zeros(len(atoms)), units="xy", offsets=atoms[["x_A", up]].to_numpy(),
        offset_transform=axis.transData, facecolors=1 - strength * (1 - jmol_colors[numbers]),
        edgecolors=GREY, linewidths=0.4,
    )  # fmt: skip
    axis.add_collection(discs)


def heights(results: Results, out: Path | str) -> Figure:
    """Height of the projectile over time in long trajectories (Fig. 6)."""
    phases = _phases(results.paths) if len(results.paths) else [""]
    canvas, axes = new(rows=len(phases), width_in=6.5, height_in=2.2 * len(phases), share_x=True)
    for axis, phase in zip(axes[:, 0], phases, strict=True):
        own = results.paths[results.paths["phase"] == phase]
        if not len(own):
            note(axis, "no long trajectory was kept")
            continue
        # The first one that stayed, as the paper draws it; else the first.
        stayed = results.attempts.loc[results.attempts["phase"] == phase, "trajectory_id"]
        chosen = stayed.iloc[0] if len(stayed) else own["trajectory_id"].iloc[0]
        own = own[own["trajectory_id"] == chosen]
        time, height = own["time_fs"].to_numpy(float) / 1000, own["z_A"].to_numpy(float)
        peaks = find_peaks(height)[0]
        axis.plot(time, height, color=COLOURS[phase], linewidth=0.9)
        axis.plot(time[peaks], height[peaks], ".", color=BLACK, label="maxima")
        here = results.attempts.loc[results.attempts["phase"] == phase, "attempt_frequency_per_ps"].mean()
        axis.set_ylim(top=9.0)
        beside = f" (paper: {PAPER_ATTEMPTS_per_ps[phase]:g})" if results.is_published else ""
        label(
            axis, "time (ps)", f"height of {results.projectile} (Å)",
            f"{phase}: {here:.2f} attempts per ps{beside}",
        )  # fmt: skip
        axis.legend()
    caption = (
        f"Height of {results.projectile}'s centre of mass above the surface in a long trajectory of each "
        "phase: attempts to leave are "
        "its maxima (the paper's Fig. 6); rates are means over all long trajectories that stayed."
    )
    return save(canvas, results.paths, out, "heights", caption)


def residence(results: Results, out: Path | str) -> Figure:
    """Residence times over the binding sites, at several surface temperatures (Fig. 7)."""
    canvas, axes = new(width_in=7.0)
    axis = axes[0, 0]
    table = results.residence_sites
    chosen = table[table["phase"] == "amorphous"]
    chosen = chosen if len(chosen) else table
    for colour, (surface_K, part) in zip(CYCLE, chosen.groupby("surface_temperature_K"), strict=False):
        logs = np.log10(part["half_life_s"].to_numpy(float))
        long = 100 * float((logs > np.log10(LONG_s)).mean())
        known = results.is_published and surface_K in PAPER_LONG
        beside = f" (paper: {PAPER_LONG[surface_K]})" if known else ""
        axis.hist(
            logs[np.isfinite(logs)],
            bins=20,
            histtype="step",
            color=colour,
            label=f"{surface_K:g} K: {long:.0f} % longer{beside}",
        )
    if len(chosen):
        axis.axvline(np.log10(LONG_s), color=PAPER, linestyle="--", label="1000 s, the paper's threshold")
        label(axis, "log₁₀ of the half-life in s", "sites", str(chosen["phase"].iloc[0]))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        note(axis, "no attempt frequency: no long trajectory stayed")
    return save(canvas, table, out, "residence", "Half-lives over all converged binding sites.")


def surfaces(results: Results, out: Path | str) -> Figure:
    """Radial distribution and temperature of the surfaces."""
    canvas, axes = new(columns=2, width_in=8.0)
    for phase, part in results.radial.groupby("phase"):
        axes[0, 0].plot(part["distance_A"], part["g"], color=COLOURS[str(phase)], label=str(phase))
    label(axes[0, 0], "distance of molecular centres (Å)", "g(r)")
    axes[0, 0].legend()
    for phase, part in results.temperatures.groupby("phase"):
        for number, (_, own) in enumerate(part.groupby(["bath_K", "replica"])):
            if number < 6:
                axes[0, 1].plot(
                    own["time_fs"] / 1000, own["temperature_K"], ".-", color=COLOURS[str(phase)], alpha=0.6
                )
    label(axes[0, 1], "time (ps)", "temperature (K)")
    caption = (
        "Left: pair distribution of molecular centres seen from deep molecules (it falls below 1 where the "
        "hemisphere ends). Right: temperature of the mobile molecules while surfaces were made."
    )
    return save(canvas, results.radial, out, "surfaces_checked", caption)
