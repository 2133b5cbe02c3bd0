"""Passes through all windows: each window starts on the path, all run in one batch.

A pass is a function of (campaign seed, its number, the member); all members have the same starts. Where there
is a truth, some samples of classical nuclei are evaluated at its level too.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from frazil.campaigns import Check, Row, Runner
from frazil.errors import UserError
from frazil.experiments.at_rest import source_of
from frazil.experiments.constant_energy import See, frames_of
from frazil.experiments.passes import WholeParts, kinetic_eV, mean_of, outcome_of, runner_of
from frazil.experiments.reaction.results import analyse
from frazil.experiments.reaction.settings import NO_TRUTH, Reaction
from frazil.experiments.reaction.tables import ARRAYS
from frazil.experiments.reaction.tables import TRAJECTORIES as TABLE
from frazil.experiments.reaction.windows import (
    Samples,
    Subject,
    centres_of,
    potential_of,
    sets_of,
    starts_of,
    subject_of,
)
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.integrity import OUTCOMES
from frazil.md.rings import Centroids, RingEnergies, of_beads, start_of_ring
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.seeds import derived_seed, rng

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]

DAMPING_fs = 100.0
"""Of the centroids."""


def members(settings: Reaction) -> int:
    """Return how many members run every pass. Raises UserError without a potential."""
    if settings.model is None:
        raise UserError("no model; give the folder of a potential (reaction.model)")
    return source_of(settings.model).n_members


def runner(settings: Reaction, campaign_seed: int, see: See | None = None) -> Runner:
    """Return the runner of all passes and members; ids count (pass, member), the last fastest."""
    return runner_of(settings, campaign_seed, subject_of, _pass, see)


def _pass(
    subject: Subject, settings: Reaction, campaign_seed: int, identity: int, check: Check,
    seen: list[Atoms] | None,
) -> Row:  # fmt: skip
    """Return the row of a pass of one member, with all numbers of beads and isotopes."""
    number, member = divmod(identity, subject.source.n_members)
    sets, n_windows = sets_of(settings), settings.n_windows
    n_samples, most = round(settings.duration_fs / settings.observe_every_fs), max(settings.n_beads)
    coordinates = np.full((len(sets), n_windows, n_samples, 1 + most), np.nan, np.float32)
    roots = np.full((len(sets), n_windows, n_samples), np.nan, np.float32)
    kinetic = np.full((len(sets), n_windows, 2), np.nan)
    added = np.full((n_windows, n_samples), np.nan)
    outcomes: list[str] = []
    for n_beads in settings.n_beads:
        places = [place for place, own in enumerate(sets) if own.n_beads == n_beads]
        isotopes = [sets[place].isotope for place in places]
        for ended in _run(
            subject, settings, campaign_seed, number, member, n_beads, isotopes, check, seen is not None
        ):
            outcomes.append(OUTCOMES[ended.outcome])
            which, window = divmod(ended.trajectory_id % (len(isotopes) * n_windows), n_windows)
            if seen is not None:
                known = {
                    "trajectory_id": number, "member": member, "n_beads": n_beads,
                    "isotope": subject.called(isotopes[which]), "window": window,
                }  # fmt: skip
                seen += frames_of(subject.atoms, ended, settings.timestep_fs, "centroids", **known)
            if ended.outcome == Outcome.FINISHED:
                rows = {name: values[-n_samples:] for name, values in ended.rows.items()}
                coordinates[places[which], window, :, : 1 + n_beads] = rows["coordinates"]
                roots[places[which], window] = rows["root"]
                kinetic[places[which], window] = kinetic_eV(rows)
                if n_beads == 1 and settings.truth != NO_TRUTH:
                    added[window] = truth_adds(subject, settings, rows, check)
    left = np.abs(coordinates[..., 0] - centres_of(settings)[:, None])
    return {
        "trajectory_id": number, "member": member, **outcome_of(outcomes),
        "n_escaped": int((left > settings.escape_A).sum()),
        "n_samples": int(np.isfinite(left).sum()), "mean_coordinate_A": mean_of(coordinates[..., 0]),
        "coordinates_A": coordinates, "roots": roots,
        "kinetic_eV": kinetic, "truth_adds_eV": added,
    }  # fmt: skip


def _run(
    subject: Subject, settings: Reaction, campaign_seed: int, number: int, member: int, n_beads: int,
    isotopes: Sequence[str], check: Check, with_frames: bool = False,
) -> list[Trajectory]:  # fmt: skip
    """Run all windows of the isotopes in one batch, from the path; equilibration is part of the rows."""
    seed = derived_seed(campaign_seed, "reaction", n_beads)
    random = rng(seed, "reaction-start", number)
    centres = centres_of(settings)
    masses = [subject.masses_of(isotope) for isotope in isotopes]
    kinds = range(len(isotopes) * len(centres))
    begun = [
        start_of_ring(x, own, settings.temperature_K, n_beads, random)
        for own in masses
        for x in starts_of(subject, centres)
    ]
    one = member if subject.source.n_members > 1 else None
    every = round(settings.observe_every_fs / settings.timestep_fs)
    n_steps = round((settings.equilibration_fs + settings.duration_fs) / settings.timestep_fs)
    ensemble = Ensemble(
        potential_of(subject, settings, n_beads, len(isotopes), one),
        PILE(settings.timestep_fs, settings.temperature_K, DAMPING_fs, n_beads),
        np.stack([of_beads(own, n_beads) for own in masses for _ in centres]), n_steps, every, seed,
        observers=(
            Samples(subject.coordinate, n_beads, n_beads == 1 and settings.truth != NO_TRUTH),
            RingEnergies(settings.temperature_K, n_beads),
            *((Centroids(n_beads),) if with_frames else ()),
        ),
        stop=WholeParts.at_rest(subject.atoms, [np.arange(len(subject.atoms))], n_beads),
        width=len(kinds), chunk=25,
    )  # fmt: skip
    x, v = (np.stack([place[part] for place in begun]) for part in (0, 1))
    ended = ensemble.run(
        x, v,
        [number * len(kinds) + kind for kind in kinds], after_chunk=check, kinds=kinds,
    )  # fmt: skip
    return list(ended)


def truth_adds(subject: Subject, settings: Reaction, rows: Rows, check: Check) -> np.ndarray:
    """Return what the truth's energy adds to the potential's (n,), eV, of some samples; nan of the others.

    Infinite where the level has no energy: a place that it does not visit.
    """
    surface = members_of(load(settings.truth), subject.atoms).surface
    found = np.full(len(rows["potential_eV"]), np.nan)
    for place in np.linspace(0, len(found) - 1, settings.n_truth_samples).round().astype(int):
        energy, _ = surface(rows["positions_A"][place])
        found[place] = energy - rows["potential_eV"][place] if np.isfinite(energy) else np.inf
        check()
    return found
