"""Passes through all windows: from the bound side or from the free one, every window sampled in one batch.

A pass first walks along the path, window after window, each for the equilibration from where the last one
ended; forward from the whole at rest, backward from its parts. Then all windows run at once, as kinds of
one batch. A pass is a function of (campaign seed, its number, the member); all members have the same starts.
"""

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from frazil.campaigns import Check, Row, Runner
from frazil.experiments.at_rest import source_of
from frazil.experiments.constant_energy import See, frames_of
from frazil.experiments.hydrogen_bond.results import analyse
from frazil.experiments.hydrogen_bond.settings import HydrogenBond
from frazil.experiments.hydrogen_bond.tables import ARRAYS, BACKWARD, FORWARD
from frazil.experiments.hydrogen_bond.tables import TRAJECTORIES as TABLE
from frazil.experiments.hydrogen_bond.windows import (
    Samples,
    Subject,
    Window,
    path_of,
    potential_of,
    subject_of,
    windows_of,
)
from frazil.experiments.passes import WholeParts, kinetic_eV, mean_of, outcome_of, runner_of
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.integrity import OUTCOMES
from frazil.md.observers import frames
from frazil.md.rings import Centroids, RingEnergies, of_beads, start_of_ring
from frazil.md.trajectory import Outcome, Trajectory
from frazil.seeds import derived_seed, rng

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]

DAMPING_fs = 100.0
"""Of the centroids."""
FIRST = 5
"""Equilibrations that the first window of a walk takes: there a cluster without the molecule closes its gap.
"""
MOST_WINDOWS = 400
DETACHED_A = 5.0
"""A part has come apart where atoms of it have no other so near, nor 1.5 times as near as at rest."""

Place = tuple[np.ndarray, np.ndarray]


def members(settings: HydrogenBond) -> int:
    """Return how many members run every pass."""
    assert settings.model is not None
    return source_of(settings.model).n_members


def direction_of(number: int) -> str:
    """Return the direction of a pass: even ones go forward."""
    return BACKWARD if number % 2 else FORWARD


def runner(settings: HydrogenBond, campaign_seed: int, see: See | None = None) -> Runner:
    """Return the runner of all passes and members; ids count (pass, member), the last fastest."""
    return runner_of(settings, campaign_seed, subject_of, _pass, see)


def _pass(
    subject: Subject, settings: HydrogenBond, campaign_seed: int, identity: int, check: Check,
    seen: list[Atoms] | None,
) -> Row:  # fmt: skip
    """Return the row of a pass of one member, with all numbers of beads."""
    number, member = divmod(identity, subject.source.n_members)
    sets = [windows_of(settings, subject.periodic, n_beads) for n_beads in settings.n_beads]
    longest, n_samples = max(map(len, sets)), round(settings.duration_fs / settings.observe_every_fs)
    samples = np.full((len(sets), longest, n_samples, 5), np.nan)
    kinetic = np.full((len(sets), longest, 2), np.nan)
    outcomes: list[str] = []
    for place, (n_beads, windows) in enumerate(zip(settings.n_beads, sets, strict=True)):
        seed = derived_seed(campaign_seed, "hydrogen-bond", n_beads)
        walk = _Walk(subject, settings, seed, number, member, n_beads, windows, check, seen is not None)
        for window, ended in enumerate(walk.windows(direction_of(number))):
            outcomes.append(OUTCOMES[ended.outcome])
            if ended.outcome == Outcome.FINISHED:
                rows = {name: values[1:] for name, values in ended.rows.items()}
                samples[place, window] = rows["samples"]
                kinetic[place, window] = kinetic_eV(rows)
            if seen is not None and "centroids" in ended.rows:
                known = {"trajectory_id": number, "member": member, "n_beads": n_beads, "window": window}
                seen += frames_of(subject.atoms, ended, settings.timestep_fs, "centroids", **known)
    bound = samples[:, 0, :, 2]  # the window without a restraint
    return {
        "trajectory_id": number, "member": member, "direction": direction_of(number),
        **outcome_of(outcomes),
        "n_escaped": int((bound > settings.escape_A).sum()),
        "n_bound": int(np.isfinite(bound).sum()), "mean_shift_A": mean_of(samples[..., 2]),
        "samples": samples, "kinetic_eV": kinetic,
    }  # fmt: skip


