"""Each format, read back into our units; sheets and boxes."""

import csv
import re
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.deepmd_npy import to_deepmd
from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.labels.imports.quality import find_suspects, steps, unit_ratio
from frazil.labels.imports.readers import FORMATS, Entry, free_aggregate, read_dataset, read_entry, recognise
from frazil.labels.imports.sheet import FORMAT_NAMES
from frazil.systems.co import set_excited

from .conftest import Trajectory
from .written import cp2k_output, gaussian_log, turbomole_gradient, vasp_outcar, vasp_xml

DATA = Path(__file__).with_name("data")
ORCA = Path(__file__).parents[5] / "shared/data/nanosilicates"


def same(found: list[Atoms], wanted: list[Atoms], accuracy: float = 2e-6) -> None:
    """Compare labels and interatomic distances."""
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.get_chemical_symbols() == theirs.get_chemical_symbols()
        assert not ours.pbc.any()
        assert ours.get_all_distances() == pytest.approx(theirs.get_all_distances(), abs=accuracy)
        assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-5)
        assert ours.get_forces() == pytest.approx(theirs.get_forces(), abs=1e-5)


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


def test_deepmd_folders(tmp_path: Path) -> None:
    atoms = Atoms("COCO", [[0, 0, 0], [0, 0, 1.1], [4, 0, 0], [4, 0, 1.2]])
    set_excited(atoms, 1)
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((4, 3)))
    to_deepmd([atoms], tmp_path / "data")
    (found,) = read_entry(Entry(tmp_path / "data", level="made-up")).frames
    same([found], [atoms])
    assert found.arrays["excited"].tolist() == [0, 0, 1, 1]


def test_turbomole_gradients(trajectory: Trajectory, tmp_path: Path) -> None:
    imported = read_entry(Entry(turbomole_gradient(tmp_path / "gradient", trajectory(4)), level="made-up"))
    assert imported.format == "turbomole"
    same(imported.frames, trajectory(4))
    assert imported.frames[0].info["label_code"] == "turbomole"


def test_gaussian_logs(trajectory: Trajectory, tmp_path: Path) -> None:
    imported = read_entry(Entry(gaussian_log(tmp_path / "run.log", trajectory(4)), level="made-up"))
    assert imported.format == "gaussian"
    same(imported.frames, trajectory(4))
    assert imported.frames[0].info["label_version"] == "16"


def test_vasp_gives_the_energy_of_its_forces_and_a_whole_aggregate(
    trajectory: Trajectory, tmp_path: Path
) -> None:
    """The aggregate lies across the faces of its box; the forces belong to the free energy."""
    imported = read_entry(Entry(vasp_xml(tmp_path / "vasprun.xml", trajectory(3), 14.0), level="made-up"))
    assert imported.format == "vasp-xml"
    same(imported.frames, trajectory(3))
    assert imported.frames[0].info["label_version"] == "5.4.4.18"


