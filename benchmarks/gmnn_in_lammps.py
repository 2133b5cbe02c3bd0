#!/usr/bin/env python3
"""GM-NN on one core: LAMMPS that asks frazil for forces, ASE with the same calculator, and the engine.

taskset -c 0 benchmarks/gmnn_in_lammps.py

Prints µs of processor time per atom and step of whole runs of velocity Verlet, taken in turn: the engine with
one replica, LAMMPS through ``fix external`` (``frazil run-lammps``), and ASE's VelocityVerlet; medians, the
ratios of each turn, and how far positions and energies are apart at the end. The structures are those of
gmnn_speed.py: half spheres of 488 and 49 CO with one H2 above.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from ase.units import fs
from gmnn_speed import ELEMENTS, Engine, ice

from frazil.md.driven_lammps import DATA, INPUT, attach, write_beside
from frazil.md.lammps import lammps_module
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.calculator import GMNNCalculator
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN


class InLammps:
    """LAMMPS with some atoms under a model; each ``run`` starts where they were and is timed."""

    def __init__(self, model: Model, atoms: Atoms, timestep_fs: float, n_steps: int) -> None:
        self.n_atoms, self.n_steps = len(atoms), n_steps
        with tempfile.TemporaryDirectory() as folder:
            write_beside(Path(folder), atoms)
            head, _, _ = (Path(folder) / INPUT).read_text().partition("thermo_style")
            self.lammps = lammps_module().lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
            self.lammps.commands_string(head.replace(DATA, f"{folder}/{DATA}"))
        self.driven = attach(self.lammps, GMNNCalculator(model))
        self.lammps.commands_string(f"fix move all nve\ntimestep {timestep_fs / 1000}\nthermo 0")
        self.start = [self.of_atoms(name)[self.order] for name in ("x", "v")]
        self.run()  # what is compiled, once
        self.times: list[float] = []

    def run(self) -> None:
        """Run once; notes µs per atom and step."""
        for name, values in zip(("x", "v"), self.start, strict=True):
            self.of_atoms(name)[self.order] = values
        begin = process_time()
        self.lammps.command(f"run {self.n_steps}")
        took_s = process_time() - begin
        if self.driven.error:
            raise self.driven.error
        if hasattr(self, "times"):
            self.times.append(took_s / self.n_steps / self.n_atoms * 1e6)

    def of_atoms(self, name: str) -> np.ndarray:
        """Return LAMMPS' own array of its atoms, in its order (natoms, 3)."""
        return np.asarray(self.lammps.numpy.extract_atom(name))[: self.n_atoms]

    @property
    def order(self) -> np.ndarray:
        """Where LAMMPS has the atoms (natoms,)."""
        return np.argsort(self.lammps.numpy.extract_atom("id")[: self.n_atoms])

    @property
    def moved_A(self) -> np.ndarray:
        """How far the atoms are from the start (natoms, 3)."""
        return np.asarray(self.of_atoms("x")[self.order] - self.start[0])


class InAse:
    """ASE's VelocityVerlet of some atoms under a model; each ``run`` is timed."""

    def __init__(self, model: Model, atoms: Atoms, timestep_fs: float, n_steps: int) -> None:
        self.begin, self.timestep_fs, self.n_steps = atoms, timestep_fs, n_steps
        self.calculator = GMNNCalculator(model)
        self.times: list[float] = []
        self.run()
        self.times.clear()

    def run(self) -> None:
        """Run once; notes µs per atom and step."""
        atoms = self.begin.copy()
        atoms.calc = self.calculator
        begin = process_time()
        VelocityVerlet(atoms, self.timestep_fs * fs).run(self.n_steps)
        self.times.append((process_time() - begin) / self.n_steps / len(atoms) * 1e6)
        self.moved_A = atoms.positions - self.begin.positions
        self.energy_eV = float(atoms.get_potential_energy())


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molecules", type=int, nargs="+", default=[488, 49], help="CO (default: 488 49)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a run (default: 100)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side, in turn (default: 3)")
    parser.add_argument("--timestep-fs", type=float, default=0.2, help="time step, fs (default: 0.2)")
    settings = parser.parse_args()
    architecture = Architecture(ELEMENTS)
    model = Model(architecture, initialize_committee(architecture, 1, 1), {})
    for n_molecules in settings.molecules:
        atoms, given = ice(n_molecules), (settings.timestep_fs, settings.steps)
        engine = Engine(GMNN.of(model, atoms.numbers), atoms, *given, skin_A=0.5)
        lammps, ase = InLammps(model, atoms, *given), InAse(model, atoms, *given)
        for _ in range(settings.repeats):
            engine.run()
            lammps.run()
            ase.run()
        print(f"{len(atoms)} atoms, µs per atom and step, medians of {settings.repeats}")
        for name, times in (("engine", engine.times), ("LAMMPS", lammps.times), ("ASE", ase.times)):
            own = np.array(times)
            ratios = own / engine.times
            print(
                f"  {name:8s} {np.median(own):7.2f}; over the engine {np.median(ratios):.1f} "
                f"({ratios.min():.1f} to {ratios.max():.1f})",
                flush=True,
            )
        end = engine.end.rows["positions"][-1] - atoms.positions
        apart = [np.abs(other - end).max() for other in (lammps.moved_A, ase.moved_A)]
        off = [
            other - engine.end.rows["energy"][-1] for other in (lammps.lammps.get_thermo("pe"), ase.energy_eV)
        ]
        print(
            f"  apart from the engine at the end: LAMMPS {apart[0]:.1e} Å, {off[0]:.1e} eV; ASE "
            f"{apart[1]:.1e} Å, {off[1]:.1e} eV; moved {np.abs(end).max():.2f} Å"
        )


if __name__ == "__main__":
    main()
