#!/usr/bin/env python3
"""Replica-picoseconds per hour of one core: frazil's engine against one ASE run at a time, same model.

benchmarks/infrared_speed.py --structures clusters.xyz --only P2 P10 --replicas 1 8

Nosé–Hoover chains of 0.5 fs with a dipole every second step, a random network of the published size (its
scale is small, so that atoms stay where they are; a step costs the same). Compilation is not counted.
"""

import argparse
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from frazil.data.structures import check_names, read_structures
from frazil.experiments.infrared.committee_md import thermal_velocities
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import NoseHooverChain
from frazil.md.observers import potential_info
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.calculator import GMNNCalculator
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN

TIMESTEP_fs, TEMPERATURE_K, SCALE_eV = 0.5, 20.0, 1e-4


def random_model() -> Model:
    """Return one member of the published size for Mg, Si and O."""
    architecture = Architecture(("O", "Mg", "Si"), heads=("energy", "charge"))
    parameters = initialize_committee(architecture, 1, 1)
    return Model(architecture, {**parameters, "scale": SCALE_eV * parameters["scale"]}, {})


def per_hour(n_steps: int, seconds: float) -> float:
    """Return picoseconds of trajectory per hour."""
    return n_steps * TIMESTEP_fs / 1000 / seconds * 3600


def by_ase(model: Model, atoms: Atoms, n_steps: int) -> float:
    """Return picoseconds per hour of one ASE run."""
    atoms = atoms.copy()
    atoms.calc = GMNNCalculator(model)
    atoms.set_velocities(thermal_velocities(atoms, TEMPERATURE_K, 1, "benchmark"))
    dynamics = NoseHooverChainNVT(
        atoms, timestep=TIMESTEP_fs * units.fs, temperature_K=TEMPERATURE_K, tdamp=100 * units.fs
    )
    dipoles: list[np.ndarray] = []
    dynamics.attach(lambda: dipoles.append(atoms.get_dipole_moment()), interval=2)
    dynamics.run(10)
    start = process_time()
    dynamics.run(n_steps)
    return per_hour(n_steps, process_time() - start)


def by_engine(model: Model, atoms: Atoms, n_steps: int, n_replicas: int) -> float:
    """Return picoseconds per hour of a batch."""
    ensemble = Ensemble(
        GMNN.of(model, atoms.numbers), NoseHooverChain(TIMESTEP_fs, TEMPERATURE_K, 100.0),
        atoms.get_masses(), n_steps=n_steps, observe_every=2, observers=(potential_info,),
        removed="drift and rotation", width=n_replicas, chunk=n_steps // 2,
    )  # fmt: skip
    velocities = np.array(
        [thermal_velocities(atoms, TEMPERATURE_K, 1, "benchmark", i) for i in range(n_replicas)]
    )
    positions = np.repeat(atoms.positions[None], n_replicas, axis=0)
    list(ensemble.run(positions, velocities))
    start = process_time()
    list(ensemble.run(positions, velocities))
    return per_hour(n_steps * n_replicas, process_time() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--structures", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=["P2", "P10"])
    parser.add_argument("--replicas", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    clusters = read_structures(given.structures)
    names = [published(name) for name in check_names(clusters)]
    model = random_model()
    for name in given.only:
        atoms = clusters[names.index(name)]
        usual = by_ase(model, atoms, given.steps)
        print(f"{name}, {len(atoms)} atoms: ASE {usual:.1f} ps/h", flush=True)
        for n_replicas in given.replicas:
            found = by_engine(model, atoms, given.steps, n_replicas)
            print(f"  engine, {n_replicas} replicas: {found:.1f} ps/h, {found / usual:.1f} times", flush=True)


def published(name: str) -> str:
    """Return P2 for the published file's MgO_2_SiO2_2_GS, O2 for the olivines'."""
    words = name.split("_")
    if len(words) != 5 or words[0] != "MgO":
        return name
    return ("P" if words[1] == words[3] else "O") + words[3]


if __name__ == "__main__":
    main()
