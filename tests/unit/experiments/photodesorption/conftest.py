"""Synthetic shards: seeded trajectories of known probability, as run_trajectories.py writes them."""

from collections.abc import Callable
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.seeds import rng

ShardWriter = Callable[..., Path]
CRITERIA_A = (2.0, 3.0, 4.0, 5.0)
DURATION_fs = 3000.0


def trajectory(index: int, probability: float, seed: int) -> tuple[dict, list[dict], list[dict]]:
    generator = rng(seed, "synthetic", index)
    n_gone = int(generator.random() < probability) + int(generator.random() < 0.3 * probability**2)
    desorbed, crossings = [], []
    for molecule in generator.permutation(8)[:n_gone]:
        time = float(np.clip(10 * round(generator.normal(200, 40)), 700, DURATION_fs))
        energy = generator.gamma(1.6, 28.0)
        j = generator.gamma(2.5, 2.0 + 0.03 * energy)
        desorbed.append(
            {
                "trajectory_id": index, "molecule": molecule, "excited": int(molecule == 0),
                "desorption_fs": time,
                "returned": int(generator.random() < 0.03), "translational_energy_meV": energy,
                "rotational_energy_meV": 0.239 * j * (j + 1), "rotational_quantum_number": j,
                "vibrational_energy_meV": 134 + 20 * generator.random(),
                "vibrational_quantum_number": 31.4 if molecule == 0 else 0.02 + (generator.random() < 0.05),
            }
        )  # fmt: skip
        for number, criterion in enumerate(CRITERIA_A):
            at = time + 150 * (number - 1)
            if at <= DURATION_fs or criterion == 3.0:
                crossings.append((index, molecule, criterion, min(at, DURATION_fs)))
    times = [row["desorption_fs"] for row in desorbed]
    row = {
        "trajectory_id": index, "snapshot_id": 7 * index, "model_id": 1, "excited_molecule": 0,
        "excitation_energy_eV": 8.26, "initial_temperature_K": 15 + generator.normal(),
        "outcome": "desorbed" if desorbed else "retained", "n_desorbed": len(desorbed),
        "first_desorption_fs": min(times) if times else np.nan, "duration_fs": DURATION_fs,
        "energy_std_meV": 1.1 + 0.2 * generator.random(),
        "energy_drift_meV_per_ps": generator.normal(0, 0.01),
        "closest_contact_A": 1.9, "failure": "",
    }  # fmt: skip
    names = ("trajectory_id", "molecule", "criterion_A", "crossing_fs")
    return row, desorbed, [dict(zip(names, item, strict=True)) for item in crossings]


def frames(index: int, energy_drift_eV: float) -> list[ase.Atoms]:
    """Eight CO on a cube, moving apart; the model's energy is a line that conserves the total."""
    generator = rng(1, "frames", index)
    corners = 4.0 * np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    positions = np.repeat(corners, 2, axis=0)
    positions[1::2, 0] += 1.128
    made = []
    for number in range(6):
        atoms = ase.Atoms("CO" * 8, positions=positions + 0.02 * generator.normal(size=(16, 3)))
        atoms.set_momenta(0.1 * generator.normal(size=(16, 3)))
        atoms.arrays["excited"] = np.array([1, 1] + [0] * 14)
        atoms.info |= {"trajectory_id": str(index), "time_fs": 100.0 * number}
        energy = energy_drift_eV * number - atoms.get_kinetic_energy()
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        made.append(atoms)
    return made


@pytest.fixture(scope="session")
def write_shards() -> ShardWriter:
    """Write shards of trajectories into a directory and return it."""

    def write(
        directory: Path, n: int = 40, probability: float = 0.6, shard_size: int = 17, seed: int = 1,
        failed: int = 0, with_frames: bool = False,
    ) -> Path:  # fmt: skip
        for first in range(0, n, shard_size):
            ids = range(first, min(first + shard_size, n))
            made = [trajectory(index, probability, seed) for index in ids]
            rows = [row for row, _, _ in made]
            desorbed = [item for _, items, _ in made for item in items]
            crossings = [item for _, _, items in made for item in items]
            for row in rows:
                if row["trajectory_id"] < failed:
                    row |= {"outcome": "failed", "failure": "unphysical contact"}
            shard = directory / f"shard_{first:06d}"
            shard.mkdir(parents=True)
            _, example, crossing = next(
                item for item in (trajectory(index, 1.0, 0) for index in range(99)) if item[1]
            )
            pandas.DataFrame(rows).to_csv(shard / "trajectories.csv", index=False)
            pandas.DataFrame(desorbed, columns=list(example[0])).to_csv(shard / "desorbed.csv", index=False)
            pandas.DataFrame(crossings, columns=list(crossing[0])).to_csv(
                shard / "crossings.csv", index=False
            )
            kept = [atoms for index in ids if with_frames and index < 3 for atoms in frames(index, 0.0)]
            if kept:
                ase.io.write(shard / "frames.extxyz", kept, format="extxyz")
            else:
                (shard / "frames.extxyz").touch()
        return directory

    return write
