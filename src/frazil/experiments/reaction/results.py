"""What all passes came to: profiles, barriers and rates with both errors, tables, gates, section."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.analysis.estimates import ONE_POTENTIAL, TwoWay, two_way
from frazil.analysis.free_energy import effective_number
from frazil.errors import UserError
from frazil.experiments.at_rest import error_unknown
from frazil.experiments.passes import (
    ENDS,
    arranged,
    finished_by_all,
    kinetic_gate,
    margin_meV,
    overlap_gate,
)
from frazil.experiments.reaction import figures
from frazil.experiments.reaction.profiles import SMOOTH_A, Profile, Sampled, between, sampled
from frazil.experiments.reaction.settings import NO_TRUTH, Reaction
from frazil.experiments.reaction.tables import (
    ARRAYS,
    BARRIERS,
    CENTROID,
    ENOUGH,
    PATH,
    PROFILES,
    RATES,
    ROUNDS,
    TRUTH,
    WINDOWS,
)
from frazil.experiments.reaction.truth import Truth, truth_of, truth_rows
from frazil.experiments.reaction.windows import Set, Subject, centres_of, sets_of, subject_of
from frazil.report.section import Gate, Result, Section, Table, with_interval
from frazil.units import meV

LEAST_EFFECTIVE = 20.0
"""Independent samples of a window, of all passes together."""
MOST_ESCAPED = 0.01
REFERENCES = [
    "@shirts2008: MBAR",
    "@klimovich2015: overlap of windows",
    "@henkelman2000: the path's tangents",
    "@climbing2000: its climbing image",
    "@voth1989: transition-state theory of the centroid",
    "@ceriotti2010: the thermostat of the rings",
    "@korol2020: the step of the free ring",
]
LEARNED_REFERENCES = [
    "@brezina2023: frames displaced about the path, by modes of control points",
    "@schran2020: frames that a committee differs on",
]
TRUTH_REFERENCES = ["@zwanzig1954: reweighting to another potential"]
LOST_TOLD = (
    "A window that breaks leaves a gap in the profile, and what breaks is seldom what is typical. A pass "
    "counts only where every member finished all of its windows.",
    "Train the potential on frames along the path, displaced as at this temperature or a higher one.",
)
ESCAPED_TOLD = (
    "A sample far from its window is of another state that the window holds by its slope alone, as where "
    "another atom has taken the place of the moving one.",
    "Take stiffer windows (reaction.window_eV_per_A2), or raise reaction.escape_A where the walls are that "
    "soft.",
)
OVERLAP_TOLD = (
    "A profile between windows that hardly share samples rests on a few of them; 0.03 is the least of "
    "Klimovich, Shirts & Mobley.",
    "Take more windows (reaction.n_windows), or softer ones (reaction.window_eV_per_A2).",
)
EFFECTIVE_TOLD = (
    "Samples of one window that follow each other are alike; fewer independent ones than this give no error.",
    "Sample longer (reaction.duration_fs).",
)
EDGE_TOLD = (
    "A minimum at the edge of what is sampled may be lower beyond, and the barrier with it. A fit of "
    f"{SMOOTH_A:g} Å needs half of that on either side.",
    "Let the windows go farther (reaction.first_A, reaction.last_A).",
)
HALVES_TOLD = (
    "Both halves of a run in equilibrium have the same barrier. Where they differ, other coordinates are "
    "still on their way.",
    "Equilibrate longer (reaction.equilibration_fs), then sample longer.",
)
MEMBERS_TOLD = (
    "What members differ by along the coordinate is the potential's error of the profile, as far as a "
    "committee knows it.",
    "Label frames where they differ, and train on them too (more frames of the tube).",
)
SETTLED_TOLD = (
    "Where members differ more on frames about the path than on those that they learned from, more labels "
    "would have told them something.",
    "Allow more rounds (reaction.max_rounds) or more frames in each (reaction.max_frames).",
)
TRUTH_TOLD = (
    "The level's own profile is what the potential stands for.",
    "Train on more frames about the path (reaction.max_rounds, reaction.max_frames), and longer.",
)
REWEIGHTED_TOLD = (
    "Where few samples carry all the weight, potential and level visit other places, and the level's profile "
    "is not known; of twenty that count it is too high by about a fortieth of kT.",
    "Train on more frames about the path, evaluate the level on more samples (reaction.n_truth_samples), or "
    "run the experiment under the level itself (a folder whose model.json names it).",
)


LEARNED_METHODS = (
    " The committee was trained on frames at {level}, displaced along harmonic modes about the path and "
    "chosen by its own disagreement (query by committee)."
)
TRUTH_METHODS = " The classical profile of {level} itself is by reweighting of the same samples."


def analyse(settings: Reaction, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write the tables and figures of all passes into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their samples. Raises UserError where fewer than two
    passes were finished by every member, for windows that do not overlap, and for bins without samples
    between others.
    """
    subject = subject_of(settings)
    shape = (settings.n_trajectories, subject.source.n_members)
    finished = finished_by_all(table, shape)
    if (n := int(finished.sum())) < 2:
        raise UserError(
            f"{n} passes of {settings.n_trajectories} were finished by every member; lower temperature_K, or "
            "train the potential on frames along the path"
        )
    chosen = np.flatnonzero(finished)

    coordinates, roots, kinetic, added = (arranged(table, name, shape, chosen) for name in ARRAYS)
    found = [
        sampled(settings, of, coordinates[:, :, i, :, :, : 1 + of.n_beads], roots[:, :, i], kinetic[:, :, i])
        for i, of in enumerate(sets_of(settings))
    ]
    rounds = rounds_of(settings)
    truth = None if settings.truth == NO_TRUTH else truth_of(settings, _classical(found), added)
    tables = {
        "path": PATH.frame(subject.path.rows(subject.coordinate)),
        "windows": WINDOWS.frame([row for one in found for row in _windows(settings, subject, one)]),
        "profiles": PROFILES.frame([row for one in found for row in _profiles(subject, one)]),
        "barriers": BARRIERS.frame([row for one in found for row in _barriers(subject, one)]),
        "rates": RATES.frame([_rate(subject, one) for one in found]),
    }
    declared = [PATH, WINDOWS, PROFILES, BARRIERS, RATES]
    if truth is not None:
        tables["truth"] = TRUTH.frame(truth_rows(_classical(found), truth))
        declared.append(TRUTH)
    if rounds is not None:
        tables["rounds"] = rounds
        declared.append(ROUNDS)
    for one in declared:
        one.write(tables[one.name], out)
    gates = _gates(settings, subject, table, found, truth) + _learning_gates(rounds)
    return _section(settings, subject, found, tables, gates, out)


