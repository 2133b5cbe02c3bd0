"""From samples of windows to free energies: two estimators, both errors, tables, gates, the section."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import scipy.stats

from frazil.analysis.estimates import ONE_POTENTIAL, Estimate, TwoWay, two_way
from frazil.analysis.free_energy import effective_number, integrated, mbar, overlap
from frazil.errors import UserError
from frazil.experiments.at_rest import error_unknown
from frazil.experiments.hydrogen_bond import figures
from frazil.experiments.hydrogen_bond.settings import HydrogenBond
from frazil.experiments.hydrogen_bond.tables import (
    BACKWARD,
    DECOUPLE,
    FORWARD,
    FREE_ENERGIES,
    LAMBDAS,
    PASSES,
    QUANTUM,
    RELEASE,
    RESTRAIN,
    TOTAL,
    TURN,
    WINDOWS,
)
from frazil.experiments.hydrogen_bond.windows import (
    SOFT,
    Subject,
    Window,
    mass_nodes,
    path_of,
    reduced,
    release_eV,
    restraints_eV,
    steps_of,
    subject_of,
)
from frazil.experiments.passes import (
    ENDS,
    arranged,
    check_connected,
    finished_by_all,
    kinetic_gate,
    margin_meV,
    nuclei_of,
    overlap_gate,
)
from frazil.report.section import Gate, Result, Section, Table, with_interval
from frazil.units import kB, meV

COUPLINGS = {RESTRAIN: "restraint", DECOUPLE: "coupling", TURN: "orientation"}
"""What of a window a step changes."""
MOST_ESCAPED = 0.01
"""Part of the samples without a restraint in which the molecule had left."""
REFERENCES = [
    "@shirts2008: MBAR",
    "@klimovich2015: overlap of windows",
    "@habershon2009: q-TIP4P/F water",
    "@ceriotti2010: the thermostat of the rings",
    "@korol2020: the step of the free ring",
]
WATER, EWALD = "q-tip4p-f", "@ewald1921: charges of q-TIP4P/F in a cell"
MORE = "take more of them: n_coupling_windows, n_restraint_windows"
"""What to do where windows do not overlap."""
LOST_TOLD = (
    "A window that breaks leaves a gap in the path, and what breaks is seldom what is typical. A pass "
    "counts only where every member finished all of its windows.",
    "Lower the temperature, or train the potential on frames along the path: with small λ1 the molecule "
    "comes where none of the labels have it.",
)
ESCAPED_TOLD = (
    "Without a restraint the molecule must stay bound, else the first window samples the vapour and the "
    "result depends on how long it runs.",
    "Lower the temperature (hydrogen_bond.temperature_K), or raise hydrogen_bond.escape_A if the molecule "
    "only changes its place.",
)
LEFT = "samples of the whole crystal in which another molecule was half-way to the next place (part)"
LEFT_TOLD = (
    "A wall keeps the other molecules at their places, the same in all windows. Where the whole crystal "
    "meets it, it is no crystal at this temperature, and the result rests on the wall.",
    "Lower the temperature (hydrogen_bond.temperature_K), or take a larger cell.",
)
OVERLAP_TOLD = (
    "A free energy between windows that hardly share samples rests on a few of them; 0.03 is the least of "
    "Klimovich, Shirts & Mobley.",
    "Take more windows (hydrogen_bond.n_coupling_windows, hydrogen_bond.n_restraint_windows).",
)
BOTH_TOLD = (
    "Integration errs by the distance of the windows, MBAR by their overlap: where both are right they "
    "agree.",
    "Take more windows, or longer ones.",
)
DIRECTIONS_TOLD = (
    "A pass from the bound side and one from the free side sample the same windows. Where they differ, the "
    "rest had no time to close the gap, or to open it.",
    "Equilibrate longer (hydrogen_bond.equilibration_fs), then sample longer.",
)
MEMBERS_TOLD = (
    "What members differ by in one window is what they add to the spread of the result there. At small λ1 "
    "the molecule comes where no label has it, and a network may have a hole that others lack.",
    "Label frames of that window (the molecule on top of others), and train on them too.",
)
MASS_TOLD = (
    "Nuclei made quantum along their mass, at both ends, give the quantum part without the windows between.",
    "Sample longer: the integral subtracts two numbers of some 0.5 eV per molecule.",
)


@dataclass(frozen=True)
class Set:
    """All passes that count at one number of beads.

    samples (M, R, K, n, 5) of M members, R passes and K windows; kinetic (M, R, windows, 2), eV; directions
    (R,). values: of each step (M, R, 2), meV, by integration and by MBAR. slopes (M, R, n_slopes), eV.
    overlaps (M, R, K − 1).
    """

    n_beads: int
    samples: np.ndarray
    kinetic: np.ndarray
    directions: np.ndarray
    values: dict[str, np.ndarray]
    slopes: np.ndarray
    overlaps: np.ndarray

    def layout(self, step: str, by: int) -> TwoWay:
        """Return a step's layout of members and passes, meV; by: 0 integration, 1 MBAR."""
        return two_way(self.values[step][..., by])


