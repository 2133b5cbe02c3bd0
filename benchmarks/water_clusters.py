#!/usr/bin/env python3
"""Frames of water clusters for electron densities: learned on clusters of four, judged on clusters of eight.

    water_clusters.py OUT.extxyz

Writes 80 clusters of four molecules and 4 of eight from Langevin dynamics under q-TIP4P/F at 250 K: from
molecules turned at random on a square or a cube of 2.8 Å, one frame each after 2 ps. The experiment takes
them:

    nextflow run main.nf -profile local --experiments density --density.frames OUT.extxyz
        --density.n_trajectories 84 --density.n_large 4 --density.n_test 12 --density.n_validation 8
        --density.n_train 20,60 --density.response false
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from scipy.spatial.transform import Rotation

import frazil

MODEL = Path(frazil.__file__).resolve().parents[2] / "assets/potentials/q-tip4p-f"
APART_A, TEMPERATURE_K, TIMESTEP_fs, DURATION_fs, FRICTION_per_fs = 2.8, 250.0, 0.5, 2000.0, 0.01
N_SMALL, N_LARGE, SEED = 80, 4, 20250615
MOLECULE = Atoms("OHH", [[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]])


def cluster(corners: np.ndarray, random: np.random.Generator) -> Atoms:
    """Return molecules on corners (n, 3), Å, after a while at the temperature."""
    atoms = Atoms()
    for corner in corners:
        one = MOLECULE.copy()
        one.positions = Rotation.random(random_state=random).apply(one.positions) + corner
        atoms += one
    atoms.calc = frazil.load(MODEL)
    friction = FRICTION_per_fs / units.fs
    dynamics = Langevin(
        atoms, TIMESTEP_fs * units.fs, temperature_K=TEMPERATURE_K, friction=friction, fixcm=False, rng=random
    )
    dynamics.run(round(DURATION_fs / TIMESTEP_fs))
    return Atoms(atoms.symbols, atoms.positions)


def main() -> None:
    """Write the frames."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="file to write, extended XYZ")
    out: Path = parser.parse_args().out
    random = np.random.default_rng(SEED)
    cube = APART_A * np.array(list(np.ndindex(2, 2, 2)), float)
    frames = [cluster(cube[:4], random) for _ in range(N_SMALL)]
    frames += [cluster(cube, random) for _ in range(N_LARGE)]
    write(out, frames, format="extxyz")


if __name__ == "__main__":
    main()