def rounds_of(settings: Reaction) -> pandas.DataFrame | None:
    """Return the rounds in which the potential learned from a tube; None of any other potential."""
    assert settings.model is not None
    file = settings.model / ROUNDS.file
    return ROUNDS.read(file) if file.is_file() else None


def _learning_gates(rounds: pandas.DataFrame | None) -> list[Gate]:
    if rounds is None:
        return []
    last = rounds.iloc[-1]
    ratio = last["tube_spread_eV_per_A"] / last["train_spread_eV_per_A"]
    name = "members' mean spread on the tube over that on the frames trained on"
    return [Gate.at_most(name, ratio, ENOUGH).because(*SETTLED_TOLD)]


def _told(subject: Subject, of: Set) -> str:
    """Return what a set is called in words."""
    if of.n_beads == 1:
        return "classical"
    return f"{subject.called(of.isotope)}, {of.n_beads} beads"


def _windows(settings: Reaction, subject: Subject, own: Sampled) -> list[tuple[Any, ...]]:
    overlaps, rows = np.append(own.overlaps.mean(axis=(0, 1)), np.nan), []
    series = own.coordinates[..., 0].astype(float)
    for window, centre in enumerate(centres_of(settings)):
        each = series[:, :, window].reshape(-1, series.shape[-1])
        number = sum(effective_number(one) for one in each)
        rows.append(
            (
                own.of.n_beads,
                subject.called(own.of.isotope),
                window,
                centre,
                each.mean(),
                number,
                overlaps[window],
            )
        )
    return rows


