"""Training frames as in Table 1 of the paper: GFN-FF dynamics of clusters, and of what is shot at small ones.

CO clusters (Packmol) are relaxed with GFN-FF and run in NVT (Berendsen, 1 fs) at 20 and 1000 K inside a
harmonic sphere of 20 a0; H2 with 50 and 300 K of translation is shot from points on a sphere at 10 CO at
100 K (NVE, 0.5 fs), frames being kept while H2 is within 6 Å of an atom. Not in the paper: H2 placed around
other clusters, each also without it, so that energies say what belongs to H2. The labels come later: here the
force field only explores, and what molecules look like inside is drawn anew. Other molecules, mixed ones too,
take the place of CO and H2 in the same rows; their clusters are as loose beside their ice as CO's are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixConstraint
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet
from ase.optimize import LBFGS
from ase.units import Bohr, fs
from scipy.spatial.transform import Rotation

from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.sticking.settings import CO, H2, PLACED_BARE, PLACED_MOLECULES
from frazil.seeds import rng
from frazil.systems.molecules import Molecules, molecule, random_rotation
from frazil.systems.packing import packed, shared_out
from frazil.units import G_PER_CM3, kB

WALL_RADIUS_A = 20 * Bohr
WALL_eV_per_A2 = 1.0
NEAR_A = 6.0
START_A = 7.0
"""The projectile starts this far outside the outermost molecule."""
DENSITY_per_A3, DISTANCE_A = 0.018, 2.8
"""Of clusters of CO as they are packed: molecules, and how far atoms of two are apart."""
LOOSE = 0.78
"""A cluster's density as it is packed, in that of its amorphous ice: 0.018 of 0.023 CO per Å³."""
WALL_BEYOND_A = 2.5
"""The wall is at least this far outside the sphere that a cluster is packed into."""
LONGEST_FLIGHT_fs = 20_000.0
SPREAD_OVER = 4
"""What sticks stays near for long: a collision, not of H2 on CO, gives so many times what is kept of it."""
ISOLATED_A = {"CO": np.linspace(0.90, 1.60, 36), "H2": np.linspace(0.50, 1.05, 23)}
"""Bond lengths of molecules alone; an H2 that is longer would count as two atoms."""
ISOLATED = np.linspace(0.8, 1.42, 36)
"""Those of other diatomics, in units of their length at rest."""
SCAN_A = np.concatenate([np.linspace(-0.8, 2.0, 15), np.linspace(2.5, 6.0, 8)])
SPREAD_A = {True: 0.03, False: 0.02}
"""Standard deviation of the lengths of bonds with and without hydrogen. GFN-FF only explores: its H2 is
0.78 Å long, so that frames have the lengths at rest that their molecules were given with, and this spread.
"""
FIRST_SCAN, FIRST_PLACED = 1_000_000, 2_000_000
"""Clusters from these numbers on are for scans, and to place the projectile around."""
PLACED_A = (1.8, 8.0)
"""Distances from the nearest atom at which it is placed, the lower ones more often: from far inside the wall,
which a minimization may try, to where nothing is felt.
"""
PLACED_EACH, SLID_EACH = 3, 3
"""Frames with it around a jostled cluster, and as many where it slid to where it is bound; one is
without.
"""
SLID_FROM_A = (2.6, 3.4)
"""Distances from the nearest atom at which it begins to slide: pockets lie off the straight way down."""
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

    def name(self, ice: str, shot: str) -> str:
        """Return what the row is of, by the names of the ice's molecules and of the projectile."""
        return (
            f"{shot} ({self.h2_energy_K:g} K)–{self.n_co} {ice}" if self.h2_energy_K else f"{self.n_co} {ice}"
        )


TABLE_1 = (
    Row(30, 20.0, 100.0, 200),
    Row(30, 1000.0, 100.0, 200),
    Row(40, 20.0, 200.0, 100),
    Row(40, 1000.0, 200.0, 100),
    Row(10, 100.0, 25.0, 7251, 50.0, 145),
    Row(10, 100.0, 25.0, 12493, 300.0, 62),
)


