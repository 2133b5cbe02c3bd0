#!/usr/bin/env python3
"""Collisions of H2 with CO ice per hour: frazil's engine against ASE, one at a time, with apax's calculator.

benchmarks/collisions.py --apax-python OTHER_VENV/bin/python

Both sides have all cores, one single-threaded process each, the same GM-NN of the published size with the
same parameters, and the same initial states of a crystalline hemisphere. They run in turn; the wall time of
a turn counts, without start and compilation. Observations and the stop rule are in the engine's time. What
is printed is carried to collisions of 10 ps, 0.5 fs a step, none ending early.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import ase.io
import numpy as np
from gmnn_speed import ELEMENTS, apax, finished

from frazil.experiments.sticking.collisions import BouncedOrBroken, Motion, start
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign
from frazil.experiments.sticking.surfaces import crystalline, masses_of
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies
from frazil.potentials.gmnn.files import read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.systems.molecules import molecule
from frazil.units import kB

TIMESTEP_fs, COLLISION_STEPS = 0.5, 20_000
PAPER_COLLISIONS = 10_368
H2 = Projectile(molecule("H2"))
CAMPAIGN = Campaign(
    surface_temperatures_K=(10.0,), energies_K=(116.0,), n_polar=16, polar_max_deg=60.0, n_azimuth=12,
    azimuth="random", aim_radius_A=6.0, start_height_A=8.0, bounce_A=6.0, timestep_fs=TIMESTEP_fs,
    duration_fs=10_000.0, width=1, model_error=False, campaign_seed=1,
)  # fmt: skip


def states(n_molecules: int, n: int) -> list[ase.Atoms]:
    """Return n initial states: a crystalline hemisphere at 10 K with one H2 each, velocities set."""
    surface = crystalline(n_molecules, n_molecules // 3)
    surface.info |= {"phase": "crystalline", "surface_id": 0, "surface_temperature_K": 10.0}
    spread = np.sqrt(10.0 * kB / masses_of(surface))[:, None]
    surface.set_velocities(np.random.default_rng(1).normal(size=surface.positions.shape) * spread)
    begun = [start(CAMPAIGN, k, [surface], H2) for k in range(n)]
    frames = [ase.Atoms([*surface.symbols, "H", "H"], b.positions_A) for b in begun]
    for atoms, b in zip(frames, begun, strict=True):
        atoms.set_velocities(b.velocities)
        atoms.set_array("fixed", np.append(surface.arrays["fixed"], [0, 0]))
    return frames


def work(model: Path, frames: Path, steps: int) -> None:
    """Run all states together once for each line of stdin, and answer each."""
    found = ase.io.read(frames, ":")
    every = round(20.0 / TIMESTEP_fs)
    ensemble = Ensemble(
        GMNN.of(read_model(model), found[0].numbers), VelocityVerlet(TIMESTEP_fs), found[0].get_masses(),
        n_steps=steps, observe_every=min(every, steps), observers=(energies, Motion.of(H2)),
        stop=BouncedOrBroken.of(1e9, found[0][:-2], H2),
        frozen=found[0].arrays["fixed"].astype(bool), width=len(found),
    )  # fmt: skip
    positions = np.stack([atoms.positions for atoms in found])
    velocities = np.stack([atoms.get_velocities() for atoms in found])
    list(ensemble.run(positions, velocities))
    print("ready", flush=True)
    for _ in sys.stdin:
        ended = list(ensemble.run(positions, velocities))
        print(len(ended), flush=True)


def turn(workers: list[subprocess.Popen[str]]) -> float:
    """Let all workers run once, together; return the wall time, s."""
    begin = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("run\n")
    for worker in workers:
        assert worker.stdout is not None
        if not worker.stdout.readline():
            finished(worker)
    return time.perf_counter() - begin


def main() -> None:
    """Parse the command line, print rates and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apax-python", type=Path, help="an interpreter with apax 0.14")
    parser.add_argument("--molecules", type=int, default=488, help="CO molecules (default: 488)")
    parser.add_argument("--processes", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--width", type=int, default=4, help="collisions together in the engine (default: 4)")
    parser.add_argument("--steps", type=int, default=80, help="steps of a turn (default: 80)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side (default: 3)")
    parser.add_argument("--work", nargs=2, type=Path, metavar=("MODEL", "FRAMES"), help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.work:
        model, frames = settings.work
        work(model, frames, settings.steps)
        return
    if not settings.apax_python:
        parser.error("--apax-python is needed")
    n, width, steps = settings.processes, settings.width, settings.steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random, model = folder / "apax", folder / "model.h5"
        finished(apax(settings.apax_python, "init", "--scale-eV", "0.2", "--out", str(random)))
        convert = ["--model", str(random), "--out", str(model), "--elements", *ELEMENTS]
        finished(apax(settings.apax_python, "convert", *convert))
        begun = states(settings.molecules, n * width)
        ours, theirs = [], []
        for k in range(n):
            mine, one = folder / f"ours-{k}.extxyz", folder / f"theirs-{k}.extxyz"
            ase.io.write(mine, begun[k * width : (k + 1) * width])
            ase.io.write(one, begun[k * width])
            command = [sys.executable, __file__, "--steps", str(steps), "--work", str(model), str(mine)]
            ours.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
            options = ["--model", str(random), "--frames", str(one), "--timestep-fs", str(TIMESTEP_fs)]
            options += ["--steps", str(steps), "--skin-A", "0.6", "--out", str(folder / f"{k}.npz")]
            theirs.append(apax(settings.apax_python, "verlet", *options))
        for worker in (*ours, *theirs):
            assert worker.stdout is not None
            while "ready" not in (line := worker.stdout.readline()):
                if not line:
                    finished(worker)
        times = np.array([(turn(ours), turn(theirs)) for _ in range(settings.repeats)])
        for worker in (*ours, *theirs):
            finished(worker)
    rates = 3600 / COLLISION_STEPS * steps * n * np.array([width, 1]) / times
    ratios = rates[:, 0] / rates[:, 1]
    print(f"{len(begun[0])} atoms, {n} processes, turns of {steps} steps, collisions of 10 ps per hour:")
    print(f"  ASE, one at a time, apax: {np.round(rates[:, 1], 2).tolist()}")
    print(f"  engine, {width} together:  {np.round(rates[:, 0], 2).tolist()}")
    print(f"  ratio: median {np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})")
    hours = PAPER_COLLISIONS / np.median(rates[:, 0])
    print(f"  the paper's {PAPER_COLLISIONS} collisions: {hours * n:.0f} core-hours, if none ends early")


if __name__ == "__main__":
    main()