def _kinds(own: Sampled) -> tuple[Profile, ...]:
    """Return the profiles that differ: of one bead there is one."""
    return own.profiles if own.of.n_beads > 1 else own.profiles[:1]


def _profiles(subject: Subject, own: Sampled) -> list[dict[str, Any]]:
    rows = []
    for one in _kinds(own):
        layout = two_way(one.relative)
        found = layout.estimate()
        errors = layout.standard_error
        for place, coordinate in enumerate(one.places_A):
            rows.append(
                {
                    "n_beads": one.of.n_beads, "isotope": subject.called(one.of.isotope), "kind": one.kind,
                    "coordinate_A": coordinate, "free_energy_meV": layout.mean[place],
                    "se_meV": errors[place], "model_std_meV": found.model_std[place],
                    **{f"{end}_meV": getattr(found, end)[place] for end in ENDS},
                }
            )  # fmt: skip
    return rows


def _barriers(subject: Subject, own: Sampled) -> list[dict[str, Any]]:
    rows = []
    for one in _kinds(own):
        layout = two_way(one.barrier)
        found = layout.estimate()
        rows.append(
            {
                "n_beads": one.of.n_beads, "isotope": subject.called(one.of.isotope), "kind": one.kind,
                "basin_A": one.places_A[one.basin], "top_A": one.places_A[one.top],
                "barrier_meV": float(layout.mean), "se_meV": float(layout.standard_error),
                "model_std_meV": found.model_std, **{end: getattr(found, end) for end in ENDS},
            }
        )  # fmt: skip
    return rows


def _rate(subject: Subject, own: Sampled) -> dict[str, Any]:
    found = two_way(own.log_rates).estimate()
    return {
        "n_beads": own.of.n_beads, "isotope": subject.called(own.of.isotope),
        "dividing_A": own.centroid.places_A[own.centroid.top], "rate_per_ps": np.exp(found.value),
        **{end: np.exp(getattr(found, end)) for end in ENDS},
    }  # fmt: skip


def _classical(found: Sequence[Sampled]) -> Sampled:
    return next(own for own in found if own.of.n_beads == 1)


