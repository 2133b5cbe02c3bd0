"""Experiments that are one campaign: members, arrays, and the files that their settings name."""

import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")

from frazil.campaigns import Check, Row, Runner
from frazil.errors import UserError
from frazil.experiments import campaign
from frazil.experiments.constant_energy import See
from frazil.experiments.repeated import keep, repeat
from frazil.experiments.settings import Parameters
from frazil.experiments.vibrations.settings import Vibrations
from frazil.parameters import campaigns, files_of, showing
from frazil.report.movie import read as read_movie
from frazil.report.section import Section
from frazil.settings import load
from frazil.tables import Table

ASSETS = Path(__file__).parents[3] / "assets"


class Physics:
    """Two members, whose rows hold an array; what runs is counted."""

    __file__ = campaign.__file__
    TABLE = Table("trajectories", "*trajectory_id:int *member:int square:int")
    ARRAYS = ("series",)
    ran: list[int]

    @staticmethod
    def members(settings: Vibrations) -> int:
        return 2

    def runner(self, settings: Vibrations, campaign_seed: int, see: See | None = None) -> Runner:
        def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
            for identity in reversed(ids):
                self.ran.append(identity)
                number, member = divmod(identity, 2)
                if see is not None:
                    about = {"trajectory_id": number, "member": member}
                    see(identity, [Atoms("H", info={**about, "time_fs": 2.0 * i}) for i in range(9)])
                row = {"trajectory_id": number, "member": member, "square": identity**2}
                yield identity, {**row, "series": np.array([identity, 0.5])}

        return run

    @staticmethod
    def analyse(settings: Vibrations, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
        assert (np.stack(table["series"])[:, 0] == 2 * table["trajectory_id"] + table["member"]).all()
        return Section(title=f"{len(table)} rows, {Path(settings.model).name}")


@pytest.fixture
def physics(monkeypatch: pytest.MonkeyPatch) -> Physics:
    made = Physics()
    made.ran = []
    monkeypatch.setitem(sys.modules, "frazil.experiments.vibrations.physics", made)
    return made


def test_every_member_runs_every_start_and_arrays_come_back(physics: Physics, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"n_trajectories": 5}))
    asked = Parameters(experiment="vibrations", parameters=tmp_path / "settings.json")
    for first, n in ((0, 3), (3, 2)):
        campaign.run(asked, first, n, tmp_path / "kept", tmp_path / f"shards/s{first}")
    assert sorted(physics.ran) == list(range(10))
    campaign.run(asked, 0, 3, tmp_path / "kept", tmp_path / "again")
    assert len(physics.ran) == 10, "what is kept does not run again"
    before = (tmp_path / "shards/s0/trajectories.csv").read_bytes()
    assert (tmp_path / "again/trajectories.csv").read_bytes() == before
    campaign.analyse(asked, tmp_path / "shards", tmp_path / "out")
    assert Section.read(tmp_path / "out").title == "10 rows, mgsio3-pbe0"
    assert json.loads((tmp_path / "out/counts.json").read_text()) == {"model": {"total": 10}}
    (tmp_path / "shards/s3/arrays.npz").write_bytes(b"cut")
    with pytest.raises(UserError, match="s3 lacks the arrays of its rows; run this shard again"):
        campaign.analyse(asked, tmp_path / "shards", tmp_path / "out")
    (tmp_path / "shards/s3/trajectories.csv").write_text("trajectory_id,member,square\n3,0,36\n4,0,64\n")
    with pytest.raises(UserError, match="trajectory 3 is missing; give all shards of one run"):
        campaign.analyse(asked, tmp_path / "shards", tmp_path / "out")


