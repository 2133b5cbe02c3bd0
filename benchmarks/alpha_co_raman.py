#!/usr/bin/env python3
"""Raman spectra of α-CO by a learned potential and polarizability, beside the truth that taught both.

    alpha_co_raman.py OUT_FOLDER frames train truth learned compare

``frames``: draws of the harmonic ensemble of 64 atoms at several temperatures, with the truth's energies,
forces and polarizabilities; bonds are drawn anew, nearly rigid in three frames of four. ``train``: the steps
of a user, potential and polarizability of two members each, which go in pairs. ``truth``, ``learned``: the
experiment raman from the same seed at 10 K. ``compare``: bands of both beside each other.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas
from stages import experiment, labelled, run_stages

import frazil
from frazil.data.frames import write_frames
from frazil.data.split import prepare
from frazil.data.structures import read_structures
from frazil.labels.imports.step import import_dataset
from frazil.learning import gmnn, polarizability
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.polarizability import along
from frazil.potentials.polarizability import load as polarizability_of
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.seeds import rng
from frazil.systems.minima import model_minimum
from frazil.systems.starts import canonical

ASSETS = Path(__file__).parents[1] / "assets"
CRYSTAL, POTENTIAL = ASSETS / "structures/alpha_co.extxyz", ASSETS / "potentials/alpha-co"
POLARIZABILITY, LEVEL, SEED = ASSETS / "polarizabilities/alpha-co", "co-crystal", 1
TEMPERATURES_K, N_EACH = (10.0, 20.0, 40.0), 120
BONDS_A = (0.0002, 0.0002, 0.0002, 0.004)
"""Standard deviations of the bonds about their rest, frame by frame: forces along stiff bonds hide
those of the lattice."""
RAMAN: dict[str, Any] = {
    "temperatures_K": [10.0], "n_trajectories": 8, "shard_size": 8, "equilibration_fs": 2000.0,
    "duration_fs": 20000.0, "timestep_fs": 0.5, "structure": str(CRYSTAL),
}  # fmt: skip


def make_frames(out: Path) -> None:
    """Write labelled.extxyz, each frame a trajectory of its own."""
    (crystal,) = read_structures(CRYSTAL, periodic=True)
    minimum = model_minimum(crystal, "alpha-co", members_of(load(POTENTIAL), crystal))
    random, calculator, found = rng(SEED, "alpha-co-frames"), frazil.load(POTENTIAL), []
    for temperature_K in TEMPERATURES_K:
        for number in range(N_EACH):
            positions, _ = canonical(minimum, temperature_K, SEED, f"frames-{temperature_K:g}", number)
            atoms = crystal.copy()
            atoms.positions = _with_bonds(positions, BONDS_A[number % len(BONDS_A)], random)
            atoms.info = {"trajectory_id": f"{temperature_K:g}-{number}", "label_level": LEVEL}
            found.append(labelled(atoms, calculator))
    tensors = along(polarizability_of(POLARIZABILITY).function(crystal))(
        np.stack([atoms.positions for atoms in found])
    )[:, 0]
    for atoms, tensor in zip(found, tensors, strict=True):
        atoms.info["label_polarizability_A3"] = tensor
    print(f"{len(found)} frames of {len(crystal)} atoms")
    write_frames(out / "labelled.extxyz", found)


def _with_bonds(positions: np.ndarray, std_A: float, random: np.random.Generator) -> np.ndarray:
    """Return positions (natoms, 3) whose bonds scatter by ``std_A`` about their mean."""
    molecules = positions.reshape(-1, 2, 3)
    centres, bonds = molecules.mean(axis=1), molecules[:, 1] - molecules[:, 0]
    lengths = np.linalg.norm(bonds, axis=1, keepdims=True)
    mean = lengths.mean()
    bonds = bonds / lengths * (mean + std_A * random.normal(size=lengths.shape))
    return np.stack([centres - bonds / 2, centres + bonds / 2], axis=1).reshape(-1, 3)


def train(out: Path, n_epochs: int, cutoff_A: float) -> None:
    """The steps of a user, from frames to a potential's and a polarizability's folder."""
    given = (out / "labelled.extxyz", out / "used.extxyz", out / "imports")
    print(import_dataset(*given, on_suspect="keep", periodic="yes"))
    prepare([out / "used.extxyz"], out / "data", "trajectory", 0.85, 0.1, molecules="any", periodic="yes")
    settings = GmnnTraining(seed=SEED, n_members=2, n_epochs=n_epochs, batch_size=4, learning_rate=0.03)
    shape = GmnnArchitecture(cutoff_A=cutoff_A, n_radial=5, hidden=(48, 48))
    print(gmnn.train(out / "data", out / "model", out / "checkpoints", settings, shape))
    print(polarizability.train(out / "labelled.extxyz", 2, 5.0, 5, 0.2, SEED, out / "polarizability"))


def compare(out: Path) -> None:
    """Print bands and harmonic lines of both, and the cosine of their powder spectra."""
    truth, learnt = out / "truth/results", out / "learned/results"
    position = ["position_cm1", "stat_se_cm1", "model_std_cm1", "harmonic_cm1"]
    areas = ["area", *(f"area_{name}" for name in ("low_95", "high_95", "model_std"))]
    columns = [*position, *areas, "area_total_low_95", "area_total_high_95", "harmonic_area"]
    for folder in (truth, learnt):
        print(pandas.read_csv(folder / "raman_bands.csv")[columns].to_string(float_format="%.4g"))
    one, other = (pandas.read_csv(folder / "raman_spectra.csv") for folder in (truth, learnt))
    for low, high in ((12, 120), (2100, 2300)):
        chosen = one["wavenumber_cm1"].between(low, high)
        a, b = (table["intensity"][chosen].to_numpy() for table in (one, other))
        print(f"cosine of powder spectra, {low} to {high} cm⁻¹: {a @ b / np.sqrt((a @ a) * (b @ b)):.4f}")
    lines = [pandas.read_csv(folder / "harmonic.csv") for folder in (truth, learnt)]
    apart = lines[1]["wavenumber_cm1"] - lines[0]["wavenumber_cm1"]
    lattice = lines[0]["wavenumber_cm1"] < 1000
    for told, chosen in (("lattice", lattice), ("stretches", ~lattice)):
        print(
            f"harmonic {told} less the truth's, in order: rms {np.sqrt((apart[chosen] ** 2).mean()):.2f} cm⁻¹"
        )


def main() -> None:
    """Run the stages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("stages", nargs="+")
    parser.add_argument("--n-epochs", type=int, default=200)
    parser.add_argument("--cutoff-A", type=float, default=6.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    out = given.out

    def raman(name: str, model: Path, response: Path) -> None:
        values = {**RAMAN, "model": str(model), "polarizability": str(response)}
        experiment(out / name, "raman", values, SEED)

    stages = {
        "frames": lambda: make_frames(out),
        "train": lambda: train(out, given.n_epochs, given.cutoff_A),
        "truth": lambda: raman("truth", POTENTIAL, POLARIZABILITY),
        "learned": lambda: raman("learned", out / "model", out / "polarizability"),
        "compare": lambda: compare(out),
    }
    run_stages(stages, given.stages)


if __name__ == "__main__":
    main()
