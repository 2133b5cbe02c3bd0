"""Trajectories that another program ran (ab initio ones), told by the outcome code that tells the model's.

The published study sets its model's trajectories beside ab initio ones: 77 and 88 % desorb. What a program
wrote is followed from frame to frame, so that a molecule may leave its periodic box; desorption, return,
energies and quantum numbers are then ``outcome.Tracker``'s, at the model's intervals between observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from frazil.data.frames import label_origin
from frazil.errors import UserError
from frazil.experiments.photodesorption.outcome import Curves, Tracker
from frazil.experiments.photodesorption.settings import Trajectories
from frazil.experiments.photodesorption.shards import ABOUT
from frazil.experiments.photodesorption.trajectories import Row, write_shard
from frazil.files import write_json
from frazil.labels.imports.readers import entries_as_staged, read_entry
from frazil.md.lammps import Observation
from frazil.systems import molecules as systems
from frazil.systems.co import MOLECULE_MASSES_amu, excited_molecule, molecular_centres, order_by_molecule
from frazil.systems.diatomic import BondCurve
from frazil.systems.energies import molecular_energies, temperature_K
from frazil.units import fs

EXCITED_FRACTION = 0.5
"""An untagged molecule is taken for the excited one if it alone has this part of the excitation energy."""
VIBRATION_INTERVAL_fs = 2.0
"""Frames farther apart give no velocities of a vibration: a spline's are low by 0.24 % at 2 fs (CO)."""
START_fs = 40.0
"""Some two periods of CO at v = 40."""
VELOCITY_TOLERANCE = 0.2
"""Given velocities may differ so much (rms) from the motion of the positions."""


@dataclass(frozen=True)
class Given:
    """One trajectory: positions (n, natoms, 3) Å, velocities Å/fs, energies (n,) eV, times (n,) fs from 0.

    ``excited``: the tagged molecule, −1 for none. ``derived``: velocities are those of a spline.
    """

    name: str
    origin: str
    times_fs: NDArray[np.float64]
    positions_A: NDArray[np.float64]
    velocities_A_per_fs: NDArray[np.float64]
    energies_eV: NDArray[np.float64]
    excited: int
    derived: bool

    @property
    def interval_fs(self) -> float:
        """Time between frames."""
        return float(self.times_fs[1])

    @property
    def start(self) -> slice:
        """Frames that tell the start: the first, or those whose spline is good."""
        if not self.derived:
            return slice(1)
        return slice(2, max(3, int(np.searchsorted(self.times_fs, START_fs))))