@dataclass(frozen=True)
class System:
    """What is sampled: kinds of molecules at rest and their parts, the projectile about its centre of mass.

    ``density_per_A3``: molecules as clusters are packed; atoms of two of them are ``distance_A`` apart then.
    """

    kinds: tuple[Atoms, ...]
    parts: tuple[float, ...]
    projectile: Atoms
    density_per_A3: float = DENSITY_per_A3
    distance_A: float = DISTANCE_A

    @classmethod
    def of(
        cls, molecules: Sequence[str], parts: Sequence[float], projectile: str, density_g_per_cm3: float,
        packing_distance_A: float,
    ) -> "System":  # fmt: skip
        """Return what settings say: names, SMILES or files; of H2 on CO the published study's clusters.

        Raises UserError for what is no molecule.
        """
        kinds, shot = tuple(molecule(what) for what in molecules), molecule(projectile)
        shot.positions -= shot.get_center_of_mass()
        shares = tuple(parts) or (1.0,) * len(kinds)
        if tuple(molecules) == CO and projectile == H2:
            return PUBLISHED
        masses = sum(part * kind.get_masses().sum() for part, kind in zip(shares, kinds, strict=True))
        density = LOOSE * density_g_per_cm3 / G_PER_CM3 * sum(shares) / float(masses)
        return cls(kinds, shares, shot, density, packing_distance_A)

    def counts(self, n: int) -> list[tuple[Atoms, int]]:
        """Return how many of each kind a cluster of n molecules has."""
        shared = zip(self.kinds, shared_out(n, self.parts), strict=True)
        return [(kind, number) for kind, number in shared if number]

    def rests(self, n: int, shot: bool) -> list[Atoms]:
        """Return each molecule of a cluster of n at rest, in order, the projectile last where it is there."""
        found = [kind for kind, number in self.counts(n) for _ in range(number)]
        return [*found, self.projectile] if shot else found

    def radius_A(self, n: int) -> float:
        """Return the radius of the sphere that a cluster of n is packed into."""
        return float((3 * n / (4 * np.pi * self.density_per_A3)) ** (1 / 3))

    @cached_property
    def slowness(self) -> int:
        """How many times as long as H2's the projectile's intervals are: √ of its mass in H2's."""
        return max(1, round(float(np.sqrt(self.projectile.get_masses().sum() / 2.016))))


PUBLISHED = System((molecule("CO"),), (1.0,), molecule("H2"))
"""H2 and CO of the published study."""


def owners(rests: Sequence[Atoms]) -> np.ndarray:
    """Return the molecule of each atom (natoms,), of molecules one after the other."""
    return np.repeat(np.arange(len(rests)), [len(one) for one in rests])


def centres(rests: Sequence[Atoms], positions_A: np.ndarray) -> np.ndarray:
    """Return the centres of mass (n_molecules, 3) of molecules one after the other."""
    numbers, owner = np.concatenate([one.numbers for one in rests]), owners(rests)
    members = tuple(np.flatnonzero(owner == number) for number in range(len(rests)))
    return Molecules(numbers, members, np.empty((0, 2), int)).centres(positions_A)


