"""Small labelled frames and a small model that is really trained, shared by all tests."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.frames import write_frames
from frazil.learning.deepmd import train
from frazil.learning.settings import DeepmdTraining
from frazil.systems.co import set_excited
from frazil.systems.molecules import random_rotation

TINY = DeepmdTraining(
    n_steps=40, batch_size=2, learning_rate_start=3e-3, learning_rate_stop=1e-4,
    embedding=(4, 8), axis=2, fitting=(8, 8), sel=(3, 3, 1, 1),
)  # fmt: skip


def pair_label(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of a stand-in for a label: Morse bonds, exp(−2.8 r) between molecules."""
    first, second = np.triu_indices(len(positions), 1)
    vectors = positions[second] - positions[first]
    lengths = np.linalg.norm(vectors, axis=1)
    bonded = first // 2 == second // 2
    morse = np.exp(-2.3 * (lengths - 1.128))
    wall = 400 * np.exp(-2.8 * lengths)
    energy = np.where(bonded, 11.2 * (1 - morse) ** 2, wall).sum()
    slope = np.where(bonded, 2 * 2.3 * 11.2 * (1 - morse) * morse, -2.8 * wall)
    pulls = (slope / lengths)[:, None] * vectors
    forces = np.zeros_like(positions)
    np.add.at(forces, first, pulls)
    np.add.at(forces, second, -pulls)
    return float(energy), forces


def random_frames(n_frames: int, n_molecules: int = 3, seed: int = 0, first_id: int = 0) -> list[ase.Atoms]:
    """Labelled frames of CO scattered some 3.5 Å apart, molecule (id mod n) tagged and stretched."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(first_id, first_id + n_frames):
        positions = np.empty((2 * n_molecules, 3))
        for molecule in range(n_molecules):
            bond = (
                1.128 + 0.03 * rng.normal() + (rng.uniform(0, 0.5) if molecule == number % n_molecules else 0)
            )
            centre = 3.5 * np.array([molecule % 2, molecule // 2 % 2, molecule // 4]) + rng.uniform(
                -0.3, 0.3, 3
            )
            axis = random_rotation(rng)[0]
            positions[2 * molecule] = centre - 0.57 * bond * axis
            positions[2 * molecule + 1] = centre + 0.43 * bond * axis
        atoms = ase.Atoms("CO" * n_molecules, positions=positions)
        set_excited(atoms, number % n_molecules)
        energy, forces = pair_label(positions)
        atoms.info = {"trajectory_id": f"excited-{number:06d}", "time_fs": 0.0, "source": "excited"}
        atoms.info |= {"label_level": "pair", "label_code": "tests", "label_version": "1"}
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def write_dataset(directory: Path, n_train: int = 12, n_other: int = 4) -> Path:
    """Write train, test and validation frames."""
    for number, (subset, n) in enumerate([("train", n_train), ("test", n_other), ("validation", n_other)]):
        write_frames(directory / f"{subset}.extxyz", random_frames(n, seed=number, first_id=100 * number))
    return directory


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return a folder that is filled once in a run of the tests, by whichever worker comes first."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with open(folder.with_name(f"{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "filled").exists():
            folder.mkdir()
            fill(folder)
            (folder / "filled").touch()
    return folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset directory of 3-CO frames."""
    return once(tmp_path_factory, "dataset", write_dataset)


@pytest.fixture(scope="session")
def tiny_model(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory, really trained (for a few steps, and compressed) on ``tiny_dataset``."""

    def fill(folder: Path) -> None:
        train(tiny_dataset, folder / "model_0", folder / "checkpoints", 0, 7, TINY)

    return once(tmp_path_factory, "model", fill) / "model_0"


@pytest.fixture(scope="session")
def tiny_committee(
    tiny_model: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """``tiny_model`` and a second member, of another seed and not compressed."""

    def fill(folder: Path) -> None:
        train(tiny_dataset, folder / "model_1", folder / "checkpoints", 1, 7, TINY, compress=False)

    return [tiny_model, once(tmp_path_factory, "committee", fill) / "model_1"]


@pytest.fixture(scope="session")
def tiny_residual(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory trained like ``tiny_model`` on what a Morse curve of the bonds leaves."""

    def fill(folder: Path) -> None:
        lengths = np.linspace(0.7, 2.6, 400)
        morse = 11.2 * (1 - np.exp(-2.3 * (lengths - 1.128))) ** 2
        np.savetxt(
            folder / "curve.csv", np.c_[lengths, morse],
            header="bond_length_A,label_eV", comments="", delimiter=",", fmt="%.12g",
        )  # fmt: skip
        train(
            tiny_dataset, folder / "model", folder / "checkpoints", 0, 8, TINY,
            bond_curve=folder / "curve.csv",
        )  # fmt: skip

    return once(tmp_path_factory, "residual", fill) / "model"
