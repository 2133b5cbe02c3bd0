"""From runs to densities and bands with both errors: tables, figures, gates, the section of the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import scipy.integrate

from frazil.analysis.bands import Band, bands_of, between
from frazil.analysis.estimates import (
    ONE_POTENTIAL,
    Estimate,
    spread_calibration,
    two_way,
)
from frazil.analysis.spectra import resolution_cm1, timestep_shift_cm1
from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.experiments.at_rest import error_unknown
from frazil.experiments.conservation import drift_gates
from frazil.experiments.vibrations import figures
from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import (
    Subject,
    intensities_km_per_mol,
    label_lines_cm1,
    spectrum_of,
    subject_of,
    wavenumbers_cm1,
)
from frazil.experiments.vibrations.tables import (
    CALIBRATION,
    HARMONIC,
    HARMONIC_MEMBERS,
    INFRARED,
    INFRARED_BANDS,
    PEAK_VALUES,
    PEAKS,
    VDOS,
)  # fmt: skip
from frazil.md.trajectory import FINISHED
from frazil.potentials.calculator import PotentialCalculator
from frazil.report.section import Gate, Result, Section, Table, number

MOST_FRAMES = 200
"""Labelled frames that are judged, at most: evenly of those given."""
FAR = 3.0
"""Times that a spread may be too narrow or too wide: scaling by more is a guess."""
FARTHEST = 0.9
"""Of a window's half width, how far a member's may be moved."""
ENDS = ("low_95", "high_95", "total_low_95", "total_high_95")
INFRARED_TOLD = "Infrared bands: positions and areas with both errors, beside harmonic intensities."
LEAST_INSIDE = 0.75
"""Part of the labels' harmonic lines within their total intervals: of nine that hold by 0.95 each, and are
not independent, seven or more."""
REFERENCES = [
    "@imbalzano2021: calibration of a committee's spread",
    "@searle1992: variance components of a two-way layout",
]
LOST_TOLD = (
    "A run that breaks left what the potential knows. A start counts only where every member finished it, so "
    "that members are compared on the same starts.",
    "Lower the temperature (vibrations.temperature_K), or train the potential on hotter frames.",
)
WINDOW_TOLD = (
    "A member's window is moved with its band, from where the mean has its peak; one that starts beside the "
    "band may follow another, and the members' error would be wrong.",
    "Widen the window (vibrations.band_halfwidth_cm1).",
)
WARM_TOLD = (
    "Starts are canonical, so the mean temperature of the runs is the one asked for within four of its "
    "standard deviations (that of a run is T √(1/modes)).",
    "Equilibrate longer (vibrations.equilibration_fs), or look for a drift.",
)
MINIMUM_TOLD = (
    "A member that does not hold the structure has no harmonic lines, and the scatter of members lacks it.",
    "Label frames near the minimum and train again, or look at what that member relaxes to.",
)
CALIBRATION_TOLD = (
    "α is the true error over the members' spread, 1 where the truth is like another member. Beyond a factor "
    "of three the members say little of the error, and a spread scaled by α is a guess.",
    "Train members more unlike each other (other splits, architectures), or label frames like those of the "
    "runs.",
)
LINES_TOLD = (
    "The labels' own Hessian is a truth that the members did not see. Where its lines leave the intervals, "
    "the members share an error that their spread does not show.",
    "Train on more frames near the minimum, or longer.",
)


def _ends(table: pandas.DataFrame) -> str:
    """Return how the runs of each member ended, and when the first of each kind did."""
    parts = []
    for member, own in table.groupby("member"):
        ends = [
            f"{len(runs)} {outcome}"
            + ("" if outcome == FINISHED else f" from {runs['ended_fs'].min():g} fs on")
            for outcome, runs in own.groupby("outcome")
        ]
        parts.append(f"member {member}: {', '.join(ends)}")
    return "; ".join(parts)


def analyse(settings: Vibrations, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write the tables and figures of all runs into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their densities. Raises UserError where fewer than two
    starts were finished by every member, no band stands out, or labels do not fit the potential.
    """
    subject, wavenumbers = subject_of(settings), wavenumbers_cm1(settings)
    finished = (table["outcome"] == FINISHED).to_numpy()
    shape = (settings.n_trajectories, subject.n_members)
    whole = np.flatnonzero(finished.reshape(shape).all(axis=1))
    if len(whole) < 2:
        raise UserError(
            f"{len(whole)} of {settings.n_trajectories} starts were finished by every member "
            f"({_ends(table)}); train members that break a molecule at once for longer, lower "
            "vibrations.temperature_K, or train on hotter frames"
        )

    def of_runs(name: str) -> np.ndarray:
        found = np.stack(table[name].tolist()).reshape(*shape, -1)[whole]
        return np.asarray(found.swapaxes(0, 1))  # members, starts, wavenumbers

    runs = of_runs("density")
    judged = calibration(settings, subject)
    known = judged["calibration"].dropna()
    alpha = float(known.iloc[0]) if len(known) else np.nan
    found = bands_of(wavenumbers, runs, settings.band_halfwidth_cm1, settings.least_height)
    if not found:
        raise UserError(
            f"no band of {subject.name} stands out of the noise of {len(whole)} starts; run more of them"
        )
    density = two_way(runs).estimate(_factor(alpha))
    about = {"structure": subject.name, "temperature_K": settings.temperature_K}
    tables = {
        "vdos": VDOS.arranged(
            pandas.DataFrame({**about, "wavenumber_cm1": wavenumbers, **density.row("density")})
        ),
        "peaks": PEAKS.frame([{**about, **row} for row in _peaks(settings, subject, found, alpha)]),
        "harmonic": harmonic(subject, alpha),
    }
    if subject.dipole_slopes_e is not None:
        tables |= infrared(settings, subject, of_runs("absorption"), alpha, about)
        for declared in (INFRARED, INFRARED_BANDS):
            declared.write(tables[declared.name], out)
    VDOS.write(tables["vdos"], out)
    PEAKS.write(tables["peaks"], out)
    HARMONIC.write(tables["harmonic"], out)
    own = subject.modes.members_cm1
    places = [
        (subject.name, k, mode + 1, value) for k, line in enumerate(own) for mode, value in enumerate(line)
    ]
    HARMONIC_MEMBERS.write(HARMONIC_MEMBERS.frame(places), out)
    values = [
        (band + 1, k, int(whole[r]), value)
        for band, one in enumerate(found)
        for k, line in enumerate(one.runs_cm1)
        for r, value in enumerate(line)
    ]
    PEAK_VALUES.write(PEAK_VALUES.frame(values), out)
    if settings.labels is not None:
        CALIBRATION.write(judged, out)
    gates = _gates(settings, subject, table, tables, alpha)
    return _section(settings, subject, tables, gates, len(whole), alpha, out)


