#!/usr/bin/env python3
"""Make the unlabelled frames of this data set: one MgSiO3 molecule (P1) about its minimum.

The minimum and its Hessian are computed at the level of the labels, from a guess in round numbers; then half
of the frames are drawn from the harmonic normal modes at 50–1500 K, half are snapshots of GFN2-xTB dynamics
at 300–1500 K (geometries only). Random order, so that any first part of the file is a balanced set. Needs
``tblite`` and the extra ``labels``. ``minimum.extxyz`` (with its Hessian) is read where it exists.

    make_frames.py OUT.extxyz
"""

import sys
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS
from frazil.electronic_structure import CODE, code_version, single_point
from tblite.ase import TBLite

from frazil.files import write_atomic
from frazil.seeds import derived_seed, rng

CAMPAIGN_SEED = 5
LEVEL = "pbe0/def2-svp"
MINIMUM = Path(__file__).with_name("minimum.extxyz")
GUESS = Atoms("MgSiO3", [[1.7, 0, 0], [-0.7, 0, 0], [0.4, 1.3, 0.05], [0.4, -1.3, 0.05], [-2.2, 0, -0.05]])
STEP_A = 0.01
"""Displacement for the Hessian, by central differences of forces."""
NORMAL_MODE_FRAMES = 120
TEMPERATURES_K = (50.0, 1500.0)
DYNAMICS_K = (300, 600, 1000, 1500)
DYNAMICS_REPLICAS, SNAPSHOTS = 3, 10
LARGEST_BOND_CHANGE_A = 0.6
"""Normal-mode frames in which a bond has changed by more than this are redrawn."""


class Label(Calculator):
    """The label itself as an ASE calculator, for the minimum."""

    implemented_properties = ("energy", "forces", "dipole")

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str] = all_changes) -> None:
        """Compute one single point."""
        super().calculate(atoms, properties, system_changes)
        point = single_point(atoms, LEVEL)
        self.results = {"energy": point.energy_eV, "forces": point.forces_eV_per_A, "dipole": point.dipole_eA}


def forces(atoms: Atoms, displacement: np.ndarray) -> np.ndarray:
    """Return the label's forces of displaced atoms."""
    moved = atoms.copy()
    moved.positions += displacement
    found = single_point(moved, LEVEL).forces_eV_per_A
    assert found is not None
    return found


def minimum() -> Atoms:
    """Return the relaxed molecule, its Hessian (eV/Å²) in ``info['hessian_eV_per_A2']``."""
    if MINIMUM.exists():
        return read(MINIMUM)
    atoms = GUESS.copy()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms).run(fmax=0.01)
    atoms.calc = Label()
    BFGS(atoms).run(fmax=0.005)
    hessian = np.zeros((len(atoms), 3, len(atoms), 3))
    for index in np.ndindex(len(atoms), 3):
        displacement = np.zeros((len(atoms), 3))
        displacement[index] = STEP_A
        hessian[index] = (forces(atoms, -displacement) - forces(atoms, displacement)) / (2 * STEP_A)
    square = hessian.reshape(3 * len(atoms), -1)
    atoms.info["hessian_eV_per_A2"] = (square + square.T) / 2
    atoms.info.update(label_level=LEVEL, label_code=CODE, label_version=code_version())
    with write_atomic(MINIMUM) as path:
        write(path, atoms, format="extxyz")
    return atoms


def normal_modes(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Return force constants (eV/Å²/amu) and modes (n_modes, 3 n_atoms), rigid motions left out."""
    weight = 1 / np.sqrt(np.repeat(atoms.get_masses(), 3))
    values, vectors = np.linalg.eigh(weight[:, None] * atoms.info["hessian_eV_per_A2"] * weight)
    wavenumbers = np.sqrt(np.abs(values)) * np.sign(values) / (2 * np.pi) * ase.units.s / (100 * ase.units._c)
    print("wavenumbers (cm-1):", " ".join(f"{value:.0f}" for value in wavenumbers))
    return values[6:], (vectors * weight[:, None]).T[6:]


def frame(positions: np.ndarray, source: str, trajectory_id: str, time_fs: float) -> Atoms:
    """Return a frame in the conventions of frazil."""
    atoms = Atoms(GUESS.symbols, positions - positions.mean(axis=0))
    atoms.info.update(trajectory_id=trajectory_id, time_fs=time_fs, source=source)
    return atoms


def mode_frames(atoms: Atoms) -> list[Atoms]:
    """Draw frames from the classical harmonic distribution at temperatures spread evenly."""
    random = rng(CAMPAIGN_SEED, "normal-modes")
    constants, modes = normal_modes(atoms)
    distances = atoms.get_all_distances()
    frames: list[Atoms] = []
    while len(frames) < NORMAL_MODE_FRAMES:
        temperature_K = random.uniform(*TEMPERATURES_K)
        amplitudes = random.normal(size=len(constants)) * np.sqrt(ase.units.kB * temperature_K / constants)
        trial = atoms.positions + (amplitudes @ modes).reshape(-1, 3)
        drawn = frame(trial, "normal-modes", f"p1-modes-{len(frames):03d}", 0.0)
        bonded = distances < 2.3
        if np.abs(drawn.get_all_distances() - distances)[bonded].max() < LARGEST_BOND_CHANGE_A:
            frames.append(drawn)
    return frames


def dynamics_frames(minimum_positions: np.ndarray) -> list[Atoms]:
    """Return snapshots, 200 fs apart after 500 fs, of Langevin dynamics at GFN2-xTB."""
    frames = []
    for temperature_K in DYNAMICS_K:
        for replica in range(DYNAMICS_REPLICAS):
            random = rng(CAMPAIGN_SEED, "gfn2", temperature_K, replica)
            atoms = Atoms(GUESS.symbols, minimum_positions)
            atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
            thermalize_momenta(atoms, temperature_K=temperature_K, rng=random)
            time_step = 1.0 * ase.units.fs
            thermostat = {"temperature_K": temperature_K, "friction": 0.02 / ase.units.fs, "fixcm": False}
            dynamics = Langevin(atoms, time_step, rng=random, **thermostat)
            dynamics.run(500)
            for snapshot in range(SNAPSHOTS):
                name = f"p1-gfn2-{temperature_K}K-{replica}"
                frames.append(frame(atoms.positions.copy(), "gfn2-dynamics", name, 500.0 + 200.0 * snapshot))
                dynamics.run(200)
    return frames


def main() -> None:
    """Write all frames in random order."""
    relaxed = minimum()
    frames = [frame(relaxed.positions, "minimum", "p1-minimum", 0.0)]
    frames += mode_frames(relaxed) + dynamics_frames(relaxed.positions)
    order = np.random.default_rng(derived_seed(CAMPAIGN_SEED, "order")).permutation(len(frames))
    with write_atomic(Path(sys.argv[1])) as path:
        write(path, [frames[i] for i in order], format="extxyz")


if __name__ == "__main__":
    main()
