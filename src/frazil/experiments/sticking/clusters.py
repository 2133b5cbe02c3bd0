"""Training frames as in Table 1 of the paper: GFN-FF dynamics of CO clusters, and of H2 shot at small ones.

CO clusters (Packmol) are relaxed with GFN-FF and run in NVT (Berendsen, 1 fs) at 20 and 1000 K inside a
harmonic sphere of 20 a0; H2 with 50 and 300 K of translation is shot from points on a sphere at 10 CO at
100 K (NVE, 0.5 fs), frames being kept while H2 is within 6 Å of an atom. Not in the paper: H2 placed around
other clusters, each also without it, so that energies say what belongs to H2. The labels come later: here the
force field only explores, and bond lengths are drawn anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixConstraint
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet
from ase.optimize import LBFGS
from ase.units import Bohr, fs

from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.potentials.analytic.h2_co import H2_LENGTH_A
from frazil.seeds import rng
from frazil.systems.co import molecular_centres
from frazil.systems.molecules import random_rotation
from frazil.systems.packing import pack
from frazil.units import kB

WALL_RADIUS_A = 20 * Bohr
WALL_eV_per_A2 = 1.0
NEAR_A = 6.0
START_A = 7.0
"""H2 starts this far outside the outermost molecule."""
DENSITY_per_A3 = 0.018
LONGEST_FLIGHT_fs = 20_000.0
ISOLATED_A = {"CO": np.linspace(0.90, 1.60, 36), "H2": np.linspace(0.50, 1.05, 23)}
"""Bond lengths of molecules alone; an H2 that is longer would count as two atoms."""
SCAN_A = np.concatenate([np.linspace(-0.8, 2.0, 15), np.linspace(2.5, 6.0, 8)])
BONDS_A = {"CO": (1.128, 0.02), "H2": (H2_LENGTH_A, 0.03)}
"""Mean and standard deviation of the bond lengths of frames. GFN-FF only explores: its H2 is 0.78 Å long."""
FIRST_SCAN, FIRST_PLACED = 1_000_000, 2_000_000
"""Clusters from these numbers on are for scans, and to place H2 around."""
PLACED_A = (2.3, 6.5)
"""Distances from the nearest atom at which H2 is placed, the lower ones more often."""
PLACED_CO = (*(10,) * 19, 30)
"""Molecules of the clusters that H2 is placed around, in turn."""
PLACED_EACH, SLID_EACH, JOSTLED_EACH = 3, 3, 2
"""Frames with H2 around a cluster, as many where it slid towards a place where it is bound (one more frame is
without), and how often a cluster is jostled.
"""
SLID_FROM_A = (2.6, 3.4)
"""Distances from the nearest atom at which H2 begins to slide: pockets lie off the straight way down."""
MOST_SLID_STEPS = 40
LONGEST_SLIDE_A = 0.15
"""Of a step."""
JOSTLED = 0.15
"""Largest standard deviation of what moves its molecules (Å) and turns them (radians)."""


@dataclass(frozen=True)
class Row:
    """One row of Table 1: the system, its temperature, snapshot interval and number of frames."""

    n_co: int
    temperature_K: float
    interval_fs: float
    n_frames: int
    h2_energy_K: float = 0.0
    frames_each: int = 0
    """Frames that a trajectory of H2 gives on average in the paper: how many trajectories are needed."""


TABLE_1 = (
    Row(30, 20.0, 100.0, 200),
    Row(30, 1000.0, 100.0, 200),
    Row(40, 20.0, 200.0, 100),
    Row(40, 1000.0, 200.0, 100),
    Row(10, 100.0, 25.0, 7251, 50.0, 145),
    Row(10, 100.0, 25.0, 12493, 300.0, 62),
)


class Wall(FixConstraint):
    """A harmonic wall for atoms beyond 20 a0 of the origin, as an ASE constraint."""

    def adjust_positions(self, atoms: Atoms, new: np.ndarray) -> None:
        """Positions are free."""

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Add the wall's force, in place."""
        distance = np.linalg.norm(atoms.positions, axis=1)
        beyond = np.maximum(distance - WALL_RADIUS_A, 0.0)
        forces -= (WALL_eV_per_A2 * beyond / np.maximum(distance, 1e-9))[:, None] * atoms.positions

    def adjust_potential_energy(self, atoms: Atoms) -> float:
        """Return the wall's energy."""
        beyond = np.maximum(np.linalg.norm(atoms.positions, axis=1) - WALL_RADIUS_A, 0.0)
        return float(0.5 * WALL_eV_per_A2 * (beyond**2).sum())

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Return 0."""
        return 0

    def todict(self) -> dict[str, Any]:
        """Return what ASE asks for."""
        return {"name": "Wall", "kwargs": {}}


def calculator(n_co: int, hydrogen: bool) -> Any:
    """Return GFN-FF for CO molecules and H2, bonds between molecules forbidden."""
    try:
        from gfnff.ase_calculator import GFNFF
    except ImportError:
        raise UserError("exploring needs gfnff, which is not installed; install the extra 'labels'") from None
    return GFNFF(fragments=np.repeat(np.arange(1, n_co + hydrogen + 1), 2))


def cluster(n_co: int, campaign_seed: int, identity: int, steps: int = 500) -> Atoms:
    """Return CO molecules packed at random and relaxed with GFN-FF (at most ``steps``), centred."""
    radius = (3 * n_co / (4 * np.pi * DENSITY_per_A3)) ** (1 / 3)
    region = f"inside sphere 0. 0. 0. {radius:.3f}"
    atoms = pack(n_co, region, 2.8, campaign_seed, f"packmol-cluster-{n_co}", identity)
    atoms.positions -= molecular_centres(atoms.positions).mean(axis=0)
    atoms.calc = calculator(n_co, False)
    with LBFGS(atoms, logfile=None) as optimizer:
        optimizer.run(fmax=0.02, steps=steps)
    return atoms


def with_velocities(atoms: Atoms, temperature_K: float, generator: np.random.Generator) -> None:
    """Draw Maxwell–Boltzmann velocities without drift, in place."""
    masses = atoms.get_masses()[:, None]
    velocities = generator.normal(size=atoms.positions.shape) * np.sqrt(kB * temperature_K / masses)
    atoms.set_velocities(velocities - (masses * velocities).sum(axis=0) / masses.sum())


def thermal(row: Row, n_frames: int, campaign_seed: int, identity: int) -> list[Atoms]:
    """Return frames of one CO cluster in NVT, after 1 ps."""
    generator = rng(campaign_seed, f"cluster-{row.n_co}-{row.temperature_K:g}", identity)
    atoms = cluster(row.n_co, campaign_seed, identity)
    atoms.set_constraint(Wall())
    with_velocities(atoms, row.temperature_K, generator)
    dynamics = NVTBerendsen(atoms, 1.0 * fs, temperature_K=row.temperature_K, taut=100 * fs)
    dynamics.run(1000)
    frames = []
    for _ in range(n_frames):
        dynamics.run(round(row.interval_fs))
        frames.append(Atoms(atoms.symbols, atoms.positions))
    return frames


def shot(row: Row, campaign_seed: int, identity: int) -> list[Atoms]:
    """Return the frames of one collision of H2 with a cluster, while H2 is near."""
    generator = rng(campaign_seed, f"shot-{row.h2_energy_K:g}", identity)
    atoms = cluster(row.n_co, campaign_seed, identity)
    with_velocities(atoms, row.temperature_K, generator)
    direction = generator.normal(size=3)
    direction /= np.linalg.norm(direction)
    outermost = np.linalg.norm(molecular_centres(atoms.positions), axis=1).max()
    axis = random_rotation(generator)[2]
    centre = (outermost + START_A) * direction
    h2 = Atoms("H2", centre + 0.5 * H2_LENGTH_A * np.stack([axis, -axis]))
    speed = np.sqrt(2 * row.h2_energy_K * kB / h2.get_masses().sum())
    h2.set_velocities(np.repeat(-speed * direction[None], 2, axis=0))
    atoms.calc = None
    both = atoms + h2
    both.calc = calculator(row.n_co, True)
    dynamics = VelocityVerlet(both, 0.5 * fs)
    frames: list[Atoms] = []
    steps = round(row.interval_fs / 0.5)
    for _ in range(round(LONGEST_FLIGHT_fs / row.interval_fs)):
        dynamics.run(steps)
        apart = np.linalg.norm(both.positions[:-2, None] - both.positions[None, -2:], axis=2).min()
        if apart < NEAR_A:
            frames.append(Atoms(both.symbols, both.positions))
        elif frames or not np.isfinite(apart):
            break
        if len(frames) >= 2 * row.frames_each:
            break
    return frames


def with_bonds(atoms: Atoms, generator: np.random.Generator | None) -> Atoms:
    """Return a copy whose molecules have bond lengths drawn anew, or the mean ones; centres and axes stay."""
    copy = Atoms(atoms.symbols, atoms.positions)
    for first in range(0, len(copy), 2):
        pair = slice(first, first + 2)
        mean_A, spread_A = BONDS_A[copy.symbols[pair].get_chemical_formula()]
        length = mean_A if generator is None else generator.normal(mean_A, spread_A)
        weights = copy.get_masses()[pair, None]
        centre = (weights * copy.positions[pair]).sum(axis=0) / weights.sum()
        away = copy.positions[pair] - centre
        copy.positions[pair] = centre + away * length / np.linalg.norm(away[1] - away[0])
    return copy


def sampled(scale: float, campaign_seed: int) -> Iterator[Atoms]:
    """Yield the frames of Table 1, all counts times ``scale`` (at least one, but none for a scale of 0)."""
    if not 0 <= scale <= 10:
        raise UserError(f"a scale of {scale:g} of Table 1; give 0 (none) to 10 (1 is the paper's)")
    if not scale:
        return
    for number, row in enumerate(TABLE_1):
        wanted = max(round(scale * row.n_frames), 1)
        identity = 0
        while wanted > 0:
            if row.h2_energy_K:
                frames = shot(row, campaign_seed, identity)
                # Few wanted frames come from several collisions, spread over each.
                most = max(min(row.frames_each, wanted // 4), 1)
                frames = frames[:: max(len(frames) // most, 1)][:most]
            else:
                frames = thermal(row, min(wanted, 50), campaign_seed, identity)
            generator = rng(campaign_seed, f"bonds-{number}", identity)
            for explored in frames[:wanted]:
                frame = with_bonds(explored, generator)
                # The same clusters meet H2 of several energies, and several temperatures.
                frame.info |= {
                    "trajectory_id": f"{number}/{identity}", "parent": f"cluster-{row.n_co}-{identity}"
                }  # fmt: skip
                yield frame
            wanted -= len(frames)
            identity += 1
            if identity > 100 + 10 * row.n_frames:
                raise UserError("H2 never came near a cluster; this is a bug of the sampling")


def molecules() -> list[Atoms]:
    """Return CO and H2 alone over the bond lengths of dynamics, without labels: their curves."""
    frames = []
    for name, lengths in ISOLATED_A.items():
        for length in lengths:
            atoms = Atoms(name, [[0.0, 0.0, 0.0], [0.0, 0.0, length]])
            atoms.info["trajectory_id"] = f"alone/{name}-{length:.3f}"
            frames.append(atoms)
    return frames


def approached(atoms: Atoms, nearest_A: float, generator: np.random.Generator) -> Atoms:
    """Return a copy with H2 added: from a random direction, turned at random, down along the line to the
    cluster's centre until the nearest atom is ``nearest_A`` away.
    """
    direction = generator.normal(size=3)
    direction /= np.linalg.norm(direction)
    axis = random_rotation(generator)[2]
    h2 = Atoms("H2", 0.5 * H2_LENGTH_A * np.stack([axis, -axis]))
    centre = molecular_centres(atoms.positions).mean(axis=0)
    heights = np.arange(40.0, 0.0, -0.1)
    on_line = h2.positions[None] + centre + heights[:, None, None] * direction
    apart = np.linalg.norm(atoms.positions[:, None, None] - on_line[None], axis=3).min(axis=(0, 2))
    first = np.flatnonzero(apart < nearest_A)
    h2.positions = on_line[max(first[0] - 1, 0) if len(first) else -1]
    return Atoms(atoms.symbols, atoms.positions) + h2


def slid(atoms: Atoms, generator: np.random.Generator) -> Atoms:
    """Return a copy with H2 added, which GFN-FF has drawn some way towards a place where it is bound.

    The cluster stays as it is. The number of steps is drawn, so that frames lie all along the way.
    """
    low, high = SLID_FROM_A
    both = approached(atoms, low + (high - low) * generator.random(), generator)
    both.set_constraint(FixAtoms(range(len(atoms))))
    both.calc = calculator(len(atoms) // 2, True)
    with LBFGS(both, logfile=None, maxstep=LONGEST_SLIDE_A) as optimizer:
        optimizer.run(fmax=0.005, steps=int(generator.integers(1, MOST_SLID_STEPS)))
    found = Atoms(both.symbols, both.positions)
    found.set_distance(-2, -1, H2_LENGTH_A)
    return found


def jostled(atoms: Atoms, size: float, generator: np.random.Generator) -> Atoms:
    """Return a copy with every CO moved (``size`` Å) and turned (``size`` radians) at random, and a bond
    length drawn anew.
    """
    pairs = atoms.positions.reshape(-1, 2, 3)
    away = pairs[:, 1] - pairs[:, 0]
    length = np.linalg.norm(away, axis=1, keepdims=True)
    turned = away / length + size * generator.normal(size=away.shape)
    turned *= length / np.linalg.norm(turned, axis=1, keepdims=True)
    first = pairs[:, 0] + 0.5 * (away - turned) + size * generator.normal(size=away.shape)
    return with_bonds(Atoms(atoms.symbols, np.stack([first, first + turned], 1).reshape(-1, 3)), generator)


def placed(campaign_seed: int, identity: int) -> list[Atoms]:
    """Return H2 around a jostled cluster of CO, and that cluster alone, several times."""
    generator = rng(campaign_seed, "placed", identity)
    n_co = PLACED_CO[identity % len(PLACED_CO)]
    relaxed = cluster(n_co, campaign_seed, FIRST_PLACED + identity, 100)
    sliding = rng(campaign_seed, "slid", identity)
    frames: list[Atoms] = []
    for _ in range(JOSTLED_EACH):
        alone = jostled(relaxed, JOSTLED * generator.random(), generator)
        nearest_A = PLACED_A[0] + (PLACED_A[1] - PLACED_A[0]) * generator.random(PLACED_EACH) ** 2
        frames += [approached(alone, float(distance), generator) for distance in nearest_A]
        frames += [slid(alone, sliding) for _ in range(SLID_EACH)] + [alone]
    for frame in frames:
        frame.info["trajectory_id"] = f"placed/{identity}"
    return frames


def scan(campaign_seed: int, identity: int) -> list[Atoms]:
    """Return H2 being pulled off a cluster of 10 CO without anything else moving (the paper, Fig. A.1).

    Cluster and H2 are relaxed together with GFN-FF, from a random direction; ``distance_A`` is from there,
    along the line from the cluster's centre. The cluster is none that frames to train on come from.
    """
    generator = rng(campaign_seed, "scan", identity)
    both = approached(cluster(10, campaign_seed, FIRST_SCAN + identity), 3.0, generator)
    both.calc = calculator(10, True)
    with LBFGS(both, logfile=None) as optimizer:
        optimizer.run(fmax=0.02, steps=500)
    away = both.positions[-2:].mean(axis=0) - molecular_centres(both.positions[:-2]).mean(axis=0)
    away /= np.linalg.norm(away)
    frames = []
    for distance in SCAN_A:
        atoms = with_bonds(both, None)
        atoms.positions[-2:] += distance * away
        atoms.info |= {"trajectory_id": f"scan/{identity}", "distance_A": float(distance)}
        frames.append(atoms)
    return frames


def write_clusters(
    training_scale: float,
    n_placed: int,
    campaign_seed: int,
    n_scans: int,
    out: Path | str,
    out_molecules: Path | str,
    out_scans: Path | str,
) -> None:
    """Write the frames of Table 1, scaled, and of ``n_placed`` clusters with H2 placed around; molecules
    alone; and rigid scans to test with; all without labels.
    """
    if n_placed < 0:
        raise UserError(f"{n_placed} clusters to place H2 around; give 0 or more")
    if n_scans < 0:
        raise UserError(f"{n_scans} scans; give 0 or more")
    total = sum(max(round(training_scale * row.n_frames), 1) for row in TABLE_1) if training_scale > 0 else 0
    explored = list(progress(sampled(training_scale, campaign_seed), total, "frames"))
    around = progress(range(n_placed), n_placed, "clusters with H2 placed around")
    write_frames(out, explored + [frame for k in around for frame in placed(campaign_seed, k)])
    write_frames(out_molecules, molecules())
    write_frames(out_scans, [frame for k in range(n_scans) for frame in scan(campaign_seed, k)])