def test_a_trajectory_of_several_members_is_repeated_under_each(physics: Physics, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"n_trajectories": 4}))
    asked = Parameters(experiment="vibrations", parameters=tmp_path / "settings.json", campaign_seed=1)
    campaign.run(asked, 0, 4, tmp_path / "kept", tmp_path / "results/vibrations")
    parameters = {"campaign_seed": 1, "vibrations": {"n_trajectories": 4}}
    (tmp_path / "results/run.json").write_text(json.dumps({"parameters": parameters}))
    repeat("vibrations", tmp_path / "results", 2, 10, tmp_path / "again")
    assert (tmp_path / "again/trajectories.csv").read_text().splitlines()[1:] == ["2,0,16", "2,1,25"]
    table = tmp_path / "results/vibrations/trajectories.csv"
    table.write_text(table.read_text().replace("2,1,25", "2,1,26"))
    with pytest.raises(UserError, match="trajectory 2 came out as 2,0,16"):
        repeat("vibrations", tmp_path / "results", 2, 10, tmp_path / "other")
    assert len(read_movie(tmp_path / "again/frames.extxyz")) == 2 * 9, "fewer than ten of each member"


def test_the_first_trajectories_are_kept_with_frames_of_each_member(physics: Physics, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"n_trajectories": 4}))
    asked = Parameters(experiment="vibrations", parameters=tmp_path / "settings.json", campaign_seed=1)
    campaign.run(asked, 0, 4, tmp_path / "kept", tmp_path / "results/vibrations")
    parameters = {"campaign_seed": 1, "vibrations": {"n_trajectories": 4}}
    (tmp_path / "results/run.json").write_text(json.dumps({"parameters": parameters}))
    structure = ASSETS / "structures/mgsio3.extxyz"
    given = ("vibrations", tmp_path / "results", 3, 5, ("structure",), (structure,))
    keep(*given, tmp_path / "out")
    told = [(frame.info["trajectory_id"], frame.info["member"], frame.info["time_fs"])
            for frame in read_movie(tmp_path / "out/frames.extxyz")]  # fmt: skip
    assert told == [(i, m, t) for i in range(3) for m in range(2) for t in (0, 4, 8, 12, 16)]
    (gate,) = Section.read(tmp_path / "out").gates
    assert gate.passed
    table = tmp_path / "results/vibrations/trajectories.csv"
    table.write_text(table.read_text().replace("2,1,25", "2,1,26"))
    keep(*given, tmp_path / "other")
    (gate,) = Section.read(tmp_path / "other").gates
    assert (gate.passed, gate.value, gate.limit) == (False, 2, 3)


def test_what_settings_say_of_frames_is_what_runners_can_show() -> None:
    for name, module in campaigns().items():
        assert campaign.has_frames(importlib.import_module(module)) == (name in showing()), name


def test_rows_belong_to_the_content_of_files_and_not_to_their_place(physics: Physics, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"n_trajectories": 4}))
    structure = (ASSETS / "structures/mgsio3.extxyz").read_text()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "one.xyz").write_text(structure)
        asked = Parameters(
            experiment="vibrations", parameters=tmp_path / "settings.json", file_settings=("structure",),
            files=(tmp_path / place / "one.xyz",),
        )  # fmt: skip
        campaign.run(asked, 0, 4, tmp_path / "kept", tmp_path / f"shards-{place}")
    assert len(physics.ran) == 8
    (tmp_path / "there/one.xyz").write_text(structure.replace("0.", "0.0", 1))
    campaign.run(asked, 0, 4, tmp_path / "kept", tmp_path / "other")
    assert len(physics.ran) == 16
    broken = Parameters(
        experiment="vibrations", parameters=tmp_path / "settings.json", file_settings=("model",)
    )
    with pytest.raises(UserError, match="1 settings with files and 0 files; give one for each"):
        campaign.run(broken, 0, 4, tmp_path / "kept", tmp_path / "other")


def test_files_that_are_not_set_are_those_of_assets_and_labels_go_with_their_model(tmp_path: Path) -> None:
    shipped = files_of("vibrations", load(Vibrations, {}))
    assert {name: Path(file).relative_to(ASSETS.resolve()).parts[0] for name, file in shipped.items()} == {
        "structure": "datasets", "model": "potentials", "labels": "potentials",
    }  # fmt: skip
    assert all(Path(file).exists() for file in shipped.values())
    (tmp_path / "one.xyz").touch()
    own = load(Vibrations, {"model": str(tmp_path), "structure": str(tmp_path / "one.xyz")})
    assert set(files_of("vibrations", own)) == {"model", "structure"}
