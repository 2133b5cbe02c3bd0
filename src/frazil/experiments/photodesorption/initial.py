"""Initial states of an ensemble: a thermal snapshot, one excited molecule in its core, an internal energy.

The state of a trajectory is a function of the campaign seed, the snapshots and its id: a permutation of all
snapshots gives each id one of its own, so that more trajectories extend a campaign without changing the
first.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import ase
import numpy as np
import pandas

from frazil.data.frames import ranges_of, read_at
from frazil.errors import UserError
from frazil.experiments.photodesorption.initial_states import InitialStates
from frazil.experiments.photodesorption.outcome import curve_of
from frazil.experiments.photodesorption.tables import SNAPSHOTS
from frazil.seeds import rng
from frazil.systems.diatomic import BondCurve
from frazil.systems.energies import temperature_K
from frazil.systems.excite import set_internal_energy
from frazil.systems.molecules import Molecules, bond_of
from frazil.units import fs

EXCITATIONS = ("energy", "model_curve", "label_curve", "none")
_SNAPSHOT_ID = re.compile(rb"snapshot_id=(\d+)")
_CURVES = {"energy": "label", "label_curve": "label", "model_curve": "excited"}


def make_initial_states(
    snapshots: Sequence[Path | str],
    n_trajectories: int,
    first_id: int,
    excitation: str,
    excitation_energy_eV: float,
    vibrational_quantum_number: float,
    bond_curves: Path | str | None,
    core_radius_A: float,
    campaign_seed: int,
    out: Path | str,
    bond: Sequence[int] = (),
    in_turns: bool = False,
) -> None:
    """Write ``initial_states.h5`` for ids from ``first_id`` on (see ``InitialStates``).

    The internal energy is ``excitation_energy_eV`` (``energy``), or that of the vibrational quantum number on
    the model's or the labels' bond curve; ``none`` excites nothing. ``bond``: the two atoms of the bond
    within the molecule; of a diatomic it is known. Each snapshot is used at most once, or ``in_turns``, as
    exploration does: what is excited in it then is drawn anew.
    Raises UserError for too few or unfit snapshots and for an aggregate without a molecule in its core.
    """
    if excitation not in EXCITATIONS:
        raise UserError(f"excitation {excitation!r}; allowed: {', '.join(EXCITATIONS)}")
    frames = Snapshots(snapshots)
    too_many = first_id + n_trajectories > len(frames) and not in_turns
    if n_trajectories <= 0 or first_id < 0 or too_many:
        raise UserError(
            f"{n_trajectories} snapshots asked for from number {first_id} on; {len(frames)} exist; "
            f"ask for fewer trajectories, or thermalize longer for more snapshots"
        )
    all_molecules = Molecules.told_by(frames.first)
    masses_amu = all_molecules.atom_masses_amu
    excited_bond = np.array(bond_of(frames.first[all_molecules.members[0]], bond))
    reduced_amu = masses_amu[excited_bond].prod() / masses_amu[excited_bond].sum()
    curve, energy_eV = _excitation(
        excitation, excitation_energy_eV, vibrational_quantum_number, bond_curves, reduced_amu
    )
    order = rng(campaign_seed, "snapshots").permutation(len(frames))
    ids = np.arange(first_id, first_id + n_trajectories)
    chosen = [frames[order[identity % len(frames)]] for identity in ids]
    velocities = [frame.get_velocities() * fs for frame in chosen]
    temperatures = [float(temperature_K(velocity, masses_amu)) for velocity in velocities]
    molecules = np.full(n_trajectories, -1)
    if curve is not None:
        for row, (identity, frame) in enumerate(zip(ids, chosen, strict=True)):
            generator = rng(campaign_seed, "excite", int(identity))
            molecules[row] = _core_molecule(frame, all_molecules, core_radius_A, generator)
            sign = 1 if generator.random() < 0.5 else -1
            one, two = all_molecules.members[molecules[row]][excited_bond]
            velocities[row] = fs * set_internal_energy(
                frame.positions, velocities[row] / fs, (one, two), masses_amu, energy_eV, curve, sign
            )
    states = InitialStates(
        campaign_seed=campaign_seed,
        trajectory_id=ids,
        snapshot_id=np.array([int(frame.info["snapshot_id"]) for frame in chosen]),
        excited_molecule=molecules,
        excitation_energy_eV=np.full(n_trajectories, energy_eV),
        initial_temperature_K=np.array(temperatures),
        positions_A=np.array([frame.positions for frame in chosen]),
        velocities_A_per_fs=np.array(velocities),
        molecules=all_molecules,
        reference_A=frames.first.positions,
    )
    states.write(out)


class Snapshots:
    """Thermal snapshots in files, in the order of ``snapshot_id``; a frame is read when it is asked for.

    ``write_index`` tells where in a file its snapshots are. Without such an index the file is looked through.
    Raises UserError for unfit snapshots and doubled ones.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self._files = [Path(path) for path in paths]
        places = []
        for number, path in enumerate(self._files):
            if not path.is_file() or not path.stat().st_size:
                raise UserError(
                    f"snapshots {path} are missing or empty; give a snapshots.extxyz of thermalize.py"
                )
            places += [(identity, number, *ends) for identity, *ends in _read_index(path)]
        self._places = sorted(places)
        doubled = {one[0] for one, following in pairwise(self._places) if one[0] == following[0]}
        if doubled:
            raise UserError(f"snapshot {min(doubled)} is given twice; give each snapshots.extxyz once")
        self.first = self._read(0)

    def __len__(self) -> int:
        """Return their number."""
        return len(self._places)

    def __getitem__(self, place: int) -> ase.Atoms:
        """Return one snapshot."""
        frame = self._read(place)
        if not np.array_equal(frame.numbers, self.first.numbers):
            raise UserError(
                f"snapshot {self._places[place][0]} has {frame.symbols}, the first {self.first.symbols}; "
                "give snapshots of thermalize.py of one aggregate"
            )
        return frame

    def _read(self, place: int) -> ase.Atoms:
        identity, number, first, last = self._places[place]
        path = self._files[number]
        frame = read_at(path, first, last)
        if frame.info.get("snapshot_id") != identity or not frame.has("momenta"):
            raise UserError(
                f"{path}: snapshot {identity} is not where snapshots.csv has it, or lacks momenta; run "
                "thermalize.py again"
            )
        return frame