def infrared(
    settings: Vibrations, subject: Subject, runs: np.ndarray, alpha: float, about: dict[str, Any]
) -> dict[str, pandas.DataFrame]:
    """Return ``INFRARED`` and ``INFRARED_BANDS`` of absorptions (M, R, n)."""
    wavenumbers = wavenumbers_cm1(settings)
    found = two_way(runs).estimate(_factor(alpha)).row("absorption")
    modes, strengths = subject.modes.minimum.modes.wavenumbers_cm1, intensities_km_per_mol(subject)
    sums = scipy.integrate.cumulative_trapezoid(runs, wavenumbers, initial=0.0)
    rows = []
    for band, one in enumerate(
        bands_of(wavenumbers, runs, settings.band_halfwidth_cm1, settings.least_height), 1
    ):
        position = one.positions.estimate(_factor(alpha)).row("position")
        area = two_way(between(wavenumbers, sums, one.low_cm1, one.high_cm1)).estimate(_factor(alpha))
        inside = (modes >= one.low_cm1) & (modes <= one.high_cm1)
        rows.append(
            {
                **about, "band": band, "position_cm1": position.pop("position"),
                "stat_se_cm1": float(one.positions.standard_error),
                **{f"{name}_cm1": value for name, value in position.items()},
                "low_cm1": one.low_cm1, "high_cm1": one.high_cm1, "area_km_per_mol": area.value,
                **{f"area_{name}": value for name, value in area.row("area").items() if name != "area"},
                "harmonic_km_per_mol": strengths[inside].sum() if inside.any() else np.nan,
                "largest_member_shift_cm1": one.largest_member_shift_cm1,
            }
        )  # fmt: skip
    spectrum = pandas.DataFrame({**about, "wavenumber_cm1": wavenumbers, **found})
    return {INFRARED.name: INFRARED.arranged(spectrum), INFRARED_BANDS.name: INFRARED_BANDS.frame(rows)}


