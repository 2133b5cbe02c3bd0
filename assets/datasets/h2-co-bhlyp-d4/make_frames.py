#!/usr/bin/env python3
"""Make the unlabelled frames of this data set: H2 with 1–5 CO, CO dimers, and the two isolated molecules.

GFN-FF only explores, it labels nothing. Bond lengths are redrawn afterwards, because the classical bonds of a
force field are narrower than quantum ones. Frames come out in random order of size and kind,
so that any first part of the file is a balanced set. Needs ``gfnff`` and ``frazil``.

    make_frames.py OUT.extxyz
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from frazil.structures import closest_contact
from gfnff.ase_calculator import GFNFF
from numpy.random import Generator

from frazil.files import write_atomic
from frazil.seeds import derived_seed, rng

CAMPAIGN_SEED = 5
CO_BOND_A, CO_WIDTH_A = 1.115, 0.035
H2_BOND_A, H2_WIDTH_A = 0.745, 0.085
"""About the minima of BHLYP, and the standard deviations of the bond lengths in v = 0."""
MASSES = {"C": 12.011, "O": 15.999, "H": 1.008}
COLLISIONS = {1: 8, 2: 8, 3: 5, 4: 3, 5: 2}
"""Shots of H2 at an aggregate of so many CO; each gives at most ``FRAMES_PER_SHOT`` frames."""
FRAMES_PER_SHOT = 6
WELLS = {1: 120, 2: 15, 3: 6, 4: 2, 5: 2}
"""Frames with H2 put at a drawn closest contact of an aggregate of so many CO, in any direction."""
CO_DIMERS = 50
PAIRS = {"HH": (120, 60, 2.8, 5.0, 1.9), "CO": (110, 60, 3.0, 5.0, 2.4)}
"""Pairs of CO with this partner: turned at random, near a well; centres of mass from and to (Å), closest
contact allowed (Å)."""
NEAR_WELLS = {
    "HH": ((180.0, 0.0, 4.15), (0.0, 0.0, 3.70), (90.0, 0.0, 3.45)),
    "CO": ((134.7, -45.3, 4.30), (59.0, -121.0, 3.62)),
}
"""Of each well the angles of CO and partner with the line of centres (degrees), distance of centres (Å)."""
TILT, NARROW_A = 0.35, 0.35
"""Standard deviations about a well: of each axis' components, and of the distance (Å)."""
SHORTEST_A, LONGEST_A = 2.0, 6.0
"""Closest contact of H2 with CO, drawn evenly in its inverse cube, so that most are near the well."""


def molecule(symbols: str, centre: np.ndarray, axis: np.ndarray, bond_A: float) -> np.ndarray:
    """Return the positions (2, 3) of a diatomic with that centre of mass and direction."""
    unit = axis / np.linalg.norm(axis)
    first, second = (MASSES[symbol] for symbol in symbols)
    shift = bond_A / (first + second)
    return np.array([centre - unit * shift * second, centre + unit * shift * first])


def bond(symbols: str, random: Generator) -> float:
    """Draw a bond length (Å) of v = 0."""
    if symbols == "CO":
        return float(np.clip(random.normal(CO_BOND_A, CO_WIDTH_A), 1.0, 1.26))
    return float(np.clip(random.normal(H2_BOND_A, H2_WIDTH_A), 0.55, 1.1))


def redrawn(symbols: str, positions: np.ndarray, random: Generator) -> np.ndarray:
    """Return the molecules with centres and directions kept, bond lengths drawn anew."""
    parts = []
    for index in range(0, len(positions), 2):
        pair, both = symbols[index : index + 2], positions[index : index + 2]
        weights = np.array([MASSES[symbol] for symbol in pair])
        centre = weights @ both / weights.sum()
        parts.append(molecule(pair, centre, both[1] - both[0], bond(pair, random)))
    return np.concatenate(parts)


