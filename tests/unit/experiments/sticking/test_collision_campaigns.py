"""The campaign's grid, its bad input, and rows that a trajectory gives alone and in company."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pandas
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.repeated import keep, repeat, show, typical
from frazil.experiments.sticking.collisions import (
    check_members,
    condition,
    ids_of,
    run,
    run_shard,
    start,
)
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign
from frazil.report.movie import read
from frazil.report.section import Section
from frazil.systems.molecules import molecule

H2 = Projectile(molecule("H2"))
CAMPAIGN = Campaign(
    surface_temperatures_K=(5.0, 10.0), energies_K=(12.0, 116.0), n_polar=4, polar_max_deg=60.0, n_azimuth=3,
    azimuth="random", aim_radius_A=1.0, start_height_A=8.0, bounce_A=6.0, timestep_fs=1.0, duration_fs=200.0,
    width=3, model_error=False, campaign_seed=5,
)  # fmt: skip


def surface(temperature_K: float = 10.0, height: float = 0.0) -> Atoms:
    atoms = Atoms("COCO", [[0, 0, height], [0, 0, height - 1.128], [3.7, 0, 0], [3.7, 0, -1.128]])
    atoms.set_array("fixed", np.array([0, 0, 1, 1]))
    atoms.info |= {"surface_temperature_K": temperature_K, "surface_id": 7, "phase": "crystalline"}
    atoms.set_velocities(np.zeros((4, 3)))
    return atoms


def test_model_error_needs_a_committee() -> None:
    with pytest.raises(UserError, match="model error asked of a committee of one"):
        list(run(replace(CAMPAIGN, model_error=True), driver("analytic"), [surface()], H2, [24]))
    check_members(replace(CAMPAIGN, model_error=True), 3)


def test_h2_inside_the_surface_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frazil.experiments.sticking.collisions.NEAREST_START_A", 20.0)
    with pytest.raises(UserError, match=r"H2 starts .* from an atom, inside the surface"):
        start(CAMPAIGN, 24, [surface()], H2)
    with pytest.raises(UserError, match="no surface at 5 K; prepare one"):
        start(CAMPAIGN, 0, [surface(10.0)], H2)
    with pytest.raises(UserError, match=r"no potential x\.h5; give a model folder"):
        driver("x.h5")


def test_ids_count_the_grid_of_the_paper() -> None:
    paper = replace(
        CAMPAIGN, surface_temperatures_K=(5.0, 10.0, 20.0), n_polar=16, n_azimuth=12,
        energies_K=(12.0, 35.0, 58.0, 93.0, 116.0, 174.0, 232.0, 290.0, 348.0),
    )  # fmt: skip
    assert paper.per_energy == 192
    assert 2 * paper.per_phase == 10368
    rows = [condition(paper, i) for i in ids_of(paper, "amorphous")]
    assert {row["phase"] for row in rows} == {"amorphous"}
    assert rows[0]["trajectory_id"] == 5184
    assert {row["polar_angle_deg"] for row in rows} == set(np.linspace(0, 60, 16))
    grid = [row["azimuth_deg"] for row in rows[:12]]
    assert grid == list(np.arange(12) * 30.0)
    with pytest.raises(UserError, match="phase 'liquid'"):
        ids_of(paper, "liquid")


def test_azimuths_are_the_grid_s_or_random() -> None:
    grid = [
        start(replace(CAMPAIGN, azimuth="grid"), i, [surface()], H2).known["azimuth_deg"]
        for i in (24, 25, 26)
    ]
    assert grid == [0.0, 120.0, 240.0]
    drawn = [start(CAMPAIGN, i, [surface()], H2).known["azimuth_deg"] for i in (24, 25, 26)]
    assert len(set(drawn)) == 3
    assert not set(drawn) & set(grid)


def test_a_trajectory_alone_is_the_one_in_company() -> None:
    source = driver("analytic")
    together = {row["trajectory_id"]: row for row in run(CAMPAIGN, source, [surface()], H2, range(24, 31))}
    (alone,) = run(CAMPAIGN, source, [surface()], H2, [29])
    assert alone == together[29]
    assert alone["outcome"] in ("stuck", "bounced")
    assert len(together) == 7


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of five collisions, as a run publishes them."""
    root = tmp_path_factory.mktemp("run")
    sticking = root / "sticking"
    surfaces = sticking / "surfaces/crystalline"
    surfaces.mkdir(parents=True)
    ase.io.write(surfaces / "snapshots.extxyz", [surface(5.0), surface(10.0)])
    shard = root / "shard"
    run_shard(CAMPAIGN, surfaces, "analytic", "crystalline", 22, 5, 24, root / "checkpoints", shard)
    for name in ("trajectories.csv", "campaign.json", "paths.csv"):
        shutil.copy(shard / name, sticking)
    long = replace(CAMPAIGN, duration_fs=CAMPAIGN.duration_fs + 100.0)
    run_shard(long, surfaces, "analytic", "crystalline", 22, 2, 24, root / "checkpoints", root / "attempts")
    for name in ("trajectories.csv", "campaign.json"):
        shutil.copy(root / "attempts" / name, sticking / f"attempts_{name}")
    return root


def test_a_finished_trajectory_is_repeated_from_its_id(finished: Path, tmp_path: Path) -> None:
    """Alone, from a run's results, with its frames; a row that another computation wrote is refused."""
    rows = (finished / "sticking/trajectories.csv").read_text().splitlines()
    repeat("sticking", finished, 23, 6, tmp_path / "again")
    assert (tmp_path / "again/trajectories.csv").read_text().splitlines() == [rows[0], rows[2]]
    path = (tmp_path / "again/paths.csv").read_text().splitlines()
    known = (finished / "sticking/paths.csv").read_text().splitlines()
    assert path[1:] == [line for line in known if ",23," in line]
    frames = read(tmp_path / "again/frames.extxyz")
    assert [f.info["time_fs"] for f in frames] == [0, 40, 80, 120, 160, 200]
    z_A = start(CAMPAIGN, 23, [surface(5.0), surface(10.0)], H2).positions_A[-2:, 2].mean()
    assert frames[0].positions[-2:, 2].mean() == pytest.approx(z_A, abs=1e-6)
    assert frames[0].arrays["marked"].tolist() == [False] * 4 + [True] * 2
    with pytest.raises(UserError, match=r"trajectory 3; .* has 5, 22 to 26"):
        repeat("sticking", finished, 3, 5, tmp_path / "again")
    with pytest.raises(UserError, match=r"no .*trajectories\.csv; give the folder of the results of"):
        repeat("sticking", tmp_path, 23, 5, tmp_path / "again")
    with pytest.raises(UserError, match=r"'level_of_theory' has no trajectories with ids; allowed: photodes"):
        repeat("level_of_theory", finished, 23, 5, tmp_path / "again")
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    table = other / "sticking/trajectories.csv"
    table.write_text(table.read_text().replace(",200,", ",180,"))
    with pytest.raises(UserError, match=r"trajectory 23 came out as 23,.*on the same kind of processor"):
        repeat("sticking", other, 23, 5, tmp_path / "again")
    table.write_text(table.read_text().replace("analytic", "gmnn-0"))
    with pytest.raises(UserError, match=r"has no potential/committee/model\.h5"):
        repeat("sticking", other, 23, 5, tmp_path / "again")


def test_another_ensemble_has_a_campaign_of_its_own(finished: Path, tmp_path: Path) -> None:
    rows = (finished / "sticking/attempts_trajectories.csv").read_text().splitlines()
    repeat("sticking", finished, 23, 3, tmp_path, "attempts")
    assert (tmp_path / "attempts_trajectories.csv").read_text().splitlines() == [rows[0], rows[2]]
    assert rows[2] not in (finished / "sticking/trajectories.csv").read_text()
    with pytest.raises(UserError, match=r"there is no .*truth_trajectories\.csv"):
        repeat("sticking", finished, 23, 3, tmp_path, "truth")


def test_an_ase_calculator_is_known_by_its_name(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    file = tmp_path / "run/sticking/campaign.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model": "ase:no_such.thing"}))
    table = tmp_path / "run/sticking/trajectories.csv"
    table.write_text(table.read_text().replace("analytic", "ase-mean"))
    with pytest.raises(UserError, match="no_such"):
        repeat("sticking", tmp_path / "run", 23, 5, tmp_path / "again")


def test_typical_trajectories_are_shown(finished: Path, tmp_path: Path) -> None:
    show("sticking", finished, tmp_path / "shown")
    section = Section.read(tmp_path / "shown")
    table = pandas.read_csv(finished / "sticking/trajectories.csv")
    assert [movie.name.split(" ")[0] for movie in section.movies] == sorted(
        set(table["outcome"]), key=["stuck", "bounced"].index
    )
    assert section.gates[0].passed
    assert "No trajectory ended as" in section.text[1]
    for movie in section.movies:
        assert read(tmp_path / "shown" / movie.file)[-1].info["time_fs"] <= 200


def test_the_first_collisions_are_kept_with_their_frames(finished: Path, tmp_path: Path) -> None:
    keep("sticking", finished, 2, 3, (), (), tmp_path)
    assert Section.read(tmp_path).gates[0].passed
    known = pandas.read_csv(finished / "sticking/trajectories.csv")["trajectory_id"].tolist()
    frames = read(tmp_path / "frames.extxyz")
    assert [frame.info["trajectory_id"] for frame in frames] == [known[0]] * 3 + [known[1]] * 3
    assert frames[0].get_velocities().any()


def test_the_typical_one_is_in_the_middle_of_its_outcome() -> None:
    table = pandas.DataFrame(
        {"trajectory_id": [0, 1, 2, 3, 4], "outcome": list("aaabb"), "time_fs": [9, 5, 7, 2, 2]}
    )
    assert typical(table, table["time_fs"], ("a", "b", "c")) == {"a": 2, "b": 3}
