import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from starts import write_curves, write_snapshots

from frazil.data import hdf5
from frazil.data.frames import read_at
from frazil.errors import UserError
from frazil.experiments.photodesorption import initial
from frazil.experiments.photodesorption.initial import make_initial_states, write_index
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.systems.co import MOLECULE_MASSES_amu, bond_lengths, co_types, molecular_centres
from frazil.systems.diatomic import BondCurve
from frazil.units import fs


def excite(folder: Path, **changes: Any) -> InitialStates:
    """Make initial states from 12 snapshots (written once) with some settings changed."""
    snapshots, curves = folder / "snapshots.extxyz", folder / "bond_curves.csv"
    if not snapshots.exists():
        write_snapshots(snapshots, 12)
        write_curves(curves)
    settings: dict[str, Any] = {
        "snapshots": [snapshots], "n_trajectories": 12, "first_id": 0, "excitation": "energy",
        "excitation_energy_eV": 8.26, "vibrational_quantum_number": 40.0, "bond_curves": curves,
        "core_radius_A": 4.5, "campaign_seed": 1, "out": folder / "initial_states.h5",
    }  # fmt: skip
    make_initial_states(**{**settings, **changes})
    return read_initial_states(settings["out"])


def bond_energies(states: InitialStates, curve: BondCurve) -> np.ndarray:
    """Return the energy along the bond of the excited molecules, eV."""
    energies = []
    for index, molecule in enumerate(states.excited_molecule):
        atoms = slice(2 * molecule, 2 * molecule + 2)
        carbon, oxygen = states.positions_A[index, atoms]
        relative = np.subtract(*states.velocities_A_per_fs[index, atoms][::-1]) / fs
        radial = relative @ (oxygen - carbon) / np.linalg.norm(oxygen - carbon)
        energies.append(
            curve.reduced_mass_amu * radial**2 / 2 + curve.energy(np.linalg.norm(oxygen - carbon))
        )
    return np.array(energies)


def test_more_trajectories_extend_a_campaign(tmp_path: Path) -> None:
    everything = excite(tmp_path)
    few, later = excite(tmp_path, n_trajectories=4), excite(tmp_path, n_trajectories=5, first_id=6)
    for name in (
        "snapshot_id",
        "excited_molecule",
        "positions_A",
        "velocities_A_per_fs",
        "initial_temperature_K",
    ):
        assert_array_equal(getattr(few, name), getattr(everything, name)[:4])
        assert_array_equal(getattr(later, name), getattr(everything, name)[6:11])
    assert_array_equal(later.trajectory_id, np.arange(6, 11))


def test_each_snapshot_is_used_once_in_an_order_of_the_seed(tmp_path: Path) -> None:
    one, two = excite(tmp_path), excite(tmp_path, campaign_seed=2)
    assert sorted(one.snapshot_id) == sorted(two.snapshot_id) == list(range(12))
    assert list(one.snapshot_id) != list(two.snapshot_id)
    assert (one.campaign_seed, two.campaign_seed) == (1, 2)


def test_the_order_of_snapshot_files_does_not_matter(tmp_path: Path) -> None:
    parts = [write_snapshots(tmp_path / "a.extxyz", 5, 7), write_snapshots(tmp_path / "b.extxyz", 7)]
    one, two = excite(tmp_path, snapshots=parts), excite(tmp_path, snapshots=parts[::-1])
    assert_array_equal(one.positions_A, two.positions_A)


