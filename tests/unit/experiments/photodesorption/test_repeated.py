"""A trajectory of a finished run again, from the tables, starts and models that the run publishes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from starts import write_curves, write_snapshots

from frazil.errors import UserError
from frazil.experiments.photodesorption.analysis import keep_starts
from frazil.experiments.photodesorption.initial import make_initial_states
from frazil.experiments.photodesorption.initial_states import read_initial_states
from frazil.experiments.photodesorption.settings import TEACHER, Limits, Trajectories
from frazil.experiments.photodesorption.tables import DESORBED, TRAJECTORIES
from frazil.experiments.photodesorption.trajectories import run_shard
from frazil.experiments.photodesorption.validation import member_of
from frazil.experiments.repeated import repeat, show
from frazil.report.movie import MARKED, read
from frazil.report.section import Section

SETTINGS = Trajectories(
    duration_fs=20.0, timestep_fs=0.2, observe_fs=2.0, keep_frames_trajectories=0,
    limits=Limits(criteria_A=(2.0, 3.0), criterion_A=3.0, dissociation_A=3.3, unphysical_contact_A=0.3),
)  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, tiny_residual: Path) -> Path:
    """Results of four trajectories in two shards, and of two of the teacher's."""
    root = tmp_path_factory.mktemp("run")
    curves = write_curves(root / "bond_curves.csv")
    snapshots = write_snapshots(root / "snapshots.extxyz", 4)
    made = root / "results/photodesorption"
    for first in (0, 2):
        states = root / f"states_{first}.h5"
        make_initial_states([snapshots], 2, first, "energy", 1.0, 40, curves, 4.5, 1, states)
        out = root / f"shards/shard_{first}"
        run_shard(SETTINGS, "frazil", 2.0, states, curves, tiny_residual, first, 2, root / "checkpoints", out)
    states, out = root / "states_0.h5", root / "teacher/shard_0"
    run_shard(SETTINGS, TEACHER, 2.0, states, [curves], None, 0, 2, root / "checkpoints", out)
    made.mkdir(parents=True)
    keep_starts(root / "shards", made)
    keep_starts(root / "teacher", made, "teacher")
    for table in (TRAJECTORIES, DESORBED):
        table.write(table.read(root / "shards"), made)
        table.named(f"teacher_{table.name}").write(table.read(root / "teacher"), made)
    member = member_of(root / "results/potential", "0")
    shutil.copytree(tiny_residual, member)
    shutil.copy(curves, member.with_name("model_0.csv"))
    return root / "results"


def test_the_row_comes_out_the_same_with_its_frames(results: Path, tmp_path: Path) -> None:
    repeat("photodesorption", results, 2, 6, tmp_path)
    lines = (results / "photodesorption/trajectories.csv").read_text().splitlines()
    assert (tmp_path / "trajectories.csv").read_text().splitlines() == [lines[0], lines[3]]
    frames = read(tmp_path / "frames.extxyz")
    assert [f.info["time_fs"] for f in frames] == [0, 4, 8, 12, 16, 20]
    states = read_initial_states(results / "photodesorption/initial_states.h5")
    assert list(states.trajectory_id) == [0, 1, 2, 3]
    np.testing.assert_allclose(frames[0].positions, states.positions_A[2], atol=1e-7)
    curve = pandas.read_csv(tmp_path / "curve.csv").set_index("time_fs")
    centre = np.average(states.positions_A[2], axis=0, weights=frames[0].get_masses())
    far = [max(np.linalg.norm(f[i : i + 2].get_center_of_mass() - centre) for i in (0, 2, 4)) for f in frames]
    times = [f.info["time_fs"] for f in frames]
    np.testing.assert_allclose(curve.loc[times, "beyond_A"], np.subtract(far, far[0]), atol=1e-5)
    along = pandas.read_csv(tmp_path / "energies_along.csv")
    assert along.groupby("molecule").size().tolist() == [len(curve)] * (len(frames[0]) // 2)
    assert along.groupby("excited")["molecule"].unique()[1].tolist() == [states.excited_molecule[2]]
    begun = along[along["time_fs"] == 0].set_index("molecule")
    moving = [f.get_masses().sum() * (f.get_momenta().sum(axis=0) / f.get_masses().sum()) ** 2 / 2
              for f in (frames[0][i : i + 2] for i in range(0, len(frames[0]), 2))]  # fmt: skip
    np.testing.assert_allclose(begun["translational_energy_meV"], 1000 * np.sum(moving, axis=1), rtol=1e-5)
    held = begun.loc[int(states.excited_molecule[2]), "vibrational_energy_meV"]
    assert held == pytest.approx(1000 * states.excitation_energy_eV[2], rel=0.02), "what it was given"
    excited = np.flatnonzero(frames[0].arrays[MARKED])
    assert list(excited // 2) == [states.excited_molecule[2]] * 2


def test_the_teacher_s_row_comes_out_the_same(results: Path, tmp_path: Path) -> None:
    repeat("photodesorption", results, 1, 3, tmp_path, "teacher")
    lines = (results / "photodesorption/teacher_trajectories.csv").read_text().splitlines()
    assert (tmp_path / "teacher_trajectories.csv").read_text().splitlines() == [lines[0], lines[2]]
    assert ",van-hemert-2," in lines[2]
    assert [f.info["time_fs"] for f in read(tmp_path / "frames.extxyz")] == [0, 10, 20]
    model = (results / "photodesorption/trajectories.csv").read_text().splitlines()
    assert lines[2] != model[2], "the same start, another potential"
    with pytest.raises(UserError, match="ensemble 'truth'; photodesorption has model, teacher, teacher_con"):
        repeat("photodesorption", results, 1, 3, tmp_path, "truth")
    with pytest.raises(UserError, match=r"there is no .*model_control_trajectories\.csv"):
        repeat("photodesorption", results, 1, 3, tmp_path, "model_control")


def test_what_is_missing_or_came_out_otherwise_is_said(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trajectory 9; .* has 4, 0 to 3"):
        repeat("photodesorption", results, 9, 6, tmp_path / "again")
    other = tmp_path / "other"
    shutil.copytree(results, other)
    table = other / "photodesorption/trajectories.csv"
    table.write_text(table.read_text().replace("retained", "failed"))
    with pytest.raises(UserError, match=r"came out as 2,.*versions of run\.json"):
        repeat("photodesorption", other, 2, 6, tmp_path / "again")
    shutil.rmtree(other / "potential/members")
    with pytest.raises(UserError, match=r"has no .*members/model_0 with its \.csv"):
        repeat("photodesorption", other, 2, 6, tmp_path / "again")


def test_the_typical_ones_are_shown(results: Path, tmp_path: Path) -> None:
    show("photodesorption", results, tmp_path)
    section = Section.read(tmp_path)
    assert [movie.name for movie in section.movies] == ["retained (4 of 4): trajectory 1"]
    assert "none left within 20 fs" in section.movies[0].caption
    assert section.text[1] == "No trajectory ended as desorbed or dissociated or failed."
    assert section.gates[0].passed
    assert [figure.file for figure in section.figures] == ["curves.svg", "energies_along.svg"]
    assert (tmp_path / "retained/energies_along.csv").is_file()


def test_shards_of_two_campaigns_are_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results.parent / "shards", tmp_path / "shards")
    told = tmp_path / "shards/shard_2/campaign.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "coupling_eV": 1}))
    with pytest.raises(UserError, match="shards of 2 campaigns"):
        keep_starts(tmp_path / "shards", tmp_path)
    assert json.loads((results / "photodesorption/campaign.json").read_text())["settings"]["criterion_A"] == 3
