"""Trajectories of another program: the teacher's own, written as a program writes them, get the same rows."""

from functools import cache
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from starts import write_curves, write_snapshots

from frazil.errors import UserError
from frazil.experiments.photodesorption.given import _molecular_order, follow
from frazil.experiments.photodesorption.initial import make_initial_states
from frazil.experiments.photodesorption.settings import Limits, Trajectories
from frazil.experiments.photodesorption.shards import read_ensemble
from frazil.experiments.photodesorption.trajectories import run_shard
from frazil.experiments.photodesorption.truth import agreement, distributions
from frazil.systems.co import order_by_molecule

EXCITATION_eV = 8.26
BOX_A = 25.0
LIMITS = Limits(criteria_A=(0.3, 0.6), criterion_A=0.3, dissociation_A=3.3, unphysical_contact_A=0.3)
SETTINGS = Trajectories(
    duration_fs=400, timestep_fs=0.5, observe_fs=10, limits=LIMITS, keep_frames_trajectories=2,
    keep_frames_every_fs=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's shard ``truth`` of two trajectories, and every frame of them in ``dense``."""
    made = tmp_path_factory.mktemp("given")
    curves = write_curves(made / "bond_curves.csv")
    snapshots = write_snapshots(made / "snapshots.extxyz", 4)
    states = made / "initial_states.h5"
    make_initial_states([snapshots], 2, 0, "energy", EXCITATION_eV, 40, curves, 4.5, 1, states)
    for name, every in (("truth", SETTINGS.observe_fs), ("dense", 1.0)):
        settings = Trajectories(**{**vars(SETTINGS), "observe_fs": every})
        run_shard(settings, "van-hemert", 2.0, states, curves, None, 0, 2, made / "kept" / name, made / name)
    return made


@cache
def read_dense(folder: Path) -> list[Atoms]:
    return list(ase.io.read(folder / "dense/frames.extxyz", ":"))


def written(folder: Path, to: Path, box: bool = True, momenta: bool = False, **changes: Any) -> Path:
    """Write a samplesheet and the dense frames, an atom's place shuffled, wrapped into a box."""
    every = changes.get("every", 1)
    order = np.random.default_rng(1).permutation(6)
    frames: dict[int, list[Atoms]] = {}
    for atoms in read_dense(folder):
        own = frames.setdefault(atoms.info["trajectory_id"], [])
        plain = Atoms(atoms.numbers, atoms.positions)[order]
        if momenta:
            plain.set_momenta(atoms.get_momenta()[order] * changes.get("faster", 1))
        if box:
            plain.cell, plain.pbc = [BOX_A] * 3, True
            plain.positions += 3.0
            plain.wrap()
        energy = atoms.info["potential_energy_eV"]
        plain.calc = SinglePointCalculator(plain, energy=energy, forces=np.zeros((len(plain), 3)))
        own.append(plain)
    for number, own in frames.items():
        ase.io.write(to / f"run{number}.extxyz", own[::every])
    sheet = to / "aimd.csv"
    sheet.write_text(f"file,level,code,interval_fs\nrun*.extxyz,pbe,vasp,{every}\n")
    return sheet


def followed(folder: Path, sheet: Path, out: Path, settings: Trajectories = SETTINGS) -> str:
    return follow(sheet, folder / "bond_curves.csv", settings, EXCITATION_eV, out)


@pytest.mark.parametrize("momenta", [False, True])
def test_the_same_rows_as_where_it_ran(folder: Path, tmp_path: Path, momenta: bool) -> None:
    told = followed(folder, written(folder, tmp_path, momenta=momenta), tmp_path / "aimd")
    assert "2 where it was found by its energy" in told
    assert ("cubic spline" in told) != momenta
    tables = [read_ensemble(folder / "truth"), read_ensemble(tmp_path / "aimd")]
    truth, given = (table.trajectories for table in tables if table is not None)
    assert (truth["outcome"] == "desorbed").any(), "else this shows nothing"
    same = ["outcome", "n_desorbed", "duration_fs", "first_desorption_fs"]
    pandas.testing.assert_frame_equal(truth[same], given[same])
    assert set(given["model_id"]) == {"pbe by vasp"}
    assert given["excitation_energy_eV"].to_numpy() == pytest.approx(EXCITATION_eV, rel=0.02)
    desorbed = [table.desorbed for table in tables if table is not None]
    for column in ("translational_energy_meV", "rotational_energy_meV"):
        assert desorbed[1][column].to_numpy() == pytest.approx(desorbed[0][column].to_numpy(), rel=0.02), (
            column
        )


def test_a_tag_on_a_molecule_without_energy_is_told(folder: Path, tmp_path: Path) -> None:
    sheet = written(folder, tmp_path, box=False)
    followed(folder, sheet, tmp_path / "found")
    hot = int(pandas.read_csv(tmp_path / "found/trajectories.csv")["excited_molecule"][0])
    first = ase.io.read(tmp_path / "run0.extxyz")
    other = _molecular_order(first, "")[2 * ((hot + 1) % 3) :][:2]
    for molecule, told in ((other, "In 1 the tagged molecule starts with less than half of"), ([], "")):
        tags = " ".join(map(str, molecule))
        sheet.write_text(f"file,level,interval_fs,excited_atoms\nrun0.extxyz,pbe,1,{tags}\n")
        said = followed(folder, sheet, tmp_path / f"tagged{len(molecule)}")
        assert ("less than half" in said) == bool(told)
        assert told in said


def test_frames_far_apart_give_no_vibration(folder: Path, tmp_path: Path) -> None:
    told = followed(folder, written(folder, tmp_path, every=5), tmp_path / "aimd")
    assert "left empty" in told
    desorbed = pandas.read_csv(tmp_path / "aimd/desorbed.csv")
    assert len(desorbed)
    assert desorbed["vibrational_energy_meV"].isna().all()
    assert desorbed["translational_energy_meV"].notna().all()


def test_a_trajectory_that_ends_early_has_failed(folder: Path, tmp_path: Path) -> None:
    longer = Trajectories(**{**vars(SETTINGS), "duration_fs": 600})
    followed(folder, written(folder, tmp_path), tmp_path / "aimd", longer)
    found = pandas.read_csv(tmp_path / "aimd/trajectories.csv")
    truth = pandas.read_csv(folder / "truth/trajectories.csv")
    assert list(found["outcome"] == "failed") == list(truth["outcome"] == "retained")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("interval", "whole number of times"),
        ("faster", "look at their unit"),
        ("no time", "interval_fs"),
        ("gap", "equal intervals"),
        ("levels", "several levels"),
        ("broken", "run0.extxyz, frame 7: numbers that are not finite"),
        ("times", "1 fs between frames by their own times, 2 fs by interval_fs"),
        ("sizes", "2 molecules, .*run0.extxyz has 3"),
        ("alone", "one molecule alone"),
    ],
)
def test_what_is_no_trajectory_is_refused(folder: Path, tmp_path: Path, wrong: str, told: str) -> None:
    sheet = written(
        folder, tmp_path, every=3 if wrong == "interval" else 1, momenta=wrong == "faster", faster=2
    )
    if wrong == "no time":
        sheet.write_text("file,level\nrun*.extxyz,pbe\n")
    if wrong == "levels":
        sheet.write_text("file,level,interval_fs\nrun0.extxyz,pbe,1\nrun1.extxyz,blyp,1\n")
    if wrong == "gap":
        frames = ase.io.read(tmp_path / "run0.extxyz", ":")
        for number, atoms in enumerate(frames):
            atoms.info["time_fs"] = float(number + (number > 50))
        ase.io.write(tmp_path / "run0.extxyz", frames)
        sheet.write_text("file,level\nrun0.extxyz,pbe\n")
    if wrong in ("broken", "times", "sizes", "alone"):
        frames = ase.io.read(tmp_path / "run0.extxyz", ":")
        for number, atoms in enumerate(frames):
            atoms.info["time_fs"] = float(number)
            if wrong == "broken" and number == 7:
                atoms.calc.results["energy"] = np.nan
        if wrong in ("sizes", "alone"):
            order = order_by_molecule(Atoms(frames[0].numbers, frames[0].positions))
            kept = 4 if wrong == "sizes" else 2
            apart = np.linalg.norm(order.positions[:kept, None] - frames[0].positions, axis=2)
            cut = [atoms[apart.argmin(axis=1)] for atoms in frames]
            for atoms, whole in zip(cut, frames, strict=True):
                atoms.info = dict(whole.info)
                atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((kept, 3)))
            ase.io.write(tmp_path / "cut.extxyz", cut)
        else:
            ase.io.write(tmp_path / "run0.extxyz", frames)
        names = {"sizes": ("run0", "cut"), "alone": ("cut",)}.get(wrong, ("run0",))
        interval = "2" if wrong == "times" else "1"
        lines = [f"{name}.extxyz,pbe,{interval}" for name in names]
        sheet.write_text("\n".join(["file,level,interval_fs", *lines]) + "\n")
    with pytest.raises(UserError, match=told):
        followed(folder, sheet, tmp_path / "aimd")


def test_trajectories_of_other_starts_are_compared_unpaired(folder: Path, tmp_path: Path) -> None:
    followed(folder, written(folder, tmp_path), tmp_path / "aimd")
    model, given = read_ensemble(folder / "truth"), read_ensemble(tmp_path / "aimd")
    assert model is not None
    assert given is not None
    some = model.restricted(model.ids[:1])
    table = agreement(some, given, [400.0], 1, "aimd")
    row = table.iloc[0]
    assert (row["n_model"], row["n_aimd"]) == (1, 2)
    assert row["model"] == (some.trajectories["outcome"] == "desorbed").mean()
    assert row["aimd"] == (given.trajectories["outcome"] == "desorbed").mean()
    assert np.isnan(row["paired_low_95"])
    assert list(distributions(some, given, 1, "aimd")["n_aimd"])
