"""Exploration: short runs of a committee that find the frames it does not know yet.

A potential that was never shown a close contact has holes there, which excited molecules find; between the
aggregates that it was shown it invents deeper minima, which ground-state runs find. Members of the committee
run in turn; where they disagree, and just before a hole, frames are taken to be labelled and
learned (query by committee; the measure is that of DP-GEN, Zhang et al., Comput. Phys. Commun. 253, 107206).
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ase
import numpy as np
import numpy.typing as npt

from frazil.campaigns import Row, Start, Watch
from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.photodesorption.engines import Engine, Model, start_of
from frazil.experiments.photodesorption.initial import make_initial_states
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.experiments.photodesorption.settings import ExplorationLimits
from frazil.experiments.photodesorption.tables import EXPLORATION
from frazil.files import write_json
from frazil.md.lammps import Observation
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.deepmd.model import DeepPotential, evaluate, model_file_of
from frazil.systems.co import bond_lengths, closest_contact, co_types, from_deepmd_types
from frazil.units import fs

FINISHED, UNPHYSICAL, DISSOCIATED, FAILED = "finished", "unphysical", "dissociated", "failed"
REASONS = (FINISHED, UNPHYSICAL, DISSOCIATED, FAILED)
"""Why an exploring trajectory ended."""

LONGEST_BOND_A = 3.0
FRAMES_BEFORE_HOLE = 3
APART_FS = 30.0
"""Frames of one trajectory that are closer in time count as near duplicates."""


@dataclass
class Visit:
    """One exploring trajectory: where it went, and why it ended."""

    trajectory_id: int
    member: int
    excited_molecule: int
    reason: str
    observations: list[Observation]
    contacts_A: npt.NDArray[np.float64]
    deviations_eV_per_A: npt.NDArray[np.float64]

    @property
    def name(self) -> str:
        """What identifies the trajectory within its round."""
        return f"{'ground' if self.excited_molecule < 0 else 'excited'}-{self.trajectory_id:06d}"

    def above_low(self, limits: ExplorationLimits) -> npt.NDArray[np.bool_]:
        """Return which frames the committee is unsure of: excited molecules have larger forces to err in."""
        ground = self.excited_molecule < 0
        low = limits.ground_deviation_low_eV_per_A if ground else limits.deviation_low_eV_per_A
        return self.deviations_eV_per_A >= low


def explore_round(
    models: Sequence[Path],
    snapshots: Path,
    bond_curves: Path,
    n_trajectories: int,
    n_ground: int,
    excitation_energy_eV: float,
    core_radius_A: float,
    campaign_seed: int,
    round_number: int,
    out: Path,
    **how: Any,
) -> str:
    """Run a committee from excited and ground states of this round's own; return a line about it.

    Args:
        models: model directories of the committee, at least two.
        snapshots: thermal starts; every round takes the next ones, in turns.
        bond_curves: curve of one molecule, which the excitation follows.
        n_trajectories: trajectories with an excited molecule.
        n_ground: trajectories without one.
        excitation_energy_eV: internal energy of the excited molecule.
        core_radius_A: it is one whose centre is this close to the aggregate's.
        campaign_seed: of the whole run.
        round_number: of the exploration.
        out: directory for the states and what ``explore`` writes.
        **how: the rest of ``explore``'s arguments.

    Raises:
        UserError: as ``explore`` and ``make_initial_states`` do.
    """
    states = []
    for kind, n in (("energy", n_trajectories), ("none", n_ground)):
        states.append(out / ("ground.h5" if kind == "none" else "excited.h5"))
        make_initial_states(
            [snapshots], n, (round_number - 1) * n, kind, excitation_energy_eV, 0, bond_curves,
            core_radius_A, campaign_seed, states[-1], in_turns=True,
        )  # fmt: skip
    summary = explore(models, states, round_number=round_number, out=out, **how)
    return (
        f"round {round_number}: {summary['n_finished']} of {summary['n_trajectories']} trajectories ended; "
        f"uncertain are {summary['fraction_above_low']:.1%} of frames, {summary['n_candidates']} to label"
    )


def explore(
    models: Sequence[Path],
    states: Sequence[Path],
    duration_fs: float,
    timestep_fs: float,
    observe_fs: float,
    limits: ExplorationLimits,
    max_frames: int,
    round_number: int,
    out: Path,
    n_processes: int = 1,
    engine: str = "frazil",
    precision: str = "float32",
) -> dict[str, object]:
    """Run the committee from excited and ground states, write the frames to label, and return the summary.

    Trajectory i runs under member i mod n. A round is clean when no trajectory visits an unphysical contact,
    breaks a bond or fails, and the part of frames with a deviation above the lower limit is below
    ``limits.clean_fraction``.

    Args:
        models: model directories of the committee, at least two.
        states: files ``initial_states.h5``, excited or not.
        duration_fs: length of a trajectory, fs.
        timestep_fs: time step, fs.
        observe_fs: time between two frames, fs.
        limits: what is labelled and what ends a trajectory.
        max_frames: most frames to label.
        round_number: of the exploration, part of the frames' trajectory ids.
        out: directory for ``candidates.extxyz``, ``exploration.csv`` and ``summary.json``.
        n_processes: processes that run at a time; no number depends on it.
        engine: what runs them, and with numbers of which ``precision`` (``engines.Engine``).

    Raises:
        UserError: fewer than two models, unlike models, times that are not positive, broken states.
    """
    if len(models) < 2:
        raise UserError(f"a committee of {len(models)} cannot disagree; give at least two models")
    if max_frames < 1 or n_processes < 1:
        raise UserError(
            f"max_frames is {max_frames}, n_processes {n_processes}; allowed are whole numbers from 1"
        )
    steps_between = _steps(observe_fs, timestep_fs, "observe_fs")
    n_steps = _steps(duration_fs, timestep_fs, "duration_fs")
    files = [model_file_of(model) for model in models]
    if len({tuple(DeepPotential(file).type_map) for file in files}) > 1:
        raise UserError("the models of a committee have different type maps; train them with equal settings")
    starts = [
        (some, index) for some in map(read_initial_states, states) for index in range(len(some.trajectory_id))
    ]
    if not starts:
        raise UserError("the files of initial states hold none; make some with excite.py")
    first = starts[0][0]
    how = Engine(
        engine, [Model(model) for model in models], first.molecules, first.reference_A, timestep_fs, n_steps,
        steps_between, precision,
    )  # fmt: skip
    explorer = Explorer(how, limits)
    # A process runs trajectories of one member, with and without an excited molecule.
    own = [[start for start in starts if explorer.member(*start) == member] for member in range(len(files))]
    share = -(-n_processes // len(files))
    parts = [some[first::share] for some in own for first in range(share) if some[first::share]]
    paths = []
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        for found in progress(pool.map(explorer.visits, parts), len(parts), "exploring, parts of members"):
            paths += found
    paths.sort(key=lambda path: path.name)
    chosen_frames = choose(paths, limits, max_frames)
    return _write(out, paths, chosen_frames, limits, round_number)


def force_deviation(forces: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return max_i √⟨|f_i − ⟨f_i⟩|²⟩ (frames,), eV/Å, of forces (members, frames, atoms, 3)."""
    spread = forces - forces.mean(axis=0)
    largest: npt.NDArray[np.float64] = np.sqrt((spread**2).sum(axis=-1).mean(axis=0)).max(axis=-1)
    return largest


