"""Samplesheets: what they may say, and what is wrong with them."""

import csv
import json
from pathlib import Path

import pytest

from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.labels.imports.readers import FORMATS, Entry, read_dataset, read_entry
from frazil.labels.imports.sheet import FORMAT_NAMES, SHEET_COLUMNS, entries_of, read_sheet, schema

from .conftest import Trajectory
from .written import turbomole_gradient


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
        ("file;level\na.extxyz;x\n", "has semicolons between its cells; save it with commas"),
        ("file,level,level\na.extxyz,x,y\n", "twice the column level"),
        ("file,level\na.extxyz,pbe, no D3\n", "line 2: 3 cells under 2 columns"),
        ("file,level\na.extxyz,x\na.extxyz,x\n", "a.extxyz in line 2 and again in line 3; name it once"),
        ("file,level\nruns/*/OUTCAR,x\n", r"line 2: no file is .*runs/\*/OUTCAR; patterns are relative"),
        ("file,level,trajectory_id\n*.*,x,t\n", r"line 2: one trajectory_id for \d files; leave it empty"),
        ("file,level,charge\na.extxyz,x,+-1\n", "line 2: .*; interval_fs is a number, charge, multiplicity"),
        ("file,level,format\n,x,molpro\na.extxyz,,\n", "line 2: format 'molpro'; allowed are"),
        ("file,level,unit\na.extxyz,x,eV\n", "unknown column unit; its columns are file, level"),
        ("file,level\n", "no rows with a file; its columns are file"),
        ("file,level\na.extxyz,\n", "line 2: no file or no level; a level is needed"),
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


def test_a_sheet_may_name_what_can_be_read() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_patterns_and_rows_that_hold_for_those_below(trajectory: Trajectory, tmp_path: Path) -> None:
    for name in ("runs/b/x.extxyz", "runs/a/x.extxyz", "runs/c/deep/x.extxyz", "runs/[d].extxyz"):
        write_frames(tmp_path / name, trajectory(2))
    (tmp_path / "sheet.csv").write_text(
        "file,level,interval_fs,code\n,pbe/dz,0.5,vasp\nruns/*/x.extxyz,,,\n,,2,\nruns/c/**/*.extxyz,hf/dz,,\n"
        "runs/[d].extxyz,,,orca\n"
    )
    found = read_sheet(tmp_path / "sheet.csv")
    assert [(e.name, e.level, e.interval_fs, e.code) for e in found] == [
        ("runs/a/x.extxyz", "pbe/dz", 0.5, "vasp"),
        ("runs/b/x.extxyz", "pbe/dz", 0.5, "vasp"),
        ("runs/c/deep/x.extxyz", "hf/dz", 2.0, ""),
        ("runs/[d].extxyz", "hf/dz", 2.0, "orca"),
    ]
    names = [entry.name for entry in entries_of(tmp_path / "sheet.csv")]
    (tmp_path / "task").mkdir()
    (tmp_path / "task/sheet.csv").symlink_to(tmp_path / "sheet.csv")
    staged = [tmp_path / name for name in names]
    there = read_dataset(tmp_path / "task/sheet.csv", staged, names)
    assert [i.entry.name for i in there] == names, "a task's folder does not hold what a pattern finds"
    assert [i.entry.level for i in there] == ["pbe/dz", "pbe/dz", "hf/dz", "hf/dz"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_sheet_of_a_spreadsheet(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "sheet.csv").write_text("file,level\r\nå.xyz,x\r\n,\r\n", encoding=encoding)
    assert [entry.name for entry in read_sheet(tmp_path / "sheet.csv")] == ["å.xyz"]


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "is not UTF-8"), ("utf-16", "is not UTF-8")])
def test_encodings_that_are_said_plainly(tmp_path: Path, encoding: str, said: str) -> None:
    (tmp_path / "sheet.csv").write_text("file,level\nå.xyz,x\n", encoding=encoding)
    with pytest.raises(UserError, match=rf"{said} .Latin-1 or UTF-16.*; save it as UTF-8"):
        read_sheet(tmp_path / "sheet.csv")


def test_a_cell_that_never_ends(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("file,level\n" + "a" * 200_000 + ",x\n")
    with pytest.raises(UserError, match=r"is no CSV table .field larger than"):
        read_sheet(tmp_path / "sheet.csv")


def test_the_schema_beside_is_that_of_the_columns(root: Path) -> None:
    kept = json.loads((root / "assets/samplesheet_schema.json").read_text())
    assert kept == schema(), "bin/frazil sheet > assets/samplesheet_schema.json"
    assert list(kept["items"]["properties"]) == list(SHEET_COLUMNS)
    assert kept["items"]["properties"]["format"]["enum"] == list(FORMAT_NAMES)
