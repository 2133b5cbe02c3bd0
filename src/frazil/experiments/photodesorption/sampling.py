"""Frames to be labelled, by the dynamics of a potential: thermal, excited, compressed, stretched, in contact.

Every frame is a function of (campaign seed, its trajectory's id). Excited molecules carry their tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.data.windows import window_times_fs
from frazil.errors import UserError
from frazil.experiments.photodesorption.engines import TEACHER
from frazil.experiments.photodesorption.settings import Sampling
from frazil.labels.bond_curve import bond_curve
from frazil.labels.levels import COARSE_CO_SCAN_A
from frazil.seeds import derived_seed, rng
from frazil.systems.co import (
    MOLECULE_MASSES_amu,
    closest_contact,
    excited_molecule,
    molecular_centres,
    set_excited,
)
from frazil.systems.diatomic import BondCurve
from frazil.systems.excite import set_internal_energy
from frazil.systems.molecules import random_rotation
from frazil.systems.packing import random_aggregate, relax
from frazil.units import kB

EXCITATION_MARGIN = 1.1
"""Bonds are stretched up to the turning points of this many excitation energies: neighbours add some."""
NEIGHBOUR_ENERGY_eV = 1.5
"""Bonds of unexcited molecules are stretched up to the turning points of what they may take up."""
FAR_APART_A = 30.0
"""Molecules of a bond frame are this far apart: beyond any cutoff."""
COMPRESSION = (0.8, 1.1)
"""Factors between which the distances of molecules from the centre are scaled in a compressed frame."""
COMPRESSED_CONTACT_A = 2.3
"""Closest atoms of two molecules in a compressed frame."""
PACKING_DURATION_fs = 2000.0
PACKING_INTERVAL_fs = 50.0
EQUILIBRATED_FRACTION = 0.5
"""Excited trajectories start from frames of the last part of thermal ones."""


@dataclass(frozen=True)
class Plan:
    """What to sample: how many of each kind, where excitation and windows come from, and the seed."""

    sampling: Sampling
    coupling_eV: float
    thermal_temperature_K: float
    excitation_energy_eV: float
    core_radius_A: float
    window_starts_fs: Sequence[float]
    window_intervals_fs: Sequence[float]
    campaign_seed: int


def moved_by(name: str, coupling_eV: float, atoms: Atoms) -> tuple[Any, Any, BondCurve]:
    """Return what moves atoms like these: a potential of the engine, its ASE calculator, its curve of one CO.

    ``name``: as the setting ``frames.potential``; ``coupling_eV`` is the analytic field's. Raises UserError
    for a calculator that is none, or that finds no energy of a CO of some length.
    """
    if name == TEACHER:
        from frazil.potentials.analytic.van_hemert import VanHemert, VanHemertCalculator

        curve = bond_curve(TEACHER, coupling_eV=coupling_eV)
        return VanHemert(coupling_eV), VanHemertCalculator(coupling_eV), curve
    from frazil.potentials.calculator import PotentialCalculator
    from frazil.potentials.registry import load

    source = load(name)
    molecule, calculator, energies = Atoms("CO", np.zeros((2, 3))), PotentialCalculator(source), []
    for length in COARSE_CO_SCAN_A:
        molecule.positions[1, 2] = length
        molecule.calc = calculator
        energies.append(molecule.get_potential_energy())
    if not np.isfinite(energies).all():
        where = COARSE_CO_SCAN_A[~np.isfinite(energies)][0]
        raise UserError(f"{name} finds no energy of a CO of {where:g} Å; give another frames.potential")
    return source.potential(atoms), PotentialCalculator(source), BondCurve(COARSE_CO_SCAN_A, energies)


@dataclass(frozen=True)
class Sample:
    """Unlabelled frames, relaxed aggregates, and the thermal snapshots where excited trajectories start."""

    frames: list[Atoms]
    aggregates: list[Atoms]
    snapshots: list[Atoms]


def sample(plan: Plan) -> Sample:
    """Return the sample of a plan."""
    name = plan.sampling.potential
    potential, calculator, curve = moved_by(name, plan.coupling_eV, _packed(plan, 0))
    turning_points = curve.turning_points(EXCITATION_MARGIN * plan.excitation_energy_eV)
    aggregates = []
    for number in range(plan.sampling.n_aggregates):
        packed = _packed(plan, number)
        aggregate = relax(packed, calculator)
        aggregate.info |= {"aggregate_id": number, "parent": f"aggregate-{number}"}
        aggregates.append(aggregate)
    templates = [aggregates[number % len(aggregates)].copy() for number in range(plan.sampling.n_thermal)]
    thermal = _thermal(plan, potential, "thermal", templates, plan.sampling.thermal_duration_fs)
    starts = _snapshots(thermal, EQUILIBRATED_FRACTION * plan.sampling.thermal_duration_fs)
    frames = thermal + _packings(plan, potential) + _excited(plan, potential, curve, starts)
    frames += [_contact(plan, number, starts, turning_points) for number in range(plan.sampling.n_contacts)]
    frames += [_compressed(plan, number, starts) for number in range(plan.sampling.n_compressed)]
    frames = [_with_spread_bonds(plan, number, atoms) for number, atoms in enumerate(frames)]
    frames += [_bond(plan, number, curve, turning_points) for number in range(plan.sampling.n_bonds)]
    return Sample(frames, aggregates, starts)


def sample_files(
    out: Path | str,
    out_aggregates: Path | str | None = None,
    out_snapshots: Path | str | None = None,
    **plan: Any,
) -> None:
    """Write the sample of a plan; aggregates and snapshots lie beside the frames if not said where."""
    done = sample(Plan(**plan))
    write_frames(out_aggregates or Path(out).with_name("aggregate.extxyz"), done.aggregates)
    write_frames(out_snapshots or Path(out).with_name("snapshots.extxyz"), done.snapshots)
    write_frames(out, done.frames)


def _packed(plan: Plan, number: int) -> Atoms:
    """Return a random packing of CO."""
    own = plan.sampling
    return random_aggregate(
        own.n_molecules, own.aggregate_radius_A, plan.campaign_seed, number, distance_A=own.packing_distance_A
    )


def _snapshots(thermal: Sequence[Atoms], first_fs: float) -> list[Atoms]:
    """Return the frames from ``first_fs`` on, numbered, without the motion of their centre of mass."""
    snapshots: list[Atoms] = []
    for frame in thermal:
        if frame.info["time_fs"] < first_fs:
            continue
        atoms = frame.copy()
        atoms.set_velocities(
            atoms.get_velocities() - atoms.get_momenta().sum(axis=0) / atoms.get_masses().sum()
        )
        atoms.info["snapshot_id"] = len(snapshots)
        snapshots.append(atoms)
    return snapshots


def _described(atoms: Atoms, source: str, number: int, time_fs: float) -> Atoms:
    """Return the frame with what identifies it; ``parent``, what it shares its shape with, stays."""
    parent = {"parent": atoms.info["parent"]} if "parent" in atoms.info else {}
    atoms.info = parent | {
        "trajectory_id": f"{source}-{number:06d}",
        "time_fs": float(time_fs),
        "source": source,
    }
    return atoms


def _thermal(
    plan: Plan, potential: Any, source: str, templates: Sequence[Atoms], duration_fs: float
) -> list[Atoms]:
    """Return frames of Langevin trajectories of the ground state, one from each of the aggregates given."""
    from frazil.md.integrators import Langevin

    velocities = []
    for number, atoms in enumerate(templates):
        # At rest in its minimum: twice the temperature, of which half becomes potential energy.
        spread = np.sqrt(2 * kB * plan.thermal_temperature_K / atoms.get_masses())[:, None]
        velocities.append(
            spread * rng(plan.campaign_seed, f"sample-{source}", number).normal(size=(len(atoms), 3))
        )
    seed = derived_seed(plan.campaign_seed, "sample-langevin", len(source))
    thermostat = Langevin(plan.sampling.timestep_fs, plan.thermal_temperature_K, plan.sampling.damping_fs)
    return _trajectories(plan, potential, templates, velocities, source, duration_fs, thermostat, seed)


def _packings(plan: Plan, potential: Any) -> list[Atoms]:
    """Return frames of random packings on their way down to thermal aggregates.

    A model that knows relaxed aggregates only invents deeper minima between them, into which its own thermal
    dynamics falls (measured: docs/validation.md).
    """
    numbers = range(plan.sampling.n_aggregates, plan.sampling.n_aggregates + plan.sampling.n_packings)
    templates = [_packed(plan, number) for number in numbers]
    evenly = replace(plan, window_starts_fs=(0.0,), window_intervals_fs=(PACKING_INTERVAL_fs,))
    return _thermal(evenly, potential, "packing", templates, PACKING_DURATION_fs) if templates else []


def _excited(plan: Plan, potential: Any, curve: BondCurve, starts: Sequence[Atoms]) -> list[Atoms]:
    """Return frames of NVE trajectories in which one molecule of the core has the excitation energy."""
    from frazil.md.integrators import VelocityVerlet

    templates, velocities = [], []
    for number in range(plan.sampling.n_excited):
        random = rng(plan.campaign_seed, "sample-excited", number)
        atoms = starts[int(random.integers(len(starts)))].copy()
        centres = molecular_centres(atoms.positions)
        core = np.flatnonzero(np.linalg.norm(centres - centres.mean(axis=0), axis=1) <= plan.core_radius_A)
        if not len(core):
            raise UserError(
                f"no molecule within {plan.core_radius_A:g} Å of the aggregate's centre; "
                "give a larger core radius"
            )
        molecule = int(random.choice(core))
        sign = int(random.choice([-1, 1]))
        set_excited(atoms, molecule)
        templates.append(atoms)
        velocities.append(
            set_internal_energy(
                atoms.positions,
                atoms.get_velocities(),
                (2 * molecule, 2 * molecule + 1),
                atoms.get_masses(),
                plan.excitation_energy_eV,
                curve,
                sign,
            )
        )
    if not templates:
        return []
    verlet = VelocityVerlet(plan.sampling.timestep_fs)
    return _trajectories(
        plan, potential, templates, velocities, "excited", plan.sampling.excited_duration_fs, verlet
    )


def _trajectories(
    plan: Plan,
    potential: Any,
    templates: Sequence[Atoms],
    velocities: Sequence[np.ndarray],
    source: str,
    duration_fs: float,
    integrator: Any,
    seed: int = 0,
) -> list[Atoms]:
    """Return the frames in the windows, trajectory by trajectory; frames that are not finite are left out."""
    from frazil.md.ensemble import Ensemble
    from frazil.md.observers import energies, frames

    times = window_times_fs(duration_fs, plan.window_starts_fs, plan.window_intervals_fs)
    steps = np.rint(times / plan.sampling.timestep_fs).astype(int)
    if np.abs(steps * plan.sampling.timestep_fs - times).max() > 1e-6:
        raise UserError(
            f"window starts {list(plan.window_starts_fs)} and intervals {list(plan.window_intervals_fs)} fs "
            f"are no multiples of the time step of {plan.sampling.timestep_fs:g} fs"
        )
    ensemble = Ensemble(
        potential,
        integrator,
        np.tile(MOLECULE_MASSES_amu, plan.sampling.n_molecules),
        n_steps=int(steps[-1]),
        observe_every=reduce(gcd, map(int, steps), 0) or 1,
        campaign_seed=seed,
        observers=(energies, frames),
    )
    done = ensemble.run(np.array([atoms.positions for atoms in templates]), np.array(velocities))
    kept: dict[int, list[Atoms]] = {}
    for trajectory in progress(done, len(templates), f"{source} trajectories"):
        rows = trajectory.rows
        seen = np.isin(rows["step"], steps) & np.isfinite(rows["energy"])
        seen &= np.isfinite(rows["positions"]).all(axis=(1, 2))
        kept[trajectory.trajectory_id] = []
        for row in np.flatnonzero(seen):
            atoms = templates[trajectory.trajectory_id].copy()
            atoms.positions = rows["positions"][row]
            atoms.set_velocities(rows["velocities"][row])
            time_fs = int(rows["step"][row]) * plan.sampling.timestep_fs
            kept[trajectory.trajectory_id].append(
                _described(atoms, source, trajectory.trajectory_id, time_fs)
            )
    return [atoms for number in sorted(kept) for atoms in kept[number]]


def _stretched(length_A: float, random: np.random.Generator) -> np.ndarray:
    """Return C and O (2, 3) of one molecule of a length, turned at random, centre of mass at the origin."""
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    along = random_rotation(random)[2]
    return np.array([-weights[1] * length_A * along, weights[0] * length_A * along])


def _contact(plan: Plan, number: int, starts: Sequence[Atoms], turning_points: np.ndarray) -> Atoms:
    """Return an aggregate with two molecules turned at random and pulled together.

    In every second frame one of the two is the tagged molecule with a bond length between the excitation's
    turning points.
    """
    random = rng(plan.campaign_seed, "sample-contact", number)
    for _ in range(1000):
        base = starts[int(random.integers(len(starts)))]
        positions = base.positions.copy()
        centres = molecular_centres(positions)
        moved = int(random.integers(plan.sampling.n_molecules))
        distances = np.linalg.norm(centres - centres[moved], axis=1)
        fixed = int(np.argsort(distances)[1])
        tagged = (moved if random.random() < 0.5 else fixed) if number % 2 else -1
        pair = []
        for molecule in (moved, fixed):
            bond = positions[2 * molecule + 1] - positions[2 * molecule]
            length = random.uniform(*turning_points) if molecule == tagged else np.linalg.norm(bond)
            pair.append(_stretched(float(length), random))
        wanted = random.uniform(plan.sampling.contact_low_A, plan.sampling.contact_high_A)
        away = (centres[moved] - centres[fixed]) / distances[fixed]
        separation = _separation(pair[0], pair[1], away, wanted)
        positions[2 * fixed : 2 * fixed + 2] = centres[fixed] + pair[1]
        positions[2 * moved : 2 * moved + 2] = centres[fixed] + separation * away + pair[0]
        if closest_contact(positions) > wanted - 1e-6:
            atoms = Atoms("CO" * (len(positions) // 2), positions=positions)
            set_excited(atoms, tagged)
            atoms.info["parent"] = base.info["parent"]
            return _described(atoms, "contact", number, 0.0)
    raise UserError(
        f"no contact between {plan.sampling.contact_low_A:g} and {plan.sampling.contact_high_A:g} Å found in "
        "1000 draws that "
        "leaves the other molecules farther apart; give a lower range or a larger aggregate radius"
    )


def _compressed(plan: Plan, number: int, starts: Sequence[Atoms]) -> Atoms:
    """Return an aggregate drawn together or apart, every molecule of it turned at random.

    A model that knows pairs in close contact only invents deeper minima of whole aggregates that are too
    dense (measured: docs/benchmarks.md).
    """
    random = rng(plan.campaign_seed, "sample-compressed", number)
    while True:
        base = starts[int(random.integers(len(starts)))]
        positions = base.positions.copy()
        centres = molecular_centres(positions)
        scaled = centres.mean(axis=0) + random.uniform(*COMPRESSION) * (centres - centres.mean(axis=0))
        for molecule, centre in enumerate(scaled):
            own, others = slice(2 * molecule, 2 * molecule + 2), positions[: 2 * molecule]
            length = float(np.linalg.norm(positions[own][1] - positions[own][0]))
            for _ in range(50):
                positions[own] = centre + _stretched(length, random)
                distances = np.linalg.norm(positions[own][:, None] - others[None], axis=-1)
                if distances.min(initial=np.inf) > COMPRESSED_CONTACT_A:
                    break
            else:
                break
        else:
            atoms = Atoms("CO" * plan.sampling.n_molecules, positions=positions)
            set_excited(atoms, -1)
            atoms.info["parent"] = base.info["parent"]
            return _described(atoms, "compressed", number, 0.0)


def _separation(moved: np.ndarray, fixed: np.ndarray, away: np.ndarray, wanted_A: float) -> float:
    """Return the largest distance of centres along ``away`` with the closest atoms ``wanted_A`` apart."""
    # Two atoms are wanted_A apart at the roots of |d + s·away|² = wanted²; the last root of all counts.
    differences = (moved[:, None] - fixed[None]).reshape(-1, 3)
    along = differences @ away
    discriminant = along**2 - (differences**2).sum(axis=1) + wanted_A**2
    return float((np.sqrt(discriminant[discriminant >= 0]) - along[discriminant >= 0]).max())


def _with_spread_bonds(plan: Plan, number: int, atoms: Atoms) -> Atoms:
    """Return every second frame with the bonds of its unexcited molecules stretched and shortened at random.

    At 15 K a bond's length varies by 0.003 Å: too little to learn its stiffness from, which then errs by more
    than the forces between molecules (measured: docs/benchmarks.md). Centres of mass stay.
    """
    random = rng(plan.campaign_seed, "sample-spread", number)
    if plan.sampling.bond_spread_A == 0 or random.random() < 0.5:
        return atoms
    spread = atoms.copy()
    ground = np.arange(len(atoms) // 2) != excited_molecule(atoms)
    bonds = atoms.positions[1::2] - atoms.positions[::2]
    change = random.normal(0, plan.sampling.bond_spread_A, len(bonds)) * ground
    along = bonds * (change / np.linalg.norm(bonds, axis=1))[:, None]
    of_carbon, of_oxygen = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    spread.positions[::2] -= of_oxygen * along
    spread.positions[1::2] += of_carbon * along
    return spread


def _bond(plan: Plan, number: int, curve: BondCurve, turning_points: np.ndarray) -> Atoms:
    """Return molecules far apart, of many bond lengths; every second frame has a tagged one.

    The tagged molecule's length rises from frame to frame between the excitation's turning points, those of
    the others are random between the turning points of ``NEIGHBOUR_ENERGY_eV``. All frames have the size of
    the aggregates: frames of one molecule, with a mean squared force many times larger, spoil a training
    (measured: docs/validation.md).
    """
    random = rng(plan.campaign_seed, "sample-bond", number)
    tagged = 0 if number % 2 else -1
    side = int(np.ceil(plan.sampling.n_molecules ** (1 / 3)))
    positions = []
    for molecule in range(plan.sampling.n_molecules):
        inner, outer = turning_points if molecule == tagged else curve.turning_points(NEIGHBOUR_ENERGY_eV)
        part = (
            (number // 2) / max(1, (plan.sampling.n_bonds - 1) // 2)
            if molecule == tagged
            else random.random()
        )
        length = inner + part * (outer - inner)
        place = np.array(np.unravel_index(molecule, (side, side, side))) * FAR_APART_A
        positions.append(place + _stretched(float(length), random))
    atoms = Atoms("CO" * plan.sampling.n_molecules, positions=np.concatenate(positions))
    set_excited(atoms, tagged)
    return _described(atoms, "bond", number, 0.0)
