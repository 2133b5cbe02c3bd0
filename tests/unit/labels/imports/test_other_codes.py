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
from frazil.labels.imports import other_codes
from frazil.labels.imports.quality import find_suspects, steps, unit_ratio
from frazil.labels.imports.readers import Entry, read_entry, recognise

from .conftest import Trajectory, same
from .written import (
    cp2k_output,
    espresso_output,
    psi4_output,
    turbomole_gradient,
    vasp_outcar,
    vasp_xml,
)

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
    (folder / "h2.inp").unlink()
    (folder / "h2.log").write_text("CP2K| version string: CP2K version 2023.1\n")
    with pytest.raises(UserError, match=r"neither a log .* nor an input .* says the box"):
        read_entry(Entry(folder, level="pbe/dzvp-gth"))
    shutil.copy(DATA / "cp2k-2023.1/h2.log", folder / "another.out")
    with pytest.raises(UserError, match=r"1 files \*pos\*.xyz, 1 files \*frc\*.xyz and 2 logs"):
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


def test_steps_of_vasp_that_used_all_electronic_steps_are_marked(
    trajectory: Trajectory, tmp_path: Path
) -> None:
    xml = vasp_xml(tmp_path / "vasprun.xml", trajectory(3), 14.0, electronic_steps=(2, 5, 4))
    marks = [atoms.info.get("converged") for atoms in read_entry(Entry(xml, level="x")).frames]
    assert marks == [None, False, None]
    frames = [atoms[np.argsort(atoms.numbers, kind="stable")] for atoms in trajectory(3)]
    for atoms, whole in zip(frames, trajectory(3), strict=True):
        order = np.argsort(whole.numbers, kind="stable")
        results = {**whole.calc.results, "forces": whole.get_forces()[order]}
        atoms.calc = SinglePointCalculator(atoms, **results)
    outcar = vasp_outcar(tmp_path / "OUTCAR", frames, 20.0, electronic_steps=(3, 5, 5), learned=False)
    text = outcar.read_text()
    last = text.rindex("FREE ENERGIE")
    outcar.write_text(
        text[:last].rstrip() + "\n--- aborting loop because EDIFF is reached ---\n  " + text[last:]
    )
    found = read_entry(Entry(outcar, level="x")).frames
    same(found, frames)
    assert [atoms.info.get("converged") for atoms in found] == [None, False, None]


def test_an_outcar_without_positions_names_the_way_out(trajectory: Trajectory, tmp_path: Path) -> None:
    (tmp_path / "OUTCAR").write_text(" vasp.6.3.0 20Jan22\n  free  energy   TOTEN  =  -1.0 eV\n")
    with pytest.raises(UserError, match=r"NWRITE = 0.*; give the run's vasprun\.xml"):
        read_entry(Entry(tmp_path / "OUTCAR", level="x"))


def test_a_damaged_file_is_not_called_a_wrong_format(tmp_path: Path) -> None:
    (tmp_path / "gradient").write_text("$grad\n  cycle = 1 SCF energy = nonsense\n")
    with pytest.raises(UserError, match="it is a file of this format, but cut, damaged or of a kind"):
        read_entry(Entry(tmp_path / "gradient", level="x"))


@pytest.mark.parametrize("name", ["cp2k.out", "run.txt", "output"])
def test_cp2k_steps_without_coordinates_are_left_out_and_marks_stay(
    trajectory: Trajectory, tmp_path: Path, name: str
) -> None:
    boxed = []
    for atoms in trajectory(3):
        boxed.append(Atoms(atoms.symbols, atoms.positions + 5, cell=[15, 15, 15], pbc=True))
        boxed[-1].calc = SinglePointCalculator(boxed[-1], **atoms.calc.results)
    whole = [cp2k_output(tmp_path / "one", atoms).read_text() for atoms in boxed]
    first_table = whole[1].index(" Atom Kind")
    later = whole[1][whole[1].index(" *** SCF run") :]
    third = whole[2][first_table:].replace("SCF run converged", "WARNING :: SCF run NOT converged")
    (tmp_path / name).write_text(whole[0] + later + third)
    imported = read_entry(Entry(tmp_path / name, level="x"))
    same(imported.frames, [trajectory(3)[0], trajectory(3)[2]])
    assert [atoms.info.get("converged") for atoms in imported.frames] == [None, False]
    assert imported.notes[0].startswith("1 of 3 steps left out: the output does not print their coordinates")


