"""From cross spectra to bands against angle with both errors: tables, figures, gates, the report's
section.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import scipy.integrate
import scipy.optimize

from frazil.analysis.bands import Band, bands_of, between
from frazil.analysis.estimates import Estimate, two_way
from frazil.analysis.raman import (
    COMPONENTS,
    GEOMETRIES,
    NORM,
    PAIRS,
    components_of,
    intensities,
    mode_activities,
    powder_form,
    stokes,
    unpacked,
)
from frazil.analysis.spectra import resolution_cm1, timestep_shift_cm1
from frazil.errors import UserError
from frazil.experiments.at_rest import error_unknown
from frazil.experiments.conservation import drift_gates
from frazil.experiments.raman import figures
from frazil.experiments.raman.settings import Raman
from frazil.experiments.raman.subject import (
    Subject,
    laser_cm1,
    spectrum_of,
    subject_of,
    wavenumbers_cm1,
)
from frazil.experiments.raman.tables import (
    ANGLES,
    BANDS,
    CROSS_SPECTRA,
    HARMONIC,
    ORIENTED,
    POWDER,
)
from frazil.md.trajectory import FINISHED
from frazil.report.section import Gate, Result, Section, Table, number

ACTIVE = 1e-4
"""Of the strongest mode's powder intensity: a weaker one is not counted among a band's modes."""
DARK = 1e-3
"""Of the brightest polarization of a range, what harmonic modes may have along one that symmetry leaves
dark.
"""
FLOOR = 0.01
"""Of the brightest polarization of a range, what may be left along a dark one."""
WORST_SLOPE = 1e-4
"""Of the largest ∂α/∂Q, how far derivatives may be from differences."""
LEAST_INSIDE = 0.75
"""Part of angles at which the harmonic form lies within a band's interval: of some 0.95 that hang
together.
"""
ENDS = ("low_95", "high_95", "total_low_95", "total_high_95")
REFERENCES = [
    "@lazzaroni2025: polarization-oriented Raman spectra from machine-learned polarizabilities",
    "@porezag1996: Raman activities of normal modes",
    "@searle1992: variance components of a two-way layout",
]
FLOOR_TOLD = (
    "Along a polarization that no mode of a range has, what is left is noise, a wrong transform or "
    "scattering by two modes at once: a floor on which everything else stands too.",
    "Take longer runs (raman.duration_fs), or a lower temperature.",
)
SLOPE_TOLD = (
    "∂α/∂Q by automatic differentiation and by differences are two ways to one number.",
    "A polarizability that is not smooth has no harmonic spectrum: look at its cutoff.",
)
FORM_TOLD = (
    "The pattern of a band over the angles is given by symmetry. The harmonic one, with what neighbours' "
    "wings add, lies within the 95 % intervals, but for some angles, which hang together.",
    "More starts (raman.n_trajectories) average the directions that a crystal vibrates in; intervals of few "
    "are rough.",
)
LOST_TOLD = (
    "A run that breaks left what the potential knows. A start counts only where every member finished it.",
    "Lower the temperatures (raman.temperatures_K), or train the potential on hotter frames.",
)
WARM_TOLD = (
    "Starts are canonical, so the mean temperature of the runs is the one asked for within four of its "
    "standard deviations (that of a run is T √(1/modes)).",
    "Equilibrate longer (raman.equilibration_fs), or look for a drift.",
)


@dataclass(frozen=True)
class Measured:
    """What runs at one temperature gave.

    matrices (M, R, n, 6, 6): Stokes intensities per cm⁻¹ of members and starts. bands with their areas
    (M, R, 6, 6) each.
    """

    temperature_K: float
    activities: np.ndarray
    matrices: np.ndarray
    bands: list[Band]
    areas: list[np.ndarray]

    @property
    def n_starts(self) -> int:
        """Starts that every member finished."""
        return self.matrices.shape[1]


def analyse(settings: Raman, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write the tables and figures of all runs into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their cross spectra. Raises UserError where fewer than two
    starts of a temperature were finished by every member, or no band stands out.
    """
    subject, wavenumbers = subject_of(settings), wavenumbers_cm1(settings)
    measured = [_measured(settings, subject, table, T, wavenumbers) for T in settings.temperatures_K]
    angles = angles_deg(settings)
    tables = {
        "raman_spectra": _powder(measured, wavenumbers),
        "oriented": _oriented(subject, measured, wavenumbers, angles),
        "raman_bands": _bands(settings, subject, measured),
        "raman_angles": _angles(settings, subject, measured, angles),
        "harmonic": harmonic(subject),
    }
    _write_cross_spectra(measured, wavenumbers, out)
    for table_, name in zip((POWDER, ORIENTED, BANDS, ANGLES, HARMONIC), tables, strict=True):
        table_.write(tables[name], out)
    gates = _gates(settings, subject, table, tables, measured)
    return _section(settings, subject, tables, measured, gates, out)


