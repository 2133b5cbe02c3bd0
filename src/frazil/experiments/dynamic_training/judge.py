"""How models of one seed do from starts on held-out trajectories: errors along the way, drift, long runs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frazil.data.trajectories import LabelledTrajectory
from frazil.experiments.dynamic_training.arms import MODELS
from frazil.experiments.dynamic_training.settings import Judgement
from frazil.experiments.dynamic_training.truth import read
from frazil.learning.along import Along, Potentials, choose_starts, run_along
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.md.trajectory import Trajectory
from frazil.potentials.registry import load
from frazil.seeds import rng
from frazil.tables import SIX_DIGITS, Table

ROLLOUTS = Table(
    "rollouts",
    """
    *arm:str model:str *seed:int stage:int *subsequence_length:int mepa_60? mepa_300? force_mae_eV_per_A
    energy_mae_meV_per_atom steps:int cpu_s time_to_tenth_A_fs drift_meV_per_atom_per_ps? n_broken:int
    n_long:int n_holes:int distance_overlap?
    """,
    digits=SIX_DIGITS,
)
STARTS = Table(
    "starts",
    """
    *arm:str *subsequence_length:int *seed:int *start:int trajectory_id:int frame:int mepa_60? mepa_300?
    force_mae_eV_per_A time_to_tenth_A_fs
    """,
    digits=SIX_DIGITS,
)
ALONG = Table(
    "along",
    "*arm:str *subsequence_length:int *seed:int *frame:int force_error_eV_per_A? deviation_A?",
    digits=SIX_DIGITS,
)
LONG_RUNS = Table(
    "long_trajectories",
    """
    *arm:str *subsequence_length:int *seed:int *run:int trajectory_id:int frame:int hole:bool ended_fs
    lowest_eV? closest_A?
    """,
)
CHAOS, FLOOR = "truth", 0
"""Arm and S of the truth beside itself from starts a little off."""
MODEL_IDS = ("arm", "subsequence_length", "seed")
APART_A = 1e-4
DEVIATION_A = 0.1
SHORT, LONG = 60, 300
"""Frames that MEPA is quoted for."""
HOLE_meV_per_atom = 200.0
"""An energy so far below all labels' is a hole of the model."""
CLOSEST = 0.8
"""Distances below this part of the labels' shortest are one, too."""
EVERY = 20
"""Steps between two looks at a long run."""
BINS_A = np.linspace(0.5, 12.0, 231)


@dataclass(frozen=True)
class Held:
    """What models are judged on: held-out trajectories, the starts of test runs (trajectory, frame) on them,
    and the same moved a little.
    """

    trajectories: list[LabelledTrajectory]
    starts: list[tuple[int, int]]
    moved: list[LabelledTrajectory]

    @classmethod
    def of(cls, trajectories: Path, campaign_seed: int, judgement: Judgement) -> "Held":
        """Return it, of a folder of ``truth.prepare``. Raises UserError for trajectories too short."""
        held = read(trajectories, "test")
        random = rng(campaign_seed, "dynamic-test")
        starts = choose_starts(held, judgement.test_frames, judgement.n_test_starts, random)
        moved = [_moved(own, rng(campaign_seed, "dynamic-chaos", i)) for i, own in enumerate(held)]
        return cls(held, starts, moved)

    def row(self, along: Along, number: int) -> dict[str, Any]:
        """Return what ``STARTS`` says of one start."""
        place, frame = self.starts[number]
        mepa = {n: along.force_errors[number, :n].mean() for n in (SHORT, LONG)}
        first = along.frames_to(DEVIATION_A)[number] * self.trajectories[0].timestep_fs
        return {
            "start": number, "trajectory_id": place, "frame": frame, "mepa_60": _finite(mepa[SHORT]),
            "mepa_300": _finite(mepa[LONG]), "force_mae_eV_per_A": along.plain_errors[number, 0],
            "time_to_tenth_A_fs": first,
        }  # fmt: skip


