"""How models of one seed do from starts on held-out trajectories: errors along the way, drift, long runs."""

import json
from collections.abc import Sequence
from dataclasses import replace
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
CHAOS, FLOOR = "truth", 0
"""Arm and S of the truth beside itself from starts a little off."""
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


def judge(trajectories: Path, trained: Path, campaign_seed: int, judgement: Judgement, out: Path) -> None:
    """Write rollouts.csv, starts.csv and along.csv of one seed's models, and of the truth where it is known.

    Raises UserError for held-out trajectories that are shorter than a test run.
    """
    known = read(trajectories)
    held = read(trajectories, "test")
    models = MODELS.read(trained)
    n_frames = judgement.test_frames
    random = rng(campaign_seed, "dynamic-test")
    starts = choose_starts(held, n_frames, judgement.n_test_starts, random)
    rows: list[dict[str, Any]] = []
    by_start: list[dict[str, Any]] = []
    along_rows: list[dict[str, Any]] = []
    everywhere = [(place, int(first)) for place, own in enumerate(held) for first in own.starts(1)[::5]]

    def record(arm: str, length: int, seed: int, along: Along, plain: np.ndarray) -> dict[str, Any]:
        step_fs = held[0].timestep_fs
        first = along.frames_to(DEVIATION_A) * step_fs
        mepa = {n: along.force_errors[:, :n].mean(axis=1) for n in (SHORT, LONG)}
        for number, (place, frame) in enumerate(starts):
            by_start.append(
                {
                    "arm": arm, "subsequence_length": length, "seed": seed, "start": number,
                    "trajectory_id": place, "frame": frame, "mepa_60": _finite(mepa[SHORT][number]),
                    "mepa_300": _finite(mepa[LONG][number]),
                    "force_mae_eV_per_A": along.plain_errors[number, 0], "time_to_tenth_A_fs": first[number],
                }
            )  # fmt: skip
        whole = np.isfinite(along.force_errors).all(axis=1)
        for frame in range(n_frames):
            along_rows.append(
                {
                    "arm": arm, "subsequence_length": length, "seed": seed, "frame": frame,
                    "force_error_eV_per_A": _finite_mean(along.force_errors[:, frame]),
                    "deviation_A": _finite_mean(along.deviations[:, frame]),
                }
            )  # fmt: skip
        drift = np.abs(along.drift[whole]) / (n_frames * step_fs / 1000) / len(held[0].atoms)
        return {
            "arm": arm, "subsequence_length": length, "seed": seed, "mepa_60": _finite(along.mepa(SHORT)),
            "mepa_300": _finite(along.mepa(LONG)), "force_mae_eV_per_A": plain.mean(),
            "time_to_tenth_A_fs": first.mean(), "n_broken": int((~whole).sum()),
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
        rows.append(found | _long_runs(potentials, known, held, judgement, random))
    truth = json.loads((trajectories / "summary.json").read_text())["truth"]
    if truth is not None:
        moved = [_moved(own, rng(campaign_seed, "dynamic-chaos", i)) for i, own in enumerate(held)]
        along = run_along(load(truth).potential, moved, starts, n_frames)
        record(CHAOS, FLOOR, int(models["seed"].iloc[0]), along, along.plain_errors[:, :1])
    ROLLOUTS.write(rows, out)
    STARTS.write(by_start, out)
    ALONG.write(along_rows, out)


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


def _long_runs(
    potentials: Potentials,
    known: Sequence[LabelledTrajectory],
    held: Sequence[LabelledTrajectory],
    judgement: Judgement,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Return how many long runs there are and fall into holes, and how their distances overlap the labels'.

    Runs start where held-out trajectories do. A hole is an energy far below all labels, or atoms much nearer.
    """
    first = held[0]
    alike = [own for own in held if np.array_equal(own.atoms.numbers, first.atoms.numbers)]
    n_steps = int(judgement.long_fs / first.timestep_fs) // EVERY * EVERY
    if n_steps < EVERY:
        return {"n_long": 0, "n_holes": 0, "distance_overlap": np.nan}
    chosen = [alike[i % len(alike)] for i in range(judgement.n_long)]
    frame = [(i // len(alike)) * 7 % len(own) for i, own in enumerate(chosen)]
    ensemble = Ensemble(
        potentials(first.atoms), VelocityVerlet(first.timestep_fs), first.atoms.get_masses(), n_steps, EVERY,
        observers=(energies, frames), frozen=None if first.mobile.all() else ~first.mobile, chunk=50,
        cell_A=first.atoms.cell.array if first.atoms.pbc.any() else None,
    )  # fmt: skip
    same = [own for own in known if np.array_equal(own.atoms.numbers, first.atoms.numbers)]
    lowest = min(own.energies.min() for own in same) - 1e-3 * HOLE_meV_per_atom * len(first.atoms)
    labels = np.concatenate([_distances(own.positions[::10]) for own in same])
    shortest = CLOSEST * labels.min()
    n_holes, seen = 0, []
    for ran in ensemble.run(
        np.array([own.positions[f] for own, f in zip(chosen, frame, strict=True)]),
        np.array([own.velocities[f] for own, f in zip(chosen, frame, strict=True)]),
    ):
        apart = _distances(ran.rows["positions"])
        good = np.isfinite(ran.rows["energy"]).all() and len(ran.rows["energy"]) == n_steps // EVERY + 1
        hole = not good or ran.rows["energy"].min() < lowest or apart.min() < shortest
        n_holes += int(hole)
        if good:
            seen.append(apart[len(apart) // 2 :])
    overlap = _overlap(np.concatenate(seen), labels) if seen else np.nan
    return {"n_long": len(chosen), "n_holes": n_holes, "distance_overlap": overlap}


def _distances(positions: np.ndarray) -> np.ndarray:
    """Return the distances (T, pairs), Å, of all pairs of atoms."""
    i, j = np.triu_indices(positions.shape[1], 1)
    return np.asarray(np.linalg.norm(positions[:, i] - positions[:, j], axis=2))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the common part of two histograms of distances, 1 where they are the same."""
    shares = [np.histogram(np.clip(x, BINS_A[0], BINS_A[-1]), BINS_A)[0] / x.size for x in (first, second)]
    return float(np.minimum(*shares).sum())
