"""The import step as a whole: frames, tables, refusals."""

from pathlib import Path

import pandas
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.labels.imports.step import FILE_COLUMNS, import_dataset
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
    with sheet.open("a") as file:
        file.write("a.extxyz,pbe/def2-svp,turbomole,0.5\n")
    with pytest.raises(UserError, match=r"pbe0/def2-tzvp by turbomole \(46 frames\); pbe/def2-svp by"):
        import_dataset(sheet, tmp_path / "b.extxyz", tmp_path / "imports")
    write_frames(tmp_path / "c.extxyz", trajectory(4))
    with pytest.raises(
        UserError, match=r"labels are not stated by not stated, those that the run adds would"
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