def angles_deg(settings: Raman) -> np.ndarray:
    """Return the polarizer's angles (n_angles,)."""
    return np.linspace(0.0, 180.0, settings.n_angles)


def _measured(
    settings: Raman, subject: Subject, table: pandas.DataFrame, temperature_K: float, wavenumbers: np.ndarray
) -> Measured:
    own = table[table["temperature_K"] == temperature_K]
    n_members = subject.source.n_members
    ended = (own["outcome"] == FINISHED).to_numpy().reshape(-1, n_members)
    finished = np.asarray(ended.all(axis=1))
    if finished.sum() < 2:
        raise UserError(
            f"{finished.sum()} of {len(finished)} starts at {temperature_K:g} K were finished by every "
            "member; lower temperatures_K, or train the potential on hotter frames"
        )
    runs = np.stack(own["cross_spectra"].tolist())
    runs = runs.reshape(-1, n_members, *runs.shape[1:])[finished]  # starts, members, those of α, n, 21
    runs = runs[:, 0].swapaxes(0, 1) if n_members == 1 else runs[:, :, 0].swapaxes(0, 1)
    activities = unpacked(runs)
    factor = stokes(wavenumbers, temperature_K, laser_cm1(settings))
    matrices = activities * factor[:, None, None]
    powder = intensities(matrices, powder_form()[None])[..., 0]
    found = bands_of(wavenumbers, powder, settings.band_halfwidth_cm1, settings.least_height)
    if not found:
        raise UserError(
            f"no band of {subject.name} at {temperature_K:g} K stands out of the noise of {finished.sum()} "
            "starts; run more of them, or lower least_height"
        )
    sums = scipy.integrate.cumulative_trapezoid(matrices, wavenumbers, axis=2, initial=0.0)
    areas = [between(wavenumbers, sums, band.low_cm1, band.high_cm1, axis=2) for band in found]
    return Measured(temperature_K, activities, matrices, found, areas)


def _powder(measured: list[Measured], wavenumbers: np.ndarray) -> pandas.DataFrame:
    parts = []
    for one in measured:
        powder = intensities(one.matrices, powder_form()[None])[..., 0]
        found = two_way(powder).estimate().row("intensity")
        parts.append(
            pandas.DataFrame({"temperature_K": one.temperature_K, "wavenumber_cm1": wavenumbers, **found})
        )
    return POWDER.arranged(pandas.concat(parts, ignore_index=True))


def _oriented(
    subject: Subject, measured: list[Measured], wavenumbers: np.ndarray, angles: np.ndarray
) -> pandas.DataFrame:
    parts = []
    for one in measured:
        for geometry in GEOMETRIES:
            for angle, form in zip(angles, subject.light.forms(angles, geometry), strict=True):
                found = two_way(intensities(one.matrices, form[None])[..., 0]).estimate().row("intensity")
                about = {"temperature_K": one.temperature_K, "geometry": geometry, "angle_deg": angle}
                parts.append(pandas.DataFrame({**about, "wavenumber_cm1": wavenumbers, **found}))
    return ORIENTED.arranged(pandas.concat(parts, ignore_index=True))


def _write_cross_spectra(measured: list[Measured], wavenumbers: np.ndarray, out: Path) -> None:
    first, second = np.triu_indices(len(COMPONENTS))
    parts = []
    for one in measured:
        layout = two_way(one.activities[..., first, second])
        for place, name in enumerate(PAIRS):
            parts.append(
                pandas.DataFrame(
                    {
                        "temperature_K": one.temperature_K, "components": name, "wavenumber_cm1": wavenumbers,
                        "activity_A4_cm_per_amu": layout.mean[:, place],
                        "stat_se": layout.standard_error[:, place], "model_std": layout.model_std[:, place],
                    }
                )
            )  # fmt: skip
    CROSS_SPECTRA.write(CROSS_SPECTRA.arranged(pandas.concat(parts, ignore_index=True)), out)


