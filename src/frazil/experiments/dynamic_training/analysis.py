"""The arms of dynamic training side by side: paired differences with both errors, figures, the section."""

import json
import shutil
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.analysis.estimates import Estimate, estimate
from frazil.analysis.settings import ModelError
from frazil.analysis.statistics import Clustered, bootstrapped
from frazil.errors import UserError
from frazil.experiments.dynamic_training.arms import MODELS
from frazil.experiments.dynamic_training.judge import (
    ALONG,
    CHAOS,
    DEVIATION_A,
    LONG,
    LONG_RUNS,
    ROLLOUTS,
    SHORT,
    STARTS,
)
from frazil.experiments.dynamic_training.settings import ARMS
from frazil.experiments.dynamic_training.truth import TRAJECTORIES, copy_subset, read
from frazil.files import write_json
from frazil.potentials.neighbours import of_atoms
from frazil.report import section
from frazil.report.plot import BLACK, CYCLE, GREY, new, save
from frazil.report.section import Figure, Gate, Result, Section
from frazil.seeds import rng
from frazil.tables import SIX_DIGITS, Table

MEASURES = {
    "mepa_60": "MEPA over 60 frames (eV/Å)", "mepa_300": "MEPA over 300 frames (eV/Å)",
    "force_mae_eV_per_A": "error of single forces (eV/Å)", "time_to_tenth_A_fs": "time to 0.1 Å (fs)",
}  # fmt: skip
DIFFERENCES = Table(
    "differences",
    """
    *control:str *measure:str subsequence_length:int n_seeds:int n_starts:int control_value dynamic_value
    difference low_95 high_95 model_std? total_low_95? total_high_95?
    """,
    digits=SIX_DIGITS,
)
JACCARD = Table("jaccard", "*offset:int species:str *atom:int similarity", digits=SIX_DIGITS)
MODELS_FOLDER, HELD_OUT = "models", "held_out"
"""In the results: folders of models by seed, and the trajectories that were held out to test."""
OFFSETS = (1, 3, 5, 7, 9)
"""Frames between two neighbourhoods, as in the paper's Fig. 5."""
REFERENCE_CUTOFF_A = 5.0
RESAMPLES = 1000
SEEDS_TOLD = (
    "Arms are compared seed by seed; a seed that one arm lacks is left out of the difference.",
    "An arm whose epochs ran out before it reached that length lacks it: raise dynamic_training.n_epochs.",
)
TIMES_TOLD = (
    "½ where positions, velocities and forces of a frame are of one time; 0 or 1 where velocities are half a "
    "step off.",
    "Say dynamic_training.dataset_velocities shifted, or derived, or correct the time step.",
)
BROKEN_TOLD = (
    "A run that breaks has no error along its way: where many do, the means are of the good ones alone.",
    "Train longer, or on more frames; rollouts.csv says whose runs broke.",
)
REFERENCES = ["@zugec2025: dynamic training", "@vanhemert2015: the CO field"]


