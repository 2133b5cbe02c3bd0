#!/usr/bin/env python3
"""Trajectories per hour of the 50-CO ensemble: shards of this project against one `lmp` process each.

The usual way: a LAMMPS input and data file per trajectory, the uncompressed model, default threads, one
process after the other. This project: a single-threaded process per core, each with a shard of trajectories,
in the engine. Both run the same initial states, in turn, in one run of this script. The time of a whole
trajectory (5 ps of 0.1 fs) is its fixed cost plus 50,000 steps at the rate between two lengths that are
really run.

    python benchmarks/ensemble.py            # makes states and a model of the paper's size first (minutes)
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.units import fs

from frazil.experiments.photodesorption.initial_states import read_initial_states
from frazil.systems.co import from_deepmd_types, write_lammps_data

ROOT = Path(__file__).resolve().parent.parent
STEPS_OF_A_TRAJECTORY = 50_000
TIMESTEP_fs = 0.1
INPUT = """units metal
boundary s s s
atom_style atomic
read_data start.data
pair_style deepmd {model}
pair_coeff * * C O X1 X2
neighbor 2.0 bin
timestep 0.0001
thermo 100
dump positions all custom 100 trajectory.dump id type x y z vx vy vz
fix integrate all nve
run {steps}
"""


def script(name: str, *arguments: object) -> None:
    """Run an executable of bin/."""
    subprocess.run([sys.executable, ROOT / "bin" / name, *map(str, arguments)], check=True)


def prepare(folder: Path, n_states: int, n_training_steps: int) -> None:
    """Make initial states of 50 CO and a model of the paper's size, trained briefly: speed counts."""
    folder.mkdir(parents=True, exist_ok=True)
    frames, labelled, dataset = folder / "frames.extxyz", folder / "labelled.extxyz", folder / "dataset"
    common = ("--campaign-seed", 1, "--out")
    if not (folder / "initial_states.h5").exists():
        script(
            "sample_frames.py", "--n-molecules", 50, "--aggregate-radius-A", 8.2, "--n-aggregates", 1,
            "--n-thermal", 2,
            "--thermal-duration-fs", 1000, "--n-packings", 0, "--n-excited", 2, "--excited-duration-fs", 500,
            "--n-contacts", 20, "--n-compressed", 0, "--timestep-fs", 0.5,
            "--out-aggregates", folder / "aggregates.extxyz",
            "--out-snapshots", folder / "snapshots.extxyz", *common, frames,
        )  # fmt: skip
        script("label_frames.py", "--frames", frames, "--out", labelled)
        script("prepare_dataset.py", "--frames", labelled, "--split-by", "frame", *common, dataset)
        curves = folder / "label_curve.csv", folder / "label_curve-fine.csv"
        script("bond_curve.py", "--out", curves[0], "--out-fine", curves[1])
        script(
            "excite.py", "--snapshots", folder / "snapshots.extxyz", "--n-trajectories", n_states,
            "--excitation", "none", *common, folder / "initial_states.h5",
        )  # fmt: skip
    if not (folder / "model").exists():
        script(
            "train_deepmd.py", "--dataset", dataset, "--model-id", 0, "--n-steps", n_training_steps,
            "--compress", "true", "--checkpoints", folder / "checkpoints", *common, folder / "model",
        )  # fmt: skip
        script(
            "evaluate_model.py",
            "--model",
            folder / "model",
            "--dataset",
            dataset,
            "--bond-curve",
            folder / "label_curve-fine.csv",
            "--out",
            folder / "evaluation",
        )


def usual_way(folder: Path, state: int, steps: int) -> float:
    """Return the wall time, s, of one `lmp` process for one trajectory of so many steps."""
    states = read_initial_states(folder / "initial_states.h5")
    types = states.types(state)
    assert types is not None
    atoms = from_deepmd_types(types, states.positions_A[state])
    atoms.set_velocities(states.velocities_A_per_fs[state] / fs)
    work = folder / f"usual-{state}-{steps}"
    work.mkdir(exist_ok=True)
    write_lammps_data(work / "start.data", atoms)
    (work / "in.lammps").write_text(INPUT.format(model=folder.resolve() / "model/frozen.pb", steps=steps))
    defaults = {
        k: v for k, v in os.environ.items() if not k.startswith(("DP_", "TF_NUM")) and k != "OMP_NUM_THREADS"
    }
    start = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).parent / "lmp", "-in", "in.lammps"],
        cwd=work, env=defaults, check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - start