@dataclass
class _Walk:
    """One pass of one member at one number of beads, whose seed that is."""

    subject: Subject
    settings: HydrogenBond
    seed: int
    number: int
    member: int
    n_beads: int
    every: list[Window]
    check: Check
    with_frames: bool

    def windows(self, direction: str) -> list[Trajectory]:
        """Return every window's trajectory; of a walk that broke on its way, all are that."""
        path = path_of(self.settings, self.subject.periodic)
        order = range(len(path)) if direction == FORWARD else range(len(path) - 1, -1, -1)
        masses = self.subject.atoms.get_masses()
        random = rng(self.seed, "hydrogen-bond-start", self.number)
        now: Place = start_of_ring(
            self.subject.atoms.positions, masses, self.settings.temperature_K, self.n_beads, random
        )
        begun: dict[int, Place] = {}
        for window in order:
            times = 1 if begun else FIRST
            (ended,) = self._run({window: now}, times * self.settings.equilibration_fs, "walk")
            if ended.outcome != Outcome.FINISHED:
                return [ended] * len(self.every)
            begun[window] = now = _last(ended)
        # Windows of other masses begin where the one of the same couplings stands.
        others = {}
        for window in range(len(path), len(self.every)):
            own = self.every[window]
            same = path.index(replace(own, lightness=1.0))
            others[window] = begun[same][0], begun[same][1] * own.lightness
        for window, ended in zip(
            others, self._run(others, self.settings.equilibration_fs, "mass"), strict=True
        ):
            begun[window] = _last(ended)
        return self._run(dict(sorted(begun.items())), self.settings.duration_fs, "sample")

    def _run(self, begun: dict[int, Place], duration_fs: float, phase: str) -> list[Trajectory]:
        """Run windows from where they begin, in one batch; return their trajectories in that order."""
        if not begun:
            return []
        x, v = (np.stack([place[part] for place in begun.values()]) for part in (0, 1))
        phases = ("walk", "mass", "sample")
        first = (self.number * len(phases) + phases.index(phase)) * MOST_WINDOWS
        ended = self._ensemble(len(begun), duration_fs, phase).run(
            x, v, [first + window for window in begun], after_chunk=self.check, kinds=list(begun)
        )
        return sorted(ended, key=lambda trajectory: trajectory.trajectory_id)

    def _ensemble(self, width: int, duration_fs: float, phase: str) -> Ensemble:
        """Return what windows share: of a walk only the end is seen."""
        settings, subject, n_beads = self.settings, self.subject, self.n_beads
        one = self.member if subject.source.n_members > 1 else None
        masses = [subject.atoms.get_masses() / window.lightness**2 for window in self.every]
        n_steps = round(duration_fs / settings.timestep_fs)
        observers = (
            (
                Samples.of(subject, n_beads),
                RingEnergies(settings.temperature_K, n_beads),
                *((Centroids(n_beads),) if self.with_frames else ()),
            )
            if phase == "sample"
            else (frames,)
        )
        whole = WholeParts.at_rest(subject.atoms, (subject.molecule, subject.rest), n_beads, DETACHED_A)
        potential = potential_of(subject, settings, self.every, n_beads, one)
        in_cell = subject.periodic and potential.cutoff_A is not None
        return Ensemble(
            potential,
            PILE(settings.timestep_fs, settings.temperature_K, DAMPING_fs, n_beads),
            np.stack([of_beads(own, n_beads) for own in masses]), n_steps,
            round(settings.observe_every_fs / settings.timestep_fs) if phase == "sample" else n_steps,
            self.seed, observers=observers, stop=whole, width=width, chunk=25,
            cell_A=subject.atoms.cell.array if in_cell else None,
        )  # fmt: skip


def _last(ended: Trajectory) -> Place:
    return ended.rows["positions"][-1], ended.rows["velocities"][-1]