def calibration(settings: Vibrations, subject: Subject) -> pandas.DataFrame:
    """Return a row of ``CALIBRATION``: the members' spread of forces beside their mean's error on labels.

    Without labels the table is empty. Raises UserError for frames without forces, and of another level.
    """
    if settings.labels is None:
        return CALIBRATION.frame([])
    frames = load_frames(settings.labels)
    for place, atoms in enumerate(frames):
        level = str(atoms.info.get("label_level", subject.source.level))
        if atoms.calc is None or "forces" not in atoms.calc.results:
            raise UserError(f"frame {place} of {settings.labels} has no forces; give labelled frames")
        if level != subject.source.level:
            raise UserError(
                f"frame {place} of {settings.labels} is labelled at {level}, the potential is of "
                f"{subject.source.level}; give labels of the level that it was trained on"
            )
    chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).astype(int))]
    n_members = subject.n_members
    members = []
    for member in range(n_members):
        calculator = PotentialCalculator(subject.source, member if n_members > 1 else None)
        members.append(np.concatenate([_forces(atoms, calculator) for atoms in chosen]))
    forces = np.array(members)
    errors = forces.mean(axis=0) - np.concatenate([atoms.get_forces().ravel() for atoms in chosen])
    spreads = forces.std(axis=0, ddof=1) if n_members > 1 else np.full(len(errors), np.nan)
    row = (
        "force", "eV/Å", len(errors), len(chosen), n_members, float(np.sqrt((errors**2).mean())),
        float(np.sqrt((spreads**2).mean())), spread_calibration(errors, spreads, n_members),
    )  # fmt: skip
    return CALIBRATION.frame([row])


def _forces(atoms: Any, calculator: PotentialCalculator) -> np.ndarray:
    free = atoms.copy()
    free.calc = calculator
    return np.asarray(free.get_forces().ravel())


def _factor(alpha: float) -> float:
    """Return what members' spreads are multiplied with: α where it is known, and more than 1.

    α is of forces. A small one says that their mean is good, not that its curvature is: intervals of lines
    that were narrowed by it did not hold their truth (``benchmarks/committee_coverage.py``).
    """
    return 1.0 if np.isnan(alpha) else max(1.0, alpha)


def _peaks(settings: Vibrations, subject: Subject, found: list[Band], alpha: float) -> list[dict[str, Any]]:
    lines = _centre_cm1(subject)
    rows = []
    for band, one in enumerate(found, 1):
        layout = one.positions
        position = layout.estimate(_factor(alpha))
        inside = lines[(lines >= one.low_cm1) & (lines <= one.high_cm1)]
        rows.append(
            {
                "band": band, "position_cm1": position.value, "stat_se_cm1": float(layout.standard_error),
                "model_std_cm1": position.model_std, "calibration": alpha, "low_95_cm1": position.low_95,
                "high_95_cm1": position.high_95, "total_low_95_cm1": position.total_low_95,
                "total_high_95_cm1": position.total_high_95, "area": one.area, "low_cm1": one.low_cm1,
                "high_cm1": one.high_cm1, "n_modes": len(inside),
                "harmonic_cm1": float(inside.mean()) if len(inside) else np.nan,
                "timestep_shift_cm1": timestep_shift_cm1(position.value, settings.timestep_fs),
                "largest_member_shift_cm1": one.largest_member_shift_cm1,
            }
        )  # fmt: skip
    return rows


