"""Dimers on lattices, and what is made of their labels."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import kept
from frazil.data.frames import load_frames, write_frames
from frazil.errors import UserError
from frazil.experiments.level_of_theory.analysis import KJ_PER_MOL, analyse, interactions
from frazil.experiments.level_of_theory.dimers import dimers, fibonacci_sphere, write_dimers
from frazil.report.section import Section

PUBLISHED = Path(__file__).parents[4] / "assets/reference/level_of_theory.csv"


def test_the_lattice_is_even() -> None:
    points = fibonacci_sphere(25)
    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(25))
    assert np.abs(points.mean(axis=0)).max() < 0.02
    nearest = np.sort(np.arccos(np.clip(points @ points.T, -1, 1)), axis=1)[:, 1]
    assert nearest.min() > 0.5 * nearest.max()


def test_dimers_stand_where_they_should() -> None:
    frames = dimers("H2", [3.0, 3.5], 25, 1)
    assert [atoms.info["part"] for atoms in frames[:3]] == ["first", "second", "pair"]
    assert len(frames) == 2 + 50
    for atoms in frames[2:]:
        apart = atoms[2:].get_center_of_mass() - atoms[:2].get_center_of_mass()
        assert np.linalg.norm(apart) == pytest.approx(atoms.info["radius_A"])
        assert atoms.get_distance(0, 1) == pytest.approx(1.1283)
        assert atoms.get_distance(2, 3) == pytest.approx(0.7414)
    near, far = frames[2 + 7], frames[2 + 25 + 7]
    assert far[3].position - far[2].position == pytest.approx(near[3].position - near[2].position)
    corrected = dimers("CO", [4.0], 3, 1, counterpoise=True)
    assert [atoms.arrays.get("ghost", np.zeros(4)).tolist() for atoms in corrected[:3]] == [
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [1, 1, 0, 0],
    ]
    with pytest.raises(UserError, match="partners are CO, H2, radii and the number of points are positive"):
        dimers("N2", [3.0], 25, 1)


def labelled(frames: list[Atoms], level: str, per_pair_kJ: float) -> list[Atoms]:
    """A molecule has −1 eV per atom, each pair an interaction that depends on its point."""
    for atoms in frames:
        real = atoms[atoms.arrays.get("ghost", np.zeros(len(atoms))) == 0]
        energy = -1.0 * len(real)
        if atoms.info["part"] == "pair":
            energy += (per_pair_kJ + 0.01 * atoms.info["point"]) * KJ_PER_MOL
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        atoms.info |= {"label_level": level, "label_code": "none", "label_version": "1"}
    return frames


def test_interactions_and_errors(tmp_path: Path) -> None:
    for name, counterpoise in (("plain", False), ("reference", True)):
        write_dimers(tmp_path / f"{name}.extxyz", [3.0, 3.5], [4.0], 5, 1, counterpoise)
    reference = labelled(load_frames(tmp_path / "reference.extxyz"), "ccsd(t)/made-up", -1.0)
    good = labelled(load_frames(tmp_path / "plain.extxyz"), "bhlyp-d4/def2-tzvp", -0.9)
    bad = labelled(load_frames(tmp_path / "plain.extxyz"), "pbe-d4/def2-tzvp", -2.0)
    assert interactions(reference)["interaction_kJ_per_mol"].min() == pytest.approx(-1.0)
    for name, frames in (("reference", reference), ("good", good), ("bad", bad[:-1])):
        write_frames(tmp_path / f"{name}.extxyz", frames)
    out = tmp_path / "out"
    analyse(
        [tmp_path / "good.extxyz", tmp_path / "bad.extxyz"], tmp_path / "reference.extxyz", PUBLISHED, out
    )
    table = pandas.read_csv(out / "errors.csv").set_index(["system", "radius_A", "level"])
    row = table.loc[("CO-H2", 3.5, "bhlyp-d4/def2-tzvp")]
    assert row["n"] == 5
    assert row["mae_kJ_per_mol"] == pytest.approx(0.1)
    assert row["published_mae_kJ_per_mol"] == 0.1
    lost = table.loc[("CO-CO", 4.0, "pbe-d4/def2-tzvp")]
    assert lost["n"] == 4, "a dimer without its label is left out and seen to be"
    assert lost["mean_error_kJ_per_mol"] == pytest.approx(-1.0)
    assert lost["published_mae_kJ_per_mol"] == 0.8
    assert len(pandas.read_csv(out / "interactions.csv")) == 29
    section = Section.read(out)
    assert "2 levels against ccsd(t)/made-up (none 1)" in section.headline
    assert "has bhlyp-d4/def2-tzvp" in section.headline
    assert "is counterpoise-corrected" in section.text[0]
    assert (out / "parity.svg").is_file()
    kept.check(out, "level_of_theory")


def test_no_dimer_is_complete(tmp_path: Path) -> None:
    write_frames(tmp_path / "a.extxyz", labelled(dimers("H2", [3.0], 2, 1), "x/y", 0.0)[1:])
    with pytest.raises(UserError, match="no dimer has all its parts"):
        analyse([tmp_path / "a.extxyz"], tmp_path / "a.extxyz", PUBLISHED, tmp_path / "out")


def test_the_papers_tables() -> None:
    table = pandas.read_csv(PUBLISHED)
    assert len(table) == 7 * (5 + 9)
    row = table.query("system == 'CO-H2' and method == 'bhlyp-d4' and radius_A == 3.0")
    assert row["published_mae_kJ_per_mol"].item() == 0.3


def test_energies_of_ones_own(tmp_path: Path) -> None:
    """One file may hold two levels; frames that do not say what they are, or lie elsewhere, are refused."""
    write_dimers(tmp_path / "plain.extxyz", [3.0], [4.0], 3, 1, False)
    write_frames(
        tmp_path / "reference.extxyz",
        labelled(load_frames(tmp_path / "plain.extxyz"), "ccsd(t)/made-up", -1.0),
    )
    both = [
        *labelled(load_frames(tmp_path / "plain.extxyz"), "mp2/mine", -0.9),
        *labelled(load_frames(tmp_path / "plain.extxyz"), "ccsd(t)-f12/mine", -1.1),
    ]
    write_frames(tmp_path / "own.extxyz", both)
    analyse([tmp_path / "own.extxyz"], tmp_path / "reference.extxyz", PUBLISHED, tmp_path / "out")
    table = pandas.read_csv(tmp_path / "out/errors.csv")
    assert sorted(table["level"].unique()) == ["ccsd(t)-f12/mine", "mp2/mine"]
    assert table["mae_kJ_per_mol"].tolist() == pytest.approx([0.1] * 4)
    nameless = labelled(load_frames(tmp_path / "plain.extxyz"), "mp2/mine", -0.9)
    del nameless[1].info["part"]
    write_frames(tmp_path / "own.extxyz", nameless)
    with pytest.raises(UserError, match=r"own\.extxyz, frame 1: no part; give the frames of make_dimers\.py"):
        analyse([tmp_path / "own.extxyz"], tmp_path / "reference.extxyz", PUBLISHED, tmp_path / "out")
    write_dimers(tmp_path / "other.extxyz", [3.0], [4.0], 3, 2, False)
    write_frames(tmp_path / "own.extxyz", labelled(load_frames(tmp_path / "other.extxyz"), "mp2/mine", -0.9))
    with pytest.raises(UserError, match=r"not the dimer \('CO-H2', 3\.0, 0\) of the reference"):
        analyse([tmp_path / "own.extxyz"], tmp_path / "reference.extxyz", PUBLISHED, tmp_path / "out")