def harmonic(subject: Subject) -> pandas.DataFrame:
    """Return the modes with ∂α/∂Q and their powder activities, of the mean over the polarizability's
    members.
    """
    parts = components_of(subject.tensors)
    powder = np.stack(
        [intensities(mode_activities(own), powder_form()[None])[:, 0] for own in subject.tensors]
    )
    mean = intensities(mode_activities(subject.tensors.mean(axis=0)), powder_form()[None])[:, 0]
    spread = powder.std(axis=0, ddof=1) if len(powder) > 1 else np.full(len(mean), np.nan)
    return HARMONIC.frame(
        [
            (mode + 1, line, mean[mode], spread[mode], *parts.mean(axis=0)[mode])
            for mode, line in enumerate(subject.wavenumbers_cm1)
        ]
    )


@dataclass(frozen=True)
class _Lines:
    """The harmonic lines within a band at one temperature: wavenumbers (k,), intensities as (k, 6, 6)."""

    wavenumbers_cm1: np.ndarray
    matrices: np.ndarray

    @property
    def powder(self) -> np.ndarray:
        """Intensities (k,)."""
        return intensities(self.matrices, powder_form()[None])[:, 0]


def _lines(settings: Raman, subject: Subject, temperature_K: float, low: float, high: float) -> _Lines:
    """Return the active lines between two wavenumbers."""
    nu = subject.wavenumbers_cm1
    shown = np.flatnonzero((nu >= settings.lowest_cm1) & (nu < laser_cm1(settings)))
    factor = stokes(nu[shown], temperature_K, laser_cm1(settings))
    matrices = mode_activities(subject.tensors.mean(axis=0)[shown]) * factor[:, None, None]
    powder = intensities(matrices, powder_form()[None])[:, 0]
    active = (powder > ACTIVE * powder.max(initial=0.0)) & (nu[shown] >= low) & (nu[shown] <= high)
    return _Lines(nu[shown][active], matrices[active])


def _bands(settings: Raman, subject: Subject, measured: list[Measured]) -> pandas.DataFrame:
    rows: list[dict[str, Any]] = []
    for one in measured:
        for number_, (band, areas) in enumerate(zip(one.bands, one.areas, strict=True), 1):
            position, layout = band.positions.estimate(), band.positions
            area = two_way(intensities(areas, powder_form()[None])[..., 0]).estimate()
            lines = _lines(settings, subject, one.temperature_K, band.low_cm1, band.high_cm1)
            weight = lines.powder
            rows.append(
                {
                    "temperature_K": one.temperature_K, "band": number_, "position_cm1": position.value,
                    "stat_se_cm1": float(layout.standard_error), "model_std_cm1": position.model_std,
                    **{f"{end}_cm1": getattr(position, end) for end in ENDS},
                    "low_cm1": band.low_cm1, "high_cm1": band.high_cm1, "area": area.value,
                    **{f"area_{end}": getattr(area, end) for end in (*ENDS, "model_std")},
                    "n_modes": len(weight),
                    "harmonic_cm1": weight @ lines.wavenumbers_cm1 / weight.sum() if len(weight) else np.nan,
                    "harmonic_area": weight.sum() if len(weight) else np.nan,
                    "timestep_shift_cm1": timestep_shift_cm1(position.value, settings.timestep_fs),
                }
            )  # fmt: skip
    return BANDS.frame(rows)


def _angles(
    settings: Raman, subject: Subject, measured: list[Measured], angles: np.ndarray
) -> pandas.DataFrame:
    """Return the bands' areas against angle, beside harmonic ones.

    The form by symmetry is the sum of the bands' harmonic patterns, none of them negative, that fits the
    areas best: a window holds its own modes and the wings of its neighbours.
    """
    forms = np.concatenate([subject.light.forms(angles, geometry) for geometry in GEOMETRIES])
    about = {"geometry": np.repeat(GEOMETRIES, len(angles)), "angle_deg": np.tile(angles, len(GEOMETRIES))}
    parts = []
    for one in measured:
        lines = [_lines(settings, subject, one.temperature_K, b.low_cm1, b.high_cm1) for b in one.bands]
        told = np.array([intensities(own.matrices, forms).sum(axis=0) for own in lines])
        for place, areas in enumerate(one.areas):
            found: Estimate = two_way(intensities(areas, forms)).estimate()
            own = {
                "temperature_K": one.temperature_K, "band": place + 1, **about, **found.row("area"),
                "harmonic_area": told[place] if told[place].any() else np.nan,
                "form_area": _fitted(told, found.value),
            }  # fmt: skip
            parts.append(pandas.DataFrame(own))
    return ANGLES.arranged(pandas.concat(parts, ignore_index=True))


