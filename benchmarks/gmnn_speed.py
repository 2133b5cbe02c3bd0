#!/usr/bin/env python3
"""GM-NN on one core: frazil's Verlet loop against ASE VelocityVerlet with apax's calculator, same parameters.

taskset -c 0 benchmarks/gmnn_speed.py --apax-python OTHER_VENV/bin/python

Prints µs per atom and step of both sides, whole runs of the engine with one replica (processor time, so that
a busy machine spoils less), their ratio, and how far the positions are apart at the end; then a committee and
a batch of replicas. Without --apax-python only frazil's side is measured. The structures are a half sphere of
488 CO at ice density with one H2 above it (978 atoms), and the same of 49 CO (100 atoms).
"""

import argparse
import os
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import ase.io
import jax.numpy as jnp
import numpy as np
from ase import Atoms, units

import frazil
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee, member, stack_members
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import jit

LATTICE_CONSTANT_A = 5.65
ELEMENTS = ("H", "C", "O")


def ice(n_molecules: int, temperature_K: float = 30.0) -> Atoms:
    """Return a half sphere of CO at the density of α-CO, oriented at random, with one H2 above it."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    sites = (grid + np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])).reshape(-1, 3)
    sites = LATTICE_CONSTANT_A * sites[sites[:, 2] <= 0.01]
    sites = sites[np.argsort((sites**2).sum(axis=1), kind="stable")[:n_molecules]]
    axis = rng.normal(size=(n_molecules, 3))
    axis /= np.linalg.norm(axis, axis=1)[:, None]
    centres = sites + rng.normal(scale=0.1, size=sites.shape)
    molecules = np.stack([centres - 0.645 * axis, centres + 0.483 * axis], 1).reshape(-1, 3)
    atoms = Atoms(
        ["C", "O"] * n_molecules + ["H", "H"], np.concatenate([molecules, [[0, 0, 4.0], [0.3, 0, 4.68]]])
    )
    masses = atoms.get_masses()[:, None]
    atoms.set_momenta(np.sqrt(masses * units.kB * temperature_K) * rng.normal(size=(len(atoms), 3)))
    return atoms


def measure(
    model: Model, atoms: Atoms, timestep_fs: float, n_steps: int, repeats: int, skin_A: float, width: int = 1
) -> dict[str, Any]:
    """Run and time the engine from the atoms' positions and momenta, in ``width`` replicas."""
    ensemble = Ensemble(
        GMNN.of(model, atoms.numbers),
        VelocityVerlet(timestep_fs),
        atoms.get_masses(),
        n_steps=n_steps,
        observe_every=n_steps,
        observers=(energies, frames),
        width=width,
        chunk=1,
        skin_A=skin_A,
    )
    starts = (np.repeat(values[None], width, axis=0) for values in (atoms.positions, atoms.get_velocities()))
    positions, velocities = starts
    begin = process_time()
    list(ensemble.run(positions, velocities))
    compile_s, times = process_time() - begin, []
    for _ in range(repeats):
        begin = process_time()
        end = list(ensemble.run(positions, velocities))[-1]
        times.append((process_time() - begin) / n_steps / len(atoms) / width * 1e6)
    return {
        "us": times,
        "positions": end.rows["positions"][-1],
        "energy": end.rows["energy"][-1],
        "compile_s": compile_s,
    }


def network_share(architecture: Architecture) -> tuple[float, float]:
    """Return kflop per atom of the network's products (energy and gradient), and this core's float32 GEMM in
    GF/s.
    """
    sizes = (architecture.n_features, *architecture.hidden, 1)
    kflop = 4 * sum(a * b for a, b in pairwise(sizes)) / 1000
    a, b = jnp.ones((sizes[1], sizes[0]), jnp.float32), jnp.ones((sizes[0], 978), jnp.float32)
    product = jit(lambda a, b: a @ b)
    product(a, b).block_until_ready()
    best = 1.0
    for _ in range(20):
        begin = process_time()
        for _ in range(10):
            product(a, b).block_until_ready()
        best = min(best, (process_time() - begin) / 10)
    return kflop, 2 * sizes[0] * sizes[1] * 978 / best / 1e9


