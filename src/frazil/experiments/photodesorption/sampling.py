"""Frames to be labelled, by a potential's dynamics: thermal, excited, compressed, stretched, in contact.

Every frame is a function of (campaign seed, its trajectory's id). Excited molecules carry their tag.
Aggregates are of one kind of molecule or of several, of which the first is the one that is excited.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.data.windows import window_times_fs
from frazil.errors import UserError
from frazil.experiments.photodesorption.aggregates import kinds_at_rest
from frazil.experiments.photodesorption.engines import TAGGED, tagged_atoms
from frazil.experiments.photodesorption.settings import CO, TEACHER, Sampling
from frazil.labels.bond_curve import bond_curve
from frazil.labels.levels import COARSE_CO_SCAN_A
from frazil.seeds import derived_seed, rng
from frazil.systems.diatomic import BondCurve
from frazil.systems.excite import set_internal_energy
from frazil.systems.molecules import Molecules, bond_of, molecule, random_rotation
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
DRAWS = 10_000
"""Of a compressed frame, before it is given up."""
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
    molecule: str = CO
    other_molecules: Sequence[str] = ()
    parts: Sequence[float] = ()
    bond: Sequence[int] = ()


@dataclass(frozen=True)
class System:
    """What is sampled, and what it moves under: kinds of molecules at rest and their numbers.

    The first kind is excited, in the two atoms of its ``bond``. source: the potential; calculator: the same
    for ASE. curves: of the excited bond, and of each other kind that is a diatomic, else None.
    """

    kinds: Sequence[tuple[Atoms, int]]
    source: Any
    calculator: Any
    bond: tuple[int, int]
    curves: Sequence[BondCurve | None]

    @cached_property
    def molecules(self) -> Molecules:
        """All molecules."""
        return Molecules.of_kinds(self.kinds)

    @cached_property
    def kind_of(self) -> list[int]:
        """The kind of each molecule."""
        return [kind for kind, (_, number) in enumerate(self.kinds) for _ in range(number)]

    @property
    def excitable(self) -> int:
        """Molecules of the first kind: those from the beginning on."""
        return self.kinds[0][1]

    @property
    def curve(self) -> BondCurve:
        """The curve of the bond that is excited."""
        curve = self.curves[0]
        assert curve is not None
        return curve

    def tagged(self, positions_A: np.ndarray, excited: int) -> Atoms:
        """Return all atoms, those of one molecule (−1: none) tagged."""
        return tagged_atoms(self.molecules, positions_A, excited)

    def turned(
        self, number: int, positions_A: np.ndarray, random: np.random.Generator, length_A: float | None = None
    ) -> np.ndarray:
        """Return a molecule (natoms, 3) turned at random about its centre of mass, which is the origin.

        ``length_A`` becomes that of its bond (the excited one, or a diatomic's only one).
        """
        own = self.molecules.members[number]
        masses = self.molecules.atom_masses_amu[own]
        if len(own) == 2:
            length = np.linalg.norm(positions_A[1] - positions_A[0]) if length_A is None else length_A
            return stretched(float(length), masses, random)
        inside = positions_A - np.average(positions_A, axis=0, weights=masses)
        if length_A is not None and self.kind_of[number] == 0:
            one, two = self.bond
            along = inside[two] - inside[one]
            change = along * (length_A / np.linalg.norm(along) - 1.0)
            total = masses[one] + masses[two]
            inside[one] -= masses[two] / total * change
            inside[two] += masses[one] / total * change
        return np.asarray(inside @ random_rotation(random))


def system_of(plan: Plan) -> System:
    """Return the system of a plan.

    Raises UserError for what is no molecule or no bond of it, a potential that does not know its atoms, and a
    calculator that finds no energy of a CO of some length.
    """
    from frazil.potentials.calculator import PotentialCalculator
    from frazil.potentials.registry import load
    from frazil.potentials.surface import bond_curve_of

    what, n_molecules = plan.sampling.model or plan.sampling.potential, plan.sampling.n_molecules
    of_co = [(molecule(CO), n_molecules)]
    if what == TEACHER and (plan.molecule != CO or plan.other_molecules):
        raise UserError(
            f"{', '.join((plan.molecule, *plan.other_molecules))} under {TEACHER}, the analytic field of CO; "
            "give another frames.potential, or a folder as frames.model"
        )
    if what == TEACHER:
        from frazil.potentials.analytic.van_hemert import VanHemertCalculator

        source, calculator = (
            load(TEACHER, coupling_eV=plan.coupling_eV),
            VanHemertCalculator(plan.coupling_eV),
        )
        return System(of_co, source, calculator, (0, 1), [bond_curve(TEACHER, coupling_eV=plan.coupling_eV)])
    source = load(what)
    calculator = PotentialCalculator(source)
    if plan.molecule == CO and not plan.other_molecules:
        one, energies = tagged_atoms(Molecules.alike(of_co[0][0], 1), np.zeros((2, 3)), 0), []
        for length in COARSE_CO_SCAN_A:
            one.positions[1, 2] = length
            one.calc = calculator
            energies.append(one.get_potential_energy())
        if not np.isfinite(energies).all():
            where = COARSE_CO_SCAN_A[~np.isfinite(energies)][0]
            raise UserError(f"{what} finds no energy of a CO of {where:g} Å; give another frames.potential")
        return System(of_co, source, calculator, (0, 1), [BondCurve(COARSE_CO_SCAN_A, energies)])
    kinds = kinds_at_rest(plan.molecule, plan.other_molecules, plan.parts, n_molecules, source)
    bond = bond_of(kinds[0][0], plan.bond)
    curves = [bond_curve_of(source, kinds[0][0], bond)] + [
        bond_curve_of(source, kind, (0, 1)) if len(kind) == 2 else None for kind, _ in kinds[1:]
    ]
    return System(kinds, source, calculator, bond, curves)


@dataclass(frozen=True)
class Sample:
    """Unlabelled frames, relaxed aggregates, and the thermal snapshots where excited trajectories start."""

    frames: list[Atoms]
    aggregates: list[Atoms]
    snapshots: list[Atoms]


def sample(plan: Plan) -> Sample:
    """Return the sample of a plan."""
    system = system_of(plan)
    turning_points = system.curve.turning_points(EXCITATION_MARGIN * plan.excitation_energy_eV)
    aggregates = []
    for number in range(plan.sampling.n_aggregates):
        aggregate = relax(_packed(plan, system, number), system.calculator)
        aggregate.info |= {"aggregate_id": number, "parent": f"aggregate-{number}"}
        aggregates.append(aggregate)
    templates = [aggregates[number % len(aggregates)].copy() for number in range(plan.sampling.n_thermal)]
    thermal = _thermal(plan, system, "thermal", templates, plan.sampling.thermal_duration_fs)
    starts = _snapshots(thermal, EQUILIBRATED_FRACTION * plan.sampling.thermal_duration_fs)
    frames = thermal + _packings(plan, system) + _excited(plan, system, starts)
    contacts = range(plan.sampling.n_contacts)
    frames += [_contact(plan, system, number, starts, turning_points) for number in contacts]
    frames += [_compressed(plan, system, number, starts) for number in range(plan.sampling.n_compressed)]
    frames = [_with_spread_bonds(plan, system, number, atoms) for number, atoms in enumerate(frames)]
    frames += [_bond(plan, system, number, turning_points) for number in range(plan.sampling.n_bonds)]
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


def _packed(plan: Plan, system: System, number: int) -> Atoms:
    """Return a random packing of the molecules."""
    own = plan.sampling
    return random_aggregate(
        own.n_molecules, own.aggregate_radius_A, plan.campaign_seed, number, system.kinds,
        own.packing_distance_A,
    )  # fmt: skip


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
    plan: Plan, system: System, source: str, templates: Sequence[Atoms], duration_fs: float
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
    return _trajectories(plan, system, templates, velocities, source, duration_fs, thermostat, seed)


def _packings(plan: Plan, system: System) -> list[Atoms]:
    """Return frames of random packings on their way down to thermal aggregates.

    A model that knows relaxed aggregates only invents deeper minima between them, into which its own thermal
    dynamics falls (measured: docs/validation.md).
    """
    numbers = range(plan.sampling.n_aggregates, plan.sampling.n_aggregates + plan.sampling.n_packings)
    templates = [_packed(plan, system, number) for number in numbers]
    evenly = replace(plan, window_starts_fs=(0.0,), window_intervals_fs=(PACKING_INTERVAL_fs,))
    return _thermal(evenly, system, "packing", templates, PACKING_DURATION_fs) if templates else []


def _excited(plan: Plan, system: System, starts: Sequence[Atoms]) -> list[Atoms]:
    """Return frames of NVE trajectories in which one molecule of the core has the excitation energy."""
    from frazil.md.integrators import VelocityVerlet

    templates, velocities = [], []
    for number in range(plan.sampling.n_excited):
        random = rng(plan.campaign_seed, "sample-excited", number)
        atoms = starts[int(random.integers(len(starts)))].copy()
        centres = system.molecules.centres(atoms.positions)
        distances = np.linalg.norm(centres - system.molecules.middle(centres), axis=1)[: system.excitable]
        core = np.flatnonzero(distances <= plan.core_radius_A)
        if not len(core):
            raise UserError(
                f"no molecule within {plan.core_radius_A:g} Å of the aggregate's centre; "
                "give a larger core radius"
            )
        chosen = int(random.choice(core))
        sign = int(random.choice([-1, 1]))
        atoms.set_array("excited", (system.molecules.owner == chosen).astype(int), int)
        templates.append(atoms)
        one, two = system.molecules.members[chosen][list(system.bond)]
        velocities.append(
            set_internal_energy(
                atoms.positions,
                atoms.get_velocities(),
                (one, two),
                atoms.get_masses(),
                plan.excitation_energy_eV,
                system.curve,
                sign,
            )
        )
    if not templates:
        return []
    verlet = VelocityVerlet(plan.sampling.timestep_fs)
    return _trajectories(
        plan, system, templates, velocities, "excited", plan.sampling.excited_duration_fs, verlet
    )


def _trajectories(
    plan: Plan,
    system: System,
    templates: Sequence[Atoms],
    velocities: Sequence[np.ndarray],
    source: str,
    duration_fs: float,
    integrator: Any,
    seed: int = 0,
) -> list[Atoms]:
    """Return the frames in the windows, trajectory by trajectory; frames that are not finite are left out.

    To a potential with types of its own for the excited molecule each of these is a kind of structure.
    """
    from frazil.md.ensemble import Ensemble
    from frazil.md.observers import energies, frames

    times = window_times_fs(duration_fs, plan.window_starts_fs, plan.window_intervals_fs)
    steps = np.rint(times / plan.sampling.timestep_fs).astype(int)
    if np.abs(steps * plan.sampling.timestep_fs - times).max() > 1e-6:
        raise UserError(
            f"window starts {list(plan.window_starts_fs)} and intervals {list(plan.window_intervals_fs)} fs "
            f"are no multiples of the time step of {plan.sampling.timestep_fs:g} fs"
        )
    excited = [int(np.argmax(atoms.arrays["excited"])) for atoms in templates]
    tags = system.source.kind == TAGGED and all(atoms.arrays["excited"].any() for atoms in templates)
    which = range(system.excitable) if tags else [-1]
    structures = [system.tagged(templates[0].positions, number) for number in which]
    masses_amu = system.molecules.atom_masses_amu
    ensemble = Ensemble(
        system.source.potential(structures),
        integrator,
        np.tile(masses_amu, (len(structures), 1)) if tags else masses_amu,
        n_steps=int(steps[-1]),
        observe_every=reduce(gcd, map(int, steps), 0) or 1,
        campaign_seed=seed,
        observers=(energies, frames),
    )
    done = ensemble.run(
        np.array([atoms.positions for atoms in templates]), np.array(velocities),
        kinds=[int(system.molecules.owner[first]) for first in excited] if tags else None,
    )  # fmt: skip
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


def stretched(length_A: float, masses_amu: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a diatomic (2, 3) of a length, turned at random, centre of mass at the origin."""
    weights = masses_amu / masses_amu.sum()
    along = random_rotation(random)[2]
    return np.array([-weights[1] * length_A * along, weights[0] * length_A * along])


def _contact(
    plan: Plan, system: System, number: int, starts: Sequence[Atoms], turning_points: np.ndarray
) -> Atoms:
    """Return an aggregate with two molecules turned at random and pulled together.

    In every second frame one of the two, if it can be excited, is the tagged molecule with a bond length
    between the excitation's turning points.
    """
    random = rng(plan.campaign_seed, "sample-contact", number)
    members = system.molecules.members
    for _ in range(1000):
        base = starts[int(random.integers(len(starts)))]
        positions = base.positions.copy()
        centres = system.molecules.centres(positions)
        moved = int(random.integers(plan.sampling.n_molecules))
        distances = np.linalg.norm(centres - centres[moved], axis=1)
        fixed = int(np.argsort(distances)[1])
        tagged = (moved if random.random() < 0.5 else fixed) if number % 2 else -1
        tagged = tagged if tagged < system.excitable else -1
        pair = []
        for one in (moved, fixed):
            length = random.uniform(*turning_points) if one == tagged else None
            pair.append(system.turned(one, positions[members[one]], random, length))
        wanted = random.uniform(plan.sampling.contact_low_A, plan.sampling.contact_high_A)
        away = (centres[moved] - centres[fixed]) / distances[fixed]
        separation = _separation(pair[0], pair[1], away, wanted)
        positions[members[fixed]] = centres[fixed] + pair[1]
        positions[members[moved]] = centres[fixed] + separation * away + pair[0]
        if system.molecules.closest_contact(positions) > wanted - 1e-6:
            atoms = system.tagged(positions, tagged)
            atoms.info["parent"] = base.info["parent"]
            return _described(atoms, "contact", number, 0.0)
    raise UserError(
        f"no contact between {plan.sampling.contact_low_A:g} and {plan.sampling.contact_high_A:g} Å found in "
        "1000 draws that "
        "leaves the other molecules farther apart; give a lower range or a larger aggregate radius"
    )


def _compressed(plan: Plan, system: System, number: int, starts: Sequence[Atoms]) -> Atoms:
    """Return an aggregate drawn together or apart, every molecule of it turned at random.

    A model that knows pairs in close contact only invents deeper minima of whole aggregates that are too
    dense (measured: docs/benchmarks.md).
    """
    random = rng(plan.campaign_seed, "sample-compressed", number)
    for _ in range(DRAWS):
        base = starts[int(random.integers(len(starts)))]
        positions = base.positions.copy()
        centres = system.molecules.centres(positions)
        middle = system.molecules.middle(centres)
        scaled = middle + random.uniform(*COMPRESSION) * (centres - middle)
        for one, (own, centre) in enumerate(zip(system.molecules.members, scaled, strict=True)):
            others, before = positions[: own[0]], positions[own].copy()
            for _ in range(50):
                positions[own] = centre + system.turned(one, before, random)
                distances = np.linalg.norm(positions[own][:, None] - others[None], axis=-1)
                if distances.min(initial=np.inf) > COMPRESSED_CONTACT_A:
                    break
            else:
                break
        else:
            atoms = system.tagged(positions, -1)
            atoms.info["parent"] = base.info["parent"]
            return _described(atoms, "compressed", number, 0.0)
    raise UserError(
        f"no aggregate of {system.molecules.name} with its molecules turned at random and "
        f"{COMPRESSED_CONTACT_A:g} Å between them in {DRAWS} draws; give frames.n_compressed 0"
    )


def _separation(moved: np.ndarray, fixed: np.ndarray, away: np.ndarray, wanted_A: float) -> float:
    """Return the largest distance of centres along ``away`` with the closest atoms ``wanted_A`` apart."""
    # Two atoms are wanted_A apart at the roots of |d + s·away|² = wanted²; the last root of all counts.
    differences = (moved[:, None] - fixed[None]).reshape(-1, 3)
    along = differences @ away
    discriminant = along**2 - (differences**2).sum(axis=1) + wanted_A**2
    return float((np.sqrt(discriminant[discriminant >= 0]) - along[discriminant >= 0]).max())


def _with_spread_bonds(plan: Plan, system: System, number: int, atoms: Atoms) -> Atoms:
    """Return every second frame with the bonds of its unexcited molecules stretched and shortened at random.

    At 15 K a bond's length varies by 0.003 Å: too little to learn its stiffness from, which then errs by more
    than the forces between molecules (measured: docs/benchmarks.md). Centres of mass stay.
    """
    random = rng(plan.campaign_seed, "sample-spread", number)
    if plan.sampling.bond_spread_A == 0 or random.random() < 0.5:
        return atoms
    spread = atoms.copy()
    one, two = system.molecules.bonds.T
    ground = atoms.arrays["excited"][one] == 0
    bonds = atoms.positions[two] - atoms.positions[one]
    change = random.normal(0, plan.sampling.bond_spread_A, len(bonds)) * ground
    along = bonds * (change / np.linalg.norm(bonds, axis=1))[:, None]
    masses = system.molecules.atom_masses_amu
    total = masses[one] + masses[two]
    np.subtract.at(spread.positions, one, (masses[two] / total)[:, None] * along)
    np.add.at(spread.positions, two, (masses[one] / total)[:, None] * along)
    return spread


def _bond(plan: Plan, system: System, number: int, turning_points: np.ndarray) -> Atoms:
    """Return molecules far apart, of many bond lengths; every second frame has a tagged one.

    The tagged molecule's length rises from frame to frame between the excitation's turning points, those of
    the others are random between the turning points of ``NEIGHBOUR_ENERGY_eV`` (or of the excitation, if that
    is lower); kinds that are neither diatomics nor the excited one are at rest. All frames have the size of
    the aggregates: frames of one molecule, with a mean squared force many times larger, spoil a training
    (measured: docs/validation.md).
    """
    random = rng(plan.campaign_seed, "sample-bond", number)
    tagged = 0 if number % 2 else -1
    most_eV = min(NEIGHBOUR_ENERGY_eV, plan.excitation_energy_eV)
    side = int(np.ceil(plan.sampling.n_molecules ** (1 / 3)))
    positions = []
    for one in range(plan.sampling.n_molecules):
        kind = system.kind_of[one]
        curve, length = system.curves[kind], None
        if curve is not None:
            inner, outer = turning_points if one == tagged else curve.turning_points(most_eV)
            part = (
                (number // 2) / max(1, (plan.sampling.n_bonds - 1) // 2) if one == tagged else random.random()
            )
            length = float(inner + part * (outer - inner))
        place = np.array(np.unravel_index(one, (side, side, side))) * FAR_APART_A
        positions.append(place + system.turned(one, system.kinds[kind][0].positions, random, length))
    atoms = system.tagged(np.concatenate(positions), tagged)
    return _described(atoms, "bond", number, 0.0)