class Wall(FixConstraint):
    """A harmonic wall for atoms beyond a radius (20 a0) of the origin, as an ASE constraint."""

    def __init__(self, radius_A: float = WALL_RADIUS_A) -> None:
        self.radius_A = radius_A

    def adjust_positions(self, atoms: Atoms, new: np.ndarray) -> None:
        """Positions are free."""

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Add the wall's force, in place."""
        distance = np.linalg.norm(atoms.positions, axis=1)
        beyond = np.maximum(distance - self.radius_A, 0.0)
        forces -= (WALL_eV_per_A2 * beyond / np.maximum(distance, 1e-9))[:, None] * atoms.positions

    def adjust_potential_energy(self, atoms: Atoms) -> float:
        """Return the wall's energy."""
        beyond = np.maximum(np.linalg.norm(atoms.positions, axis=1) - self.radius_A, 0.0)
        return float(0.5 * WALL_eV_per_A2 * (beyond**2).sum())

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Return 0."""
        return 0

    def todict(self) -> dict[str, Any]:
        """Return what ASE asks for."""
        return {"name": "Wall", "kwargs": {"radius_A": self.radius_A}}


def calculator(rests: Sequence[Atoms]) -> Any:
    """Return GFN-FF for molecules one after the other, bonds between them forbidden."""
    try:
        from gfnff.ase_calculator import GFNFF
    except ImportError:
        raise UserError("exploring needs gfnff, which is not installed; install the extra 'labels'") from None
    return GFNFF(fragments=owners(rests) + 1)


def cluster(system: System, n: int, campaign_seed: int, identity: int, steps: int = 500) -> Atoms:
    """Return n molecules packed at random and relaxed with GFN-FF (at most ``steps``), centred."""
    region = f"inside sphere 0. 0. 0. {system.radius_A(n):.3f}"
    atoms = packed(
        system.counts(n), region, system.distance_A, campaign_seed, f"packmol-cluster-{n}", identity
    )
    rests = system.rests(n, False)
    atoms.positions -= centres(rests, atoms.positions).mean(axis=0)
    atoms.calc = calculator(rests)
    with LBFGS(atoms, logfile=None) as optimizer:
        optimizer.run(fmax=0.02, steps=steps)
    return atoms


def with_velocities(atoms: Atoms, temperature_K: float, generator: np.random.Generator) -> None:
    """Draw Maxwell–Boltzmann velocities without drift, in place."""
    masses = atoms.get_masses()[:, None]
    velocities = generator.normal(size=atoms.positions.shape) * np.sqrt(kB * temperature_K / masses)
    atoms.set_velocities(velocities - (masses * velocities).sum(axis=0) / masses.sum())


def thermal(system: System, row: Row, n_frames: int, campaign_seed: int, identity: int) -> list[Atoms]:
    """Return frames of one cluster in NVT, after 1 ps."""
    generator = rng(campaign_seed, f"cluster-{row.n_co}-{row.temperature_K:g}", identity)
    atoms = cluster(system, row.n_co, campaign_seed, identity)
    atoms.set_constraint(Wall(max(WALL_RADIUS_A, system.radius_A(row.n_co) + WALL_BEYOND_A)))
    with_velocities(atoms, row.temperature_K, generator)
    dynamics = NVTBerendsen(atoms, 1.0 * fs, temperature_K=row.temperature_K, taut=100 * fs)
    dynamics.run(1000)
    frames = []
    for _ in range(n_frames):
        dynamics.run(round(row.interval_fs))
        frames.append(Atoms(atoms.symbols, atoms.positions))
    return frames


def shot(
    system: System, row: Row, campaign_seed: int, identity: int, at_most: int | None = None
) -> list[Atoms]:
    """Return the frames of one collision of the projectile with a cluster, while it is near.

    The intervals of a projectile that is heavier than H2, and so slower, are longer; without hydrogen the
    time step is 1 fs. It ends at ``at_most`` frames; None: at twice what a trajectory of the paper gives.
    """
    generator = rng(campaign_seed, f"shot-{row.h2_energy_K:g}", identity)
    rests, n = system.rests(row.n_co, True), len(system.projectile)
    atoms = cluster(system, row.n_co, campaign_seed, identity)
    with_velocities(atoms, row.temperature_K, generator)
    direction = generator.normal(size=3)
    direction /= np.linalg.norm(direction)
    outermost = np.linalg.norm(centres(rests[:-1], atoms.positions), axis=1).max()
    turned = system.projectile.positions @ random_rotation(generator)
    projectile = Atoms(system.projectile.numbers, (outermost + START_A) * direction + turned)
    speed = np.sqrt(2 * row.h2_energy_K * kB / projectile.get_masses().sum())
    projectile.set_velocities(np.repeat(-speed * direction[None], n, axis=0))
    atoms.calc = None
    both = atoms + projectile
    both.calc = calculator(rests)
    timestep_fs = 0.5 if 1 in both.numbers else 1.0
    dynamics = VelocityVerlet(both, timestep_fs * fs)
    frames: list[Atoms] = []
    steps = round(system.slowness * row.interval_fs / timestep_fs)
    at_most = 2 * row.frames_each if at_most is None else at_most
    for _ in range(round(LONGEST_FLIGHT_fs / row.interval_fs)):
        dynamics.run(steps)
        apart = np.linalg.norm(both.positions[:-n, None] - both.positions[None, -n:], axis=2).min()
        if apart < NEAR_A:
            frames.append(Atoms(both.symbols, both.positions))
        elif frames or not np.isfinite(apart):
            break
        if len(frames) >= at_most:
            break
    return frames


def with_bonds(atoms: Atoms, rests: Sequence[Atoms], generator: np.random.Generator | None) -> Atoms:
    """Return a copy whose molecules are as at rest inside, with a spread or (no generator) without.

    ``rests``: each molecule at rest, in order. Centres of mass stay; so do the axes of diatomics, and larger
    molecules are turned as they were, by least squares. A diatomic's length is drawn; of larger ones each
    atom moves by 1/√2 of a bond's spread, so that lengths have about that spread.
    """
    copy, last = Atoms(atoms.symbols, atoms.positions), 0
    for one in rests:
        own = slice(last, last + len(one))
        last += len(one)
        weights = copy.get_masses()[own, None]
        centre = (weights * copy.positions[own]).sum(axis=0) / weights.sum()
        spread_A = SPREAD_A[bool((one.numbers == 1).any())]
        away = copy.positions[own] - centre
        if len(one) == 2:
            mean_A = float(np.linalg.norm(one.positions[1] - one.positions[0]))
            length = mean_A if generator is None else generator.normal(mean_A, spread_A)
            copy.positions[own] = centre + away * length / np.linalg.norm(away[1] - away[0])
        elif len(one) > 2:
            inside = _as_turned(one, away)
            if generator is not None:
                each_A = np.where(one.numbers == 1, SPREAD_A[True], SPREAD_A[False])[:, None] / np.sqrt(2)
                inside = inside + each_A * generator.normal(size=inside.shape)
                inside -= (weights * inside).sum(axis=0) / weights.sum()
            copy.positions[own] = centre + inside
    return copy


def _as_turned(one: Atoms, away: np.ndarray) -> np.ndarray:
    """Return a molecule at rest (natoms, 3) about its centre of mass, turned as one seen is (Kabsch 1976)."""
    rest = one.positions - one.get_center_of_mass()
    left, _, right = np.linalg.svd(rest.T @ away)
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    return np.asarray(rest @ left @ right)


def sampled(system: System, scale: float, campaign_seed: int) -> Iterator[Atoms]:
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
                # Few wanted frames come from several collisions, spread over each.
                most = max(min(row.frames_each, wanted // 4), 1)
                needed = None if system is PUBLISHED else min(SPREAD_OVER * most, 2 * row.frames_each)
                frames = shot(system, row, campaign_seed, identity, needed)
                frames = frames[:: max(len(frames) // most, 1)][:most]
            else:
                frames = thermal(system, row, min(wanted, 50), campaign_seed, identity)
            generator = rng(campaign_seed, f"bonds-{number}", identity)
            rests = system.rests(row.n_co, row.h2_energy_K > 0)
            for explored in frames[:wanted]:
                frame = with_bonds(explored, rests, generator)
                # The same clusters meet the projectile at several energies, and several temperatures.
                frame.info |= {
                    "trajectory_id": f"{number}/{identity}", "parent": f"cluster-{row.n_co}-{identity}"
                }  # fmt: skip
                yield frame
            wanted -= len(frames)
            identity += 1
            if identity > 100 + 10 * row.n_frames:
                raise UserError(
                    f"{system.projectile.symbols} never came near a cluster; GFN-FF may not hold these "
                    "molecules together: give labelled frames of your own (sticking.dataset)"
                )


def isolated(system: System) -> list[Atoms]:
    """Return each diatomic alone over the bond lengths of dynamics, without labels: their curves."""
    frames, known = [], set()
    for one in (*system.kinds, system.projectile):
        name = one.get_chemical_formula()
        if len(one) != 2 or name in known:
            continue
        known.add(name)
        rest_A = float(np.linalg.norm(one.positions[1] - one.positions[0]))
        for length in ISOLATED_A.get(name, rest_A * ISOLATED):
            atoms = Atoms(one.numbers, [[0.0, 0.0, 0.0], [0.0, 0.0, length]])
            atoms.info["trajectory_id"] = f"alone/{name}-{length:.3f}"
            frames.append(atoms)
    return frames


def approached(
    system: System, atoms: Atoms, rests: Sequence[Atoms], nearest_A: float, generator: np.random.Generator
) -> Atoms:
    """Return a copy with the projectile added: from a random direction, turned at random, down along the line
    to the cluster's centre until the nearest atom is ``nearest_A`` away. ``rests``: the cluster's molecules.
    """
    direction = generator.normal(size=3)
    direction /= np.linalg.norm(direction)
    added = Atoms(system.projectile.numbers, system.projectile.positions @ random_rotation(generator))
    centre = centres(rests, atoms.positions).mean(axis=0)
    heights = np.arange(40.0, 0.0, -0.1)
    on_line = added.positions[None] + centre + heights[:, None, None] * direction
    apart = np.linalg.norm(atoms.positions[:, None, None] - on_line[None], axis=3).min(axis=(0, 2))
    first = np.flatnonzero(apart < nearest_A)
    added.positions = on_line[max(first[0] - 1, 0) if len(first) else -1]
    return Atoms(atoms.symbols, atoms.positions) + added


def slid(system: System, atoms: Atoms, rests: Sequence[Atoms], generator: np.random.Generator) -> Atoms:
    """Return a copy with the projectile added, drawn by GFN-FF some way towards a place where it is bound.

    The cluster stays as it is. The number of steps is drawn, so that frames lie all along the way.
    """
    low, high = SLID_FROM_A
    both = approached(system, atoms, rests, low + (high - low) * generator.random(), generator)
    both.set_constraint(FixAtoms(range(len(atoms))))
    both.calc = calculator([*rests, system.projectile])
    with LBFGS(both, logfile=None, maxstep=LONGEST_SLIDE_A) as optimizer:
        optimizer.run(fmax=0.005, steps=int(generator.integers(1, MOST_SLID_STEPS)))
    alone = with_bonds(both[len(atoms) :], [system.projectile], None)
    return Atoms(atoms.symbols, atoms.positions) + alone


def jostled(atoms: Atoms, rests: Sequence[Atoms], size: float, generator: np.random.Generator) -> Atoms:
    """Return a copy with every molecule moved (``size`` Å) and turned (``size`` radians) at random, and drawn
    anew inside (``with_bonds``). ``rests``: its molecules at rest, in order.
    """
    ends = np.cumsum([len(one) for one in rests])
    of_two = np.array([len(one) == 2 for one in rests])
    firsts = (ends - 2)[of_two]
    positions = atoms.positions.copy()
    pairs = np.stack([positions[firsts], positions[firsts + 1]], 1)
    away = pairs[:, 1] - pairs[:, 0]
    length = np.linalg.norm(away, axis=1, keepdims=True)
    turned = away / length + size * generator.normal(size=away.shape)
    turned *= length / np.linalg.norm(turned, axis=1, keepdims=True)
    first = pairs[:, 0] + 0.5 * (away - turned) + size * generator.normal(size=away.shape)
    positions[firsts], positions[firsts + 1] = first, first + turned
    for end, one in zip(ends[~of_two], (one for one in rests if len(one) != 2), strict=True):
        own = slice(end - len(one), end)
        centre = np.average(positions[own], axis=0, weights=one.get_masses())
        turn = Rotation.from_rotvec(size * generator.normal(size=3))
        positions[own] = centre + turn.apply(positions[own] - centre) + size * generator.normal(size=3)
    return with_bonds(Atoms(atoms.symbols, positions), rests, generator)


def placed(system: System, campaign_seed: int, identity: int) -> list[Atoms]:
    """Return the projectile around a jostled cluster, and that cluster alone, several times."""
    generator = rng(campaign_seed, "placed", identity)
    n = PLACED_MOLECULES[identity % len(PLACED_MOLECULES)]
    relaxed, rests = cluster(system, n, campaign_seed, FIRST_PLACED + identity, 100), system.rests(n, False)
    sliding = rng(campaign_seed, "slid", identity)
    frames: list[Atoms] = []
    for _ in range(PLACED_BARE):
        alone = jostled(relaxed, rests, JOSTLED * generator.random(), generator)
        nearest_A = PLACED_A[0] + (PLACED_A[1] - PLACED_A[0]) * generator.random(PLACED_EACH) ** 2
        frames += [approached(system, alone, rests, float(apart), generator) for apart in nearest_A]
        frames += [slid(system, alone, rests, sliding) for _ in range(SLID_EACH)] + [alone]
    for frame in frames:
        frame.info["trajectory_id"] = f"placed/{identity}"
    return frames


def scan(system: System, campaign_seed: int, identity: int) -> list[Atoms]:
    """Return the projectile being pulled off a cluster of 10, nothing else moving (the paper, Fig. A.1).

    Both are relaxed together with GFN-FF, from a random direction; ``distance_A`` is from there, along the
    line from the cluster's centre. The cluster is none that frames to train on come from.
    """
    generator = rng(campaign_seed, "scan", identity)
    rests, n = system.rests(10, True), len(system.projectile)
    both = approached(
        system, cluster(system, 10, campaign_seed, FIRST_SCAN + identity), rests[:-1], 3.0, generator
    )
    both.calc = calculator(rests)
    with LBFGS(both, logfile=None) as optimizer:
        optimizer.run(fmax=0.02, steps=500)
    middle = centres(rests, both.positions)
    away = both.positions[-n:].mean(axis=0) - middle[:-1].mean(axis=0)
    away /= np.linalg.norm(away)
    frames = []
    for distance in SCAN_A:
        atoms = with_bonds(both, rests, None)
        atoms.positions[-n:] += distance * away
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
    interaction_only: bool,
    **system: Any,
) -> None:
    """Write the frames of Table 1, scaled, and of ``n_placed`` clusters with the projectile placed around;
    diatomics alone; and rigid scans to test with; all without labels. ``system``: as ``System.of`` takes it.

    Raises UserError for what is no molecule, and with ``interaction_only`` for one that is no diatomic.
    """
    if n_placed < 0:
        raise UserError(f"{n_placed} clusters to place the projectile around; give 0 or more")
    if n_scans < 0:
        raise UserError(f"{n_scans} scans; give 0 or more")
    sampling = System.of(**system)
    larger = [one.get_chemical_formula() for one in (*sampling.kinds, sampling.projectile) if len(one) != 2]
    if interaction_only and larger:
        raise UserError(
            f"{', '.join(larger)} with interaction_only, which takes the curves of diatomics out; give "
            "sticking.interaction_only false"
        )
    total = sum(max(round(training_scale * row.n_frames), 1) for row in TABLE_1) if training_scale > 0 else 0
    explored = list(progress(sampled(sampling, training_scale, campaign_seed), total, "frames"))
    around = progress(range(n_placed), n_placed, "clusters with the projectile placed around")
    write_frames(out, explored + [frame for k in around for frame in placed(sampling, campaign_seed, k)])
    write_frames(out_molecules, isolated(sampling))
    write_frames(out_scans, [frame for k in range(n_scans) for frame in scan(sampling, campaign_seed, k)])
