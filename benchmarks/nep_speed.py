#!/usr/bin/env python3
"""GM-NN in frazil's engine against a NEP of default size in ASE with calorine's CPU calculator, on one core.

pip install --target FOLDER --no-deps calorine scikit-learn joblib threadpoolctl cloudpickle
taskset -c 0 benchmarks/nep_speed.py --calorine FOLDER

Prints µs of processor time per atom and step of whole runs of velocity Verlet, taken in turn, and the ratio
of each turn. The NEP (Fan et al., J. Chem. Phys. 157, 114801, 2022) has random parameters, and the cutoffs (8
and 4 Å) and sizes of GPUMD's defaults. The GM-NN has frazil's default size and 6 Å. They are other models, of
other accuracy: this says what either costs. Structures are those of gmnn_speed.py, free clusters.
"""

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import units
from ase.md.verlet import VelocityVerlet
from gmnn_speed import ELEMENTS, Engine, ice

from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN

CUTOFFS_A, N_MAX, BASIS, L_MAX, NEURONS = (8, 4), (4, 4), (8, 8), (4, 2, 0), 30
TIMESTEP_fs, VACUUM_A = 0.2, 60.0


def write_nep(file: Path) -> None:
    """Write a NEP of random small parameters, which moves nothing far in the steps of a timing."""
    n_types = len(ELEMENTS)
    radial, angular = N_MAX[0] + 1, N_MAX[1] + 1
    size = radial + angular * (L_MAX[0] + (L_MAX[1] > 0) + (L_MAX[2] > 0))
    n_network = n_types * (size + 2) * NEURONS + 1
    n_basis = n_types**2 * (radial * (BASIS[0] + 1) + angular * (BASIS[1] + 1))
    values = np.random.default_rng(1).normal(scale=0.02, size=n_network + n_basis)
    lines = [f"nep4 {n_types} {' '.join(ELEMENTS)}", "cutoff {} {} 200 60".format(*CUTOFFS_A)]
    lines += [
        "n_max {} {}".format(*N_MAX),
        "basis_size {} {}".format(*BASIS),
        "l_max {} {} {}".format(*L_MAX),
    ]
    lines += [f"ANN {NEURONS} 0", *(f"{value:.7e}" for value in values), *["1.0"] * size]
    file.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure, and say it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calorine", type=Path, required=True, help="folder that has calorine")
    parser.add_argument(
        "--molecules", type=int, nargs="+", default=[24, 49, 200, 488], help="CO of each size"
    )
    parser.add_argument("--steps", type=int, default=100, help="of a run of one replica")
    parser.add_argument("--replicas", type=int, default=8, help="of the batch")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each way, in turn")
    given = parser.parse_args()
    sys.path.append(str(given.calorine))
    nep_calculator = importlib.import_module("calorine.calculators").CPUNEP

    architecture = Architecture(ELEMENTS)
    model = Model(architecture, initialize_committee(architecture, 1, 1), {})
    with tempfile.TemporaryDirectory() as scratch:
        nep = Path(scratch) / "nep.txt"
        write_nep(nep)
        for n_molecules in given.molecules:
            atoms = ice(n_molecules)
            one = Engine(GMNN.of(model, atoms.numbers), atoms, TIMESTEP_fs, given.steps, 0.5)
            steps = max(20, given.steps // given.replicas)
            batch = GMNN.of(model, atoms.numbers)
            many = Engine(batch, atoms, TIMESTEP_fs, steps, 0.5, given.replicas)
            moved = atoms.copy()
            moved.center(vacuum=VACUUM_A)
            moved.set_momenta(atoms.get_momenta())
            moved.calc = nep_calculator(str(nep))
            dynamics = VelocityVerlet(moved, TIMESTEP_fs * units.fs)
            dynamics.run(2)
            peer_us = []
            for _ in range(given.repeats):
                begin = process_time()
                dynamics.run(given.steps)
                peer_us.append((process_time() - begin) / given.steps / len(atoms) * 1e6)
                one.run()
                many.run()
            ratios = np.array(peer_us) / one.times[-given.repeats :]
            print(
                f"{len(atoms)} atoms, µs per atom and step: ASE + NEP {np.median(peer_us):.2f}, GM-NN "
                f"{one.us:.2f}, {given.replicas} replicas {many.us:.2f}; NEP over one replica "
                f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