def _centre_cm1(subject: Subject) -> np.ndarray:
    """Return harmonic wavenumbers (n_modes,): means over the members that have a minimum, else the mean's."""
    own = subject.modes.members_cm1
    own = own[np.isfinite(own).all(axis=1)]
    return own.mean(axis=0) if len(own) else subject.modes.minimum.modes.wavenumbers_cm1


def harmonic(subject: Subject, alpha: float) -> pandas.DataFrame:
    """Return the harmonic lines of the mean and of the members, with the total interval of another."""
    own = subject.modes.members_cm1
    own = own[np.isfinite(own).all(axis=1)]
    of_mean, labels = subject.modes.minimum.modes.wavenumbers_cm1, label_lines_cm1(subject)
    strengths = intensities_km_per_mol(subject)
    unknown = Estimate(*(np.full(len(of_mean), np.nan) for _ in range(6)))
    # Members at one minimum each have no starts: two alike leave the sampling's part at zero.
    lines = two_way(np.stack([own, own], axis=1)).estimate(_factor(alpha)) if len(own) > 1 else unknown
    return HARMONIC.frame(
        [
            (subject.name, mode + 1, of_mean[mode], len(own), lines.value[mode], lines.model_std[mode], alpha,
             lines.total_low_95[mode], lines.total_high_95[mode], labels[mode], strengths[mode])
            for mode in range(len(of_mean))
        ]
    )  # fmt: skip


def _gates(
    settings: Vibrations, subject: Subject, table: pandas.DataFrame, tables: dict[str, pandas.DataFrame],
    alpha: float,
) -> list[Gate]:  # fmt: skip
    finished = table[table["outcome"] == FINISHED]
    n_modes = len(subject.modes.minimum.modes.wavenumbers_cm1)
    shift = tables["peaks"]["largest_member_shift_cm1"] / settings.band_halfwidth_cm1
    spread = 4 / np.sqrt(n_modes * finished["trajectory_id"].nunique())
    T = settings.temperature_K
    gates = [
        Gate.at_most("runs that broke", len(table) - len(finished), 0, shown="none").because(*LOST_TOLD),
        *drift_gates(
            finished["energy_drift_meV_per_ps"], settings.duration_fs, n_modes, T, "vibrations.timestep_fs"
        ),
        Gate.within(
            "mean temperature of the runs (K)",
            finished["temperature_K"].mean(),
            round(max(0.0, 1 - spread) * T, 1),
            round((1 + spread) * T, 1),
        ).because(*WARM_TOLD),
    ]
    if subject.n_members == 1:
        return [*gates, error_unknown()]
    told = "largest shift of a member's band, in half widths"
    gates += [
        Gate.at_most("members without a minimum", subject.modes.n_without_minimum, 0, shown="none").because(
            *MINIMUM_TOLD
        ),
        Gate.at_most(told, shift.max(), FARTHEST).because(*WINDOW_TOLD),
    ]
    why = "no labels were given" if settings.labels is None else "needs at least four members"
    name, allowed = "error over the members' spread on held-out forces (α)", f"{1 / FAR:.2f} to {FAR}"
    gate = (
        Gate.unmeasured(name, allowed, why)
        if np.isnan(alpha)
        else Gate.within(name, alpha, round(1 / FAR, 2), FAR)
    )
    gates.append(gate.because(*CALIBRATION_TOLD))
    lines = tables["harmonic"].dropna(subset=["label_cm1", "total_low_95_cm1"])
    if len(lines):
        inside = lines["label_cm1"].between(lines["total_low_95_cm1"], lines["total_high_95_cm1"])
        gates.append(
            Gate.at_least(
                "the labels' harmonic lines within their total intervals (part)", inside.mean(), LEAST_INSIDE
            ).because(*LINES_TOLD)
        )
    return gates


