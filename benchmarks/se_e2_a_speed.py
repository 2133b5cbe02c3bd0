#!/usr/bin/env python3
"""se_e2_a on one core: frazil's engine against LAMMPS with DeePMD-kit's compressed model, same parameters.

    taskset -c 0 benchmarks/se_e2_a_speed.py            # makes states and a model of the paper's size first

Prints µs of processor time per atom and step of whole runs, taken in turn, medians and ratios of each turn:
LAMMPS with the compressed model, and the engine with the compiled kernel in float32 and in float64, one
replica and several. Then how far forces are from the uncompressed model in DeePMD-kit, and how far the total
energy moves in a run. ``--folder`` may hold any model (``model/``, ``snapshots.extxyz``).
"""

import argparse
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import ase.io
import numpy as np
from ase.units import fs
from ensemble import prepare

from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.lammps import LammpsSession
from frazil.md.observers import energies, frames
from frazil.potentials.deepmd.model import DeepPotential
from frazil.potentials.deepmd.se_e2_a import DeepPotSE
from frazil.systems.co import MOLECULE_MASSES_amu, co_types

TIMESTEP_fs = 0.1


def main() -> None:
    """Prepare, run all in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("work/benchmark-ensemble"), help="where to work")
    parser.add_argument("--training-steps", type=int, default=300)
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if not (given.folder / "model").is_dir():
        prepare(given.folder, 4, given.training_steps)
    atoms = ase.io.read(
        given.folder / "snapshots.extxyz", 0
    )  # warm: a model trained briefly bears no excitation
    positions, velocities, n_molecules = atoms.positions, atoms.get_velocities() * fs, len(atoms) // 2
    types = co_types(n_molecules, 0)
    masses = np.tile(MOLECULE_MASSES_amu, n_molecules)
    lammps = LammpsSession(given.folder / "model/model.pb", n_molecules)
    last: dict[str, np.ndarray] = {}

    def usual() -> int:
        half = given.steps // 2
        rows = list(lammps.run(positions, velocities, types, TIMESTEP_fs, given.steps, half))
        last["LAMMPS"] = rows[-1].positions_A
        return given.steps

    def engine(precision: str, replicas: int) -> "tuple[str, object]":
        steps = max(2, given.steps // replicas) // 2 * 2
        potential = DeepPotSE.of(given.folder / "model/frozen.pb", types, precision)
        made = Ensemble(
            potential, VelocityVerlet(TIMESTEP_fs), masses, steps, steps // 2, observers=(energies, frames),
            width=replicas,
        )  # fmt: skip
        name = f"engine, {precision}, {replicas} replica{'s' * (replicas > 1)}"

        def run() -> int:
            start = np.repeat(positions[None], replicas, 0), np.repeat(velocities[None] / fs, replicas, 0)
            done = list(made.run(*start))
            last[name] = done[0].rows["positions"][-1]
            total = done[0].rows["energy"] + done[0].rows["kinetic_energy"]
            moved[name] = 1e3 * float(total[-1] - total[0])
            return steps * replicas

        return name, run

    moved: dict[str, float] = {}
    ways: dict[str, object] = {"LAMMPS, compressed": usual}
    ways |= dict(engine(p, n) for p in ("float32", "float64") for n in (1, given.replicas))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(given.repeats + 1):  # the first compiles
        for name, run in ways.items():
            begin = process_time()
            steps = run()  # type: ignore[operator]
            if repeat:
                times[name].append((process_time() - begin) / steps / len(types) * 1e6)
    theirs = np.array(times["LAMMPS, compressed"])
    for name, found in times.items():
        ratios = theirs / np.array(found)
        each = np.median(found)
        told = f"{name:32} {each:7.2f} µs per atom and step, {len(types) * each:8.0f} a step"
        print(f"{told}, LAMMPS over it {np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})")
    forces = DeepPotential(given.folder / "model/frozen.pb").evaluate(positions[None], types)[1]
    print(f"largest force {np.abs(forces).max():.2f} eV/Å")
    for name, drift in moved.items():
        print(f"{name}: total energy moved by {drift:.4f} meV")
    one = "engine, float32, 1 replica"
    apart_A = np.abs(last[one] - last["LAMMPS"]).max()
    print(f"positions of float32 and LAMMPS are {apart_A:.1e} Å apart at the end")


if __name__ == "__main__":
    main()