def _fitted(patterns: np.ndarray, areas: np.ndarray) -> np.ndarray | float:
    """Return the sum of patterns (k, angles), none of them negative, nearest to areas; nan of no pattern."""
    if not patterns.any():
        return np.nan
    weights, _ = scipy.optimize.nnls(patterns.T / patterns.max(), areas / patterns.max())
    return np.asarray(weights @ patterns)


def silent_floor(
    settings: Raman, subject: Subject, measured: list[Measured], wavenumbers: np.ndarray
) -> tuple[float, str]:
    """Return the largest part of a range's intensity that is left where symmetry forbids it, and where.

    In each range of bands the harmonic modes leave some polarizations dark: combinations w of components with
    wᵀ H w next to nothing, H the sum of all modes. What the runs have there, over what they have along the
    brightest, is a floor that everything else stands on too. nan where nothing is dark.
    """
    worst, where = np.nan, "the modes leave no polarization dark"
    scale = np.outer(NORM, NORM)
    for one in measured:
        for low, high in figures.ranges(_windows(one)):
            lines = _lines(settings, subject, one.temperature_K, low, high)
            sums, vectors = np.linalg.eigh(lines.matrices.sum(axis=0) * scale)
            dark = vectors[:, sums < DARK * sums[-1]]
            if not len(lines.matrices) or not dark.size:
                continue
            shown = (wavenumbers >= low) & (wavenumbers <= high)
            mean = one.matrices[:, :, shown].mean(axis=(0, 1, 2)) * scale
            left = np.abs(np.einsum("iw,ij,jw->w", dark, mean, dark)).max()
            part = float(left / (vectors[:, -1] @ mean @ vectors[:, -1]))
            if not part <= worst:
                worst, where = part, f"{low:.0f} to {high:.0f} cm⁻¹ at {one.temperature_K:g} K"
    return worst, where


def _windows(one: Measured) -> pandas.DataFrame:
    return pandas.DataFrame([{"low_cm1": band.low_cm1, "high_cm1": band.high_cm1} for band in one.bands])


def form_within(angles: pandas.DataFrame) -> float:
    """Return the part of angles at which a band's form by symmetry (``form_area``) is within its interval.

    nan where no band has a form.
    """
    known = angles.dropna(subset=["form_area"])
    low = known["total_low_95"].fillna(known["low_95"])
    high = known["total_high_95"].fillna(known["high_95"])
    return float(known["form_area"].between(low, high).mean()) if len(known) else np.nan


def _gates(
    settings: Raman, subject: Subject, table: pandas.DataFrame, tables: dict[str, pandas.DataFrame],
    measured: list[Measured],
) -> list[Gate]:  # fmt: skip
    finished = table[table["outcome"] == FINISHED]
    n_modes = len(subject.wavenumbers_cm1)
    gates = [
        Gate.at_most("runs that broke", len(table) - len(finished), 0, shown="none").because(*LOST_TOLD),
        *drift_gates(
            finished["energy_drift_meV_per_ps"], settings.duration_fs, n_modes, finished["temperature_K"],
            "raman.timestep_fs",
        ),
    ]  # fmt: skip
    for T in settings.temperatures_K:
        own = finished[finished["temperature_K"] == T]
        spread = 4 / np.sqrt(n_modes * max(1, own["trajectory_id"].nunique()))
        low, high = round(max(0.0, 1 - spread) * T, 2), round((1 + spread) * T, 2)
        name = f"mean temperature of the runs at {T:g} K (K)"
        gates.append(Gate.within(name, own["kinetic_temperature_K"].mean(), low, high).because(*WARM_TOLD))
    floor, where = silent_floor(settings, subject, measured, wavenumbers_cm1(settings))
    name = "intensity left where symmetry forbids it, of the brightest"
    gates += [
        Gate.at_most("∂α/∂Q against differences, of the largest", subject.worst_slope, WORST_SLOPE).because(
            *SLOPE_TOLD
        ),
        (
            Gate.unmeasured(name, FLOOR, where)
            if np.isnan(floor)
            else Gate.at_most(name, floor, FLOOR, where)
        ).because(*FLOOR_TOLD),
    ]
    within = form_within(tables["raman_angles"])
    name = "angles at which a band's form by symmetry is within its interval (part)"
    gate = (
        Gate.unmeasured(name, LEAST_INSIDE, "no band has harmonic lines")
        if np.isnan(within)
        else Gate.at_least(name, within, LEAST_INSIDE)
    )
    gates.append(gate.because(*FORM_TOLD))
    if subject.n_members == 1:
        gates.append(error_unknown("the model's error"))
    return gates