def _section(
    settings: Vibrations, subject: Subject, tables: dict[str, pandas.DataFrame], gates: list[Gate],
    n_starts: int, alpha: float, out: Path,
) -> Section:  # fmt: skip
    peaks, n_members = tables["peaks"], subject.n_members
    drawn = [
        figures.densities(settings, subject, tables, out),
        figures.errors(peaks, tables["harmonic"], out),
        *([figures.infrared(settings, subject, tables, out)] if INFRARED.name in tables else []),
    ]
    model = f"{n_members} members" if n_members > 1 else "one model, whose error is unknown"
    worst = peaks.iloc[int(peaks["model_std_cm1"].fillna(0).argmax())]
    bands = "1 band" if len(peaks) == 1 else f"{len(peaks)} bands"
    headline = (
        f"{subject.name} at {settings.temperature_K:g} K: {bands} from {n_starts} starts under {model}; "
        f"sampling error up to {peaks['stat_se_cm1'].max():.2g} cm⁻¹"
    )
    headline += f", members' up to {worst['model_std_cm1']:.2g} cm⁻¹." if n_members > 1 else "."
    return Section(
        title="Vibrations",
        headline=headline,
        text=_text(settings, subject, n_starts, alpha),
        gates=gates,
        figures=drawn,
        tables=[
            Table("peaks.csv", "Bands: positions with both errors, beside harmonic lines."),
            Table("harmonic.csv", "Harmonic lines of the mean and the members, and of the labels if known."),
            *([Table("calibration.csv", "The members' spread on labels.")] if settings.labels else []),
            *([Table("infrared_bands.csv", INFRARED_TOLD)] if INFRARED.name in tables else []),
        ],
        results=[
            Result.of_row(
                f"Band {int(row['band'])}", "position_cm1", row | {end: row[f"{end}_cm1"] for end in ENDS},
                "cm⁻¹", n=n_starts, of="starts",
            )
            for row in peaks.to_dict("records")
        ],
        main_figure=drawn[0].file,
        methods=(
            f"Vibrational densities of states of {subject.name} at {settings.temperature_K:g} K are "
            "transforms of the mass-weighted velocity autocorrelation of classical runs at constant energy "
            f"({n_starts} starts, {settings.duration_fs / 1000:g} ps each, the same under each of "
            f"{n_members} members). Positions are first moments; errors of starts and members are from a "
            "two-way layout."
        ),
        references=REFERENCES,
    )  # fmt: skip


def _text(settings: Vibrations, subject: Subject, n_starts: int, alpha: float) -> list[str]:
    resolved = resolution_cm1(spectrum_of(settings))
    text = [
        f"{subject.name} was relaxed under the potential ({subject.source.kind}, {subject.source.level}): "
        f"its largest force was {number(subject.force_eV_per_A)} eV/Å, its atoms moved by up to "
        f"{number(subject.moved_A)} Å and its energy fell by {number(1e3 * subject.lowered_eV)} meV.",
        f"Each of {n_starts} starts, canonical at {settings.temperature_K:g} K under the mean of all "
        "members, ran under every member at constant energy. The density is the transform of the "
        f"mass-weighted velocity autocorrelation (resolution {resolved:.1f} cm⁻¹), its area the number of "
        "modes; the shift of the time step is taken out. Nuclei are classical: near room temperature "
        "stretches hardly leave their harmonic places, and a quantum spectrum would lie lower.",
        "A band's position under a member is the first moment of the member's mean density, in a window that "
        "is moved with it. Positions of members k and starts r are taken for μ + a_k + b_r + e: the sampling "
        "error is the scatter of starts, the members' that of a_k. The total interval is Student's t of both "
        "in quadrature, the members' that of another member.",
    ]
    text.append(
        f"No infrared spectrum: {subject.no_dipole}."
        if subject.dipole_slopes_e is None
        else "The absorption is the transform of the correlation of the dipole's time derivative along the "
        "same runs, absolute and classical, each member with its own dipole; a cell's is per mole of cells. "
        "Areas stand beside the harmonic intensities of the mean."
    )
    if subject.n_members == 1:
        text.append(ONE_POTENTIAL)
    elif np.isnan(alpha):
        why = "No labels were given" if settings.labels is None else "Fewer than four members ran"
        text.append(f"{why}: the members' spread is not calibrated, and is taken as it is.")
    else:
        text.append(
            f"On held-out labels the error of the mean's forces is α = {alpha:.2f} times what the members' "
            "spread says; total intervals hold the spread times α where α is above 1, else as it is."
        )
    return text
