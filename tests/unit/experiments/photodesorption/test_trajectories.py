import errno
import os
import re
import signal
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas
import pytest
from starts import write_curves, write_snapshots

from frazil.checkpoints import Ledger
from frazil.data.frames import read_frames
from frazil.errors import OutOfTime, UserError
from frazil.experiments.photodesorption import shards
from frazil.experiments.photodesorption.disagreement import choose_frames
from frazil.experiments.photodesorption.initial import make_initial_states
from frazil.experiments.photodesorption.settings import Limits, Trajectories
from frazil.experiments.photodesorption.trajectories import run_shard
from frazil.potentials.deepmd.model import DeepPotential, evaluate
from frazil.systems.co import deepmd_types

TABLES = ("trajectories.csv", "desorbed.csv", "crossings.csv", "frames.extxyz")
LIMITS = Limits(criteria_A=(2.0, 3.0), criterion_A=3.0, dissociation_A=3.3, unphysical_contact_A=0.3)
SETTINGS: dict[str, Any] = {
    "duration_fs": 20.0, "timestep_fs": 0.2, "observe_fs": 2.0,
    "limits": LIMITS, "keep_frames_trajectories": 2, "keep_frames_every_fs": 10.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bond_curves.csv and initial_states.h5 of four trajectories."""
    made = tmp_path_factory.mktemp("starts")
    curves = write_curves(made / "bond_curves.csv")
    snapshots = write_snapshots(made / "snapshots.extxyz", 4)
    make_initial_states([snapshots], 4, 0, "energy", 1.0, 40, curves, 4.5, 1, made / "initial_states.h5")
    return made


def run(
    folder: Path,
    model: Path,
    out: Path,
    first_id: int = 0,
    n: int = 4,
    engine: str = "lammps",
    precision: str = "float32",
    **changes: Any,
) -> Path:
    """Run a shard, its checkpoints beside ``out``."""
    settings = Trajectories(**{**SETTINGS, **changes})
    states, curves = folder / "initial_states.h5", folder / "bond_curves.csv"
    kept = out.parent / "checkpoints"
    run_shard(settings, engine, 2.0, states, curves, model, first_id, n, kept, out, precision)
    return out


def assert_same_files(one: Path, two: Path) -> None:
    for name in TABLES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.fixture(scope="module")
def whole(folder: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shard of all four trajectories."""
    return run(folder, tiny_model, tmp_path_factory.mktemp("whole") / "shard")


def test_tables_are_those_that_the_analysis_reads(whole: Path, tiny_model: Path) -> None:
    found = shards.read_ensemble(whole)
    assert found is not None
    assert list(found.ids) == [0, 1, 2, 3]
    assert list(found.trajectories["model_id"].astype(str)) == ["0"] * 4
    assert (found.trajectories["duration_fs"] == 20.0).all()
    assert found.counts["retained"] == 4
    frames = ase.io.read(whole / "frames.extxyz", ":")
    assert [(a.info["trajectory_id"], a.info["time_fs"]) for a in frames] == [
        (i, t) for i in (0, 1) for t in (0.0, 10.0, 20.0)
    ]
    energies, _ = DeepPotential(tiny_model / "model.pb").evaluate(
        frames[1].positions[None], deepmd_types(frames[1]).astype(np.int32)
    )
    assert energies[0] == pytest.approx(frames[1].info["potential_energy_eV"], abs=1e-5)
    assert frames[0].has("momenta")


def test_rows_do_not_depend_on_the_shard(folder: Path, tiny_model: Path, whole: Path, tmp_path: Path) -> None:
    last = run(folder, tiny_model, tmp_path / "last", 2, 2)
    first = run(folder, tiny_model, tmp_path / "first", 0, 2)
    for name in TABLES[:3]:
        parts = [(part / name).read_text().splitlines() for part in (first, last)]
        assert (whole / name).read_text().splitlines() == parts[0] + parts[1][1:]
    assert (first / "frames.extxyz").read_bytes() == (whole / "frames.extxyz").read_bytes()
    assert (last / "frames.extxyz").read_bytes() == b""


def test_rows_of_the_teacher_do_not_depend_on_the_shard(
    folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    whole = run(folder, tiny_model, tmp_path / "whole", engine="van-hemert")
    parts = [run(folder, tiny_model, tmp_path / f"{i}", i, 2, engine="van-hemert") for i in (0, 2)]
    lines = [(part / "trajectories.csv").read_text().splitlines() for part in parts]
    assert (whole / "trajectories.csv").read_text().splitlines() == lines[0] + lines[1][1:]
    table = pandas.read_csv(whole / "trajectories.csv")
    assert set(table["model_id"]) == {"van-hemert-2"}
    assert (table["energy_std_meV"] < 5).all()


@pytest.mark.parametrize("reason", ["killed", "full disk", "time limit"])
def test_what_was_finished_survives_and_no_row_is_doubled(
    reason: str, folder: Path, tiny_model: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = Ledger.save

    def interrupted(ledger: Ledger, identity: int, row: Any) -> None:
        if reason == "time limit":
            save(ledger, identity, row)
            if len(saved) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
        elif len(saved) == 2:
            raise (
                KeyboardInterrupt if reason == "killed" else OSError(errno.ENOSPC, "No space left on device")
            )
        else:
            save(ledger, identity, row)
        saved.append(identity)

    monkeypatch.setattr(Ledger, "save", interrupted)
    raised = {"killed": KeyboardInterrupt, "full disk": OSError, "time limit": OutOfTime}[reason]
    with pytest.raises(raised):
        run(folder, tiny_model, tmp_path / "first_try")
    assert saved == [0, 1]
    assert not (tmp_path / "first_try").exists()
    assert len(list((tmp_path / "checkpoints").rglob("*.json"))) == 2

    def recorded(ledger: Ledger, identity: int, row: Any) -> None:
        saved.append(identity)
        save(ledger, identity, row)

    monkeypatch.setattr(Ledger, "save", recorded)
    assert_same_files(run(folder, tiny_model, tmp_path / "second_try"), whole)
    assert saved == [0, 1, 2, 3]


def test_a_full_disk_while_tables_are_written_loses_nothing(
    folder: Path, tiny_model: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: pandas.DataFrame, path: Path, **_: Any) -> None:
        path.write_text("trajectory_id,snap")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pandas.DataFrame, "to_csv", full)
        with pytest.raises(OSError, match="No space left"):
            run(folder, tiny_model, tmp_path / "shard")
    assert list((tmp_path / "shard").iterdir()) == []
    assert len(list((tmp_path / "checkpoints").rglob("*.json"))) == 4
    assert_same_files(run(folder, tiny_model, tmp_path / "shard"), whole)


def test_other_settings_do_not_take_over_rows(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    run(folder, tiny_model, tmp_path / "short", n=1, duration_fs=10.0)
    run(folder, tiny_model, tmp_path / "long", n=1)
    assert pandas.read_csv(tmp_path / "long/trajectories.csv")["duration_fs"].tolist() == [20.0]


def test_a_failed_trajectory_is_a_row(folder: Path, tiny_model: Path, whole: Path, tmp_path: Path) -> None:
    strict = Limits(criteria_A=(3.0,), criterion_A=3.0, dissociation_A=3.0, unphysical_contact_A=3.0)
    table = pandas.read_csv(run(folder, tiny_model, tmp_path / "shard", limits=strict) / "trajectories.csv")
    failed = table[table["outcome"] == "failed"]
    assert len(failed)
    assert failed["failure"].str.match("contact of .* A at .* fs").all()
    assert len(table) == 4, "failed or not"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observe_fs": 0.5}, "observe_fs: given 0.5 fs; allowed: a whole number of timestep_fs, now 0.2 fs"),
        ({"n": 5}, "trajectories 0 to 4 asked for; the initial states hold 4"),
    ],
)
def test_bad_input(
    folder: Path, tiny_model: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(folder, tiny_model, tmp_path / "shard", **changes)


def test_the_engine_agrees_with_lammps_while_chaos_is_young(
    folder: Path, tiny_residual: Path, tmp_path: Path
) -> None:
    """The same model, starts and row function: positions, energies and outcomes, trajectory by trajectory."""
    anything = Limits(criteria_A=(2.0, 3.0), criterion_A=3.0, dissociation_A=10.0, unphysical_contact_A=0.01)
    object.__setattr__(anything, "dissociation_A", 1e3)  # a model of 40 steps tears molecules apart
    changes: dict[str, Any] = {"duration_fs": 300.0, "keep_frames_every_fs": 30.0, "limits": anything}
    made = [
        run(folder, tiny_residual, tmp_path / engine, n=2, engine=engine, precision="float64", **changes)
        for engine in ("lammps", "frazil")
    ]
    frames = [ase.io.read(shard / "frames.extxyz", ":") for shard in made]
    assert len(frames[0]) == len(frames[1]) == 22
    for one, other in zip(*frames, strict=True):
        assert one.info["trajectory_id"] == other.info["trajectory_id"]
        assert one.info["time_fs"] == other.info["time_fs"]
        assert (one.arrays["excited"] == other.arrays["excited"]).all()
        assert np.abs(one.positions - other.positions).max() < 1e-3
        assert one.info["potential_energy_eV"] == pytest.approx(other.info["potential_energy_eV"], abs=1e-4)
    tables = [pandas.read_csv(shard / "trajectories.csv") for shard in made]
    same = ["trajectory_id", "snapshot_id", "model_id", "excited_molecule", "outcome", "n_desorbed"]
    assert tables[0][same].equals(tables[1][same])
    assert np.abs(tables[0]["energy_std_meV"] - tables[1]["energy_std_meV"]).max() < 0.01


def test_rows_of_the_model_in_the_engine_do_not_depend_on_the_shard(
    folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    whole = run(folder, tiny_model, tmp_path / "whole", n=3, engine="frazil")
    part = run(folder, tiny_model, tmp_path / "part", 1, 2, engine="frazil")
    lines = [(shard / "trajectories.csv").read_text().splitlines() for shard in (whole, part)]
    assert lines[0][2:] == lines[1][1:]


@pytest.mark.parametrize("engine", ["lammps", "frazil"])
def test_members_take_turns_by_the_id_and_rows_are_those_of_each_alone(
    folder: Path, tiny_committee: list[Path], tmp_path: Path, engine: str
) -> None:
    states, softer = folder / "initial_states.h5", tmp_path / "softer.csv"
    curves = pandas.read_csv(folder / "bond_curves.csv")
    curves.assign(model_x1x2_eV=0.9 * curves["model_x1x2_eV"]).to_csv(softer, index=False)
    both = [folder / "bond_curves.csv", softer]
    settings = Trajectories(**SETTINGS)

    def rows(models: list[Path], tables: list[Path], name: str) -> pandas.DataFrame:
        out, kept = tmp_path / name, tmp_path / "checkpoints"
        run_shard(settings, engine, 2.0, states, tables, models, 0, 3, kept, out)
        return pandas.read_csv(out / "trajectories.csv")

    together = rows(tiny_committee, both, "both")
    assert together["model_id"].tolist() == [0, 1, 0]
    for member in (0, 1):
        alone = rows([tiny_committee[member]], [both[member]], f"{member}")
        turns = together["trajectory_id"] % 2 == member
        assert together[turns].equals(alone[turns])
    with pytest.raises(UserError, match="2 models and 1 bond curves; give each model its own curves"):
        rows(tiny_committee, both[:1], "wrong")


def test_frames_worth_labelling_lie_where_members_part(
    folder: Path, tiny_committee: list[Path], tmp_path: Path
) -> None:
    parts = [run(folder, model, tmp_path / f"{k}/shard", n=2) for k, model in enumerate(tiny_committee)]
    said = choose_frames(parts, tiny_committee, 4, 0.5, tmp_path / "alike")
    assert said == "0 of 2 starts end differently under 2 members; 4 frames to label"

    table = parts[1] / "trajectories.csv"
    table.write_text(re.sub(r"^1,(.*),retained,", r"1,\1,failed,", table.read_text(), flags=re.M))
    said = choose_frames(parts, tiny_committee, 4, 0.5, tmp_path / "apart")
    assert said == "1 of 2 starts end differently under 2 members; 4 frames to label"
    chosen = read_frames([tmp_path / "apart/worth_labelling.extxyz"], labelled=False)
    assert {atoms.info["trajectory_id"] for atoms in chosen} == {
        "members-apart-1-member-0", "members-apart-1-member-1",
    }  # fmt: skip
    forces = np.array([evaluate(model / "model.pb", chosen)[1] for model in tiny_committee])
    half = 0.5 * np.linalg.norm(forces[0] - forces[1], axis=-1).max(axis=-1)
    spreads = [atoms.info["force_deviation_eV_per_A"] for atoms in chosen]
    np.testing.assert_allclose(spreads, half, rtol=1e-6)
    rows = pandas.read_csv(tmp_path / "apart/members_apart.csv")
    assert list(rows) == ["trajectory_id", "model_id", "outcome", "n_chosen", "max_deviation_eV_per_A"]
    assert rows["n_chosen"].tolist() == [0, 0, 2, 2]
    assert rows["max_deviation_eV_per_A"].isna().tolist() == [True, True, False, False]
    assert rows["max_deviation_eV_per_A"].max() == pytest.approx(max(spreads))
    with pytest.raises(UserError, match="1 shards of 2 members; give at least two members"):
        choose_frames(parts[:1], tiny_committee, 4, 0.5, tmp_path / "one")
    other = run(folder, tiny_committee[1], tmp_path / "other/shard", 2, 2)
    with pytest.raises(UserError, match="hold other trajectories; run the same starts"):
        choose_frames([parts[0], other], tiny_committee, 4, 0.5, tmp_path / "others")