def analyse(
    trajectories: Path, judged: Path, trained: Sequence[Path], campaign_seed: int, error: ModelError,
    out: Path,
) -> None:  # fmt: skip
    """Write the tables of all seeds, differences.csv, jaccard.csv, figures and the section into ``out``, and
    what repeats a test run: the models of each folder ``trained``, and the trajectories that were held out.

    Raises UserError where a seed lacks an arm that another has.
    """
    rollouts = ROLLOUTS.read(judged)
    starts, along, long_runs = STARTS.read(judged), ALONG.read(judged), LONG_RUNS.read(judged)
    seeds = sorted(set(rollouts["seed"]))
    counts = rollouts.groupby(["arm", "subsequence_length"])["seed"].nunique().reset_index()
    short = counts[counts["seed"] < len(seeds)]
    lacking = [f"{row.arm} (S = {row.subsequence_length})" for row in short.itertuples()]
    arms = [arm for arm in ARMS if arm in set(rollouts["arm"])]
    for table, rows in ((ROLLOUTS, rollouts), (STARTS, starts), (ALONG, along), (LONG_RUNS, long_runs)):
        table.write(rows, out)
    for folder in trained:
        (seed,) = set(MODELS.read(folder)["seed"])
        shutil.copytree(folder, out / MODELS_FOLDER / f"seed_{seed}", dirs_exist_ok=True)
    copy_subset(trajectories, "test", out / HELD_OUT)
    TRAJECTORIES.write(data := TRAJECTORIES.read(trajectories), out)
    if "converged" not in arms:
        raise UserError(f"{judged}: no model of the arm converged; run train_dynamic.py again")
    chosen = _chosen(rollouts)
    differences = _differences(starts, chosen, arms, error.model_error_scale, campaign_seed)
    DIFFERENCES.write(differences, out)
    JACCARD.write(_jaccard(trajectories), out)
    floor = starts[starts["arm"] == CHAOS]
    rollouts_by = rollouts.groupby(["arm", "subsequence_length"])
    work = rollouts_by[["steps", "cpu_s", *(m for m in MEASURES)]].mean().reset_index()
    figures = [_by_length(work, floor, out), _along(along, chosen, out), _long(rollouts, chosen, out)]
    n_models = len(rollouts)
    gates = [
        Gate.equal("models that lack a seed", len(lacking), 0, ", ".join(lacking)).because(*SEEDS_TOLD),
        Gate.within(
            "frames move by v dt + c a dt²: mean c", float(data["half_step"].mean()), 0.4, 0.6,
            "the time of the velocities",
        ).because(*TIMES_TOLD),
        Gate.at_most(
            "test runs that broke, part of all", float(rollouts["n_broken"].sum()) / max(len(starts), 1), 0.05
        ).because(*BROKEN_TOLD),
    ]  # fmt: skip
    write_json(out / "counts.json", {"model": {"total": n_models}})
    Section(
        title="Dynamic training",
        headline=_headline(differences, len(seeds)),
        text=_text(rollouts, chosen, floor, seeds, trajectories),
        gates=gates,
        figures=figures,
        results=_results(differences),
        main_figure=figures[0].file,
        methods=(
            "Dynamic training: networks learned through velocity-Verlet subsequences of labelled "
            "trajectories; differences from training on single frames, with the same restarts of the "
            "learning rate and with the same number of evaluated frames, are paired by seed and start."
        ),
        tables=[
            section.Table(
                "differences.csv", "Dynamic training less each control, paired by seeds and starts."
            ),
            section.Table("rollouts.csv", "All models."),
        ],
        references=REFERENCES,
    ).write(out)


def _chosen(rollouts: pandas.DataFrame) -> dict[str, int]:
    """Return of each arm the S that stands for it: of dynamic training the longest of all seeds."""
    n_seeds = rollouts["seed"].nunique()
    counts = rollouts.groupby(["arm", "subsequence_length"])["seed"].nunique().reset_index()
    whole = counts[counts["seed"] == n_seeds]
    return {str(arm): int(own["subsequence_length"].max()) for arm, own in whole.groupby("arm")}


def _differences(
    starts: pandas.DataFrame, chosen: dict[str, int], arms: list[str], scale: float, campaign_seed: int
) -> list[dict[str, Any]]:
    """Return dynamic training less each control, for each measure, with both errors.

    The sampling is that of the held-out trajectories (resampled whole), the model's part that between seeds.
    """
    if "dynamic" not in chosen:
        return []
    keys = ["seed", "start"]

    def of(arm: str) -> pandas.DataFrame:
        rows = starts[(starts["arm"] == arm) & (starts["subsequence_length"] == chosen[arm])]
        return rows.set_index(keys).sort_index()

    found, dynamic = [], of("dynamic")
    for control in (arm for arm in arms if arm != "dynamic" and arm in chosen):
        other = of(control)
        for measure in MEASURES:
            beside = other[[measure]].rename(columns={measure: "control"})
            both = dynamic[["trajectory_id", measure]].join(beside).dropna()
            if not len(both):
                continue
            apart = (both[measure] - both["control"]).to_numpy(float)
            seeds = both.index.get_level_values("seed").to_numpy()
            value = _paired(apart, both["trajectory_id"].to_numpy(), seeds, scale, campaign_seed)
            found.append(
                {
                    "control": control, "measure": measure, "subsequence_length": chosen["dynamic"],
                    "n_seeds": len(set(seeds)), "n_starts": len(both),
                    "control_value": both["control"].mean(), "dynamic_value": both[measure].mean(),
                    **value.row("difference"),
                }
            )  # fmt: skip
    return found


