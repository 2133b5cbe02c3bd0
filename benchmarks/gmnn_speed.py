#!/usr/bin/env python3
"""GM-NN on one core: frazil's engine against ASE VelocityVerlet with apax's calculator, same parameters.

taskset -c 0 benchmarks/gmnn_speed.py --apax-python OTHER_VENV/bin/python

Prints µs of processor time per atom and step of whole runs, taken in turn: the engine with GM-NN's compiled
kernel, the engine without it, ASE with apax; medians, ratios of each turn, how far the positions are apart at
the end. Then batches of replicas, whose steps are fewer so that a run takes as long, and a committee. Of
each it says the network's products per second, over the whole time of a step, as a share of what a float32
product of its size does. Without --apax-python only frazil's side is measured. The structures are a half
sphere of 488 CO at ice density with one H2 above it (978 atoms), and one of 49 CO (100 atoms).
"""

import argparse
import os
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import process_time
from unittest import mock

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
from frazil.potentials.gmnn import kernel
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee, member, stack_members
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Batched, Potential, jit
from frazil.pytrees import pytree

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


@pytree
@dataclass(frozen=True)
class InJax:
    """A GM-NN without its compiled kernel."""

    network: GMNN

    @property
    def cutoff_A(self) -> float | None:
        """The model's cutoff."""
        return self.network.cutoff_A

    @property
    def n_atoms(self) -> int | None:
        """The number of its species."""
        return self.network.n_atoms

    def batched(self, n_replicas: int) -> Batched:
        """Return the fast path in JAX."""
        with mock.patch.object(kernel, "serves", return_value=False):
            return self.network.batched(n_replicas)


class Engine:
    """The engine on ``width`` copies of some atoms, compiled: each ``run`` is timed."""

    def __init__(
        self,
        potential: Potential,
        atoms: Atoms,
        timestep_fs: float,
        n_steps: int,
        skin_A: float,
        width: int = 1,
    ) -> None:
        self.steps = n_steps * len(atoms) * width
        self.positions = np.repeat(atoms.positions[None], width, axis=0)
        self.velocities = np.repeat(atoms.get_velocities()[None], width, axis=0)
        self.ensemble = Ensemble(
            potential,
            VelocityVerlet(timestep_fs),
            atoms.get_masses(),
            n_steps=n_steps,
            observe_every=n_steps,
            observers=(energies, frames),
            width=width,
            chunk=1,
            skin_A=skin_A,
        )
        self.times: list[float] = []
        begin = process_time()
        self.end = list(self.ensemble.run(self.positions, self.velocities))[-1]
        self.compile_s = process_time() - begin

    def run(self) -> None:
        """Run once; notes µs per atom and step."""
        begin = process_time()
        self.end = list(self.ensemble.run(self.positions, self.velocities))[-1]
        self.times.append((process_time() - begin) / self.steps * 1e6)

    @property
    def us(self) -> float:
        """Median of the runs, µs per atom and step."""
        return float(np.median(self.times))


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


def apax(python: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start one verb of apax_side.py by the interpreter that has apax."""
    environment = {**os.environ, "PYTHONPATH": str(Path(frazil.__file__).parents[1])}
    command = [str(python), str(Path(__file__).with_name("apax_side.py")), *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1
    )


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for a verb that needs nothing more. Raises RuntimeError if it failed."""
    process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r}: exit {process.returncode}")


def in_turn(engines: dict[str, Engine], theirs: subprocess.Popen[str] | None, repeats: int) -> list[float]:
    """Run all sides in turn; return µs per atom and step of the other program."""
    times = []
    if theirs and theirs.stdout:
        while "ready" not in (line := theirs.stdout.readline()):
            if not line:
                finished(theirs)
    for _ in range(repeats):
        for engine in engines.values():
            engine.run()
        if theirs and theirs.stdin and theirs.stdout:
            theirs.stdin.write("run\n")
            times.append(float(theirs.stdout.readline()))
    return times


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
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side, in turn (default: 3)")
    parser.add_argument("--timestep-fs", type=float, default=0.5, help="time step, fs (default: 0.5)")
    parser.add_argument(
        "--skin-A", type=float, default=0.5, help="Verlet skin of both sides, Å (default: 0.5)"
    )
    parser.add_argument("--members", type=int, default=3, help="committee to measure (default: 3; 1: none)")
    parser.add_argument(
        "--replicas", type=int, nargs="*", default=[8, 64], help="batches to measure (default: 8 64)"
    )
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if python := settings.apax_python:
            finished(apax(python, "init", "--scale-eV", "1.5", "--out", str(work / "apax")))
            options = [
                "--model",
                str(work / "apax"),
                "--out",
                str(work / "model.h5"),
                "--elements",
                *ELEMENTS,
            ]
            finished(apax(python, "convert", *options))
            model = read_model(work / "model.h5")
        else:
            architecture = Architecture(ELEMENTS)
            model = Model(architecture, initialize_committee(architecture, 1, 1), {})
        kflop, gemm = network_share(model.architecture)
        print(f"network {kflop:.0f} kflop/atom; GEMM {gemm:.0f} GF/s; {kflop / gemm:.2f} µs/atom")
        copies = stack_members([member(model.parameters, 0)] * settings.members)
        committee = Model(model.architecture, copies, {})
        for n_molecules in settings.molecules:
            atoms = ice(n_molecules)
            timestep_fs, steps, skin_A = settings.timestep_fs, settings.steps, settings.skin_A
            one, theirs = GMNN.of(model, atoms.numbers), None
            engines = {"kernel": Engine(one, atoms, timestep_fs, steps, skin_A)}
            engines["JAX"] = Engine(InJax(one), atoms, timestep_fs, steps, skin_A)
            for width in settings.replicas:
                engines[f"kernel, {width} replicas"] = Engine(
                    one, atoms, timestep_fs, max(20, steps // width), skin_A, width
                )
            if settings.members > 1:
                engines[f"kernel, {settings.members} members"] = Engine(
                    GMNN.of(committee, atoms.numbers), atoms, timestep_fs, steps, skin_A
                )
            if python:
                ase.io.write(work / "atoms.extxyz", atoms)
                options = ["--model", str(work / "apax"), "--frames", str(work / "atoms.extxyz")]
                options += ["--timestep-fs", str(timestep_fs), "--steps", str(steps)]
                options += ["--skin-A", str(skin_A), "--out", str(work / "apax.npz")]
                theirs = apax(python, "verlet", *options)
            slow = in_turn(engines, theirs, settings.repeats)
            print(f"{len(atoms)} atoms, µs per atom and step, medians of {settings.repeats}")
            for name, engine in engines.items():
                rate = kflop / engine.us * (settings.members if "members" in name else 1)
                line = f"  {name:22s} {engine.us:6.2f}; products {rate:4.0f} GF/s ({rate / gemm:4.0%})"
                line += f"; compiled in {engine.compile_s:.0f} s"
                if slow:
                    ratios = np.array(slow) / np.array(engine.times)
                    low, high = min(ratios), max(ratios)
                    line += f"; ASE + apax over it {np.median(ratios):.1f} ({low:.1f} to {high:.1f})"
                print(line, flush=True)
            if theirs:
                finished(theirs)
                last = np.load(work / "apax.npz")
                rows = engines["kernel"].end.rows
                apart = np.abs(last["positions_A"] - rows["positions"][-1]).max()
                off = last["energy_eV"] - rows["energy"][-1]
                print(f"  {'ASE + apax':22s} {np.median(slow):6.2f}; apart {apart:.1e} Å, {off:.1e} eV")


if __name__ == "__main__":
    main()
