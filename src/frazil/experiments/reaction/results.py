"""From samples of windows to profiles: MBAR, centroid and density, both errors, tables, gates, section."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from scipy.signal import savgol_filter

from frazil.analysis.estimates import MODEL_UNKNOWN, ONE_POTENTIAL, TwoWay, two_way
from frazil.analysis.free_energy import effective_number, mbar, overlap, unbiased
from frazil.errors import UserError
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
from frazil.experiments.reaction import figures
from frazil.experiments.reaction.path import basin_and_top
from frazil.experiments.reaction.settings import NO_TRUTH, Reaction
from frazil.experiments.reaction.tables import (
    ARRAYS,
    BARRIERS,
    CENTROID,
    DENSITY,
    PATH,
    PROFILES,
    RATES,
    ROUNDS,
    TRUTH,
    WINDOWS,
)
from frazil.experiments.reaction.windows import Set, Subject, centres_of, reduced, sets_of, subject_of
from frazil.report.section import Gate, Result, Section, Table, with_interval
from frazil.units import fs, kB, meV

LEAST_EFFECTIVE = 20.0
"""Independent samples of a window, of all passes together."""
MOST_ESCAPED = 0.01
FEWEST_BINS = 10
SMOOTH_A = 0.18
"""Length over which a cubic is fitted to a profile, for its minima and its top (Savitzky–Golay)."""
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
ENOUGH = 1.1
"""Of the tube's mean spread, over that of the frames trained on: what learning from the tube ends at."""
MORE = "take more of them (n_windows), or softer ones (window_eV_per_A2)"
"""What to do where windows do not overlap."""
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


@dataclass(frozen=True)
class Profile:
    """One free-energy profile of all passes that count, relative to its left minimum.

    places_A (B,). values (M, R, B), meV, of M members and R passes; smooth (M, R, B) as they are fitted.
    basin, top: bins of the left minimum and of the top between both.
    """

    of: Set
    kind: str
    places_A: np.ndarray
    values: np.ndarray
    smooth: np.ndarray
    basin: int
    top: int

    @property
    def barrier(self) -> np.ndarray:
        """The top above the left minimum (M, R), meV."""
        return np.asarray(self.smooth[..., self.top] - self.smooth[..., self.basin])

    @property
    def beyond(self) -> int:
        """The bin of the right minimum."""
        return int(self.top + self.smooth[..., self.top :].mean(axis=(0, 1)).argmin())

    @property
    def from_edge_A(self) -> float:
        """How far the nearer of the two minima is from the end of what is sampled, Å."""
        lowest, highest = self.places_A[[self.basin, self.beyond]]
        return float(min(lowest - self.places_A[0], self.places_A[-1] - highest))

    @property
    def relative(self) -> np.ndarray:
        """The profiles (M, R, B), meV, 0 at the smoothed left minimum."""
        return np.asarray(self.values - self.smooth[..., [self.basin]])


@dataclass(frozen=True)
class Sampled:
    """What all passes of some members found of one set: see ``Profile`` for the axes.

    coordinates (M, R, K, n, 1 + P), Å; weights (M, R, K n) without any window. overlaps (M, R, K − 1).
    log_rates (M, R), 1/ps. halves (M, R): barrier of the first half of each window less that of the second,
    meV. kinetic (M, R, K, 2), eV.
    """

    of: Set
    coordinates: np.ndarray
    weights: np.ndarray
    overlaps: np.ndarray
    profiles: tuple[Profile, ...]
    log_rates: np.ndarray
    halves: np.ndarray
    kinetic: np.ndarray

    @property
    def centroid(self) -> Profile:
        """The profile of the centroid."""
        return self.profiles[0]


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
        tables["truth"] = TRUTH.frame(_truth(_classical(found), truth))
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


