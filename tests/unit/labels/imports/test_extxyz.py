"""Extended XYZ and ASE trajectories: names of labels, units, boxes."""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree, kcal, mol

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.labels.imports.quality import find_suspects
from frazil.labels.imports.readers import Entry, Imported, followed, free_aggregate, read_entry

from .conftest import Trajectory, same
from .written import turbomole_gradient


def test_extxyz_and_ase_trajectories(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(5)
    write_frames(tmp_path / "a.extxyz", frames)
    ase.io.write(tmp_path / "a.traj", frames)
    for name, kind in (("a.extxyz", "extxyz"), ("a.traj", "traj")):
        imported = read_entry(Entry(tmp_path / name, level="made-up", interval_fs=2.0))
        assert imported.format == kind
        same(imported.frames, frames)
        assert imported.frames[3].info["label_level"] == "made-up"
        assert imported.frames[3].info["time_fs"] == 6.0
        assert imported.frames[3].info["trajectory_id"] == str(tmp_path / name)
        assert imported.frames[3].info["source"] == "import"


def test_boxes() -> None:
    water = Atoms("OHH", [[0.1, 0, 0], [0.9, 0.59, 0], [-0.7, 0.59, 0]], cell=[12, 10, 11], pbc=True)
    water.cell[0, 1] = 3.0
    wrapped = water.copy()
    wrapped.wrap()
    assert free_aggregate(wrapped).get_all_distances() == pytest.approx(water.get_all_distances())
    crystal = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[20, 20, 5], pbc=True)
    with pytest.raises(UserError, match=r"3\.9 Å of vacuum along axis 2; free aggregates with at least 6 Å"):
        free_aggregate(crystal)
    crystal.pbc = [True, True, False]
    assert free_aggregate(crystal).get_distance(0, 1) == pytest.approx(1.1)


def leaving() -> list[Atoms]:
    """Return frames of two CO in a box of 11 Å; the second leaves through a face, 0.4 Å a frame."""
    frames = []
    for number in range(40):
        frames.append(
            Atoms("COCO", [[0, 0, 0], [0, 0, 1.1], [3, 0, 0], [3, 0, 1.1]], cell=[11] * 3, pbc=True)
        )
        frames[-1].positions[2:, 0] += 0.4 * number
        frames[-1].positions += [5, 5, 5]
        frames[-1].wrap()
    return frames


def test_an_atom_that_leaves_its_box_is_followed() -> None:
    found = followed(leaving())
    apart = [atoms.get_distance(0, 2) for atoms in found]
    assert apart == pytest.approx([3 + 0.4 * number for number in range(40)])
    other = leaving()
    other[3] = other[3][[2, 1, 0, 3]]
    assert len(followed(other)) == 40, "equal elements: nothing tells"
    other[3].numbers = [8, 6, 6, 8]
    with pytest.raises(UserError, match=r"frame 3: OC2O, the first frame is COCO"):
        followed(other)


def test_a_frame_between_images_is_suspect_and_the_rest_is_used(tmp_path: Path) -> None:
    frames = leaving()
    for number, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=-600 - 0.01 * number, forces=np.full((4, 3), 0.1))
    ase.io.write(tmp_path / "a.extxyz", frames)
    imported = read_entry(Entry(tmp_path / "a.extxyz", level="made-up"))
    boxed = [suspect.frame for suspect in find_suspects(imported.frames) if suspect.kind == "box"]
    gaps = [(3 + 0.4 * number) % 11 for number in range(40)]
    assert boxed == [number for number, gap in enumerate(gaps) if 5 < gap < 6]
    assert boxed
    ase.io.write(tmp_path / "b.extxyz", [frames[number] for number in boxed])
    with pytest.raises(UserError, match="of vacuum along axis 0"):
        read_entry(Entry(tmp_path / "b.extxyz", level="made-up"))


def renamed(
    frames: list[Atoms], energy: str = "energy", forces: str = "forces", dipole: str = "", factor: float = 1.0
) -> list[Atoms]:
    """Return frames whose labels lie under names, in info and arrays, times a factor."""
    found = []
    for atoms in frames:
        other = Atoms(atoms.numbers, atoms.positions)
        other.info[energy] = atoms.get_potential_energy() * factor
        other.set_array(forces, atoms.get_forces() * factor)
        if dipole:
            other.info[dipole] = np.array([0.1, 0.2, 0.3])
        found.append(other)
    return found