def _gates(
    settings: Reaction, subject: Subject, table: pandas.DataFrame, found: list[Sampled], truth: Truth | None
) -> list[Gate]:  # fmt: skip
    margin = margin_meV(settings.temperature_K)
    escaped = table["n_escaped"].sum() / max(table["n_samples"].sum(), 1)
    gates = [
        Gate.at_most("windows that broke", int(table["lost_windows"].sum()), 0, shown="none").because(
            *LOST_TOLD
        ),
        Gate.at_most("samples that left their window (part)", escaped, MOST_ESCAPED).because(*ESCAPED_TOLD),
    ]
    centres = centres_of(settings)
    for own in found:
        told = _told(subject, own.of)
        overlaps = own.overlaps.mean(axis=(0, 1))
        gates.append(overlap_gate(told, overlaps, partial(between, settings), OVERLAP_TOLD))
        numbers = [row[5] for row in _windows(settings, subject, own)]
        least = int(np.argmin(numbers))
        name = f"least number of independent samples of a window, {told}"
        where = f"{centres[least]:.3g} Å"
        gates.append(Gate.at_least(name, numbers[least], LEAST_EFFECTIVE, where).because(*EFFECTIVE_TOLD))
        gates += [edge_gate(told, one) for one in _kinds(own)]
        layout: TwoWay = two_way(own.halves)
        halves = layout.estimate()
        name = f"barrier of the first halves less that of the second, {told} (meV)"
        gates.append(
            Gate.equivalent(name, halves.value, (halves.low_95, halves.high_95), margin).because(*HALVES_TOLD)
        )
        if own.of.n_beads > 1:
            gates.append(kinetic_gate(told, own.kinetic))
        for one in _kinds(own) if subject.source.n_members > 1 else ():
            spread = two_way(one.relative).model_std
            most = int(spread.argmax())
            name = f"what members differ by along the coordinate, {told}, {one.kind} (meV)"
            where = f"{one.places_A[most]:.3g} Å"
            gates.append(Gate.at_most(name, spread[most], margin, where).because(*MEMBERS_TOLD))
    if truth is not None:
        model = _classical(found).centroid
        added = two_way(truth.adds[..., model.top]).estimate()
        name = f"classical barrier of {settings.truth} less the potential's (meV)"
        interval = (added.low_95, added.high_95)
        gates.append(
            Gate.equivalent(name, added.value, interval, settings.truth_limit_meV).because(*TRUTH_TOLD)
        )
        name = f"least number that samples near a place are worth when reweighted to {settings.truth}"
        where = f"{truth.place_A:.3g} Å"
        gates.append(Gate.at_least(name, truth.n_effective, LEAST_EFFECTIVE, where).because(*REWEIGHTED_TOLD))
        name = f"samples without an energy at {settings.truth}"
        gates.append(Gate.at_most(name, truth.n_without, 0, shown="none").because(*LOST_TOLD))
    if subject.source.n_members == 1:
        gates.append(error_unknown())
    return gates


def edge_gate(told: str, own: Profile) -> Gate:
    """Return the gate of how far minima are from the end of what is sampled."""
    name = f"a minimum's distance from the end of the windows, {told}, {own.kind} (Å)"
    where = " and ".join(f"{own.places_A[place]:.3g}" for place in (own.basin, own.beyond))
    return Gate.at_least(name, own.from_edge_A, SMOOTH_A / 2, f"minima at {where} Å").because(*EDGE_TOLD)


def _section(
    settings: Reaction, subject: Subject, found: list[Sampled], tables: dict[str, pandas.DataFrame],
    gates: list[Gate], out: Path,
) -> Section:  # fmt: skip
    n_passes = found[0].coordinates.shape[1]
    drawn = [
        figures.profiles(tables["profiles"], tables.get("truth"), settings.truth, out),
        figures.path_and_windows(tables["path"], tables["windows"], out),
    ]
    results, said = [], []
    for row in tables["barriers"].to_dict("records"):
        classical = row["n_beads"] == 1
        nuclei = "classical" if classical else f"{row['isotope']}, {row['n_beads']} beads"
        name = f"Barrier, {nuclei}" if classical else f"Barrier, {nuclei}, {row['kind']}"
        results.append(Result.of_row(name, "barrier_meV", row, "meV", n=n_passes, of="passes"))
        if row["kind"] == CENTROID:
            text, interval = with_interval(row["barrier_meV"], row["low_95"], row["high_95"])
            said.append(f"{text} {interval} meV ({nuclei})")
    for row in tables["rates"].to_dict("records"):
        nuclei = "classical" if row["n_beads"] == 1 else f"{row['n_beads']} beads"
        name = f"Rate of transition-state theory, {row['isotope']}, {nuclei}"
        results.append(Result.of_row(name, "rate_per_ps", row, "ps⁻¹", n=n_passes, of="passes"))
    names = [f"{subject.atoms.symbols[number]}{number}" for number in subject.coordinate.atoms]
    coordinate = (
        f"d({names[0]}–{names[1]})" + (f" − d({names[1]}–{names[2]})" if len(names) > 2 else "")
    )  # fmt: skip
    files = [
        Table("barriers.csv", "Barriers from the left minimum to the top."),
        Table("rates.csv", "Rates of transition-state theory: no recrossing is in them."),
        Table("windows.csv", "Windows: mean coordinate, effective number of samples, overlap with the next."),
        Table("path.csv", "The path: its length, its coordinate and its energies."),
    ]
    if "truth" in tables:
        files.insert(
            1,
            Table(
                "truth.csv",
                f"The classical profile of {settings.truth}, by reweighting, beside the potential's.",
            ),
        )
    references = REFERENCES + (TRUTH_REFERENCES if "truth" in tables else [])
    if "rounds" in tables:
        files.append(Table("rounds.csv", "Rounds of learning: frames, errors, spreads, what was asked for."))
        references += LEARNED_REFERENCES
    return Section(
        title="Reaction",
        headline=f"{subject.path.name} along {coordinate} at {settings.temperature_K:g} K, barriers of the "
        f"centroid: {', '.join(said)}.",
        text=_text(settings, subject, found, coordinate, tables.get("rounds")),
        gates=gates,
        figures=drawn,
        tables=files,
        results=results,
        main_figure=drawn[0].file,
        methods=(
            f"Free-energy profiles along {coordinate} at {settings.temperature_K:g} K are of umbrella "
            f"sampling in {settings.n_windows} windows of {settings.window_eV_per_A2:g} eV/Å² on the "
            f"centroid, {n_passes} passes of {settings.duration_fs / 1000:g} ps each, joined by MBAR. "
            "Quantum nuclei are ring polymers under PILE-L dynamics; the centroid's profile and the beads' "
            "density are given apart. Rates are those of transition-state theory of the centroid, without a "
            "recrossing factor."
            + (LEARNED_METHODS.format(level=subject.source.level) if "rounds" in tables else "")
            + (TRUTH_METHODS.format(level=settings.truth) if "truth" in tables else "")
        ),
        references=references,
    )  # fmt: skip