def judge(trajectories: Path, trained: Path, campaign_seed: int, judgement: Judgement, out: Path) -> None:
    """Write rollouts.csv, starts.csv, long_trajectories.csv and along.csv of one seed's models, and of the
    truth where it is known.

    Raises UserError for held-out trajectories that are shorter than a test run.
    """
    known = read(trajectories)
    models = MODELS.read(trained)
    n_frames = judgement.test_frames
    tested = Held.of(trajectories, campaign_seed, judgement)
    held, starts = tested.trajectories, tested.starts
    rows: list[dict[str, Any]] = []
    by_start: list[dict[str, Any]] = []
    by_long_run: list[dict[str, Any]] = []
    along_rows: list[dict[str, Any]] = []
    everywhere = [(place, int(first)) for place, own in enumerate(held) for first in own.starts(1)[::5]]

    def record(arm: str, length: int, seed: int, along: Along, plain: np.ndarray) -> dict[str, Any]:
        step_fs = held[0].timestep_fs
        ids = {"arm": arm, "subsequence_length": length, "seed": seed}
        by_start.extend({**ids, **tested.row(along, number)} for number in range(len(starts)))
        whole = np.isfinite(along.force_errors).all(axis=1)
        for frame in range(n_frames):
            errors, apart = along.force_errors[:, frame], along.deviations[:, frame]
            means = {"force_error_eV_per_A": _finite_mean(errors), "deviation_A": _finite_mean(apart)}
            along_rows.append({**ids, "frame": frame, **means})
        drift = np.abs(along.drift[whole]) / (n_frames * step_fs / 1000) / len(held[0].atoms)
        return {
            **ids, "mepa_60": _finite(along.mepa(SHORT)),
            "mepa_300": _finite(along.mepa(LONG)), "force_mae_eV_per_A": plain.mean(),
            "time_to_tenth_A_fs": (along.frames_to(DEVIATION_A) * step_fs).mean(),
            "n_broken": int((~whole).sum()),
            "drift_meV_per_atom_per_ps": 1000 * float(np.median(drift)) if len(drift) else np.nan,
        }  # fmt: skip

    for model in models.to_dict("records"):
        source = load(trained / str(model["model"]))

        def potentials(atoms: Any, source: Any = source) -> Any:
            return source.potential(atoms)

        found = record(
            str(model["arm"]), int(model["subsequence_length"]), int(model["seed"]),
            run_along(potentials, held, starts, n_frames),
            (plain := run_along(potentials, held, everywhere, 1)).plain_errors,
        )  # fmt: skip
        found |= {
            **{name: model[name] for name in ("model", "stage", "steps", "cpu_s")},
            "energy_mae_meV_per_atom": 1000 * plain.energy_errors.mean(),
        }  # fmt: skip
        long, runs = _long_runs(potentials, known, held, judgement)
        by_long_run += [{**{name: found[name] for name in MODEL_IDS}, **run} for run in runs]
        rows.append(found | long)
    truth = truth_of(trajectories)
    if truth is not None:
        along = run_along(load(truth).potential, tested.moved, starts, n_frames)
        record(CHAOS, FLOOR, int(models["seed"].iloc[0]), along, along.plain_errors[:, :1])
    ROLLOUTS.write(rows, out)
    STARTS.write(by_start, out)
    LONG_RUNS.write(by_long_run, out)
    ALONG.write(along_rows, out)


def truth_of(trajectories: Path) -> Any:
    """Return what ``load`` makes the known truth of, None where there is none."""
    return json.loads((trajectories / "summary.json").read_text())["truth"]


def _finite(value: float) -> float:
    """Return a number, nan where it is not finite: a run broke."""
    return float(value) if np.isfinite(value) else np.nan


def _finite_mean(values: np.ndarray) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else np.nan


def _moved(trajectory: LabelledTrajectory, random: np.random.Generator) -> LabelledTrajectory:
    """Return the same labels at positions that are a little off."""
    moved = APART_A * random.normal(size=trajectory.positions.shape)
    return replace(trajectory, positions=trajectory.positions + moved)


