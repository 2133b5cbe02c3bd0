#!/usr/bin/env python3
"""Make the unlabelled frames of this data set: CO aggregates of 2–6 molecules and the isolated molecule.

GFN-FF only explores (which geometries), it labels nothing. Bond lengths are redrawn afterwards, because the
force field's classical bonds are narrower than quantum ones and centred elsewhere. Frames come out in random
order of size and kind, so that any first part of the file is a balanced set. Needs ``gfnff`` and ``frazil``.

    make_frames.py OUT.extxyz
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from gfnff.ase_calculator import GFNFF
from numpy.random import Generator

from frazil.files import write_atomic
from frazil.seeds import derived_seed, rng

CAMPAIGN_SEED = 5
BOND_A, GROUND_STATE_WIDTH_A = 1.143, 0.035
"""About the minimum of PBE/def2-SVP, and the standard deviation of CO's v = 0 bond length."""
EXCITED_BONDS_A = (0.95, 1.97)
"""Classical turning points of CO at v = 40 (8.2–8.3 eV)."""
TEMPERATURES_K = (20, 50, 100)
TRAJECTORIES = {2: 5, 3: 4, 4: 3, 5: 2, 6: 2}
"""GFN-FF trajectories per size and temperature."""
COUNTS = {  # size: thermal, compressed, contact, excited
    2: (30, 25, 40, 65),
    3: (15, 15, 15, 35),
    4: (10, 10, 10, 25),
    5: (5, 5, 5, 12),
    6: (3, 3, 3, 8),
}
DIMERS = 60
MASS_C, MASS_O = 12.011, 15.999


def molecule(centre: np.ndarray, axis: np.ndarray, bond_A: float) -> np.ndarray:
    """Return C and O (2, 3) of a molecule with that centre of mass and C-to-O direction."""
    unit = axis / np.linalg.norm(axis)
    total = MASS_C + MASS_O
    return np.array([centre - unit * bond_A * MASS_O / total, centre + unit * bond_A * MASS_C / total])


def centres(positions: np.ndarray) -> np.ndarray:
    """Return the molecules' centres of mass (n, 3)."""
    pairs = positions.reshape(-1, 2, 3)
    return (pairs[:, 0] * MASS_C + pairs[:, 1] * MASS_O) / (MASS_C + MASS_O)


def axes(positions: np.ndarray) -> np.ndarray:
    """Return the C-to-O vectors (n, 3)."""
    pairs = positions.reshape(-1, 2, 3)
    return pairs[:, 1] - pairs[:, 0]