def sampled(
    settings: Reaction, of: Set, coordinates: np.ndarray, roots: np.ndarray, kinetic: np.ndarray
) -> Sampled:  # fmt: skip
    """Return profiles and rates of one set from coordinates (M, R, K, n, 1 + P) and roots (M, R, K, n)."""
    n_members, n_passes, n_windows, n_samples = coordinates.shape[:4]
    edges = edges_of(settings)
    kinds = (CENTROID, DENSITY)
    values = np.empty((len(kinds), n_members, n_passes, len(edges) - 1))
    halves = np.empty((2, n_members, n_passes, len(edges) - 1))
    overlaps = np.empty((n_members, n_passes, n_windows - 1))
    weighted = np.empty((n_members, n_passes, n_windows * n_samples))
    for k in range(n_members):
        for r in range(n_passes):
            own = coordinates[k, r].astype(float)
            weighted[k, r], overlaps[k, r] = weights_of(settings, own[..., 0])
            for place, series in enumerate((own[..., :1], own[..., 1:])):
                flat = series.reshape(n_windows * n_samples, -1)
                values[place, k, r] = profile(flat, weighted[k, r], edges, settings.temperature_K)
            for place, part in enumerate(np.array_split(own[..., 0], 2, axis=1)):
                halves[place, k, r] = profile(
                    part.reshape(-1, 1), weights_of(settings, part)[0], edges, settings.temperature_K
                )
    check_overlap(settings, overlaps.mean(axis=(0, 1)), of.n_beads)
    profiles = tuple(_placed(of, kind, edges, own) for kind, own in zip(kinds, values, strict=True))
    centroid = profiles[0]
    drift = np.full((n_members, n_passes), np.nan)
    if np.isfinite(halves := halves[..., sampled_bins(values[0], edges, of.n_beads)]).all():
        first, second = (_smoothed(own, settings.bin_A) for own in halves)
        apart = first - second
        drift = apart[..., centroid.top] - apart[..., centroid.basin]
    rates = np.array([
        [
            log_rate(
                coordinates[k, r, ..., 0].ravel(), weighted[k, r], roots[k, r].ravel(), centroid, k, r,
                settings )
            for r in range(n_passes)
        ]
        for k in range(n_members)
    ])  # fmt: skip
    return Sampled(of, coordinates, weighted, overlaps, profiles, rates, drift, kinetic)


