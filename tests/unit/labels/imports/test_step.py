"""The import step as a whole: frames, tables, refusals."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Hartree

from frazil.data.frames import read_frames, write_frames
from frazil.data.split import prepare
from frazil.errors import UserError
from frazil.labels.imports.step import FILE_COLUMNS, import_dataset
from frazil.labels.label import label
from frazil.report.section import Section

from .conftest import Trajectory
from .written import turbomole_gradient


@pytest.fixture
def sheet(trajectory: Trajectory, tmp_path: Path) -> Path:
    frames = trajectory(40)
    write_frames(tmp_path / "a.extxyz", [*frames, frames[3]])
    turbomole_gradient(tmp_path / "gradient", trajectory(5, phase=1.0))
    (tmp_path / "sheet.csv").write_text(
        "file,level,code,interval_fs\na.extxyz,pbe0/def2-tzvp,turbomole,0.5\n"
        "gradient,pbe0/def2-tzvp,turbomole,0.5\n"
    )
    return tmp_path / "sheet.csv"


def test_frames_and_tables(sheet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_dataset(sheet, out / "frames.extxyz", out / "imports", on_suspect="drop")
    frames = read_frames([out / "frames.extxyz"])
    assert len(frames) == 45
    assert {atoms.info["label_code"] for atoms in frames} == {"turbomole"}
    files = pandas.read_csv(out / "imports/files.csv")
    assert tuple(files.columns) == FILE_COLUMNS
    assert list(files["format"]) == ["extxyz", "turbomole"]
    assert list(files["n_frames"]) == [41, 5]
    assert list(files["n_used"]) == [40, 5]
    assert list(files["molecules"]) == ["1 CO + 1 H2 (41)", "1 CO + 1 H2 (5)"]
    assert files["energy_over_work"][0] == pytest.approx(1, abs=0.05)
    elements = pandas.read_csv(out / "imports/elements.csv").set_index("element")
    assert elements.loc["H"].tolist() == [92, 46]
    suspects = pandas.read_csv(out / "imports/suspects.csv")
    assert suspects[["frame", "kind", "action"]].to_numpy().tolist() == [[40, "duplicate", "dropped"]]
    section = Section.read(out / "imports")
    assert "45 of 46 frames from 2 file(s) are used" in section.headline
    assert [gate.passed for gate in section.gates] == [False, True]
    assert (out / "imports" / section.figures[0].file).is_file()


def test_suspects_stop_by_default_and_can_be_kept(sheet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"suspect frames \(1 duplicate\): .*a\.extxyz, frame 40: duplicate"):
        import_dataset(sheet, out / "frames.extxyz", out / "imports")
    assert not (out / "frames.extxyz").exists()
    assert pandas.read_csv(out / "imports/suspects.csv")["action"].tolist() == ["stopped"]
    import_dataset(sheet, out / "frames.extxyz", out / "imports", on_suspect="keep")
    assert len(read_frames([out / "frames.extxyz"])) == 46
    with pytest.raises(UserError, match="'ignore'; allowed are stop, drop, keep"):
        import_dataset(sheet, out / "frames.extxyz", out / "imports", on_suspect="ignore")


def test_what_cannot_be_kept_is_dropped(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(6)
    frames[2].calc = None
    write_frames(tmp_path / "a.extxyz", frames)
    import_dataset(tmp_path / "a.extxyz", tmp_path / "b.extxyz", tmp_path / "imports", on_suspect="keep")
    assert len(read_frames([tmp_path / "b.extxyz"])) == 5
    for atoms in frames:
        atoms.calc = None
    write_frames(tmp_path / "a.extxyz", frames)
    with pytest.raises(UserError, match=r"none of the 6 frames of .*a\.extxyz can be used"):
        import_dataset(tmp_path / "a.extxyz", tmp_path / "c.extxyz", tmp_path / "imports", on_suspect="drop")


def test_levels_are_not_mixed(trajectory: Trajectory, sheet: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "b.extxyz", trajectory(3))
    with sheet.open("a") as file:
        file.write("b.extxyz,pbe/def2-svp,turbomole,0.5\n")
    with pytest.raises(UserError, match=r"pbe0/def2-tzvp by turbomole \(46 frames\); pbe/def2-svp by"):
        import_dataset(sheet, tmp_path / "b.extxyz", tmp_path / "imports")
    write_frames(tmp_path / "c.extxyz", trajectory(4))
    with pytest.raises(
        UserError,
        match=r"a level that is not stated, .* those that the run adds would be .*; say level and code in a",
    ):
        import_dataset(
            tmp_path / "c.extxyz",
            tmp_path / "b.extxyz",
            tmp_path / "imports",
            level="van-hemert",
            same_level=True,
            coupling_eV=2,
        )


def test_the_level_of_later_labels(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(4)
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
        atoms.info |= {"label_level": "van-hemert", "label_code": "frazil-van-hemert(coupling_eV=2)"}
    write_frames(tmp_path / "a.extxyz", frames)
    import_dataset(
        tmp_path / "a.extxyz",
        tmp_path / "b.extxyz",
        tmp_path / "imports",
        level="van-hemert",
        same_level=True,
        coupling_eV=2.0,
    )
    assert [gate.passed for gate in Section.read(tmp_path / "imports").gates][-1] is True
    with pytest.raises(UserError, match=r"would be van-hemert by frazil-van-hemert\(coupling_eV=0\)"):
        import_dataset(
            tmp_path / "a.extxyz",
            tmp_path / "c.extxyz",
            tmp_path / "imports",
            level="van-hemert",
            same_level=True,
            coupling_eV=0.0,
        )


def test_a_file_of_wrong_pairs_is_dropped_whole(trajectory: Trajectory, tmp_path: Path) -> None:
    """Every frame from the third on has the next one's forces; a check of work finds some of them only."""
    frames = trajectory(20)
    for i in range(3, 19):
        results = {**frames[i].calc.results, "forces": frames[i + 1].get_forces()}
        frames[i].calc = SinglePointCalculator(frames[i], **results)
    write_frames(tmp_path / "a.extxyz", frames)
    write_frames(tmp_path / "b.extxyz", trajectory(20, phase=1.0))
    (tmp_path / "sheet.csv").write_text("file,level\na.extxyz,x\nb.extxyz,x\n")
    import_dataset(tmp_path / "sheet.csv", tmp_path / "c.extxyz", tmp_path / "imports", on_suspect="drop")
    assert len(read_frames([tmp_path / "c.extxyz"])) == 20
    suspects = pandas.read_csv(tmp_path / "imports/suspects.csv")
    whole = suspects[suspects["kind"] == "file"]
    assert len(whole) == 20
    assert set(whole["file"]) == {"a.extxyz"}
    assert whole["detail"].iloc[0].endswith("compared frames do not fit: wrong pairs, axes or units")
    with pytest.raises(UserError, match=r"none of the 20 frames .* can be used \(\d+ mismatch, 20 file\)"):
        import_dataset(tmp_path / "a.extxyz", tmp_path / "d.extxyz", tmp_path / "imports", on_suspect="drop")


