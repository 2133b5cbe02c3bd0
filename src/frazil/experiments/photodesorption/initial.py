"""Initial states of an ensemble: a thermal snapshot, one excited molecule in its core, an internal energy.

The state of a trajectory is a function of the campaign seed, the snapshots and its id: a permutation of all
snapshots gives each id one of its own, so that more trajectories extend a campaign without changing the
first.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import ase
import ase.io
import numpy as np

from frazil.data.frames import read_extxyz
from frazil.errors import UserError
from frazil.experiments.photodesorption.initial_states import InitialStates
from frazil.experiments.photodesorption.outcome import curve_of
from frazil.seeds import rng
from frazil.systems.diatomic import BondCurve
from frazil.systems.energies import temperature_K
from frazil.systems.excite import set_internal_energy
from frazil.systems.molecules import Molecules, bond_of
from frazil.units import fs

EXCITATIONS = ("energy", "model_curve", "label_curve", "none")
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
    frames = read_snapshots(snapshots)
    too_many = first_id + n_trajectories > len(frames) and not in_turns
    if n_trajectories <= 0 or first_id < 0 or too_many:
        raise UserError(
            f"{n_trajectories} snapshots asked for from number {first_id} on; {len(frames)} exist; "
            f"ask for fewer trajectories, or thermalize longer for more snapshots"
        )
    all_molecules = Molecules.told_by(frames[0])
    masses_amu = all_molecules.atom_masses_amu
    excited_bond = np.array(bond_of(frames[0][all_molecules.members[0]], bond))
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
        reference_A=frames[0].positions,
    )
    states.write(out)


def read_snapshots(paths: Sequence[Path | str]) -> list[ase.Atoms]:
    """Return all snapshots, sorted by their ``snapshot_id``. Raises UserError for unfit or doubled ones."""
    frames: list[ase.Atoms] = []
    for path in paths:
        if not Path(path).is_file() or not Path(path).stat().st_size:
            raise UserError(
                f"snapshots {path} are missing or empty; give a snapshots.extxyz of thermalize.py"
            )
        frames += read_extxyz(path)
    path_list = ", ".join(map(str, paths))
    for frame in frames:
        alike = np.array_equal(frame.numbers, frames[0].numbers)
        if "snapshot_id" not in frame.info or not frame.has("momenta") or not alike:
            raise UserError(
                f"a snapshot of {len(frame)} atoms in {path_list} lacks a snapshot_id or momenta, "
                f"or has another size than the first; give snapshots of thermalize.py of one aggregate"
            )
    frames.sort(key=lambda frame: int(frame.info["snapshot_id"]))
    ids = [int(frame.info["snapshot_id"]) for frame in frames]
    doubled = {identity for identity, following in pairwise(ids) if identity == following}
    if doubled:
        raise UserError(f"snapshot {min(doubled)} is given twice; give each snapshots.extxyz once")
    return frames


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
    distances = np.linalg.norm(centres - centres.mean(axis=0), axis=-1)
    core = np.flatnonzero(distances <= core_radius_A)
    if not len(core):
        raise UserError(
            f"no molecule of snapshot {frame.info['snapshot_id']} is within {core_radius_A} Å of the centre "
            f"of mass (nearest: {distances.min():.2f} Å); give a larger --core-radius-A"
        )
    return int(generator.choice(core))
