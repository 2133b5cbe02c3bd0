"""Layouts of arrays: deepmd/npy, npz, HDF5, ASE databases."""

from pathlib import Path

import ase.db
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree, kcal, mol

from frazil.data.deepmd_npy import to_deepmd
from frazil.errors import UserError
from frazil.labels.imports.readers import Entry, read_entry
from frazil.systems.co import set_excited

from .conftest import Trajectory, same


def test_deepmd_folders(tmp_path: Path) -> None:
    atoms = Atoms("COCO", [[0, 0, 0], [0, 0, 1.1], [4, 0, 0], [4, 0, 1.2]])
    set_excited(atoms, 1)
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((4, 3)))
    to_deepmd([atoms], tmp_path / "data")
    (found,) = read_entry(Entry(tmp_path / "data", level="made-up")).frames
    same([found], [atoms])
    assert found.arrays["excited"].tolist() == [0, 0, 1, 1]


def deepmd_system(folder: Path, frames: list[Atoms], free: bool = True, box_A: float = 30.0) -> Path:
    """Write frames of one composition in DeePMD-kit's layout."""
    names = list(dict.fromkeys(frames[0].get_chemical_symbols()))
    data = folder / "set.000"
    data.mkdir(parents=True)
    kinds = [names.index(symbol) for symbol in frames[0].get_chemical_symbols()]
    (folder / "type.raw").write_text("\n".join(map(str, kinds)))
    (folder / "type_map.raw").write_text("\n".join(names))
    n = len(frames)
    np.save(data / "coord.npy", np.array([a.positions for a in frames]).reshape(n, -1))
    np.save(data / "energy.npy", np.array([a.get_potential_energy() for a in frames]))
    np.save(data / "force.npy", np.array([a.get_forces() for a in frames]).reshape(n, -1))
    np.save(data / "box.npy", np.tile(box_A * np.eye(3).ravel(), (n, 1)))
    if free:
        (folder / "nopbc").touch()
    return folder