def analyse(settings: HydrogenBond, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write the tables and figures of all passes into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their samples. Raises UserError where fewer than two
    passes of each direction were finished by every member, and for windows that do not overlap.
    """
    subject = subject_of(settings)
    shape = (settings.n_trajectories, subject.source.n_members)
    finished = finished_by_all(table, shape)
    directions = table["direction"].to_numpy().reshape(shape)[:, 0]
    for direction in (FORWARD, BACKWARD):
        if (n := int((finished & (directions == direction)).sum())) < 2:
            raise UserError(
                f"{n} {direction} passes of {settings.n_trajectories} were finished by every member; lower "
                "temperature_K, or train the potential on frames along the path"
            )
    chosen = np.flatnonzero(finished)

    samples, kinetic = (arranged(table, name, shape, chosen) for name in ("samples", "kinetic_eV"))
    sets = [
        _set(settings, subject, n_beads, samples[:, :, i], kinetic[:, :, i], directions[chosen])
        for i, n_beads in enumerate(settings.n_beads)
    ]
    tables = {
        "windows": WINDOWS.frame([row for own in sets for row in _windows(settings, subject, own)]),
        "free_energies": FREE_ENERGIES.frame([row for own in sets for row in _steps(own)]),
        "passes": PASSES.frame([row for own in sets for row in _passes(own, chosen)]),
        "quantum": QUANTUM.frame(_quantum(settings, subject, sets)),
    }
    for declared in (WINDOWS, FREE_ENERGIES, PASSES, QUANTUM):
        declared.write(tables[declared.name], out)
    gates = _gates(settings, subject, table, sets, tables)
    return _section(settings, subject, sets, tables, gates, out)


def _set(
    settings: HydrogenBond, subject: Subject, n_beads: int, samples: np.ndarray, kinetic: np.ndarray,
    directions: np.ndarray,
) -> Set:  # fmt: skip
    path, sampled = path_of(settings, subject.periodic), steps_of(settings, subject.periodic)
    n_members, n_passes = samples.shape[:2]
    own = samples[:, :, : len(path)]
    values = {step: np.empty((n_members, n_passes, 2)) for step in (*sampled, RELEASE, TOTAL)}
    slopes = np.empty((n_members, n_passes, sum(map(len, sampled.values()))))
    overlaps = np.empty((n_members, n_passes, len(path) - 1))
    for k in range(n_members):
        for r in range(n_passes):
            found, means, overlaps[k, r] = free_energies(settings, subject, own[k, r])
            slopes[k, r] = np.concatenate(list(means.values()))
            for step, pair in found.items():
                values[step][k, r] = pair
    check_overlap(path, overlaps.mean(axis=(0, 1)), n_beads)
    return Set(n_beads, own, kinetic, directions, values, slopes, overlaps)


def free_energies(
    settings: HydrogenBond, subject: Subject, samples: np.ndarray
) -> tuple[dict[str, tuple[float, float]], dict[str, np.ndarray], np.ndarray]:
    """Return of one pass, samples (K, n, 5), each step's free energy by integration and MBAR, meV.

    Beside them each step's mean slopes in its windows, eV, and the overlaps (K − 1,).
    """
    path, sampled = path_of(settings, subject.periodic), steps_of(settings, subject.periodic)
    n_windows, n_samples = samples.shape[:2]
    counts, thermal = np.full(n_windows, n_samples), kB * settings.temperature_K
    energies = reduced(samples.reshape(-1, samples.shape[-1]), path, subject, settings)
    free = mbar(energies, counts) * thermal
    slopes = {step: series.mean(axis=1) for step, series in slopes_of(settings, subject, samples).items()}
    steps = {}
    for step, windows in sampled.items():
        places = np.array([getattr(path[window], COUPLINGS[step]) for window in windows])
        by_slope = (
            integrated(places, slopes[step], 1.0) if step == RESTRAIN else _softly(places, slopes[step])
        )
        steps[step] = by_slope / meV, float(free[windows[-1]] - free[windows[0]]) / meV
    released = release_eV(subject, settings) / meV
    steps[RELEASE] = released, released
    steps[TOTAL] = sum(one for one, _ in steps.values()), sum(other for _, other in steps.values())
    return steps, slopes, overlap(energies, counts, free / thermal)


def _softly(places: np.ndarray, slopes: np.ndarray) -> float:
    """Return the integral of slopes (n,) over λ = s³ at places λ (n,), from 1 to 0, by a spline in s.

    At λ = 0 the weight of the slope, dλ/ds, is 0.
    """
    s = np.cbrt(places)
    kept = np.isfinite(slopes) & (s > 0)
    return integrated(s[kept], (slopes * SOFT * s ** (SOFT - 1))[kept], 0.0)


def slopes_of(settings: HydrogenBond, subject: Subject, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Return ∂U/∂λ of each step's windows, eV, of samples (K, n, 5): (windows of the step, n)."""
    with np.errstate(invalid="ignore", over="ignore"):
        held, about = restraints_eV(samples, settings)
        every = {RESTRAIN: held + about, DECOUPLE: samples[..., 0] - samples[..., 1], TURN: about}
    return {step: every[step][list(own)] for step, own in steps_of(settings, subject.periodic).items()}


def check_overlap(path: list[Window], overlaps: np.ndarray, n_beads: int) -> None:
    """Raise UserError for windows (K,) that share nothing with the next: overlaps (K − 1,)."""

    def named(place: int) -> str:
        return " and ".join(window.told for window in path[place : place + 2])

    check_connected(overlaps, named, f"{n_beads} beads", MORE)


def _between(path: list[Window], place: int) -> str:
    """Return which two windows a place among the overlaps is between."""
    one, other = path[place : place + 2]
    told = f"λ1 {one.coupling:.3g} and {other.coupling:.3g}, λ2 {one.restraint:.3g} and {other.restraint:.3g}"
    return told + (f", λ3 {one.orientation:.3g} and {other.orientation:.3g}" if one.orientation else "")


def _windows(settings: HydrogenBond, subject: Subject, own: Set) -> list[tuple[Any, ...]]:
    path, sampled = path_of(settings, subject.periodic), steps_of(settings, subject.periodic)
    layout, rows = two_way(own.slopes / meV), []
    overlaps = np.append(own.overlaps.mean(axis=(0, 1)), np.nan)
    every = [
        slopes_of(settings, subject, samples) for samples in own.samples.reshape(-1, *own.samples.shape[2:])
    ]
    places = [(step, i, window) for step, windows in sampled.items() for i, window in enumerate(windows)]
    for place, (step, i, window) in enumerate(places):
        series = np.array([one[step][i] for one in every])
        known = bool(np.isfinite(series).all())
        number = sum(effective_number(one) for one in series) if known else np.nan
        numbers = (layout.mean[place], layout.standard_error[place], layout.model_std[place])
        at = path[window]
        rows.append(
            (own.n_beads, step, window, at.coupling, at.restraint, at.orientation,
             *(numbers if known else [np.nan] * 3), number, overlaps[window])
        )  # fmt: skip
    return rows


def _steps(own: Set) -> list[dict[str, Any]]:
    rows = []
    for step in own.values:
        by_slope, by_mbar = own.layout(step, 0), own.layout(step, 1)
        found: Estimate = by_mbar.estimate()
        rows.append(
            {
                "n_beads": own.n_beads, "step": step, "ti_meV": float(by_slope.mean),
                "ti_se_meV": float(by_slope.standard_error), "mbar_meV": float(by_mbar.mean),
                "mbar_se_meV": float(by_mbar.standard_error), "model_std_meV": found.model_std,
                **{f"{end}_meV": getattr(found, end) for end in ENDS},
            }
        )  # fmt: skip
    return rows


def _passes(own: Set, chosen: np.ndarray) -> list[tuple[Any, ...]]:
    total, least = own.values[TOTAL], own.overlaps.min(axis=-1)
    return [
        (own.n_beads, int(number), k, own.directions[r], *total[k, r], least[k, r])
        for r, number in enumerate(chosen)
        for k in range(len(total))
    ]


def _difference(
    values: np.ndarray, others: np.ndarray | None = None
) -> tuple[float, float, tuple[float, float]]:
    """Return the mean of values (n,), less that of others, its standard error and its 95 % interval."""
    samples = [values] if others is None else [values, others]
    variance = sum(float(own.var(ddof=1)) / len(own) for own in samples)
    mean, error = float(values.mean() - (0.0 if others is None else others.mean())), float(np.sqrt(variance))
    half = _half(error, sum(len(own) - 1 for own in samples))
    return mean, error, (mean - half, mean + half)


def _half(error: float, degrees: int) -> float:
    """Return the half width of the 95 % interval of a standard error, by Student's t."""
    return float(scipy.stats.t.ppf(0.975, degrees)) * error


def _quantum(settings: HydrogenBond, subject: Subject, sets: list[Set]) -> list[tuple[Any, ...]]:
    """Return what quantum nuclei add to the decoupling, by each way: rows of ``QUANTUM``."""
    classical = next((own for own in sets if own.n_beads == 1), None)
    rows: list[tuple[Any, ...]] = []
    for own in sets:
        if classical is None or own is classical:
            continue
        before, after = (s.values[DECOUPLE][..., 1].mean(axis=0) for s in (classical, own))
        mean, error, _ = _difference(after, before)
        rows.append((own.n_beads, "direct", mean, error, len(after)))
        if settings.mass_integral:
            found = mass_integral(settings, subject, own).mean(axis=0)
            mean, error, _ = _difference(found)
            rows.append((own.n_beads, "mass", mean, error, len(found)))
    return rows


def mass_integral(settings: HydrogenBond, subject: Subject, own: Set) -> np.ndarray:
    """Return what quantum nuclei add to the decoupling, of each member and pass (M, R), meV.

    F_P − F_classical = ∫₀¹ (2/g) [K_virial(m/g²) − 3NkT/2] dg at either end of the step.
    """
    places, weights = mass_nodes()
    thermal = 1.5 * len(subject.atoms) * kB * settings.temperature_K
    first = len(path_of(settings, subject.periodic))
    ends = own.kinetic[:, :, first : first + 2 * len(places), 0].reshape(*own.kinetic.shape[:2], 2, -1)
    added = (weights * 2 / places * (ends - thermal)).sum(axis=-1)
    return np.asarray((added[..., 1] - added[..., 0]) / meV)


def _gates(
    settings: HydrogenBond, subject: Subject, table: pandas.DataFrame, sets: list[Set],
    tables: dict[str, pandas.DataFrame],
) -> list[Gate]:  # fmt: skip
    margin = margin_meV(settings.temperature_K)
    lost, escaped = (
        int(table["lost_windows"].sum()),
        table["n_escaped"].sum() / max(table["n_bound"].sum(), 1),
    )
    gates = [
        Gate.at_most("windows that broke", lost, 0, shown="none").because(*LOST_TOLD),
        Gate.at_most("samples in which the molecule had escaped (part)", escaped, MOST_ESCAPED).because(
            *ESCAPED_TOLD
        ),
    ]
    path = path_of(settings, subject.periodic)
    if (places := subject.places) is not None:
        left = np.mean([left_of(own.samples, path, float(places.reach_A)) for own in sets])
        gates.append(Gate.at_most(LEFT, left, MOST_ESCAPED).because(*LEFT_TOLD))
    for own in sets:
        beads = "classical" if own.n_beads == 1 else f"{own.n_beads} beads"
        overlaps = own.overlaps.mean(axis=(0, 1))
        gates.append(overlap_gate(beads, overlaps, partial(_between, path), OVERLAP_TOLD))
        total = own.values[TOTAL].mean(axis=0)
        mean, _, interval = _difference(total[:, 0] - total[:, 1])
        name = f"integration less MBAR, {beads} (meV)"
        gates.append(Gate.equivalent(name, mean, interval, margin).because(*BOTH_TOLD))
        there, back = (total[own.directions == direction, 1] for direction in (FORWARD, BACKWARD))
        mean, _, interval = _difference(there, back)
        name = f"forward less backward, {beads} (meV)"
        gates.append(Gate.equivalent(name, mean, interval, margin).because(*DIRECTIONS_TOLD))
        if own.n_beads > 1:
            gates.append(kinetic_gate(beads, own.kinetic))
    for n_beads, ways in tables["quantum"].groupby("n_beads"):
        if len(ways) == 2:
            difference = float(ways["difference_meV"].diff().iloc[-1])
            error = float(np.sqrt((ways["se_meV"] ** 2).sum()))
            half = _half(error, 2 * (int(ways["n"].iloc[0]) - 1))
            name = f"quantum part by the mass less direct, {n_beads} beads (meV)"
            interval = (difference - half, difference + half)
            gates.append(Gate.equivalent(name, difference, interval, margin).because(*MASS_TOLD))
    if subject.source.n_members == 1:
        return [*gates, error_unknown()]
    for _, windows in tables["windows"].groupby("n_beads"):
        apart = members_differ(windows).to_numpy()
        most = int(np.nanargmax(apart)) if np.isfinite(apart).any() else 0
        row = windows.iloc[most]
        between = Window(row["lambda1"], row["lambda2"], row["lambda3"]).told
        name = f"what members differ by in one window, {nuclei_of(windows['n_beads'].iloc[0])} (meV)"
        gates.append(Gate.at_most(name, apart[most], margin, between).because(*MEMBERS_TOLD))
    return gates


def left_of(samples: np.ndarray, path: Sequence[Window], reach_A: float) -> float:
    """Return the part of the samples (M, R, K, n, 5) of the whole crystal in which another molecule is beyond
    its reach.
    """
    away = samples[:, :, [window.coupling == 1 for window in path], :, 4]
    return float((away > reach_A).mean())


def members_differ(windows: pandas.DataFrame) -> pandas.Series:
    """Return what members differ by (n,) in each window of one number of beads, meV: in its part of the path.

    That is the standard deviation of the members' slopes times the window's length in λ (trapezoidal rule).
    """
    lengths = pandas.Series(np.nan, windows.index)
    for step, name in LAMBDAS.items():
        own = windows.loc[windows["step"] == step, name]
        ends = np.concatenate([own[:1], 0.5 * (own.to_numpy()[1:] + own.to_numpy()[:-1]), own[-1:]])
        lengths[own.index] = np.abs(np.diff(ends))
    return windows["model_std_meV"] * lengths


def _section(
    settings: HydrogenBond, subject: Subject, sets: list[Set], tables: dict[str, pandas.DataFrame],
    gates: list[Gate], out: Path,
) -> Section:  # fmt: skip
    energies, quantum = tables["free_energies"], tables["quantum"]
    totals = energies[energies["step"] == TOTAL].to_dict("records")
    taken, left = (subject.atoms[own].get_chemical_formula() for own in (subject.molecule, subject.rest))
    drawn = [figures.steps(energies, out), figures.slopes(tables["windows"], out)]
    said = []
    for row in totals:
        text, interval = with_interval(row["mbar_meV"], row["low_95_meV"], row["high_95_meV"])
        said.append(f"{text} {interval} meV ({nuclei_of(row['n_beads'])})")
    n_passes = sets[0].samples.shape[1]
    results = [
        Result.of_row(
            f"Free energy, {nuclei_of(row['n_beads'])}", "mbar_meV",
            row | {end: row[f"{end}_meV"] for end in ENDS}, "meV",
            n=n_passes, of="passes",
        )
        for row in totals
    ]  # fmt: skip
    for row in quantum[quantum["by"] == "direct"].to_dict("records"):
        added, half = row["difference_meV"], _half(row["se_meV"], 2 * (int(row["n"]) - 1))
        name = f"Quantum nuclei add ({row['n_beads']} beads)"
        results.append(Result(name, added, "meV", added - half, added + half, n=int(row["n"]), of="passes"))
    return Section(
        title="Hydrogen bond",
        headline=f"{taken} out of {left}·{taken} at {settings.temperature_K:g} K: {', '.join(said)}.",
        text=_text(settings, subject, sets, taken, left),
        gates=gates,
        figures=drawn,
        tables=[
            Table("free_energies.csv", "Free energies of the steps, by integration and by MBAR."),
            Table("windows.csv", "Slopes, effective numbers of samples and overlaps of the windows."),
            *([Table("quantum.csv", "What quantum nuclei add to the decoupling.")] if len(quantum) else []),
        ],
        results=results,
        main_figure=drawn[0].file,
        methods=(
            f"The free energy of taking {taken} out of {left}·{taken} at {settings.temperature_K:g} K is "
            f"that of turning on a harmonic restraint on the {_what_is_held(subject)} of the centres of "
            f"mass{', and on the atoms about it' if subject.periodic else ''}, of decoupling the molecule "
            f"under it{', of letting it turn' if subject.periodic else ''} "
            f"({len(path_of(settings, subject.periodic))} windows, {n_passes} passes "
            f"of {settings.duration_fs / 1000:g} ps each from either side, MBAR), and of its release to the "
            "standard volume, which is analytic. Quantum nuclei are ring polymers under PILE-L dynamics."
        ),
        references=REFERENCES + ([EWALD] if subject.periodic and subject.source.kind == WATER else []),
    )  # fmt: skip


def _what_is_held(subject: Subject) -> str:
    return "vector" if subject.periodic else "distance"


def _text(settings: HydrogenBond, subject: Subject, sets: list[Set], taken: str, left: str) -> list[str]:
    text = [
        f"The {'crystal' if subject.periodic else 'cluster'} {subject.name} was relaxed under the potential "
        f"{'in its cell ' if subject.periodic else ''}({subject.source.kind}, "
        f"{subject.source.level}); the centre of {taken} is {subject.distance_A:.3f} Å from that of "
        f"{left}. A restraint of {settings.restraint_eV_per_A2:g} eV/Å² on this {_what_is_held(subject)} is "
        "turned on (restrain), under it the molecule is decoupled from the rest (decouple), and then set "
        f"free in {settings.volume_A3:g} Å³ (release). "
        + (
            "The crystal does not turn: the restraint holds the molecule at its place, and one of "
            f"{settings.orientation_eV_per_A2:g} eV/Å² its atoms about its centre; when it is decoupled, it "
            "is let turn (turn). A wall, the same in all windows, keeps the other molecules within half a "
            "neighbour's distance of their places. Alone it is in no cell, and sees no image of itself."
            if subject.periodic
            else "The restraint holds no direction, so the cluster turns freely."
        ),
        "Each pass samples every window, half of the passes coming from the bound side and half from the "
        "free one. Integration is that of a spline of mean slopes, MBAR uses all samples. Errors of "
        "sampling are the scatter of the passes, which are independent. The number is that of one marked "
        "molecule: what alike molecules, "
        "or alike atoms of one, add by changing places is not in it.",
    ]
    if any(own.n_beads > 1 for own in sets):
        text.append(
            "Path integrals are sampled directly: λ1 acts on every bead and the restraint on the "
            "centroids, so that large numbers of whole molecules never have to be subtracted. Nuclei are "
            "distinguishable."
        )
    if subject.source.n_members == 1:
        text.append(ONE_POTENTIAL)
    return text