def apax(python: Path, *arguments: str) -> None:
    """Run one verb of apax_side.py by the interpreter that has apax."""
    environment = {**os.environ, "PYTHONPATH": str(Path(frazil.__file__).parents[1])}
    command = [str(python), str(Path(__file__).with_name("apax_side.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-2000:]}")


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--apax-python", type=Path, help="an interpreter with apax 0.14 (default: none, no comparison)"
    )
    parser.add_argument(
        "--molecules", type=int, nargs="+", default=[488, 49], help="CO molecules (default: 488 49)"
    )
    parser.add_argument("--steps", type=int, default=100, help="steps of a run (default: 100)")
    parser.add_argument("--repeats", type=int, default=3, help="runs timed, the fastest counts (default: 3)")
    parser.add_argument("--timestep-fs", type=float, default=0.5, help="time step, fs (default: 0.5)")
    parser.add_argument(
        "--skin-A", type=float, default=0.5, help="Verlet skin of both sides, Å (default: 0.5)"
    )
    parser.add_argument("--members", type=int, default=3, help="committee to measure (default: 3; 1: none)")
    parser.add_argument("--replicas", type=int, default=8, help="batch to measure (default: 8; 1: none)")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if settings.apax_python:
            apax(settings.apax_python, "init", "--scale-eV", "1.5", "--out", str(work / "apax"))
            apax(
                settings.apax_python,
                *(
                    "convert",
                    "--model",
                    str(work / "apax"),
                    "--elements",
                    *ELEMENTS,
                    "--out",
                    str(work / "model.h5"),
                ),
            )
            model = read_model(work / "model.h5")
        else:
            architecture = Architecture(ELEMENTS)
            model = Model(architecture, initialize_committee(architecture, 1, 1), {})
        kflop, gemm = network_share(model.architecture)
        print(f"network {kflop:.0f} kflop/atom; GEMM {gemm:.0f} GF/s; floor {kflop / gemm:.2f} µs/atom")
        for n_molecules in settings.molecules:
            atoms = ice(n_molecules)
            common = (settings.timestep_fs, settings.steps, settings.repeats, settings.skin_A)
            ours = measure(model, atoms, *common)
            line = f"{len(atoms):5d} atoms: frazil {min(ours['us']):6.2f} µs/atom"
            line += f" (compiled in {ours['compile_s']:.0f} s)"
            if settings.apax_python:
                ase.io.write(work / "atoms.extxyz", atoms)
                options = {
                    "timestep-fs": common[0],
                    "steps": common[1],
                    "repeats": common[2],
                    "skin-A": common[3],
                }
                apax(
                    settings.apax_python,
                    *("verlet", "--model", str(work / "apax"), "--frames", str(work / "atoms.extxyz")),
                    *("--out", str(work / "apax.npz")),
                    *(text for key, value in options.items() for text in (f"--{key}", str(value))),
                )
                theirs = np.load(work / "apax.npz")
                apart = np.abs(theirs["positions_A"] - ours["positions"]).max()
                slow, fast_one = theirs["us_per_atom"].min(), min(ours["us"])
                line += f", ASE + apax {slow:6.2f}, ratio {slow / fast_one:.1f}"
                line += f"; apart {apart:.1e} Å, {theirs['energy_eV'] - ours['energy']:.1e} eV at the end"
            print(line, flush=True)
            for members, width in ((settings.members, 1), (1, settings.replicas)):
                if members * width > 1:
                    wide = Model(
                        model.architecture, stack_members([member(model.parameters, 0)] * members), {}
                    )
                    more = min(measure(wide, atoms, *common, width)["us"])
                    print(f"      {members} members, {width} replicas: {more:6.2f} µs/atom", flush=True)


if __name__ == "__main__":
    main()