def write_index(path: Path | str) -> None:
    """Write where in a file of snapshots each of them is, beside the file."""
    rows = [(_id_of(comment, path), first, last) for first, last, comment in ranges_of(path)]
    SNAPSHOTS.write(
        pandas.DataFrame(rows, columns=["snapshot_id", "first_byte", "end_byte"]), Path(path).parent
    )


def _read_index(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield the id of each snapshot of a file, its first byte, and the byte behind its last."""
    if path.name == "snapshots.extxyz" and (path.parent / "snapshots.csv").is_file():
        table = SNAPSHOTS.read(path.parent)
        if table["end_byte"].max() != path.stat().st_size:
            raise UserError(f"{path} has another length than its snapshots.csv says; run thermalize.py again")
        yield from table.itertuples(index=False, name=None)
    else:
        for first, last, comment in ranges_of(path):
            yield _id_of(comment, path), first, last


def _id_of(comment: bytes, path: Path | str) -> int:
    found = _SNAPSHOT_ID.search(comment)
    if found is None:
        raise UserError(f"a snapshot of {path} lacks a snapshot_id; give snapshots of thermalize.py")
    return int(found[1])


def _excitation(
    kind: str, energy_eV: float, quantum_number: float, bond_curves: Path | str | None, reduced_amu: float
) -> tuple[BondCurve | None, float]:
    """Return the bond curve (None: no excitation) and the internal energy above its minimum, eV."""
    if kind == "none":
        return None, 0.0
    if bond_curves is None:
        raise UserError(f"excitation '{kind}' needs a bond curve; give --bond-curves bond_curves.csv")
    curve = curve_of(bond_curves, _CURVES[kind], reduced_amu)
    if kind != "energy":
        return curve, curve.energy_of(quantum_number)
    if energy_eV <= 0:
        raise UserError(f"excitation energy {energy_eV} eV; it must be positive, 8.26 is v = 40 of CO")
    return curve, energy_eV


def _core_molecule(
    frame: ase.Atoms, molecules: Molecules, core_radius_A: float, generator: np.random.Generator
) -> int:
    centres = molecules.centres(frame.positions)
    distances = np.linalg.norm(centres - molecules.middle(centres), axis=-1)
    core = np.flatnonzero(distances[: molecules.n_of_first_kind] <= core_radius_A)
    if not len(core):
        distances = distances[: molecules.n_of_first_kind]
        raise UserError(
            f"no {molecules.formulas[0]} of snapshot {frame.info['snapshot_id']} is within {core_radius_A} Å "
            f"of the centre of mass (nearest: {distances.min():.2f} Å); give a larger --core-radius-A"
        )
    return int(generator.choice(core))