def read(path: Path, frames: list[Atoms], **entry: Any) -> Imported:
    ase.io.write(path, frames, format="extxyz")
    return read_entry(Entry(path, level="made-up", **entry))


@pytest.mark.parametrize(
    ("energy", "forces"),
    [("REF_energy", "REF_forces"), ("dft_energy", "dft_forces"), ("energy_ref", "forces_ref")],
)
def test_usual_pairs_of_names(trajectory: Trajectory, tmp_path: Path, energy: str, forces: str) -> None:
    imported = read(tmp_path / "a.extxyz", renamed(trajectory(3), energy, forces))
    same(imported.frames, trajectory(3))
    assert not imported.notes


def test_a_column_named_force(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = renamed(trajectory(3), "energy", "force")
    same(read(tmp_path / "a.extxyz", frames).frames, trajectory(3))


def test_names_that_are_said(trajectory: Trajectory, tmp_path: Path) -> None:
    """Other names, a gradient, and a choice where there are two labels."""
    frames = renamed(trajectory(3), "mymodel_e", "grad", "mom")
    for atoms in frames:
        atoms.arrays["grad"] *= -1
    imported = read(
        tmp_path / "a.extxyz", frames, energy_key="mymodel_e", forces_key="grad", dipole_key="mom"
    )
    same(imported.frames, trajectory(3))
    assert imported.frames[0].calc.results["dipole"] == pytest.approx([0.1, 0.2, 0.3])
    both = renamed(trajectory(3), "energy", "forces", factor=0.5)
    for atoms, right in zip(both, trajectory(3), strict=True):
        atoms.info["REF_energy"] = right.get_potential_energy()
        atoms.set_array("REF_forces", right.get_forces())
    same(read(tmp_path / "b.extxyz", both, energy_key="REF_energy").frames, trajectory(3))
    with pytest.raises(
        UserError, match=r"frame 0: energy = -1555 and REF_energy = -3110 differ; .* energy_key"
    ):
        read(tmp_path / "b.extxyz", both)
    for atoms in both:
        del atoms.info["REF_energy"]
    with pytest.raises(UserError, match="frame 0: forces and REF_forces differ; say which one"):
        read(tmp_path / "b.extxyz", both)
    with pytest.raises(UserError, match="frame 0: no DFT_energy; the frame has REF_forces, energy, forces"):
        read(tmp_path / "b.extxyz", both, energy_key="DFT_energy")


def test_names_that_do_not_belong_together(trajectory: Trajectory, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the energy is REF_energy, the forces are forces; say which"):
        read(tmp_path / "a.extxyz", renamed(trajectory(3), "REF_energy", "forces"))


def test_two_labels_that_agree_are_one(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = renamed(trajectory(3))
    for atoms in frames:
        atoms.info["REF_energy"] = atoms.info["energy"]
        atoms.info["kinetic_energy"] = 0.3
    same(read(tmp_path / "a.extxyz", frames).frames, trajectory(3))


def test_a_dipole_under_another_name_is_told(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = renamed(trajectory(3), dipole="REF_dipole")
    imported = read(tmp_path / "a.extxyz", frames)
    assert imported.notes == ["3 frames: REF_dipole is not read; say it in dipole_key, or leave it"]
    assert "dipole" not in imported.frames[0].calc.results
    with_pair = read(tmp_path / "b.extxyz", renamed(trajectory(3), "REF_energy", "REF_forces", "REF_dipole"))
    assert with_pair.frames[0].calc.results["dipole"] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("energy", "forces", "length", "factor"),
    [
        ("Hartree", "", "", 1 / Hartree),
        ("kcal/mol", "", "", mol / kcal),
        ("Hartree", "Hartree/Bohr", "Bohr", 1 / Hartree),
    ],
)
def test_units_that_are_said(
    trajectory: Trajectory, tmp_path: Path, energy: str, forces: str, length: str, factor: float
) -> None:
    frames = renamed(trajectory(3), factor=factor)
    for atoms in frames:
        if length:
            atoms.positions /= Bohr
            atoms.arrays["forces"] *= Bohr
    said = {"energy_unit": energy, "forces_unit": forces, "length_unit": length}
    same(read(tmp_path / "a.extxyz", frames, **said).frames, trajectory(3), 1e-5)


def test_units_of_the_header(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = renamed(trajectory(3), forces="force", factor=1 / Hartree)
    for atoms in frames:
        atoms.info |= {"energy-unit": "hartree", "force-unit": "Ha/Bohr"}
        atoms.arrays["force"] *= Bohr
    same(read(tmp_path / "a.extxyz", frames).frames, trajectory(3))
    with pytest.raises(
        UserError, match="energy_unit Hartree in the file, eV in the samplesheet; say the same"
    ):
        read(tmp_path / "a.extxyz", frames, energy_unit="eV")
    for atoms in frames:
        atoms.info["energy-unit"] = "furlong"
    with pytest.raises(UserError, match="energy_unit 'furlong'; allowed are eV, Hartree"):
        read(tmp_path / "a.extxyz", frames)


def test_names_and_units_of_what_says_its_own(trajectory: Trajectory, tmp_path: Path) -> None:
    turbomole_gradient(tmp_path / "gradient", trajectory(2))
    with pytest.raises(UserError, match="energy_unit of a file of turbomole, which says its own"):
        read_entry(Entry(tmp_path / "gradient", level="made-up", energy_unit="eV"))
    assert read_entry(Entry(tmp_path / "gradient", level="made-up"), {"energy_unit": "Hartree"}).frames


def test_free_energies_of_ase_are_those_of_the_forces(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(3)
    for atoms in frames:
        atoms.calc.results["free_energy"] = atoms.calc.results["energy"]
        atoms.calc.results["energy"] = atoms.calc.results["energy"] + 0.1
    same(read(tmp_path / "a.extxyz", frames).frames, trajectory(3))


def test_a_stress_of_six_numbers_is_no_reason_to_refuse(trajectory: Trajectory, tmp_path: Path) -> None:
    write_frames(tmp_path / "a.extxyz", trajectory(2))
    text = (
        (tmp_path / "a.extxyz").read_text().replace("pbc=", 'stress="0.1 0.2 0.3 0 0 0" virial=[1,2,3] pbc=')
    )
    assert text.count("stress") == 2
    (tmp_path / "a.extxyz").write_text(text)
    same(read_entry(Entry(tmp_path / "a.extxyz")).frames, trajectory(2))


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False)])
def test_slabs_and_chains_without_all_vectors(pbc: tuple[bool, bool, bool]) -> None:
    cell = np.diag([30.0 if periodic else 0.0 for periodic in pbc])
    atoms = Atoms("CO", [[29.6, 0.3, 0], [30.7, 0.3, 0.1]], cell=cell, pbc=pbc)
    wrapped = atoms.copy()
    wrapped.positions[1, 0] -= 30
    assert free_aggregate(wrapped).get_distance(0, 1) == pytest.approx(atoms.get_distance(0, 1))
    wrapped.pbc = True
    with pytest.raises(UserError, match="periodic along an axis without a vector; give the box"):
        free_aggregate(wrapped)


def test_independent_frames_are_trajectories_of_their_own(trajectory: Trajectory, tmp_path: Path) -> None:
    """A shuffled set is one; a trajectory in order, or one that the file names, stays together."""

    def names(frames: list[Atoms], **entry: Any) -> set[str]:
        imported = read(tmp_path / "a.extxyz", frames, **entry)
        return {str(atoms.info["trajectory_id"]) for atoms in imported.frames}

    frames = [Atoms(a.numbers, a.positions, calculator=a.calc) for a in trajectory(40)]
    assert len(names(frames)) == 1
    shuffled = [frames[i] for i in np.random.default_rng(0).permutation(40)]
    assert len(names(shuffled)) == 40
    assert len(names(shuffled, trajectory_id="t")) == 1
    assert len(names(shuffled, interval_fs=10.0)) == 1
    for atoms in shuffled:
        atoms.info["trajectory_id"] = "mine"
    assert names(shuffled) == {"mine"}


def test_a_charge_in_the_header(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(2)
    frames[1].info["charge"] = 1
    with pytest.raises(
        UserError, match="frame 1: charge 1 in the file, 0 where the samplesheet says nothing"
    ):
        read(tmp_path / "a.extxyz", frames)