def weights_of(settings: Reaction, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unbiased weights (K n,) of centroids (K, n), by MBAR, and the windows' overlaps (K − 1,)."""
    n_windows, n_samples = coordinates.shape
    counts = np.full(n_windows, n_samples)
    energies = reduced(coordinates.ravel(), settings)
    free = mbar(energies, counts)
    return unbiased(energies, counts, free), overlap(energies, counts, free)


def edges_of(settings: Reaction) -> np.ndarray:
    """Return the edges (B + 1,) of the profiles' bins, from the first window to the last."""
    n_bins = round((settings.last_A - settings.first_A) / settings.bin_A)
    return np.linspace(settings.first_A, settings.last_A, n_bins + 1)


def profile(
    coordinates: np.ndarray, weights: np.ndarray, edges: np.ndarray, temperature_K: float
) -> np.ndarray:  # fmt: skip
    """Return −kT ln ρ (B,), meV, of samples (n, P) with weights (n,); infinite in bins without a sample.

    ρ is the density per Å of all, also of those outside of the bins.
    """
    repeated = np.broadcast_to(weights[:, None] / coordinates.shape[1], coordinates.shape)
    found, _ = np.histogram(coordinates, edges, weights=repeated)
    with np.errstate(divide="ignore"):
        return np.asarray(-kB * temperature_K * np.log(found / np.diff(edges)) / meV)


def _smoothed(values: np.ndarray, bin_A: float) -> np.ndarray:
    width = int(SMOOTH_A / bin_A) // 2 * 2 + 1
    width = min(max(width, 5), (values.shape[-1] - 1) // 2 * 2 + 1)
    return np.asarray(savgol_filter(values, width, 3, axis=-1))


def _placed(of: Set, kind: str, edges: np.ndarray, values: np.ndarray) -> Profile:
    """Return a profile with its left minimum and its top, which are those of the mean over all passes."""
    kept = sampled_bins(values, edges, of.n_beads)
    smooth = _smoothed(values[..., kept], edges[1] - edges[0])
    basin, top = basin_and_top(smooth.mean(axis=(0, 1)))
    return Profile(of, kind, 0.5 * (edges[1:] + edges[:-1])[kept], values[..., kept], smooth, basin, top)


def log_rate(
    coordinates: np.ndarray, weights: np.ndarray, roots: np.ndarray, centroid: Profile, k: int, r: int,
    settings: Reaction,
) -> float:  # fmt: skip
    """Return ln of the rate, 1/ps, of one pass, of centroids (n,) with weights and roots (n,).

    k = √(kT/2π) ⟨√(Σ|∇ξ|²/m)⟩ ρ(ξ‡)/∫_{ξ<ξ‡} ρ dξ; ρ(ξ‡) is that of the fitted profile.
    """
    thermal = kB * settings.temperature_K
    dividing = centroid.places_A[centroid.top]
    near = np.abs(coordinates - dividing) <= SMOOTH_A / 2
    root = np.average(roots[near], weights=weights[near])
    density = np.exp(-centroid.smooth[k, r, centroid.top] * meV / thermal)
    reactant = weights[coordinates < dividing].sum()
    rate = np.sqrt(thermal / (2 * np.pi)) * root * density / reactant
    return float(np.log(rate * 1e3 * fs))


def check_overlap(settings: Reaction, overlaps: np.ndarray, n_beads: int) -> None:
    """Raise UserError for windows (K,) that share nothing with the next: overlaps (K − 1,)."""
    check_connected(overlaps, lambda k: f"at {_between(settings, k)}", nuclei_of(n_beads), MORE)


def _between(settings: Reaction, place: int) -> str:
    """Return which two windows a place among the overlaps is between."""
    one, other = centres_of(settings)[place : place + 2]
    return f"{one:.3g} and {other:.3g} Å"


def sampled_bins(values: np.ndarray, edges: np.ndarray, n_beads: int) -> slice:
    """Return the bins that every pass has samples in, of profiles (…, B): those at either end may lack them.

    Raises UserError for a bin without samples between others, and for fewer than ten with them.
    """
    known = np.isfinite(values).reshape(-1, values.shape[-1]).all(axis=0)
    places = np.flatnonzero(known)
    first, last = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(known))
    if last - first < FEWEST_BINS or not known[first:last].all():
        gap = first + int((~known[first:last]).argmax())
        raise UserError(
            f"no sample of a pass from {edges[gap]:.3g} to {edges[gap + 1]:.3g} Å ({nuclei_of(n_beads)}); "
            "sample longer (duration_fs), or take wider bins (bin_A)"
        )
    return slice(first, last)


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


@dataclass(frozen=True)
class Truth:
    """What the level adds to the classical profile (M, R, B), meV, from the potential's left minimum on.

    n_effective: the least number of samples that the reweighted ones near a place between the minima are
    worth, of a pass, and place_A where. n_without: samples that have no energy at the level.
    """

    adds: np.ndarray
    n_effective: float
    place_A: float
    n_without: int


def truth_of(settings: Reaction, own: Sampled, added: np.ndarray) -> Truth:
    """Return what the level adds to the profile, of energies that it adds (M, R, K, n), eV.

    −kT ln ⟨exp(−ΔV/kT)⟩ over the samples within half of ``SMOOTH_A`` of a place, with their weights: the
    level's own profile where the potential's samples reach what the level would visit (Zwanzig, J. Chem.
    Phys. 22, 1420, 1954). Raises UserError where a place has no such sample.
    """
    thermal, profile = kB * settings.temperature_K, own.centroid
    adds, worth = np.empty(profile.values.shape), np.full(len(profile.places_A), np.inf)
    for k, r in np.ndindex(added.shape[:2]):
        coordinates = own.coordinates[k, r, ..., 0].astype(float)
        weights = own.weights[k, r]
        known = ~np.isnan(added[k, r]).ravel()
        places, weights = coordinates.ravel()[known], weights[known]
        factors = added[k, r].ravel()[known] / thermal
        near = np.abs(places - profile.places_A[:, None]) <= SMOOTH_A / 2
        if (empty := ~near.any(axis=1)).any():
            raise UserError(
                f"no sample for {settings.truth} near {profile.places_A[empty.argmax()]:.3g} Å; evaluate it "
                "on more of them (n_truth_samples)"
            )
        shift = factors.min()
        ratios = weights * np.exp(shift - factors)
        adds[k, r] = thermal / meV * (shift - np.log((near @ ratios) / (near @ weights)))
        part = (near @ ratios) ** 2 / (near @ ratios**2) * (near @ weights**2) / (near @ weights) ** 2
        worth = np.minimum(worth, part * near.sum(axis=1))
    least = profile.basin + int(worth[profile.basin : profile.beyond + 1].argmin())
    place = float(profile.places_A[least])
    return Truth(adds - adds[..., [profile.basin]], float(worth[least]), place, int(np.isinf(added).sum()))


def _truth(own: Sampled, truth: Truth) -> list[tuple[Any, ...]]:
    """Return the rows of ``TRUTH``."""
    model = own.centroid.relative
    level, added = two_way(model + truth.adds), two_way(truth.adds)
    several = len(added.members) > 1
    largest = np.abs(added.members).max(axis=0) if several else np.full(model.shape[-1], np.nan)
    columns = (own.centroid.places_A, two_way(model).mean, level.mean, level.standard_error, added.mean,
               added.standard_error, largest)  # fmt: skip
    return list(zip(*columns, strict=True))


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
        gates.append(overlap_gate(told, overlaps, partial(_between, settings), OVERLAP_TOLD))
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
        gates.append(Gate.unmeasured("the potential's error", "known", MODEL_UNKNOWN))
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