def follow(
    dataset: Path,
    bond_curves: Path,
    settings: Trajectories,
    excitation_energy_eV: float,
    out: Path,
    staged: Sequence[Path] = (),
    names: Sequence[str] = (),
) -> str:
    """Write the outcome of every trajectory of a samplesheet, file or folder as one shard in ``out``.

    ``bond_curves``: of the labels, for vibrational energies. A trajectory longer than the settings' duration
    is cut there; a shorter one in which nothing has desorbed has failed, since its end is not known. Returns
    what was done, in words. Raises UserError for frames without times or energies, of unequal intervals, of
    other molecules than CO, and for velocities that are not those of the positions.
    """
    curve = BondCurve.read(bond_curves)
    starts: list[Row] = []
    rows: list[Row] = []
    seen: list[_Seen] = []
    for entry in entries_as_staged(dataset, staged, names):  # one file at a time: all may not fit into memory
        frames = read_entry(entry, in_time=True).frames
        for trajectory, group in groupby(frames, key=lambda atoms: str(atoms.info["trajectory_id"])):
            name = entry.name if trajectory == entry.name else f"{entry.name} ({trajectory})"
            one = _given(list(group), name)
            excited, energy_eV = _excited(one, curve, excitation_energy_eV)
            n_molecules = one.positions_A.shape[1] // 2
            if n_molecules < 2:
                raise UserError(f"{name}: one molecule alone; an aggregate is needed, to leave it")
            if seen and n_molecules != seen[0].n_molecules:
                raise UserError(
                    f"{name}: {n_molecules} molecules, {seen[0].name} has {seen[0].n_molecules}; those of "
                    "one probability start from aggregates of one size"
                )
            seen.append(
                _Seen(
                    name,
                    one.origin,
                    one.interval_fs,
                    one.derived,
                    one.excited,
                    excited,
                    n_molecules,
                    energy_eV,
                )
            )
            others = np.ones(one.positions_A.shape[1], bool)
            if excited >= 0:
                others[2 * excited : 2 * excited + 2] = False
            starts.append(
                {
                    "trajectory_id": len(starts),
                    "snapshot_id": len(starts),
                    "model_id": one.origin,
                    "excited_molecule": excited,
                    "excitation_energy_eV": energy_eV,
                    "initial_temperature_K": float(
                        temperature_K(
                            one.velocities_A_per_fs[one.start][0, others],
                            np.tile(MOLECULE_MASSES_amu, others.sum() // 2),
                        )
                    ),
                }
            )
            rows.append(_row(one, settings, excited, curve))
    origins = sorted({one.origin for one in seen})
    if len(origins) > 1:
        raise UserError(f"trajectories of several levels: {'; '.join(origins)}; give those of one")
    write_shard(out, starts, rows)
    told = _told(seen, excitation_energy_eV)
    write_json(out / ABOUT, {"origin": origins[0], "names": [one.name for one in seen], "told": told})
    return told


@dataclass(frozen=True)
class _Seen:
    """What is told of a trajectory."""

    name: str
    origin: str
    interval_fs: float
    derived: bool
    tagged: int
    excited: int
    n_molecules: int
    energy_eV: float


def _given(frames: Sequence[Atoms], name: str) -> Given:
    """Return the trajectory of frames in time."""
    if len(frames) < 4:
        raise UserError(f"{name}: {len(frames)} frames; a trajectory of at least 4 is needed")
    if any("time_fs" not in atoms.info for atoms in frames):
        raise UserError(f"{name}: frames without a time; give interval_fs in the samplesheet")
    if any(atoms.calc is None or "energy" not in atoms.calc.results for atoms in frames):
        raise UserError(f"{name}: frames without an energy; conservation could not be told")
    times = np.array([float(atoms.info["time_fs"]) for atoms in frames])
    times -= times[0]
    for number, atoms in enumerate(frames):
        now = (atoms.positions, atoms.get_momenta(), atoms.calc.results["energy"])
        if not all(np.isfinite(values).all() for values in now):
            raise UserError(
                f"{name}, frame {number}: numbers that are not finite; leave the frames from it out"
            )
    steps = np.diff(times)
    if not (steps > 0).all() or np.ptp(steps) > 1e-3 * steps[0]:
        raise UserError(
            f"{name}: {steps.min():g} to {steps.max():g} fs between frames; equal intervals are needed "
            "(a trajectory with a gap: give its parts apart)"
        )
    order = _molecular_order(frames[0], name)
    positions = np.array([atoms.positions[order] for atoms in frames])
    moved = CubicSpline(times, positions, axis=0)(times, 1)
    derived = not all(atoms.has("momenta") for atoms in frames)
    velocities = moved if derived else np.array([atoms.get_velocities()[order] for atoms in frames]) * fs
    if not derived:
        # Between frames far apart bonds vibrate unseen, and only whole molecules are followed.
        both = np.array([velocities, moved])
        if steps[0] > VIBRATION_INTERVAL_fs:
            both = molecular_centres(both)
        apart = np.sqrt(((both[0] - both[1])[1:-1] ** 2).mean() / (both[1, 1:-1] ** 2).mean())
        if apart > VELOCITY_TOLERANCE:
            raise UserError(
                f"{name}: its velocities differ by {100 * apart:.0f} % (rms) from the motion of its "
                "positions; look at their unit and at interval_fs, or leave the velocities out"
            )
    energies = np.array([atoms.calc.results["energy"] for atoms in frames])
    tagged = excited_molecule(frames[0][order])
    return Given(name, label_origin(frames[0]), times, positions, velocities, energies, tagged, derived)


def _molecular_order(first: Atoms, name: str) -> NDArray[np.int64]:
    """Return the places of the atoms in the order C, O, C, O, … of the first frame's molecules."""
    plain = Atoms(first.numbers, first.positions)
    plain.set_array("place", np.arange(len(plain)))
    try:
        return np.asarray(order_by_molecule(plain).arrays["place"])
    except UserError as problem:
        raise UserError(f"{name}: {problem}") from problem


def _excited(one: Given, curve: BondCurve, excitation_energy_eV: float) -> tuple[int, float]:
    """Return the excited molecule and its internal energy (eV) at the start; −1 and 0 for none.

    Without a tag it is the one molecule with at least ``EXCITED_FRACTION`` of the excitation energy. Where
    velocities are a spline's, which errs most at its end, the energy is the median over ``START_fs``.
    """
    places = one.start
    shape = (len(one.times_fs[places]), -1, 2, 3)
    molecules = one.positions_A[places].reshape(shape), one.velocities_A_per_fs[places].reshape(shape)
    found = [molecular_energies(*now, MOLECULE_MASSES_amu, curve) for now in zip(*molecules, strict=True)]
    internal_eV = np.median(
        [(now.vibrational_energy_meV + now.rotational_energy_meV) / 1000 for now in found], axis=0
    )
    if one.excited >= 0:
        return one.excited, float(internal_eV[one.excited])
    hot = np.flatnonzero(internal_eV >= EXCITED_FRACTION * excitation_energy_eV)
    if len(hot) > 1:
        raise UserError(
            f"{one.name}: {len(hot)} molecules ({', '.join(map(str, hot))}) start with half of "
            f"{excitation_energy_eV:g} eV or more; tag the excited one (excited_atoms in the samplesheet)"
        )
    return (int(hot[0]), float(internal_eV[hot[0]])) if len(hot) else (-1, 0.0)


def _row(one: Given, settings: Trajectories, excited: int, curve: BondCurve) -> Row:
    """Return the rows of one trajectory, observed at the model's intervals or at its own longer ones."""
    every = max(1, round(settings.observe_fs / one.interval_fs))
    if one.interval_fs < settings.observe_fs and abs(every * one.interval_fs - settings.observe_fs) > 1e-3:
        raise UserError(
            f"{one.name}: frames every {one.interval_fs:g} fs are observed every {settings.observe_fs:g} fs; "
            "give photodesorption.observe_fs a whole number of times the interval"
        )
    co = systems.Molecules.alike(systems.molecule("CO"), one.positions_A.shape[1] // 2)
    tracker = Tracker(settings.limits, co, excited)
    last = int(np.searchsorted(one.times_fs, settings.duration_fs + 1e-6)) - 1
    places = list(range(0, last + 1, every))
    for place in places:
        now = Observation(
            float(one.times_fs[place]), one.positions_A[place], one.velocities_A_per_fs[place],
            float(one.energies_eV[place]),
        )  # fmt: skip
        if tracker.observe(now):
            break
    curves = Curves(curve, curve)
    short = one.times_fs[places[-1]] < settings.duration_fs - max(settings.observe_fs, one.interval_fs)
    if short and tracker.rows(curves)["trajectory"]["outcome"] == "retained":
        tracker.fail(f"ends at {one.times_fs[-1]:g} of {settings.duration_fs:g} fs")
    row: dict[str, Any] = {**tracker.rows(curves), "frames": []}
    if one.derived and one.interval_fs > VIBRATION_INTERVAL_fs:
        for molecule in row["desorbed"]:
            molecule |= {"vibrational_energy_meV": None, "vibrational_quantum_number": None}
    return row


def _told(seen: Sequence[_Seen], excitation_energy_eV: float) -> str:
    derived = [one for one in seen if one.derived]
    tagged = sum(one.tagged >= 0 for one in seen)
    excited = sum(one.excited >= 0 for one in seen)
    intervals = " or ".join(
        f"{interval:g}" for interval in sorted({round(one.interval_fs, 3) for one in seen})
    )
    text = (
        f"{len(seen)} trajectories of {seen[0].origin}, frames every {intervals} fs: {tagged} with a tagged "
        f"excited molecule, {excited - tagged} where it was found by its energy, "
        f"{len(seen) - excited} without."
    )
    cold = sum(one.tagged >= 0 and one.energy_eV < EXCITED_FRACTION * excitation_energy_eV for one in seen)
    if cold:
        text += (
            f" In {cold} the tagged molecule starts with less than half of {excitation_energy_eV:g} eV: "
            "look at excited_atoms."
        )
    if derived:
        text += f" Velocities of {len(derived)} are those of a cubic spline through their positions"
        far = sum(one.interval_fs > VIBRATION_INTERVAL_fs for one in derived)
        text += f"; {far} have frames too far apart for vibrational energies, left empty." if far else "."
    return text