def _text(
    settings: Reaction, subject: Subject, found: list[Sampled], coordinate: str,
    rounds: pandas.DataFrame | None,
) -> list[str]:  # fmt: skip
    path = subject.path
    label = ""
    if path.label_energies_eV is not None:
        above = (path.label_energies_eV[path.saddle] - path.label_energies_eV[path.basin]) / meV
        label = f" The labels of its structures put it at {above:.1f} meV."
    barrier_meV = path.barrier_eV / meV
    text = [
        f"The path {path.name} has {len(path.energies_eV)} structures and a barrier of "
        f"{barrier_meV:.1f} meV under {subject.source.kind} of level "
        f"{subject.source.level}, without any temperature.{label} The coordinate is "
        f"{coordinate}; each window starts on the path.",
        "Profiles are −kT ln of the coordinate's density, joined from all windows by MBAR, relative to the "
        "minimum on the left. Errors of sampling are the scatter of the passes, which are independent. A "
        f"minimum and a top are those of a cubic fitted over {SMOOTH_A:g} Å.",
        "Rates are √(kT/2π) ⟨√(Σ|∇ξ|²/m)⟩ times the density at the top over the part of the reactant: "
        "transition-state theory, which counts every crossing as a reaction. They are upper bounds of "
        "classical rates, and need a recrossing factor.",
    ]
    if any(own.of.n_beads > 1 for own in found):
        text.append(
            "Of rings there are two profiles, which are not the same. That of the centroid is for rate "
            "theory. The density is that of the nuclei themselves, all beads having the weights of their "
            "centroid."
        )
    if rounds is not None:
        last = rounds.to_dict("records")[-1]
        text.append(
            f"The committee learned from {last['n_train']} frames, in {len(rounds)} "
            f"round{'s' * (len(rounds) > 1)}. On {last['n_test']} others, which chose the best epoch, its "
            f"mean errs by {last['energy_rmse_meV_per_atom']:.2f} meV per atom and "
            f"{last['force_rmse_eV_per_A']:.3f} eV/Å (root mean square)."
        )
    if subject.source.n_members == 1:
        text.append(ONE_POTENTIAL)
    return text
