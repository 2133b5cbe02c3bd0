"""Passes through all windows: each window starts on the path, all run in one batch.

A pass is a function of (campaign seed, its number, the member); all members have the same starts. Where there
is a truth it is one more member, after the others, of classical nuclei and seeds of its own.
"""

from collections.abc import Sequence

import numpy as np

from frazil.campaigns import Check, Row, Runner
from frazil.experiments.at_rest import source_of
from frazil.experiments.passes import WholeParts, ended_as, kinetic_eV, runner_of
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
from frazil.md.rings import RingEnergies, of_beads, start_of_ring
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.registry import load
from frazil.seeds import derived_seed, rng

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]

DAMPING_fs = 100.0
"""Of the centroids."""


def members(settings: Reaction) -> int:
    """Return how many run every pass: the members, and the truth where there is one."""
    assert settings.model is not None
    return source_of(settings.model).n_members + (settings.truth != NO_TRUTH)


def runner(settings: Reaction, campaign_seed: int) -> Runner:
    """Return the runner of all passes and members; ids count (pass, member), the last fastest."""
    return runner_of(settings, campaign_seed, subject_of, _pass)


def _pass(subject: Subject, settings: Reaction, campaign_seed: int, identity: int, check: Check) -> Row:
    """Return the row of a pass of one member, with all numbers of beads and isotopes."""
    number, member = divmod(identity, members(settings))
    is_truth = member == subject.source.n_members
    sets, n_windows = sets_of(settings), settings.n_windows
    n_samples, most = round(settings.duration_fs / settings.observe_every_fs), max(settings.n_beads)
    coordinates = np.full((len(sets), n_windows, n_samples, 1 + most), np.nan, np.float32)
    roots = np.full((len(sets), n_windows, n_samples), np.nan, np.float32)
    kinetic = np.full((len(sets), n_windows, 2), np.nan)
    outcomes: list[str] = []
    for n_beads in settings.n_beads:
        if is_truth and n_beads > 1:
            continue
        places = [place for place, own in enumerate(sets) if own.n_beads == n_beads]
        isotopes = [sets[place].isotope for place in places]
        for ended in _run(subject, settings, campaign_seed, number, member, n_beads, isotopes, check):
            outcomes.append(OUTCOMES[ended.outcome])
            if ended.outcome == Outcome.FINISHED:
                which, window = divmod(ended.trajectory_id % (len(isotopes) * n_windows), n_windows)
                rows = {name: values[-n_samples:] for name, values in ended.rows.items()}
                coordinates[places[which], window, :, : 1 + n_beads] = rows["coordinates"]
                roots[places[which], window] = rows["root"]
                kinetic[places[which], window] = kinetic_eV(rows)
    left = np.abs(coordinates[..., 0] - centres_of(settings)[:, None])
    return {
        "trajectory_id": number, "member": member, **ended_as(outcomes),
        "n_escaped": int((left > settings.escape_A).sum()),
        "n_samples": int(np.isfinite(left).sum()), "coordinates_A": coordinates, "roots": roots,
        "kinetic_eV": kinetic,
    }  # fmt: skip


def _run(
    subject: Subject, settings: Reaction, campaign_seed: int, number: int, member: int, n_beads: int,
    isotopes: Sequence[str], check: Check,
) -> list[Trajectory]:  # fmt: skip
    """Run all windows of the isotopes in one batch, from the path; equilibration is part of the rows."""
    is_truth = member == subject.source.n_members
    source = load(settings.truth) if is_truth else subject.source
    seed = derived_seed(campaign_seed, "reaction-truth" if is_truth else "reaction", n_beads)
    random = rng(seed, "reaction-start", number)
    centres = centres_of(settings)
    masses = [subject.masses_of(isotope) for isotope in isotopes]
    kinds = range(len(isotopes) * len(centres))
    begun = [
        start_of_ring(x, own, settings.temperature_K, n_beads, random)
        for own in masses
        for x in starts_of(subject, centres)
    ]
    every = round(settings.observe_every_fs / settings.timestep_fs)
    n_steps = round((settings.equilibration_fs + settings.duration_fs) / settings.timestep_fs)
    ensemble = Ensemble(
        potential_of(subject, source, settings, n_beads, len(isotopes),
                     member if source.n_members > 1 else None),
        PILE(settings.timestep_fs, settings.temperature_K, DAMPING_fs, n_beads),
        np.stack([of_beads(own, n_beads) for own in masses for _ in centres]), n_steps, every, seed,
        observers=(Samples(subject.coordinate, n_beads), RingEnergies(settings.temperature_K, n_beads)),
        stop=WholeParts.at_rest(subject.atoms, [np.arange(len(subject.atoms))], n_beads),
        width=len(kinds), chunk=25,
    )  # fmt: skip
    x, v = (np.stack([place[part] for place in begun]) for part in (0, 1))
    ended = ensemble.run(
        x, v,
        [number * len(kinds) + kind for kind in kinds], after_chunk=check, kinds=kinds,
    )  # fmt: skip
    return list(ended)