def this_project(folder: Path, shard: int, cores: int, steps: int) -> float:
    """Return the wall time, s, of `cores` shards side by side, each of `shard` trajectories.

    No rows of a run before are there to be taken for these.
    """
    shutil.rmtree(folder / "rows", ignore_errors=True)
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [
                sys.executable, ROOT / "bin/run_trajectories.py", "--engine", "frazil",
                "--model", folder / "model", "--states", folder / "initial_states.h5",
                "--bond-curves", folder / "evaluation/bond_curves.csv",
                "--first-id", str(core * shard), "--n-trajectories", str(shard),
                "--duration-fs", str(steps * TIMESTEP_fs), "--timestep-fs", str(TIMESTEP_fs),
                "--observe-fs", "10",
                "--unphysical-contact-A", "0.1", "--dissociation-A", "10",
                "--checkpoints", folder / "rows", "--out", folder / f"shard-{core}-{steps}",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
        for core in range(cores)
    ]  # fmt: skip
    for process in processes:
        if process.wait() != 0:
            raise SystemExit("a shard failed; run its command by hand to see why")
    spent_s = time.perf_counter() - start
    for core in range(cores):
        with (folder / f"shard-{core}-{steps}/trajectories.csv").open() as file:
            failed = sum(row["outcome"] == "failed" for row in csv.DictReader(file))
        if failed:
            raise SystemExit(
                f"{failed} of {shard} trajectories of {steps} steps failed, and ended early: give shorter "
                "--steps, or more --training-steps in another --folder"
            )
    return spent_s


def rate_of(steps: int, seconds: float) -> float:
    """Return steps/s; the program ends where the longer run took no longer."""
    if seconds <= 0:
        raise SystemExit(f"{steps} steps more took {seconds:.2f} s: give longer --steps, on a quiet machine")
    return steps / seconds


def main() -> None:
    """Prepare, measure both ways in turn, print and write the ratio."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", type=Path, default=Path("work/benchmark-ensemble"), help="where to work")
    p.add_argument("--cores", type=int, default=2, help="cores to use (default 2)")
    p.add_argument("--repeats", type=int, default=3, help="measurements of each way (default 3)")
    p.add_argument(
        "--steps", type=int, nargs=2, default=(200, 1200), help="the two lengths (default 200 1200)"
    )
    p.add_argument(
        "--training-steps", type=int, default=300, help="steps of the model's training (default 300)"
    )
    p.add_argument("--shard", type=int, default=8, help="trajectories of a shard (default 8)")
    p.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = p.parse_args()
    short, long = given.steps
    shard = given.shard
    prepare(given.folder, shard * given.cores, given.training_steps)
    usual, ours = [], []
    for repeat in range(given.repeats):
        fixed, longer = (
            usual_way(given.folder, repeat % (shard * given.cores), steps) for steps in given.steps
        )
        rate = rate_of(long - short, longer - fixed)
        usual.append(longer + (STEPS_OF_A_TRAJECTORY - long) / rate)
        print(f"usual way:    {rate:7.1f} steps/s, {3600 / usual[-1]:6.2f} trajectories/h", flush=True)
        n = shard * given.cores
        fixed, longer = (this_project(given.folder, shard, given.cores, steps) for steps in given.steps)
        rate = rate_of(n * (long - short), longer - fixed)
        # The fixed cost of a shard is shared by its trajectories: 100 in a shard by default, fewer here.
        ours.append((longer + n * (STEPS_OF_A_TRAJECTORY - long) / rate) / n)
        print(f"this project: {rate:7.1f} steps/s, {3600 / ours[-1]:6.2f} trajectories/h", flush=True)
    ratios = np.array(usual) / np.array(ours)
    print(f"ratio {np.median(ratios):.2f} (from {ratios.min():.2f} to {ratios.max():.2f})")
    if given.out:
        numbers = {"usual_s_per_trajectory": usual, "ours_s_per_trajectory": ours, "ratios": ratios.tolist()}
        given.out.write_text(json.dumps({"cores": given.cores, **numbers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
