"""Minima: a task for each structure gives what one task for all gives, and the cost is said first."""

from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

pytest.importorskip("tblite")

from frazil.errors import UserError
from frazil.experiments.infrared.minima import find_minima, gather_minima, split_structures


def test_structures_by_themselves_are_those_together(tmp_path: Path) -> None:
    given = [molecule(name, info={"name": name}) for name in ("NH3", "H2O")]
    ase.io.write(tmp_path / "two.extxyz", given)
    said = split_structures([tmp_path / "two.extxyz"], "gfn2-xtb", tmp_path / "split")
    assert said.startswith("minima of 2 structures at gfn2-xtb: about ")
    files = sorted((tmp_path / "split").iterdir())
    assert [file.name for file in files] == ["0000-NH3.extxyz", "0001-H2O.extxyz"]
    for file in files:
        find_minima([file], tmp_path / file.name, "gfn2-xtb", "relax")
    gather_minima(
        [tmp_path / file.name for file in files], tmp_path / "minima.extxyz", tmp_path / "names.txt"
    )
    assert (tmp_path / "names.txt").read_text() == "NH3\nH2O\n"
    find_minima([tmp_path / "two.extxyz"], tmp_path / "together.extxyz", "gfn2-xtb", "relax")
    assert (tmp_path / "minima.extxyz").read_bytes() == (tmp_path / "together.extxyz").read_bytes()


def test_what_minima_cost_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pyscf")
    molecule("H2O").write(tmp_path / "water.xyz")
    said = split_structures([tmp_path / "water.xyz"], "pbe0/def2-svp", tmp_path / "split")
    assert "minima of 1 structures at pbe0/def2-svp: about" in said
    assert said.endswith("core hours, a task for each")


def test_doubles_are_refused_before_any_label(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "two.extxyz", [molecule("H2O"), molecule("H2O")])
    with pytest.raises(UserError, match="structures with one name: H2O"):
        split_structures([tmp_path / "two.extxyz"], "gfn2-xtb", tmp_path / "split")


def test_a_file_without_a_structure_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "none.extxyz").write_text("")
    with pytest.raises(UserError, match=r"none\.extxyz"):
        split_structures([tmp_path / "none.extxyz"], "gfn2-xtb", tmp_path / "split")