def aggregate(n: int, random: Generator) -> np.ndarray:
    """Return CO molecules, each 3.3–4.2 Å from another and 2.9 Å from every atom, after 1 ps at 20–100 K."""
    placed = molecule("CO", np.zeros(3), random.normal(size=3), CO_BOND_A)
    while len(placed) < 2 * n:
        direction = random.normal(size=3)
        anchor = placed[2 * random.integers(len(placed) // 2)]
        centre = anchor + direction / np.linalg.norm(direction) * random.uniform(3.3, 4.2)
        trial = np.concatenate([placed, molecule("CO", centre, random.normal(size=3), CO_BOND_A)])
        if closest_contact(trial) > 2.9:
            placed = trial
    if n == 1:
        return placed
    temperature_K = random.uniform(20, 100)
    atoms = Atoms("CO" * n, placed)
    atoms.calc = GFNFF(fragments=np.repeat(np.arange(1, n + 1), 2))
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=random)
    thermostat = {"temperature_K": temperature_K, "friction": 0.01 / units.fs, "fixcm": False}
    Langevin(atoms, 1.0 * units.fs, rng=random, **thermostat).run(1000)
    return atoms.positions - atoms.positions.mean(axis=0)


def frame(
    symbols: str, positions: np.ndarray, source: str, trajectory_id: str, time_fs: float = 0.0
) -> Atoms:
    """Return a frame in the conventions of frazil."""
    atoms = Atoms(symbols, positions - positions.mean(axis=0))
    atoms.info.update(trajectory_id=trajectory_id, time_fs=time_fs, source=source)
    return atoms


def collision(n: int, shot: int) -> list[Atoms]:
    """Return frames of one shot of H2 (50–300 K of speed) at CO, while H2 is within 6 Å of an atom."""
    random = rng(CAMPAIGN_SEED, "collision", n, shot)
    target = aggregate(n, random)
    direction = random.normal(size=3)
    direction /= np.linalg.norm(direction)
    aim = random.normal(size=3)
    aim -= (aim @ direction) * direction
    aim *= random.uniform(0, 3.0) / np.linalg.norm(aim)
    distance = np.linalg.norm(target, axis=1).max() + 5.0
    projectile = molecule("HH", direction * distance + aim, random.normal(size=3), 0.74)
    symbols = "CO" * n + "HH"
    atoms = Atoms(symbols, np.concatenate([target, projectile]))
    atoms.calc = GFNFF(fragments=np.repeat(np.arange(1, n + 2), 2))
    energy_eV = 1.5 * units.kB * random.uniform(50, 300)
    momenta = np.zeros((len(atoms), 3))
    momenta[-2:] = -direction * np.sqrt(2 * energy_eV * 2 * MASSES["H"]) / 2
    atoms.set_momenta(momenta)
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    seen: list[tuple[float, np.ndarray]] = []
    for step in range(1, 121):
        dynamics.run(50)
        near = np.linalg.norm(atoms.positions[:-2, None] - atoms.positions[None, -2:], axis=-1).min()
        if near < LONGEST_A:
            seen.append((25.0 * step, atoms.positions.copy()))
    chosen = np.linspace(0, len(seen) - 1, min(FRAMES_PER_SHOT, len(seen))).round().astype(int)
    frames = []
    for index in chosen:
        time_fs, positions = seen[index]
        positions = redrawn(symbols, positions, random)
        if closest_contact(positions) > 1.7:
            frames.append(frame(symbols, positions, "collision", f"h2-co{n}-shot-{shot}", time_fs))
    return frames


def well(n: int, number: int) -> Atoms:
    """Return H2 at a drawn closest contact of CO, from any side and in any orientation."""
    random = rng(CAMPAIGN_SEED, "well", n, number)
    symbols = "CO" * n + "HH"
    target = redrawn("CO" * n, aggregate(n, random), random)
    wanted = random.uniform(LONGEST_A**-3, SHORTEST_A**-3) ** (-1 / 3)
    direction = random.normal(size=3)
    direction /= np.linalg.norm(direction)
    axis, length = random.normal(size=3), bond("HH", random)
    far, positions = 30.0, np.zeros((len(symbols), 3))
    for step in np.arange(far, 0.0, -0.01):
        positions = np.concatenate([target, molecule("HH", direction * step, axis, length)])
        distances = np.linalg.norm(positions[:-2, None] - positions[None, -2:], axis=-1)
        if distances.min() <= wanted:
            break
    return frame(symbols, positions, "well", f"h2-co{n}-well-{number:03d}")


def carbon_monoxide_dimers() -> list[Atoms]:
    """Return pairs of CO over all orientations, centres of mass 3–8 Å apart."""
    random = rng(CAMPAIGN_SEED, "dimers")
    frames: list[Atoms] = []
    while len(frames) < CO_DIMERS:
        centre = np.array([random.uniform(8.0**-2, 3.0**-2) ** -0.5, 0.0, 0.0])
        first = molecule("CO", np.zeros(3), random.normal(size=3), bond("CO", random))
        second = molecule("CO", centre, random.normal(size=3), bond("CO", random))
        positions = np.concatenate([first, second])
        if closest_contact(positions) > 2.4:
            frames.append(frame("COCO", positions, "dimer", f"co2-dimer-{len(frames):03d}"))
    return frames


def pairs(partner: str) -> list[Atoms]:
    """Return CO with one partner: evenly turned and spread over the distances, then about the known wells."""
    anywhere, near, low_A, high_A, contact_A = PAIRS[partner]
    name = {"HH": "h2-co", "CO": "co-co"}[partner]
    frames: list[Atoms] = []
    while len(frames) < anywhere + near:
        number = len(frames)
        random = rng(CAMPAIGN_SEED, f"pair {name}", number)
        while len(frames) == number:
            if number < anywhere:
                source, axis, other = "pair", random.normal(size=3), random.normal(size=3)
                distance = random.uniform(low_A, high_A)
            else:
                wells = NEAR_WELLS[partner]
                degrees, turned, centre_A = wells[number % len(wells)]
                source, distance = "near-well", centre_A + random.normal(0.0, NARROW_A)
                axis, other = (
                    np.array([np.cos(np.radians(a)), np.sin(np.radians(a)), 0.0])
                    + random.normal(0.0, TILT, 3)
                    for a in (degrees, turned)
                )
            first = molecule("CO", np.zeros(3), axis, bond("CO", random))
            second = molecule(partner, np.array([distance, 0.0, 0.0]), other, bond(partner, random))
            positions = np.concatenate([first, second])
            if closest_contact(positions) > contact_A:
                frames.append(frame("CO" + partner, positions, source, f"{name}-pair-{number:03d}"))
    return frames


def isolated() -> list[Atoms]:
    """Return the bond curves of H2 and CO near their minima."""
    x, origin = np.array([1.0, 0.0, 0.0]), np.zeros(3)
    hydrogen = [frame("HH", molecule("HH", origin, x, b), "curve", "h2") for b in np.arange(0.55, 1.16, 0.05)]
    monoxide = [
        frame("CO", molecule("CO", origin, x, b), "curve", "co") for b in np.arange(0.98, 1.29, 0.025)
    ]
    return hydrogen + monoxide


def main() -> None:
    """Write all frames in random order."""
    frames = [*isolated(), *carbon_monoxide_dimers(), *pairs("HH"), *pairs("CO")]
    frames += [well(n, number) for n, count in WELLS.items() for number in range(count)]
    for n, count in COLLISIONS.items():
        frames += [atoms for shot in range(count) for atoms in collision(n, shot)]
    order = np.random.default_rng(derived_seed(CAMPAIGN_SEED, "order")).permutation(len(frames))
    with write_atomic(Path(sys.argv[1])) as path:
        write(path, [frames[i] for i in order], format="extxyz")


if __name__ == "__main__":
    main()