def _paired(
    apart: np.ndarray, trajectories: np.ndarray, seeds: np.ndarray, scale: float, campaign_seed: int
) -> Estimate:
    """Return the mean of paired differences (n,) with its errors."""
    names = np.unique(seeds)
    random = rng(campaign_seed, "dynamic-differences")
    ids = np.unique(trajectories)

    def spread(values: np.ndarray, own: np.ndarray) -> np.ndarray:
        sample = [Clustered(values, own)]
        return bootstrapped(lambda x: float(x.mean()) if len(x) else np.nan, sample, ids, random, RESAMPLES)

    all_of = spread(apart, trajectories)
    low, high = np.nanquantile(all_of, [0.025, 0.975])
    members = [apart[seeds == name].mean() for name in names]
    # What differs between seeds at the same starts: sampling by starts is shared, and cancels among them.
    variances = [apart[seeds == name].var(ddof=1) / max((seeds == name).sum(), 1) for name in names]
    shared = float(np.nanvar(all_of))
    alone = [max(variance - shared, 0.0) for variance in variances]
    wide = scale * (float(np.std(members, ddof=1)) or 1e-12) if len(members) > 1 else np.nan
    return estimate(float(apart.mean()), (float(low), float(high)), members, alone, wide)


def _jaccard(trajectories: Path) -> list[dict[str, Any]]:
    """Return how alike each atom's neighbourhoods are some frames apart (eq. 15), in the labels."""
    known = [own for own in read(trajectories) if len(own) > max(OFFSETS)]
    known = [own for own in known if np.array_equal(own.atoms.numbers, known[0].atoms.numbers)][:8]
    sums = {offset: np.zeros(len(known[0].atoms)) for offset in OFFSETS}
    n = 0
    for own in known:
        for first, end in own.runs():
            for number in range(first, end - max(OFFSETS), max((end - first) // 10, 1)):
                frames = {offset: _sets(own.frame(number + offset)) for offset in (0, *OFFSETS)}
                for offset in OFFSETS:
                    sums[offset] += [
                        len(a & b) / len(a | b) if a | b else 1.0
                        for a, b in zip(frames[0], frames[offset], strict=True)
                    ]
                n += 1
    symbols = known[0].atoms.get_chemical_symbols()
    return [
        {"offset": offset, "atom": atom, "species": symbols[atom], "similarity": total[atom] / max(n, 1)}
        for offset, total in sums.items()
        for atom in range(len(symbols))
    ]


def _sets(atoms: Atoms) -> list[set[int]]:
    index = np.asarray(of_atoms(atoms, REFERENCE_CUTOFF_A).index)
    return [set(row[row < len(index)].tolist()) for row in index]


def _by_length(work: pandas.DataFrame, floor: pandas.DataFrame, out: Path) -> Figure:
    canvas, axes = new(1, 2, width_in=8.0)
    dynamic = pandas.concat([work[work["arm"] == "converged"], work[work["arm"] == "dynamic"]])
    for axis, measure in zip(axes[0], ("mepa_60", "mepa_300"), strict=True):
        axis.plot(dynamic["subsequence_length"], dynamic[measure], "o-", label="dynamic")
        for arm, colour in zip(("restarts", "same-work"), CYCLE[1:], strict=False):
            for value in work.loc[work["arm"] == arm, measure]:
                axis.axhline(value, color=colour, linestyle="--", label=f"S = 1, {arm}")
        if len(floor):
            axis.axhline(floor[measure].mean(), color=GREY, linestyle=":", label="chaos floor")
        axis.set_xlabel("subsequence length S")
        axis.set_ylabel(MEASURES[measure])
        axis.set_ylim(bottom=0)
    axes[0, 0].legend()
    caption = (
        "Mean error of forces along test runs by the length of the training's subsequences, mean over seeds."
    )
    return save(canvas, work, out, "mepa", caption)


def _along(along: pandas.DataFrame, chosen: dict[str, int], out: Path) -> Figure:
    canvas, axes = new(1, 2, width_in=8.0)
    kept = [along[(along["arm"] == arm) & (along["subsequence_length"] == s)] for arm, s in chosen.items()]
    kept.append(along[along["arm"] == CHAOS])
    table = pandas.concat(kept).groupby(["arm", "frame"])[["force_error_eV_per_A", "deviation_A"]].mean()
    table = table.reset_index()
    for (arm, rows), colour in zip(table.groupby("arm"), cycle(CYCLE)):
        colour = BLACK if arm == CHAOS else colour
        axes[0, 0].plot(rows["frame"], rows["force_error_eV_per_A"], color=colour, label=str(arm))
        axes[0, 1].semilogy(rows["frame"], rows["deviation_A"].clip(lower=1e-6), color=colour)
    axes[0, 1].axhline(DEVIATION_A, color=GREY, linestyle=":")
    axes[0, 0].set_ylabel("force error (eV/Å)")
    axes[0, 1].set_ylabel("largest deviation of an atom (Å)")
    for axis in axes[0]:
        axis.set_xlabel("frame")
    axes[0, 0].legend()
    caption = (
        "Errors along test runs; truth: the truth beside itself from starts 1e−4 Å off (the chaos floor)."
    )
    return save(canvas, table, out, "along_runs", caption)


def _long(rollouts: pandas.DataFrame, chosen: dict[str, int], out: Path) -> Figure:
    canvas, axes = new()
    rows = pandas.concat(
        [
            rollouts[(rollouts["arm"] == arm) & (rollouts["subsequence_length"] == s)]
            for arm, s in chosen.items()
        ]
    )
    for place, (arm, own) in enumerate(rows.groupby("arm")):
        axes[0, 0].plot(np.full(len(own), place), own["distance_overlap"], "o", label=str(arm))
    axes[0, 0].set_xticks(range(rows["arm"].nunique()), sorted(set(rows["arm"])))
    axes[0, 0].set_ylabel("overlap of distance histograms")
    columns = ["arm", "seed", "n_long", "n_holes", "distance_overlap"]
    caption = (
        "Long runs: common part of the histograms of interatomic distances with the labels'; a point a seed."
    )
    return save(canvas, rows[columns], out, "long_runs", caption)


def _results(differences: list[dict[str, Any]]) -> list[Result]:
    """Return the differences of long runs, that from the fairest control first."""
    found = []
    for control in ("same-work", "restarts", "converged"):
        for row in differences:
            if (row["control"], row["measure"]) == (control, f"mepa_{LONG}"):
                name = f"MEPA over {LONG} frames, dynamic training less S = 1 ({control})"
                found.append(
                    Result.of_row(name, "difference", row, "eV/Å", n=row["n_starts"], of="paired test runs")
                )
    return found


def _headline(differences: list[dict[str, Any]], n_seeds: int) -> str:
    rows = {(str(row["control"]), str(row["measure"])): row for row in differences}
    for control in ("same-work", "restarts", "converged"):
        row = rows.get((control, "mepa_300"))
        if row is not None:
            low, high = row["total_low_95"], row["total_high_95"]
            if low != low:
                low, high = row["low_95"], row["high_95"]
            verdict = "is better" if high < 0 else "is worse" if low > 0 else "is not told apart"
            part = 100 * float(row["difference"]) / float(row["control_value"])
            return (
                f"Dynamic training {verdict} from S = 1 ({control}) by the MEPA over {LONG} frames: "
                f"{part:+.1f} %, {row['difference']:+.4f} [{low:+.4f}, {high:+.4f}] eV/Å, {n_seeds} seeds."
            )
    return "Dynamic training alone: no control was trained, so nothing can be said of its use."


def _text(
    rollouts: pandas.DataFrame,
    chosen: dict[str, int],
    floor: pandas.DataFrame,
    seeds: list[int],
    trajectories: Path,
) -> list[str]:
    """Return what was compared, what came out, and how far it can be trusted."""
    truth = json.loads((trajectories / "summary.json").read_text())["truth"]
    costs, holes = [], []
    for arm, length in chosen.items():
        own = rollouts[(rollouts["arm"] == arm) & (rollouts["subsequence_length"] == length)]
        costs.append(f"{arm} {own['steps'].mean():.3g} frames, {own['cpu_s'].mean():.0f} CPU s")
        holes.append(f"{arm} {own['n_holes'].sum()} of {own['n_long'].sum()}")
    found = [
        f"The same network, optimizer and data, {len(seeds)} seeds; all arms of a seed share their first "
        "stage (S = 1 until converged). Restarts: S = 1 with as many resets of the learning rate as dynamic "
        "training. Same-work: more of them, until as many frames were evaluated. Each arm is judged by its "
        "model of the best validation error, the MEPA of whole trajectories that are held out, dynamic "
        f"training by its longest S = {chosen.get('dynamic', 1)}. Test trajectories are in neither.",
        f"Work, mean of the seeds: {'; '.join(costs)}. Long runs in holes (an energy 200 meV per atom below "
        f"all labels', atoms too near, not finite): {'; '.join(holes)}.",
    ]
    if len(floor):
        found.append(
            "Chaos floor, the truth beside itself from starts 1e−4 Å off: MEPA "
            f"{floor['mepa_60'].mean():.4f} over {SHORT} and {floor['mepa_300'].mean():.4f} eV/Å over {LONG} "
            "frames."
        )
    elif truth is None:
        found.append("The data's truth cannot be run, so there is no chaos floor.")
    return found
