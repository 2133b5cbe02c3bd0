#!/usr/bin/env python3
"""GM-NN and DeePMD-kit side by side on the validation frames of one dataset.

benchmarks/gmnn_accuracy.py --dataset DATASET --deepmd MODEL_DIRECTORY --gmnn MODEL.h5

Prints errors of energies per atom and of all force components, of each member of the GM-NN committee. A GM-NN
of residual labels is measured on a dataset of residual labels: --dataset RESIDUAL --gmnn MODEL.h5 alone.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np

from frazil.potentials.deepmd.model import evaluate, model_file_of
from frazil.potentials.gmnn.committee import Committee
from frazil.potentials.gmnn.files import read_model

FRAMES_PER_CALL = 32


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True, help="directory with validation.extxyz")
    parser.add_argument("--deepmd", type=Path, help="model directory of train_deepmd.py")
    parser.add_argument("--gmnn", type=Path, help="model.h5 of train_gmnn.py")
    given = parser.parse_args()
    frames = ase.io.read(given.dataset / "validation.extxyz", ":")
    sizes = np.array([len(frame) for frame in frames])
    energies = np.array([frame.get_potential_energy() for frame in frames])
    forces = np.concatenate([frame.get_forces() for frame in frames])

    def row(name: str, found: np.ndarray, found_forces: np.ndarray) -> None:
        off, wrong = 1000 * (found - energies) / sizes, found_forces - forces
        print(
            f"{name:12s} {np.sqrt((off**2).mean()):8.2f} meV/atom {np.abs(wrong).mean():8.4f} MAE "
            f"{np.sqrt((wrong**2).mean()):8.4f} RMSE eV/Å"
        )

    if given.deepmd:
        found, found_forces = evaluate(model_file_of(given.deepmd), frames)
        row("DeePMD-kit", found, np.concatenate(found_forces))
    if given.gmnn:
        committee = Committee(read_model(given.gmnn))
        predictions = []
        for first in range(0, len(frames), FRAMES_PER_CALL):
            predictions += committee.predict(frames[first : first + FRAMES_PER_CALL])
        for member in range(committee.model.n_members):
            row(
                f"GM-NN {member}",
                np.array([prediction.energies_eV[member] for prediction in predictions]),
                np.concatenate([prediction.forces_eV_per_A[member] for prediction in predictions]),
            )


if __name__ == "__main__":
    main()