def test_cp2k_folders_of_old_versions(tmp_path: Path) -> None:
    """Forces in the log, paired by their energies; a log of any name; the box in Bohr, or in the input."""
    folder = tmp_path / "run"
    shutil.copytree(DATA / "cp2k-2023.1", folder)
    wanted = read_entry(Entry(folder, level="x")).frames
    blocks = (folder / "h2-frc-1.xyz").read_text().splitlines()
    log = [" CP2K| version string:   CP2K version 7.1"]
    edge = np.full(3, 8 / ase.units.Bohr)
    log.append(" INITIAL CELL LNTHS[bohr]     =" + "".join(f"{x:18.10E}" for x in edge))
    log.append(" INITIAL CELL ANGLS[deg]      =" + 3 * "    0.9000000E+02")
    for start in (0, 8, 4, 12):  # in another order, and one of them not converged
        energy = blocks[start + 1].split("=")[-1].strip()
        log.append(" *** WARNING SCF run NOT converged ***" if start == 8 else " *** SCF run converged ***")
        log += [
            f" ENERGY| Total FORCE_EVAL ( QS ) energy (a.u.):      {energy}",
            " ATOMIC FORCES in [a.u.]",
            "",
        ]
        for i, row in enumerate(blocks[start + 2 : start + 4], 1):
            log.append(f"   {i}   1   H " + "   ".join(row.split()[1:]))
        log.append(" SUM OF ATOMIC FORCES    0.0  0.0  0.0  0.0")
    (folder / "h2-frc-1.xyz").unlink()
    (folder / "h2.log").unlink()
    (folder / "output").write_text("\n".join(log))
    found = read_entry(Entry(folder, level="x")).frames
    same(found, wanted)
    assert [atoms.info.get("converged") for atoms in found] == [None, None, False, None]
    log = [line for line in log if "INITIAL" not in line]
    (folder / "output").write_text("\n".join(log))
    same(read_entry(Entry(folder, level="x")).frames, wanted)
    (folder / "output").write_text("\n".join(log).replace("( QS )", "( QMMM )"))
    with pytest.raises(UserError, match="energies of QMMM, not of QUICKSTEP alone"):
        read_entry(Entry(folder, level="x"))


def test_outputs_of_espresso(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(4)
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    output = espresso_output(tmp_path / "pw.out", frames, 20.0, failed=(2,))
    imported = read_entry(Entry(output, level="x"))
    assert imported.format == "espresso"
    same(imported.frames, frames, 2e-5)
    assert [atoms.info.get("converged") for atoms in imported.frames] == [None, None, False, None]
    assert imported.frames[0].info["label_code"] == "quantum-espresso"
    assert imported.frames[0].info["label_version"] == "7.2"


def test_outputs_of_psi4(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(3)
    imported = read_entry(Entry(psi4_output(tmp_path / "a.out", frames, failed=(1,)), level="x"))
    assert imported.format == "psi4"
    same(imported.frames, frames)
    assert [atoms.info.get("converged") for atoms in imported.frames] == [None, False, None]
    assert imported.frames[0].info["label_version"] == "1.9.1"
    beyond = psi4_output(tmp_path / "b.out", frames, more="    DF-MP2 Total Energy (a.u.)   :   -114.2")
    with pytest.raises(UserError, match="a gradient beyond SCF, whose energy is not read"):
        read_entry(Entry(beyond, level="x"))


@pytest.mark.parametrize(
    ("kind", "text", "phrase"),
    [
        (
            "aims-output",
            "{} | Total energy of the DFT / Hartree-Fock s.c.f. calculation      :  {:.9f} eV\n",
            "** Self-consistency cycle not converged.\n",
        ),
        ("nwchem-out", "{}         Total SCF energy =  {:.12f}\n", " Calculation failed to converge\n"),
    ],
)
def test_marks_go_to_the_frame_of_the_energy_beside_them(
    trajectory: Trajectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    text: str,
    phrase: str,
) -> None:
    """The frames are ASE's, whatever their number; here their second is not in the text at all."""
    frames = trajectory(3)
    unit = ase.units.Hartree if kind == "nwchem-out" else 1.0
    said = [text.format(phrase if i == 2 else "", frames[i].get_potential_energy() / unit) for i in (0, 2)]
    (tmp_path / "a.out").write_text("".join(said))

    def read(path: Path, format: str, **options: object) -> list[Atoms]:
        assert format == kind
        return frames

    monkeypatch.setattr(other_codes, "by_ase", read)
    reader = other_codes.read_nwchem if kind == "nwchem-out" else other_codes.read_aims
    found = reader(tmp_path / "a.out").frames
    assert [atoms.info.get("converged") for atoms in found] == [None, None, False]


@pytest.mark.parametrize(("more", "refused"), [("", True), ("   LHFCALC =     T    Hartree Fock", False)])
def test_the_functional_of_an_outcar(
    trajectory: Trajectory, tmp_path: Path, more: str, refused: bool
) -> None:
    """PE of GGA is PBE, unless something makes a hybrid of it."""
    frames = [atoms[np.argsort(atoms.numbers, kind="stable")] for atoms in trajectory(2)]
    for atoms, whole in zip(frames, trajectory(2), strict=True):
        order = np.argsort(whole.numbers, kind="stable")
        results = {**whole.calc.results, "forces": whole.get_forces()[order]}
        atoms.calc = SinglePointCalculator(atoms, **results)
    outcar = vasp_outcar(tmp_path / "OUTCAR", frames, 20.0, learned=False)
    head, rest = outcar.read_text().split("\n", 1)
    outcar.write_text(f"{head}\n   GGA     =    PE    GGA type\n{more}\n{rest}")
    assert read_entry(Entry(outcar, level="pbe/500eV")).frames
    if refused:
        with pytest.raises(UserError, match="states the method pbe, the samplesheet the level pbe0/500eV"):
            read_entry(Entry(outcar, level="pbe0/500eV"))
    else:
        assert read_entry(Entry(outcar, level="pbe0/500eV")).frames