def test_steps_of_vasps_learned_field_are_no_labels(trajectory: Trajectory, tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    frames = [atoms[np.argsort(atoms.numbers, kind="stable")] for atoms in trajectory(3)]
    for atoms, whole in zip(frames, trajectory(3), strict=True):
        order = np.argsort(whole.numbers, kind="stable")
        forces = whole.get_forces()[order]
        atoms.calc = SinglePointCalculator(atoms, energy=whole.get_potential_energy(), forces=forces)
    outcar = vasp_outcar(tmp_path / "OUTCAR", frames, 20.0)
    imported = read_entry(Entry(outcar, level="made-up"))
    assert imported.format == "vasp-outcar"
    assert imported.frames[0].info["label_version"] == "6.3.0"
    same(imported.frames, frames)
    xml = vasp_xml(tmp_path / "vasprun.xml", trajectory(3), 14.0)
    mark = '<incar><i type="logical" name="ML_LMLFF"> T  </i></incar>'
    xml.write_text(xml.read_text().replace("<incar></incar>", mark))
    with pytest.raises(UserError, match="steps of VASP's learned field are in it"):
        read_entry(Entry(xml, level="made-up"))


def test_cp2k_outputs(trajectory: Trajectory, tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    (atoms,) = trajectory(1)
    boxed = Atoms(atoms.symbols, atoms.positions + 5, cell=[15, 15, 15], pbc=True)
    boxed.calc = SinglePointCalculator(boxed, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    imported = read_entry(Entry(cp2k_output(tmp_path / "cp2k.out", boxed), level="made-up"))
    assert imported.format == "cp2k"
    same(imported.frames, [atoms])


def test_a_folder_that_cp2k_wrote() -> None:
    """CP2K 2023.1: energies of its own table (Hartree), forces that are their gradient."""
    imported = read_entry(Entry(DATA / "cp2k-2023.1", level="pbe/dzvp-gth"))
    assert imported.format == "cp2k"
    frames = imported.frames
    wanted = [-1.148619918, -1.149673759, -1.151899568, -1.154988975]
    energies = [atoms.get_potential_energy() / ase.units.Hartree for atoms in frames]
    assert energies == pytest.approx(wanted, abs=1e-8)
    assert [atoms.info["time_fs"] for atoms in frames] == [0, 0.25, 0.5, 0.75]
    assert frames[0].info["label_version"] == "2023.1"
    assert frames[0].get_distance(0, 1) == pytest.approx(0.8)
    assert not any(atoms.pbc.any() for atoms in frames)
    assert find_suspects(frames) == []
    assert unit_ratio(steps(frames, range(4))) == pytest.approx(1, abs=0.01)


def test_a_cp2k_folder_that_lacks_something_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(DATA / "cp2k-2023.1", folder)
    forces = folder / "h2-frc-1.xyz"
    whole = forces.read_text()
    forces.write_text("".join(whole.splitlines(keepends=True)[:8]))
    with pytest.raises(UserError, match="4 steps of positions, 2 of forces"):
        read_entry(Entry(folder, level="pbe/dzvp-gth"))
    forces.write_text(whole.replace("i =        3", "i =        9"))
    with pytest.raises(UserError, match="beside forces of"):
        read_entry(Entry(folder, level="pbe/dzvp-gth"))
    forces.write_text(whole)
    (folder / "h2.log").write_text("CP2K| version string: CP2K version 2023.1\n")
    with pytest.raises(UserError, match="does not say the box"):
        read_entry(Entry(folder, level="pbe/dzvp-gth"))
    (folder / "h2.log").unlink()
    with pytest.raises(UserError, match=r"holds 1, 1, 0 files"):
        read_entry(Entry(folder, level="pbe/dzvp-gth"))


def test_a_gradient_that_xtb_wrote_in_the_layout_of_turbomole() -> None:
    """The same numbers as in the file of another layout that the same run has written."""
    numbers = [
        float(line)
        for line in (DATA / "xtb-6.5.1/h2o.engrad").read_text().splitlines()
        if re.fullmatch(r"\s*-?\d+\.\d+(E[+-]\d+)?\s*", line)
    ]
    imported = read_entry(Entry(DATA / "xtb-6.5.1/gradient", level="gfn2-xtb"))
    assert imported.format == "turbomole"
    (water,) = imported.frames
    assert water.get_chemical_symbols() == ["O", "H", "H"]
    assert water.get_potential_energy() == pytest.approx(numbers[0] * ase.units.Hartree, abs=1e-7)
    forces = -np.reshape(numbers[1:10], (3, 3)) * ase.units.Hartree / ase.units.Bohr
    assert water.get_forces() == pytest.approx(forces, abs=1e-7)
    assert water.get_distance(0, 1) == pytest.approx(np.hypot(0.763, 0.596), abs=1e-6)


@pytest.mark.skipif(not (ORCA / "orca.out").is_file(), reason="the data beside the project are missing")
def test_orca_output_is_read_with_our_hartree() -> None:
    pytest.importorskip("cclib")
    imported = read_entry(Entry(ORCA / "orca.out", level="pbe0/def2-svp"))
    assert imported.format == "orca"
    assert len(imported.frames) == 6, "the last energy has no gradient"
    last = imported.frames[-1]
    assert last.info["label_version"] == "5.0.0+19529"
    assert last.get_potential_energy() == pytest.approx(-1429.352848126437 * ase.units.Hartree, abs=1e-6)
    assert np.abs(last.get_forces()).max() < 0.02
    assert last.get_forces()[0, 0] == pytest.approx(
        0.000068951 * ase.units.Hartree / ase.units.Bohr, rel=1e-3
    )


@pytest.mark.skipif(
    not (ORCA / "P2_labelled.traj").is_file(), reason="the data beside the project are missing"
)
def test_published_labels_are_read() -> None:
    imported = read_entry(Entry(ORCA / "P2_labelled.traj", level="pbe0/def2-svp", code="orca"))
    assert len(imported.frames) == 31
    assert all("dipole" in atoms.calc.results for atoms in imported.frames)


def test_a_sheet(trajectory: Trajectory, tmp_path: Path) -> None:
    write_frames(tmp_path / "data/a.extxyz", trajectory(3))
    turbomole_gradient(tmp_path / "data/gradient", trajectory(2))
    rows = [
        ["file", "level", "trajectory_id", "interval_fs", "excited_atoms", "code"],
        ["data/a.extxyz", "made-up", "run-a", "0.5", "0 1", "turbomole"],
        ["data/gradient", "made-up", "", "", "", ""],
    ]
    with (tmp_path / "sheet.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    first, second = read_dataset(tmp_path / "sheet.csv")
    assert [atoms.info["trajectory_id"] for atoms in first.frames] == ["run-a"] * 3
    assert first.frames[0].arrays["excited"].tolist() == [1, 1, 0, 0]
    assert len(second.frames) == 2
    write_frames(tmp_path / "all.extxyz", [*first.frames, *second.frames])
    assert len(read_frames([tmp_path / "all.extxyz"])) == 5, "one level by one code"


def test_the_files_of_a_sheet_may_lie_elsewhere(trajectory: Trajectory, tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("file,level\nruns/a/OUTCAR.xyz,made-up\nruns/b/OUTCAR.xyz,made-up\n")
    for name in ("files1", "files2"):
        write_frames(tmp_path / name / "OUTCAR.xyz", trajectory(2))
    staged = [tmp_path / name / "OUTCAR.xyz" for name in ("files1", "files2")]
    found = read_dataset(tmp_path / "sheet.csv", staged)
    assert [i.frames[0].info["trajectory_id"] for i in found] == ["runs/a/OUTCAR.xyz", "runs/b/OUTCAR.xyz"]
    with pytest.raises(UserError, match="names 2 files, 1 were given"):
        read_dataset(tmp_path / "sheet.csv", staged[:1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.extxyz\n", r"no column level; its columns are file, level, format"),
        ("file,level,unit\na.extxyz,x,eV\n", "unknown column unit; its columns are file, level"),
        ("file,level\n", "no rows"),
        ("file,level\na.extxyz,\n", "line 2: no file or no level"),
        ("file,level,format\na.extxyz,x,molpro\n", "line 2: format 'molpro'; allowed are extxyz, deepmd"),
        ("file,level,interval_fs\na.extxyz,x,often\n", "line 2: .*'often'; interval_fs is a number"),
        ("file,level\nnone.extxyz,x\n", "no file .*none.extxyz; files of a samplesheet are relative"),
        ("file,level,excited_atoms\na.extxyz,x,0 9\n", "excited_atoms 0 9 of 4 atoms; they count from 0"),
        ("file,level\nnotes.txt,x\n", "the format is not recognised; write one of extxyz, deepmd"),
        ("file,level,format\nnotes.txt,x,traj\n", "notes.txt cannot be read as traj"),
    ],
)
def test_bad_sheets(trajectory: Trajectory, tmp_path: Path, text: str, message: str) -> None:
    write_frames(tmp_path / "a.extxyz", trajectory(2))
    (tmp_path / "notes.txt").write_text("Dear reader\n")
    (tmp_path / "sheet.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path / "sheet.csv")


def test_a_level_is_said_once(trajectory: Trajectory, tmp_path: Path) -> None:
    (atoms,) = trajectory(1)
    atoms.info["label_level"] = "pbe0/def2-svp"
    write_frames(tmp_path / "a.extxyz", [atoms])
    with pytest.raises(UserError, match="level pbe0/def2-svp in the file, pbe/def2-svp in the samplesheet"):
        read_entry(Entry(tmp_path / "a.extxyz", level="pbe/def2-svp"))


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


def test_recognition_by_content(tmp_path: Path) -> None:
    (tmp_path / "OUTCAR").write_text(" vasp.6.4.2 20Jul23 (build) complex\n")
    assert recognise(tmp_path / "OUTCAR") == "vasp-outcar"
    (tmp_path / "aimd").mkdir()
    (tmp_path / "aimd/co-pos-1.xyz").touch()
    assert recognise(tmp_path / "aimd") == "cp2k"


def test_a_sheet_may_name_what_can_be_read() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES
