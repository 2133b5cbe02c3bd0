"""Exploration by a committee: what ends a trajectory, what is labelled, and a small real run."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.data.frames import read_frames
from frazil.errors import UserError
from frazil.experiments.photodesorption import exploration
from frazil.experiments.photodesorption.exploration import (
    DISSOCIATED,
    FAILED,
    FINISHED,
    UNPHYSICAL,
    Visit,
    choose,
    explore,
    force_deviation,
)
from frazil.experiments.photodesorption.initial_states import InitialStates
from frazil.experiments.photodesorption.settings import ExplorationLimits as Limits
from frazil.md.lammps import Observation
from frazil.systems.molecules import Molecules, molecule
from models import random_frames

ONE = "excited-000001"
LIMITS = Limits(0.1, 0.05, 1.0, 1.85, 1.5, 0.05)


def visit(
    trajectory_id: int, deviations: list[float], reason: str = FINISHED, contact_A: float = 3.0
) -> Visit:
    observations = [
        Observation(10.0 * step, np.zeros((6, 3)), np.zeros((6, 3)), 0.0) for step in range(len(deviations))
    ]
    contacts = np.full(len(deviations), contact_A)
    return Visit(trajectory_id, 0, 0, reason, observations, contacts, np.array(deviations))


def write_states(file: Path, n: int, speed_A_per_fs: float = 0.0) -> Path:
    velocities = np.zeros((n, 6, 3))
    velocities[:, :2, 0] = speed_A_per_fs  # the first molecule flies at the second
    InitialStates(
        campaign_seed=1,
        trajectory_id=np.arange(n) + 10,
        snapshot_id=np.arange(n),
        excited_molecule=np.arange(n) % 3,
        excitation_energy_eV=np.zeros(n),
        initial_temperature_K=np.zeros(n),
        positions_A=np.array([frame.positions for frame in random_frames(n, seed=4)]),
        velocities_A_per_fs=velocities,
        molecules=Molecules.alike(molecule("CO"), 3),
        reference_A=random_frames(1, seed=4)[0].positions,
    ).write(file)
    return file


def test_deviation_is_the_largest_spread_of_an_atom() -> None:
    forces = np.zeros((2, 1, 3, 3))
    forces[0, 0, 1, 2], forces[1, 0, 1, 2] = 0.5, -0.5
    assert force_deviation(forces) == pytest.approx([0.5])


def test_frames_within_the_limits_are_chosen_apart_in_time() -> None:
    chosen = choose([visit(1, [0.0, 0.5, 0.5, 0.5, 0.5, 0.0, 0.5])], LIMITS, 100)
    assert chosen == {ONE: [1, 4]}  # 6 is 20 fs after 4


def test_nothing_after_a_broken_frame_is_chosen_but_the_last_ones_before_it_are() -> None:
    assert choose([visit(1, [0.0, 0.0, 0.0, 0.0, 5.0, 0.5, 0.5])], LIMITS, 100) == {ONE: [1, 2, 3]}


def test_frames_before_a_hole_are_chosen_unless_they_are_too_close() -> None:
    hole = visit(1, [0.0] * 6, UNPHYSICAL)
    hole.contacts_A[4:] = 1.6
    assert choose([hole], LIMITS, 100) == {ONE: [1, 2, 3]}
    assert choose([visit(1, [0.5] * 6, UNPHYSICAL, contact_A=1.7)], LIMITS, 100) == {ONE: []}


def test_a_trajectory_that_failed_at_once_gives_nothing() -> None:
    assert choose([visit(1, [], FAILED)], LIMITS, 100) == {ONE: []}


def test_the_frames_are_shared_by_the_trajectories_and_spread_in_time() -> None:
    many, few = visit(1, [0.5] * 300), visit(2, [0.5] * 4)
    chosen = choose([many, few], LIMITS, 12)
    assert chosen["excited-000002"] == [0, 3]
    assert len(chosen[ONE]) == 10
    assert chosen[ONE][0] == 0
    assert np.ptp(np.diff(chosen[ONE])) <= 3
    assert [len(frames) for frames in choose([many, few], LIMITS, 1).values()] == [1, 0]


def test_what_ends_a_trajectory() -> None:
    positions = random_frames(1)[0].positions
    assert exploration.verdict(positions, LIMITS) == FINISHED
    near, stretched, gone = positions.copy(), positions.copy(), positions.copy()
    near[2] = near[0] + [1.2, 0, 0]
    stretched[1] = stretched[0] - [10, 0, 0]
    gone[0, 0] = np.nan
    for changed, reason in ((near, UNPHYSICAL), (stretched, DISSOCIATED), (gone, FAILED)):
        assert exploration.verdict(changed, LIMITS) == reason


@pytest.mark.parametrize("engine", ["frazil", "lammps"])
def test_a_real_exploration(tiny_committee: list[Path], tmp_path: Path, engine: str) -> None:
    states = write_states(tmp_path / "states.h5", 4)
    limits = Limits(1e-4, 1e-4, 50.0, 1.85, 1.5, 0.05)
    summary = explore(tiny_committee, [states], 30.0, 0.5, 5.0, limits, 7, 2, tmp_path / "out", engine=engine)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["n_trajectories"] == 4
    assert summary["fraction_above_low"] == 1.0
    assert not summary["clean"]
    table = pandas.read_csv(tmp_path / "out/exploration.csv")
    assert table["trajectory_id"].tolist() == [10, 11, 12, 13]
    assert table["model_id"].tolist() == [0, 1, 0, 1]
    assert (table["n_frames"] == 7).all()
    frames = read_frames([tmp_path / "out/candidates.extxyz"], labelled=False)
    assert len(frames) == summary["n_candidates"] == 7
    assert {frame.info["source"] for frame in frames} == {"explore-2"}
    assert {frame.info["trajectory_id"] for frame in frames} == {
        f"explore-2-excited-{i:06d}" for i in range(10, 14)
    }
    assert all(frame.arrays["excited"].sum() == 2 for frame in frames)
    moved = [frame for frame in frames if frame.info["time_fs"] > 0]
    assert all(np.abs(frame.get_momenta()).max() > 0 for frame in moved)
    explore(
        tiny_committee, [states], 30.0, 0.5, 5.0, limits, 7, 2, tmp_path / "two", n_processes=4, engine=engine
    )  # fmt: skip
    for name in ("candidates.extxyz", "exploration.csv", "summary.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_an_exploration_that_finds_nothing_is_clean(tiny_committee: list[Path], tmp_path: Path) -> None:
    states = write_states(tmp_path / "states.h5", 2)
    limits = Limits(100.0, 100.0, 200.0, 1.0, 0.5, 0.05)
    summary = explore(tiny_committee, [states], 5.0, 0.5, 5.0, limits, 5, 1, tmp_path / "out")
    assert summary["clean"]
    assert summary["n_candidates"] == 0
    assert (tmp_path / "out/candidates.extxyz").read_text() == ""


def test_a_collision_ends_a_trajectory(tiny_committee: list[Path], tmp_path: Path) -> None:
    states = write_states(tmp_path / "states.h5", 2, speed_A_per_fs=0.5)
    summary = explore(tiny_committee, [states], 30.0, 0.1, 0.5, LIMITS, 5, 1, tmp_path / "out")
    assert summary["n_unphysical"] == 2
    assert not summary["clean"]
    assert (pandas.read_csv(tmp_path / "out/exploration.csv")["end_fs"] < 30).all()


def test_bad_input_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    states = write_states(tmp_path / "states.h5", 1)
    arguments = ([states], 10.0, 0.1, 1.0, LIMITS, 5, 1, tmp_path / "out")
    with pytest.raises(UserError, match="a committee of 1 cannot disagree"):
        explore([tiny_model], *arguments)
    two = [tiny_model, tiny_model]
    with pytest.raises(UserError, match=r"timestep_fs -0\.1; allowed is 0 < timestep"):
        explore(two, [states], 10.0, -0.1, 1.0, LIMITS, 5, 1, tmp_path / "out")
    with pytest.raises(UserError, match="max_frames is 0"):
        explore(two, [states], 10.0, 0.1, 1.0, LIMITS, 0, 1, tmp_path / "out")
    with pytest.raises(UserError, match=r"none\.h5 does not exist; excite\.py makes it"):
        explore(two, [tmp_path / "none.h5"], *arguments[1:])