def test_a_few_wrong_labels_are_dropped_alone(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(40)
    results = {**frames[7].calc.results, "energy": frames[7].get_potential_energy() + 0.2}
    frames[7].calc = SinglePointCalculator(frames[7], **results)
    write_frames(tmp_path / "a.extxyz", frames)
    import_dataset(tmp_path / "a.extxyz", tmp_path / "c.extxyz", tmp_path / "imports", on_suspect="drop")
    assert len(read_frames([tmp_path / "c.extxyz"])) == 39


def test_units_that_could_not_be_checked_are_a_gate(trajectory: Trajectory, tmp_path: Path) -> None:
    write_frames(tmp_path / "a.extxyz", trajectory(1))
    import_dataset(tmp_path / "a.extxyz", tmp_path / "c.extxyz", tmp_path / "imports")
    gate = Section.read(tmp_path / "imports").gates[1]
    assert (gate.name, gate.passed) == ("units not checked", None)
    assert "no two frames of a composition lie within 0.15 Å" in gate.comment


def test_names_units_and_what_is_left_out(trajectory: Trajectory, tmp_path: Path) -> None:
    frames = trajectory(3)
    for atoms in frames:
        atoms.info |= {"my_e": atoms.get_potential_energy() / Hartree, "REF_dipole": [0.1, 0.2, 0.3]}
    write_frames(tmp_path / "a.extxyz", frames)
    said = {"energy_key": "my_e", "forces_key": "forces", "energy_unit": "ha", "forces_unit": "eV/A"}
    told = import_dataset(tmp_path / "a.extxyz", tmp_path / "c.extxyz", tmp_path / "imports", **said)
    used, origin, left = told.splitlines()
    assert used.startswith("3 of 3 frames are used, 0 findings are suspect; see ")
    assert origin.startswith("labels are of ")
    assert left == f"{tmp_path}/a.extxyz: 3 frames: REF_dipole is not read; say it in dipole_key, or leave it"
    assert pandas.read_csv(tmp_path / "imports/files.csv")["notes"][0].startswith("3 frames: REF_dipole")
    found = read_frames([tmp_path / "c.extxyz"])
    assert [a.get_potential_energy() for a in found] == pytest.approx(
        [a.get_potential_energy() for a in frames]
    )
    with pytest.raises(UserError, match=r"3 of 3 frames of .* have no dipole, .*REF_dipole is not read"):
        import_dataset(
            tmp_path / "a.extxyz", tmp_path / "d.extxyz", tmp_path / "imports", need_dipoles=True, **said
        )


def test_independent_frames_are_split_and_trained_without_a_hint(
    trajectory: Trajectory, tmp_path: Path
) -> None:
    frames = [trajectory(40)[i] for i in np.random.default_rng(0).permutation(40)]
    for atoms in frames:
        del atoms.info["time_fs"]
    write_frames(tmp_path / "a.extxyz", frames)
    import_dataset(tmp_path / "a.extxyz", tmp_path / "c.extxyz", tmp_path / "imports")
    summary = prepare([tmp_path / "c.extxyz"], tmp_path / "set", molecules="any")
    assert summary["subsets"] == {"train": 32, "test": 4, "validation": 4}
    write_frames(tmp_path / "b.extxyz", trajectory(40))
    import_dataset(tmp_path / "b.extxyz", tmp_path / "d.extxyz", tmp_path / "imports")
    with pytest.raises(UserError, match=r"no test set: all 40 frames are of one trajectory .*split_by"):
        prepare([tmp_path / "d.extxyz"], tmp_path / "set", molecules="any")


def test_labels_of_another_program_are_taken_over_with_their_offset_out(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    frames = []
    for name, offset_eV in (("H2O", 31.5), ("NH3", -7.25)):
        for step in range(8):
            atoms = molecule(name)
            atoms.rattle(0.05, seed=step)
            (ours,), _ = label([atoms], "gfn2-xtb")
            results = {**ours.calc.results, "energy": ours.get_potential_energy() + offset_eV}
            atoms.calc = SinglePointCalculator(atoms, **results)
            atoms.info |= {"label_level": "gfn2-xtb", "label_code": "xtb", "label_version": "6.7"}
            frames.append(atoms)
    write_frames(tmp_path / "set.extxyz", frames)
    given = {"level": "gfn2-xtb", "same_level": True, "on_suspect": "keep"}
    with pytest.raises(UserError, match="take labels of another program at that level over"):
        import_dataset(tmp_path / "set.extxyz", tmp_path / "a.extxyz", tmp_path / "imports", **given)
    import_dataset(
        tmp_path / "set.extxyz", tmp_path / "a.extxyz", tmp_path / "imports", other_code=True, **given
    )
    found = read_frames([tmp_path / "a.extxyz"])
    (expected, _) = label(frames, "gfn2-xtb")
    assert [atoms.info["label_code"] for atoms in found] == ["tblite"] * 16
    for a, b in zip(found, expected, strict=True):
        assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=1e-5)
    section = Section.read(tmp_path / "imports")
    assert any("H2O 31.5000 eV, H3N -7.2500 eV" in text for text in section.text)
    assert [gate.passed for gate in section.gates if gate.name.endswith(("(eV/Å)", "(meV/atom)"))] == [
        True,
        True,
    ]
    for atoms in frames:
        atoms.calc.results["forces"] = 1.1 * atoms.get_forces() + 0.05
    write_frames(tmp_path / "set.extxyz", frames)
    with pytest.raises(UserError, match="they are not of one level"):
        import_dataset(
            tmp_path / "set.extxyz", tmp_path / "a.extxyz", tmp_path / "imports", other_code=True, **given
        )


def test_a_trajectory_is_thinned_by_the_sampling_windows(trajectory: Trajectory, tmp_path: Path) -> None:
    write_frames(tmp_path / "a.extxyz", trajectory(40))
    windows = {"window_starts_fs": (0.0, 10.0), "window_intervals_fs": (5.0, 2.0)}
    import_dataset(
        tmp_path / "a.extxyz", tmp_path / "out.extxyz", tmp_path / "imports", on_suspect="keep", **windows
    )
    times = [atoms.info["time_fs"] for atoms in read_frames([tmp_path / "out.extxyz"])]
    assert times == [0.0, 5.0, 10.0, 12.0, 14.0, 16.0, 18.0]
    said = Section.read(tmp_path / "imports").text
    assert any("7 of 40 usable frames lie in the sampling windows" in text for text in said)