def closest_contact(positions: np.ndarray) -> float:
    """Return the smallest distance (Å) between atoms of different molecules."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    owner = np.arange(len(positions)) // 2
    return float(distances[owner[:, None] != owner[None]].min())


def rebuilt(positions: np.ndarray, centre: np.ndarray, bonds_A: np.ndarray) -> np.ndarray:
    """Return the molecules at other centres and with other bonds, axes kept."""
    parts = [molecule(c, a, b) for c, a, b in zip(centre, axes(positions), bonds_A, strict=True)]
    return np.concatenate(parts)


def random_aggregate(n: int, random: Generator) -> np.ndarray:
    """Pile up molecules, each 3.3–4.2 Å from one already there and 2.9 Å or more from every atom."""
    placed = molecule(np.zeros(3), random.normal(size=3), BOND_A)
    while len(placed) < 2 * n:
        direction = random.normal(size=3)
        anchor = centres(placed)[random.integers(len(placed) // 2)]
        centre = anchor + direction / np.linalg.norm(direction) * random.uniform(3.3, 4.2)
        trial = np.concatenate([placed, molecule(centre, random.normal(size=3), BOND_A)])
        if closest_contact(trial) > 2.9:
            placed = trial
    return placed


def thermal_snapshots(n: int, temperature_K: int, replica: int) -> list[np.ndarray]:
    """Return six snapshots, 0.5 ps apart after 1 ps, of a Langevin run; broken aggregates are left out."""
    random = rng(CAMPAIGN_SEED, "gfnff", n, temperature_K, replica)
    atoms = Atoms("CO" * n, random_aggregate(n, random))
    atoms.calc = GFNFF(fragments=np.repeat(np.arange(1, n + 1), 2))
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=random)
    dynamics = Langevin(
        atoms, 1.0 * units.fs, temperature_K=temperature_K, friction=0.01 / units.fs, rng=random
    )
    dynamics.run(1000)
    snapshots = []
    for _ in range(6):
        dynamics.run(500)
        middle = centres(atoms.positions)
        spacing = np.linalg.norm(middle[:, None] - middle[None], axis=-1) + 1e3 * np.eye(n)
        if spacing.min(axis=1).max() < 6.5:
            snapshots.append(atoms.positions.copy())
    return snapshots


def ground_bonds(n: int, random: Generator) -> np.ndarray:
    """Draw bond lengths (Å) of unexcited molecules."""
    return random.normal(BOND_A, GROUND_STATE_WIDTH_A, size=n).clip(1.02, 1.30)


def compressed(positions: np.ndarray, random: Generator) -> np.ndarray | None:
    """Move the centres of mass towards their mean; None where molecules would touch."""
    middle = centres(positions)
    scaled = middle.mean(axis=0) + (middle - middle.mean(axis=0)) * random.uniform(0.75, 0.97)
    trial = rebuilt(positions, scaled, ground_bonds(len(middle), random))
    return trial if closest_contact(trial) > 2.2 else None


def pushed(
    positions: np.ndarray, mover: int, low_A: float, high_A: float, random: Generator
) -> np.ndarray | None:
    """Move one molecule along the line to its nearest neighbour until the closest contact is as drawn."""
    wanted = random.uniform(low_A, high_A)
    middle = centres(positions)
    others = [m for m in range(len(middle)) if m != mover]
    neighbour = min(others, key=lambda m: float(np.linalg.norm(middle[m] - middle[mover])))
    direction = middle[neighbour] - middle[mover]
    low, high = -4.0, float(np.linalg.norm(direction))
    direction = direction / np.linalg.norm(direction)
    trial = positions.copy()
    for _ in range(40):
        step = (low + high) / 2
        trial = positions.copy()
        trial[2 * mover : 2 * mover + 2] += direction * step
        low, high = (step, high) if closest_contact(trial) > wanted else (low, step)
    return trial if abs(closest_contact(trial) - wanted) < 1e-3 else None


def excited(positions: np.ndarray, random: Generator) -> tuple[np.ndarray, int] | None:
    """Stretch one molecule; every second one is also pushed at its neighbour."""
    n = len(positions) // 2
    chosen = int(random.integers(n))
    bonds = ground_bonds(n, random)
    bonds[chosen] = random.uniform(*EXCITED_BONDS_A)
    trial: np.ndarray | None = rebuilt(positions, centres(positions), bonds)
    if random.random() < 0.5 and trial is not None:
        trial = pushed(trial, chosen, 2.0, 3.2, random)
    return (trial, chosen) if trial is not None and closest_contact(trial) > 1.95 else None


def frame(positions: np.ndarray, source: str, trajectory_id: str, excited_molecule: int = -1) -> Atoms:
    """Return a frame in the conventions of frazil (tags, trajectory, source)."""
    atoms = Atoms("CO" * (len(positions) // 2), positions - positions.mean(axis=0))
    atoms.arrays["excited"] = (np.arange(len(atoms)) // 2 == excited_molecule).astype(int)
    atoms.info.update(trajectory_id=trajectory_id, time_fs=0.0, source=source)
    return atoms


def aggregates(n: int) -> list[Atoms]:
    """Return the frames of one size."""
    pool = [
        (f"co{n}-{temperature_K}K-{replica}", positions)
        for temperature_K in TEMPERATURES_K
        for replica in range(TRAJECTORIES[n])
        for positions in thermal_snapshots(n, temperature_K, replica)
    ]
    random = rng(CAMPAIGN_SEED, "aggregates", n)
    thermal, squeezed, contacts, stretched = COUNTS[n]
    frames = []
    for index in random.permutation(len(pool))[:thermal]:
        name, positions = pool[index]
        frames.append(frame(rebuilt(positions, centres(positions), ground_bonds(n, random)), "thermal", name))
    made = 0
    while made < squeezed:
        name, positions = pool[random.integers(len(pool))]
        trial = compressed(positions, random)
        if trial is not None:
            frames.append(frame(trial, "compressed", name))
            made += 1
    for number in range(contacts):
        trial = None
        while trial is None:
            start = random_aggregate(n, random)
            trial = pushed(rebuilt(start, centres(start), ground_bonds(n, random)), n - 1, 2.0, 2.8, random)
        frames.append(frame(trial, "contact", f"co{n}-contact-{number:03d}"))
    made = 0
    while made < stretched:
        name, positions = pool[random.integers(len(pool))]
        result = excited(positions, random)
        if result is not None:
            frames.append(frame(result[0], "excited", name, result[1]))
            made += 1
    return frames


def dimers() -> list[Atoms]:
    """Return pairs over all orientations, centres of mass 3–8 Å apart: the well and its tail."""
    random = rng(CAMPAIGN_SEED, "dimers")
    frames: list[Atoms] = []
    while len(frames) < DIMERS:
        separation = np.array([random.uniform(3.0, 8.0), 0.0, 0.0])
        first, second = ground_bonds(2, random)
        positions = np.concatenate(
            [
                molecule(np.zeros(3), random.normal(size=3), first),
                molecule(separation, random.normal(size=3), second),
            ]
        )
        if closest_contact(positions) > 2.6:
            frames.append(frame(positions, "dimer", f"co2-dimer-{len(frames):03d}"))
    return frames


def isolated() -> list[Atoms]:
    """Return the bond curve of one molecule, widely as excited and near the minimum as unexcited."""
    x = np.array([1.0, 0.0, 0.0])
    wide = [
        frame(molecule(np.zeros(3), x, b), "curve", "co1-excited", 0) for b in np.arange(0.90, 2.11, 0.05)
    ]
    near = [frame(molecule(np.zeros(3), x, b), "curve", "co1-ground") for b in np.arange(1.0125, 1.35, 0.025)]
    return wide + near


def main() -> None:
    """Write all frames in random order."""
    frames = [*isolated(), *dimers(), *(atoms for n in COUNTS for atoms in aggregates(n))]
    order = np.random.default_rng(derived_seed(CAMPAIGN_SEED, "order")).permutation(len(frames))
    with write_atomic(Path(sys.argv[1])) as path:
        write(path, [frames[i] for i in order], format="extxyz")


if __name__ == "__main__":
    main()