def test_a_box_of_vacuum_is_taken_off(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(4)
    for atoms in frames:
        atoms.positions[2:, 0] += 10
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    wrapped = [atoms.copy() for atoms in frames]
    for atoms, whole in zip(wrapped, frames, strict=True):
        atoms.positions %= 30.0
        atoms.calc = SinglePointCalculator(atoms, **whole.calc.results)
    system = deepmd_system(tmp_path / "a", wrapped, free=False)
    same(read_entry(Entry(system, level="made-up")).frames, frames)
    with pytest.raises(UserError, match=r"periodic, with 3\.5 Å of vacuum"):
        read_entry(Entry(deepmd_system(tmp_path / "b", wrapped, free=False, box_A=5.0), level="made-up"))
    (system / "set.000/box.npy").unlink()
    with pytest.raises(UserError, match=r"set\.000: no box\.npy"):
        read_entry(Entry(system, level="made-up"))


def test_types_of_mixed_sets(trajectory: Trajectory, tmp_path: Path) -> None:
    """In npy/mixed type.raw is a placeholder of zeros; -1 fills up."""
    frames = trajectory(3)
    system = deepmd_system(tmp_path / "a", frames)
    (system / "type.raw").write_text("0\n0\n0\n0\n")
    np.save(system / "set.000/real_atom_types.npy", np.tile([0, 1, 2, 2], (3, 1)))
    same(read_entry(Entry(system, level="made-up")).frames, frames)
    np.save(system / "set.000/real_atom_types.npy", np.tile([0, 1, 2, -1], (3, 1)))
    assert str(read_entry(Entry(system, level="made-up")).frames[0].symbols) == "COH"
    np.save(system / "set.000/real_atom_types.npy", np.zeros((2, 4), int))
    with pytest.raises(UserError, match=r"coord\.npy of shape \(3, 12\) beside 3 frames of 4 atoms"):
        read_entry(Entry(system, level="made-up"))


def test_databases_of_ase(trajectory: Trajectory, tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        for atoms in trajectory(3):
            database.write(atoms, charge=0)
    imported = read_entry(Entry(tmp_path / "a.db", level="made-up"))
    assert imported.format == "db"
    same(imported.frames, trajectory(3))
    with ase.db.connect(tmp_path / "b.db") as database:  # as SchNetPack writes them
        database.metadata = {"_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}}
        for atoms in trajectory(3):
            energy = np.array([atoms.get_potential_energy() / kcal * mol])
            data = {"energy": energy, "forces": atoms.get_forces() / kcal * mol}
            database.write(Atoms(atoms.numbers, atoms.positions), data=data)
    same(read_entry(Entry(tmp_path / "b.db", level="made-up")).frames, trajectory(3))
    (tmp_path / "b.db").write_bytes((tmp_path / "b.db").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"b\.db is no whole SQLite database"):
        read_entry(Entry(tmp_path / "b.db", level="made-up"))


def md17(frames: list[Atoms], unit_eV: float) -> dict[str, np.ndarray]:
    return {
        "nuclear_charges": frames[0].numbers,
        "coords": np.array([a.positions for a in frames]),
        "energies": np.array([a.get_potential_energy() / unit_eV for a in frames]),
        "forces": np.array([a.get_forces() / unit_eV for a in frames]),
    }


def test_npz(trajectory: Trajectory, tmp_path: Path) -> None:
    """RMD17's own mark says its unit; MD17 (z, R, E, F) does not, and asks for it."""
    frames = trajectory(8)
    kcal_mol = float(kcal / mol)
    arrays = md17(frames, kcal_mol)
    old = {"old_indices": np.arange(8), "old_energies": np.arange(8.0), "old_forces": np.zeros((8, 4, 3))}
    np.savez(tmp_path / "a.npz", **arrays, **old)
    imported = read_entry(Entry(tmp_path / "a.npz", level="pbe/def2-svp"))
    assert imported.format == "npz"
    same(imported.frames, frames, 1e-5)
    short = dict(zip("zREF", arrays.values(), strict=True))
    short["E"] = short["E"].reshape(8, 1)
    np.savez(tmp_path / "b.npz", **short)
    with pytest.raises(UserError, match="the file says no unit of its energies; say energy_unit"):
        read_entry(Entry(tmp_path / "b.npz", level="made-up"))
    same(read_entry(Entry(tmp_path / "b.npz", level="x", energy_unit="kcal/mol")).frames, frames, 1e-5)
    np.savez(tmp_path / "c.npz", **{**short, "R": short["R"][:, :3]})
    with pytest.raises(UserError, match=r"R of shape \(8, 3, 3\) beside 4 atoms; expected \(frames, 4, 3\)"):
        read_entry(Entry(tmp_path / "c.npz", level="x", energy_unit="kcal/mol"))


def test_hdf5_with_a_group_for_each_molecule(trajectory: Trajectory, tmp_path: Path) -> None:
    """As SPICE has them: Bohr, Hartree and gradients, with their units beside them."""
    frames = trajectory(6)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, members in (("one", frames[:3]), ("two", frames[3:])):
            group = file.create_group(name)
            group["atomic_numbers"] = members[0].numbers
            group["smiles"] = ["[C]=O"]
            for key, unit, values in (
                ("conformations", "bohr", [a.positions / Bohr for a in members]),
                ("dft_total_energy", "hartree", [a.get_potential_energy() / Hartree for a in members]),
                ("dft_total_gradient", "hartree/bohr", [-a.get_forces() * Bohr / Hartree for a in members]),
                ("formation_energy", "hartree", [0.1, 0.2, 0.3]),
            ):
                group[key] = np.array(values)
                group[key].attrs["units"] = unit
    imported = read_entry(Entry(tmp_path / "a.hdf5", level="wb97m-d3bj/def2-tzvppd"))
    assert imported.format == "hdf5"
    same(imported.frames, frames, 1e-5)
    assert [a.info["trajectory_id"] for a in imported.frames] == ["a.hdf5/one"] * 3 + ["a.hdf5/two"] * 3
    assert imported.notes == ["6 frames: dft_gradient is taken for a gradient: the forces are its negative"]
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["numbers"] = np.arange(3)
    with pytest.raises(UserError, match="no group holds atomic numbers"):
        read_entry(Entry(tmp_path / "b.hdf5", level="x"))