def test_only_one_bond_gets_energy_and_its_centre_moves_as_before(tmp_path: Path) -> None:
    states, plain = excite(tmp_path), excite(tmp_path, excitation="none")
    assert_array_equal(states.positions_A, plain.positions_A)
    assert_allclose(bond_energies(states, BondCurve.read(tmp_path / "bond_curves.csv")), 8.26)
    assert_allclose(
        molecular_centres(states.velocities_A_per_fs),
        molecular_centres(plain.velocities_A_per_fs),
        atol=1e-15,
    )
    same = (states.velocities_A_per_fs == plain.velocities_A_per_fs).all(axis=2)
    changed = [sorted({int(atom) // 2 for atom in np.flatnonzero(~row)}) for row in same]
    assert changed == [[molecule] for molecule in states.excited_molecule]
    assert_array_equal(plain.excited_molecule, -1)
    assert_array_equal(plain.excitation_energy_eV, 0)
    stretched = [
        bond_lengths(x + 0.1 * v)[m] - bond_lengths(x)[m] > 0
        for x, v, m in zip(
            states.positions_A, states.velocities_A_per_fs, states.excited_molecule, strict=True
        )
    ]
    assert 0 < sum(stretched) < 12  # both signs of the momentum occur


def test_the_energy_of_a_level_comes_from_the_curve_asked_for(tmp_path: Path) -> None:
    curves = write_curves(tmp_path / "bond_curves.csv")
    write_snapshots(tmp_path / "snapshots.extxyz", 12)
    for excitation, column in (("label_curve", "label_eV"), ("model_curve", "model_x1x2_eV")):
        curve = BondCurve.read(curves, column)
        states = excite(tmp_path, excitation=excitation)
        assert_allclose(states.excitation_energy_eV, curve.energy_of(40))
        assert_allclose(bond_energies(states, curve), curve.energy_of(40))


def test_types_and_selection(tmp_path: Path) -> None:
    states = excite(tmp_path)
    assert_array_equal(co_types(3, 1), [0, 1, 2, 3, 0, 1])
    assert_array_equal(states.types(2), co_types(3, int(states.excited_molecule[2])))
    part = states.select(5, 3)
    assert_array_equal(part.trajectory_id, [5, 6, 7])
    assert_array_equal(part.positions_A, states.positions_A[5:8])
    with pytest.raises(UserError, match="trajectories 10 to 13 asked for; the initial states hold 12"):
        states.select(10, 4)


def test_the_centre_of_mass_of_a_molecule_in_the_core_is_near_that_of_the_aggregate(tmp_path: Path) -> None:
    states = excite(tmp_path, core_radius_A=2.1)
    centres = molecular_centres(states.positions_A)
    distances = np.linalg.norm(centres - centres.mean(axis=1, keepdims=True), axis=2)
    assert (distances[np.arange(12), states.excited_molecule] <= 2.1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_trajectories": 13}, "13 snapshots asked for from number 0 on; 12 exist"),
        ({"first_id": 1}, "12 snapshots asked for from number 1 on; 12 exist"),
        ({"n_trajectories": 0}, "0 snapshots asked for"),
        ({"core_radius_A": 0.1}, "within 0.1 Å of the centre of mass .*larger --core-radius-A"),
        ({"excitation": "laser"}, "excitation 'laser'; allowed: energy, model_curve, label_curve, none"),
        ({"excitation_energy_eV": -1.0}, "excitation energy -1.0 eV; it must be positive"),
        ({"bond_curves": None}, "'energy' needs a bond curve"),
        ({"snapshots": [Path("absent.extxyz")]}, "snapshots absent.extxyz are missing or empty"),
    ],
)
def test_bad_input(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        excite(tmp_path, **changes)


def test_unfit_snapshots(tmp_path: Path) -> None:
    path = write_snapshots(tmp_path / "twice.extxyz", 2)
    with pytest.raises(UserError, match="snapshot 0 is given twice"):
        excite(tmp_path, snapshots=[path, path])
    frames = ase.io.read(path, ":")
    frames[1].info.pop("snapshot_id")
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(UserError, match="lacks a snapshot_id"):
        excite(tmp_path, snapshots=[path])
    frames[1].info["snapshot_id"] = 1
    del frames[1].arrays["momenta"]
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(UserError, match=r"snapshot 1 .* lacks momenta"):
        excite(tmp_path, snapshots=[path], n_trajectories=2)


def test_an_index_tells_where_snapshots_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard reads its own frames only, and starts alike with the index and without."""
    path = tmp_path / "snapshots.extxyz"
    without = excite(tmp_path, first_id=3, n_trajectories=2)
    write_index(path)
    looked: list[tuple[int, int]] = []

    def read(path: Path, first: int, last: int) -> ase.Atoms:
        looked.append((first, last))
        return read_at(path, first, last)

    monkeypatch.setattr(initial, "ranges_of", None)
    monkeypatch.setattr(initial, "read_at", read)
    states = excite(tmp_path, first_id=3, n_trajectories=2)
    for name in ("snapshot_id", "positions_A", "velocities_A_per_fs", "reference_A"):
        assert_array_equal(getattr(states, name), getattr(without, name))
    assert len(looked) == 3, "the first of all, which tells the molecules, and two of its own"
    text = path.read_text()
    path.write_text(re.sub(r"snapshot_id=(\d)", lambda found: f"snapshot_id={9 - int(found[1])}", text))
    with pytest.raises(UserError, match=r"snapshot \d is not where snapshots\.csv has it"):
        excite(tmp_path)
    path.write_text(text + text)
    with pytest.raises(UserError, match=r"has another length than its snapshots\.csv says"):
        excite(tmp_path)


def test_unfit_initial_states(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; excite"):
        read_initial_states(tmp_path / "states.h5")
    (tmp_path / "states.h5").write_text("text")
    with pytest.raises(UserError, match=r"is no HDF5 file of frazil; excite\.py makes one"):
        read_initial_states(tmp_path / "states.h5")
    with h5py.File(tmp_path / "other.h5", "w") as content:
        content["positions_A"] = [1.0]
    with pytest.raises(UserError, match="holds no initial states: it lacks trajectory_id"):
        read_initial_states(tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("positions_A", lambda x: x * np.nan, "positions_A holds numbers that are not finite"),
        ("positions_A", lambda x: x[:, :, :2], r"positions_A of shape .*\(12, 6, 3\) are needed"),
        ("positions_A", lambda x: x[:, 0], "positions_A of shape"),
        ("positions_A", lambda x: x[:, :3], "velocities_A_per_fs of shape"),
        ("velocities_A_per_fs", lambda x: x[:2], "velocities_A_per_fs of shape"),
        ("velocities_A_per_fs", lambda x: x.astype("S"), "velocities_A_per_fs of shape"),
        ("snapshot_id", lambda x: x[:1], "snapshot_id of shape"),
        ("trajectory_id", lambda x: x[0], "trajectory_id of shape"),
        ("trajectory_id", lambda x: x[::-1], "ascending ids"),
        ("excited_molecule", lambda x: x + 99, "molecules of them"),
        ("initial_temperature_K", lambda x: x * np.inf, "not finite"),
    ],
)
def test_odd_arrays_of_initial_states_are_refused(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    excite(tmp_path)
    path = next(tmp_path.glob("*.h5"))
    attributes, arrays = hdf5.read(path, "excite.py")
    hdf5.write(path, attributes, arrays | {name: change(arrays[name])})
    with pytest.raises(UserError, match=message):
        read_initial_states(path)


def test_masses_are_the_ones_of_the_engine() -> None:
    assert_allclose(MOLECULE_MASSES_amu, [12.011, 15.999])


def test_exploration_takes_snapshots_in_turns_and_excites_anew(tmp_path: Path) -> None:
    first, second = excite(tmp_path, in_turns=True), excite(tmp_path, in_turns=True, first_id=12)
    assert_array_equal(second.snapshot_id, first.snapshot_id)
    assert (second.velocities_A_per_fs != first.velocities_A_per_fs).any()
    with pytest.raises(UserError, match="12 snapshots asked for from number 12 on; 12 exist"):
        excite(tmp_path, first_id=12)