def _section(
    settings: Raman, subject: Subject, tables: dict[str, pandas.DataFrame], measured: list[Measured],
    gates: list[Gate], out: Path,
) -> Section:  # fmt: skip
    bands, n_starts = tables["raman_bands"], {one.temperature_K: one.n_starts for one in measured}
    drawn = [
        figures.maps(subject, tables, out),
        figures.polar(tables, out),
        figures.powder(settings, subject, tables, out),
    ]
    first = bands[bands["temperature_K"] == settings.temperatures_K[0]]
    fewest, most = min(n_starts.values()), max(n_starts.values())
    starts = str(most) if fewest == most else f"{fewest} to {most}"
    one_model = subject.n_members == 1
    members = "one model, whose error is unknown" if one_model else f"{subject.n_members} members"
    temperatures = ", ".join(f"{T:g}" for T in settings.temperatures_K)
    counted = "1 band" if len(first) == 1 else f"{len(first)} bands"
    return Section(
        title="Raman",
        headline=(
            f"{subject.name} at {temperatures} K: {counted} at {settings.temperatures_K[0]:g} K from "
            f"{n_starts[settings.temperatures_K[0]]} starts under {members}, at any angle of the polarizer."
        ),
        text=_text(settings, subject),
        gates=gates,
        figures=drawn,
        tables=[
            Table("raman_bands.csv", "Bands: positions and powder intensities, beside harmonic ones."),
            Table("raman_angles.csv", "Intensities of the bands against the polarizer's angle."),
            Table("harmonic.csv", "Modes, their activities and ∂α/∂Q."),
        ],
        results=[
            Result.of_row(
                f"Band {int(row['band'])} at {row['temperature_K']:g} K", "position_cm1",
                row | {end: row[f"{end}_cm1"] for end in ENDS}, "cm⁻¹", n=n_starts[row["temperature_K"]],
                of="starts",
            )
            for row in bands.to_dict("records")
        ],
        main_figure=drawn[0].file,
        methods=(
            f"Raman spectra of {subject.name} at {temperatures} K are transforms of the symmetrised "
            "cross-correlations of the polarizability's derivative along classical runs at constant energy "
            f"({starts} starts a temperature, {settings.duration_fs / 1000:g} ps each, {members}); "
            f"Stokes intensities for {settings.laser_nm:g} nm. Intensities at all angles are quadratic forms "
            "of one 6 × 6 matrix. Errors of starts and members are from a two-way layout."
        ),
        references=REFERENCES,
    )  # fmt: skip


def _text(settings: Raman, subject: Subject) -> list[str]:
    resolved = resolution_cm1(spectrum_of(settings))
    along, zero = (
        f"({', '.join(f'{value:.3g}' for value in vector)})"
        for vector in (subject.light.along, subject.light.zero)
    )
    text = [
        f"{subject.name} was relaxed under the potential ({subject.source.kind}, {subject.source.level}), "
        f"its atoms moved by up to {number(subject.moved_A)} Å; its polarizability is "
        f"{subject.polarizability.kind} ({subject.polarizability.level}). Light goes along {along}; at the "
        f"angle 0 the polarizer is along {zero}, and the analyser along it (parallel) or across (crossed).",
        "The six components of the polarizability were followed along each run. Their symmetrised "
        f"cross-spectral matrix S(ν) (resolution {resolved:.1f} cm⁻¹) gives the intensity at any angle as "
        "wᵀ S w, of powders and of bands by arithmetic; the shift of the time step is taken out. Stokes "
        f"intensities are for {settings.laser_nm:g} nm: S(ν) (1 − ν/ν_L)⁴/ν/(1 − exp(−hcν/kT)). Nuclei are "
        "classical; the last factor is that of quantum harmonic ones.",
        "A band is the intensity in a fixed window. Its values under members k and from starts r are taken "
        "for μ + a_k + b_r + e: the sampling error is the scatter of starts, the members' that of a_k, and "
        "the total interval is Student's t of both in quadrature. Harmonic intensities are (e_iᵀ ∂α/∂Q e_s)² "
        "of the modes in the window.",
    ]
    if subject.n_members == 1:
        text.append("One model ran: its error is unknown, and no interval here holds it.")
    elif subject.source.n_members == 1:
        text.append(
            "The members are of the polarizability: one potential ran, whose own error no interval holds."
        )
    return text