def choose(paths: Sequence[Visit], limits: ExplorationLimits, max_frames: int) -> dict[str, list[int]]:
    """Return, for each trajectory's name, the frames to label, spread over trajectories and time.

    Candidates come before the first frame whose deviation exceeds the higher limit (what follows is broken)
    and have no contact below the shortest one; they exceed the lower limit, or are the last such frames
    before the trajectory broke. Frames nearer in time than ``APART_FS`` are thinned, the last ones are not.
    """
    candidates: dict[str, list[int]] = {}
    for path in paths:
        times = np.array([o.time_fs for o in path.observations])
        usable = path.contacts_A >= limits.shortest_contact_A
        broken = path.deviations_eV_per_A > limits.deviation_high_eV_per_A
        end = int(broken.argmax()) if broken.any() else len(times)
        before_end = np.flatnonzero(usable[:end])
        last = before_end[-FRAMES_BEFORE_HOLE:] if path.reason != FINISHED or broken.any() else before_end[:0]
        unsure = before_end[path.above_low(limits)[before_end]]
        kept = [int(index) for index in last]
        for index in unsure:
            if all(abs(times[index] - times[other]) >= APART_FS for other in kept):
                kept.append(int(index))
        candidates[path.name] = sorted(kept)
    return _share(candidates, max_frames)


def _share(candidates: dict[str, list[int]], max_frames: int) -> dict[str, list[int]]:
    """Give every trajectory an equal part of ``max_frames`` (unused parts go to others), spread in time."""
    quota = dict.fromkeys(candidates, 0)
    left = max_frames
    while left > 0 and (open_ := [i for i in candidates if quota[i] < len(candidates[i])]):
        for name in open_[:left]:
            quota[name] += 1
        left -= min(left, len(open_))
    spread = {}
    for name, frames in candidates.items():
        places = np.linspace(len(frames) - 1, 0, quota[name]).round().astype(int)  # the last comes first
        spread[name] = sorted(frames[place] for place in places)
    return spread


def verdict(positions_A: npt.NDArray[np.float64], limits: ExplorationLimits) -> str:
    """Return whether positions (natoms, 3) end a trajectory, and why: one of ``REASONS``."""
    if not np.isfinite(positions_A).all():
        return FAILED
    if closest_contact(positions_A) < limits.unphysical_contact_A:
        return UNPHYSICAL
    if bond_lengths(positions_A).max() > LONGEST_BOND_A:
        return DISSOCIATED
    return FINISHED


Origin = tuple[InitialStates, int]
"""A start: which states, and its place among them."""


@dataclass(frozen=True)
class Explorer:
    """Runs trajectories under their members, and measures how far the committee disagrees along them."""

    engine: Engine
    limits: ExplorationLimits

    def member(self, states: InitialStates, index: int) -> int:
        """Return which member runs a start."""
        return int(states.trajectory_id[index]) % len(self.engine.models)

    def visits(self, origins: Sequence[Origin]) -> list[Visit]:
        """Run starts, any way together, and return their visits in that order."""

        def start(number: int) -> Start:
            return start_of(*origins[number], self.member(*origins[number]))

        def watch(start: Start) -> Watch:
            def last_needed(rows: Rows) -> int:
                over = (verdict(positions, self.limits) != FINISHED for positions in rows["positions"])
                return next((number for number, ended in enumerate(over) if ended), -1)

            return last_needed

        def row(start: Start, ended: Trajectory) -> Row:
            return {"ended": ended}

        runner = self.engine.runner(start, row, watch)
        ended = {number: row["ended"] for number, row in runner(range(len(origins)), lambda: None)}
        return [self._visit(*origin, ended[number]) for number, origin in enumerate(origins)]

    def _visit(self, states: InitialStates, index: int, ended: Trajectory) -> Visit:
        excited = int(states.excited_molecule[index])
        observations = list(self.engine.moments(ended.rows)) if ended.rows else []
        n_atoms = len(self.engine.molecules.numbers)
        visited = np.array([o.positions_A for o in observations]).reshape(-1, n_atoms, 3)
        reason = verdict(visited[-1], self.limits) if len(visited) else FAILED
        if ended.outcome in (Outcome.GIVEN_UP, Outcome.CROWDED, Outcome.NON_FINITE):
            reason = FAILED
        contacts = np.atleast_1d(closest_contact(visited))
        frames = [_atoms(excited, observation) for observation in observations]
        forces = [evaluate(_potential(model_file_of(model.what)), frames)[1] for model in self.engine.models]
        spread = [force_deviation(np.array(one)[:, None])[0] for one in zip(*forces, strict=True)]
        return Visit(
            int(states.trajectory_id[index]), self.member(states, index), excited, reason, observations,
            contacts, np.array(spread),
        )  # fmt: skip


_potential = cache(DeepPotential)
"""A process keeps what it loaded until it ends."""


def _atoms(excited: int, observation: Observation) -> ase.Atoms:
    types = co_types(len(observation.positions_A) // 2, excited)
    return from_deepmd_types(types, observation.positions_A)


def _write(
    out: Path,
    paths: Sequence[Visit],
    chosen: dict[str, list[int]],
    limits: ExplorationLimits,
    round_number: int,
) -> dict[str, object]:
    source = f"explore-{round_number}"
    frames, rows = [], []
    for path in paths:
        for index in chosen[path.name]:
            observation = path.observations[index]
            atoms = _atoms(path.excited_molecule, observation)
            atoms.set_velocities(observation.velocities_A_per_fs / fs)
            atoms.info = {
                "trajectory_id": f"{source}-{path.name}", "time_fs": observation.time_fs,
                "source": source,
                "force_deviation_eV_per_A": float(path.deviations_eV_per_A[index]),
            }  # fmt: skip
            frames.append(atoms)
        deviations = path.deviations_eV_per_A
        rows.append({
            "round": round_number, "trajectory_id": path.trajectory_id,
            "excited": int(path.excited_molecule >= 0), "model_id": path.member,
            "end_fs": path.observations[-1].time_fs if path.observations else 0.0, "reason": path.reason,
            "closest_contact_A": path.contacts_A.min(initial=np.inf),
            "max_deviation_eV_per_A": deviations.max(initial=0.0),
            "median_deviation_eV_per_A": float(np.median(deviations)) if len(deviations) else np.nan,
            "n_frames": len(deviations),
            "n_above_low": int(path.above_low(limits).sum()),
            "n_chosen": len(chosen[path.name]),
        })  # fmt: skip
    table = EXPLORATION.frame(rows)
    n_frames = int(table["n_frames"].sum())
    reasons = table["reason"].value_counts()
    fraction = float(table["n_above_low"].sum()) / max(1, n_frames)
    summary: dict[str, object] = {
        "round": round_number, "n_trajectories": len(table),
        **{f"n_{name}": int(reasons.get(name, 0)) for name in REASONS},
        "n_frames": n_frames, "fraction_above_low": fraction, "clean_fraction": limits.clean_fraction,
        "n_candidates": len(frames),
        "clean": bool((table["reason"] == FINISHED).all() and fraction < limits.clean_fraction),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_frames(out / "candidates.extxyz", frames)
    EXPLORATION.write(table, out)
    write_json(out / "summary.json", summary)
    return summary


def _steps(time_fs: float, timestep_fs: float, name: str) -> int:
    if not (timestep_fs > 0 and time_fs >= timestep_fs):
        raise UserError(
            f"{name} is {time_fs:g}, timestep_fs {timestep_fs:g}; allowed is 0 < timestep <= {name}"
        )
    return round(time_fs / timestep_fs)