def long_runs(
    potentials: Potentials,
    held: Sequence[LabelledTrajectory],
    judgement: Judgement,
    only: int | None = None,
) -> Iterator[tuple[dict[str, Any], Trajectory]]:
    """Yield what ``LONG_RUNS`` says of each long run but for its hole, and the run; or of one alone.

    Runs start where held-out trajectories do.
    """
    first = held[0]
    places = [i for i, own in enumerate(held) if np.array_equal(own.atoms.numbers, first.atoms.numbers)]
    n_steps = int(judgement.long_fs / first.timestep_fs) // EVERY * EVERY
    if n_steps < EVERY:
        return
    chosen = [places[i % len(places)] for i in range(judgement.n_long)]
    frame = [(i // len(places)) * 7 % len(held[place]) for i, place in enumerate(chosen)]
    ensemble = Ensemble(
        potentials(first.atoms), VelocityVerlet(first.timestep_fs), first.atoms.get_masses(), n_steps, EVERY,
        observers=(energies, frames), frozen=None if first.mobile.all() else ~first.mobile, chunk=50,
        cell_A=first.atoms.cell.array if first.atoms.pbc.any() else None,
    )  # fmt: skip
    running = range(len(chosen)) if only is None else [only]
    for ran in ensemble.run(
        np.array([held[chosen[i]].positions[frame[i]] for i in running]),
        np.array([held[chosen[i]].velocities[frame[i]] for i in running]),
        list(running),
    ):
        number = ran.trajectory_id
        yield {
            "run": number, "trajectory_id": chosen[number], "frame": frame[number],
            "ended_fs": float(ran.rows["step"][-1] * first.timestep_fs),
            "lowest_eV": _finite(ran.rows["energy"].min()),
            "closest_A": _finite(_distances(ran.rows["positions"]).min()),
        }, ran  # fmt: skip


def _long_runs(
    potentials: Potentials,
    known: Sequence[LabelledTrajectory],
    held: Sequence[LabelledTrajectory],
    judgement: Judgement,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return how many long runs there are and fall into holes, and how their distances overlap the labels';
    and of each what ``LONG_RUNS`` says.

    A hole is an energy far below all labels, or atoms much nearer.
    """
    first = held[0]
    n_rows = int(judgement.long_fs / first.timestep_fs) // EVERY + 1
    same = [own for own in known if np.array_equal(own.atoms.numbers, first.atoms.numbers)]
    lowest = min(own.energies.min() for own in same) - 1e-3 * HOLE_meV_per_atom * len(first.atoms)
    labels = np.concatenate([_distances(own.positions[::10]) for own in same])
    shortest = CLOSEST * labels.min()
    rows, seen = [], []
    for row, ran in long_runs(potentials, held, judgement):
        apart = _distances(ran.rows["positions"])
        good = np.isfinite(ran.rows["energy"]).all() and len(ran.rows["energy"]) == n_rows
        hole = not good or ran.rows["energy"].min() < lowest or apart.min() < shortest
        rows.append(row | {"hole": int(hole)})
        if good:
            seen.append(apart[len(apart) // 2 :])
    overlap = _overlap(np.concatenate(seen), labels) if seen else np.nan
    n_holes = sum(row["hole"] for row in rows)
    return {"n_long": len(rows), "n_holes": n_holes, "distance_overlap": overlap}, rows


def _distances(positions: np.ndarray) -> np.ndarray:
    """Return the distances (T, pairs), Å, of all pairs of atoms."""
    i, j = np.triu_indices(positions.shape[1], 1)
    return np.asarray(np.linalg.norm(positions[:, i] - positions[:, j], axis=2))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the common part of two histograms of distances, 1 where they are the same."""
    shares = [np.histogram(np.clip(x, BINS_A[0], BINS_A[-1]), BINS_A)[0] / x.size for x in (first, second)]
    return float(np.minimum(*shares).sum())
