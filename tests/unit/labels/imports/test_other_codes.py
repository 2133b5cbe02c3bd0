"""Outputs of other codes, read back into our units."""

import re
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError
from frazil.labels.imports.quality import find_suspects, steps, unit_ratio
from frazil.labels.imports.readers import Entry, read_entry, recognise

from .conftest import Trajectory, same
from .written import cp2k_output, turbomole_gradient, vasp_outcar, vasp_xml

DATA = Path(__file__).with_name("data")


def test_turbomole_gradients(trajectory: Trajectory, tmp_path: Path) -> None:
    imported = read_entry(Entry(turbomole_gradient(tmp_path / "gradient", trajectory(4)), level="made-up"))
    assert imported.format == "turbomole"
    same(imported.frames, trajectory(4))
    assert imported.frames[0].info["label_code"] == "turbomole"


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


def test_recognition_by_content(tmp_path: Path) -> None:
    (tmp_path / "OUTCAR").write_text(" vasp.6.4.2 20Jul23 (build) complex\n")
    assert recognise(tmp_path / "OUTCAR") == "vasp-outcar"
    (tmp_path / "aimd").mkdir()
    (tmp_path / "aimd/co-pos-1.xyz").touch()
    assert recognise(tmp_path / "aimd") == "cp2k"
