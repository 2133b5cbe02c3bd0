"""From shards to tables, figures and section: exact columns, hard cases, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pandas
import pytest

import kept
from frazil import tables
from frazil.analysis.statistics import jeffreys
from frazil.errors import UserError
from frazil.experiments.photodesorption import analysis as results_module
from frazil.experiments.photodesorption.analysis import analyse
from frazil.experiments.photodesorption.results import Results
from frazil.experiments.photodesorption.shards import read_ensemble
from frazil.experiments.photodesorption.truth import teacher_labels
from frazil.files import write_json
from frazil.report.page import render
from frazil.report.section import Section

REFERENCE = Path(__file__).parents[4] / "assets" / "reference" / "photodesorption.csv"
COLUMNS = {
    "trajectories.csv": (
        "trajectory_id, snapshot_id, model_id, excited_molecule, excitation_energy_eV, "
        "initial_temperature_K, outcome, "
        "n_desorbed, first_desorption_fs, duration_fs, energy_std_meV, energy_drift_meV_per_ps"
    ),
    "desorbed.csv": (
        "trajectory_id, molecule, excited, desorption_fs, returned, translational_energy_meV, "
        "rotational_energy_meV, "
        "rotational_quantum_number, vibrational_energy_meV, vibrational_quantum_number"
    ),
    "probability.csv": (
        "criterion_A, n, n_desorbed, n_failed, probability, low_95, high_95, model_std, total_low_95, "
        "total_high_95"
    ),
    "rotational_windows.csv": "translational_low_meV, translational_high_meV, n, j_peak, j_max",
}


def run(shards: dict[str, Path], out: Path, **options: object) -> Results:
    settings: dict[str, object] = {
        "criteria_A": [2.0, 3.0, 4.0, 5.0], "criterion_A": 3.0, "duration_fs": 3000.0, "level": "van-hemert",
        "coupling_eV": 2.0, "reference": REFERENCE, "out": out,
    }  # fmt: skip
    folders = {f"{name}_shards": folder for name, folder in {"model": Path("nowhere"), **shards}.items()}
    return analyse(**(settings | options | folders))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path]) -> tuple[Results, Path]:
    root = tmp_path_factory.mktemp("full")
    shards = {
        "model": write_shards(root / "model", n=120, failed=2, with_frames=True),
        "teacher": write_shards(root / "teacher", n=96, seed=2, shard_size=96),
        "teacher_control": write_shards(root / "teacher_control", n=16, probability=0.0),
        "model_control": write_shards(root / "model_control", n=16, probability=0.0),
    }
    return run(shards, root / "out"), root / "out"


def test_tables_have_the_documented_columns(full: tuple[Results, Path]) -> None:
    _, out = full
    for name, columns in COLUMNS.items():
        expected = columns.split(", ")
        assert list(pandas.read_csv(out / name).columns)[: len(expected)] == expected


def test_all_that_a_run_comes_to_is_as_kept(full: tuple[Results, Path]) -> None:
    kept.check(full[1], "photodesorption")


def test_rows_are_sorted_and_complete(full: tuple[Results, Path]) -> None:
    _, out = full
    assert pandas.read_csv(out / "trajectories.csv")["trajectory_id"].tolist() == list(range(120))
    desorbed = pandas.read_csv(out / "desorbed.csv")
    assert desorbed.equals(desorbed.sort_values(["trajectory_id", "molecule"], ignore_index=True))
    counts = json.loads((out / "counts.json").read_text())
    assert counts["model"]["failed"] == 2
    assert counts["model"]["total"] == 120
    assert counts["teacher_control"] == {
        "desorbed": 0, "retained": 16, "dissociated": 0, "failed": 0, "total": 16
    }  # fmt: skip


def test_failed_trajectories_stay_in_the_denominator(full: tuple[Results, Path]) -> None:
    results, out = full
    table = pandas.read_csv(out / "probability.csv")
    main = table[table["criterion_A"] == 3.0].iloc[0]
    assert main["n"] == 120
    assert main["n_failed"] == 2
    assert main["n_desorbed"] == results.model.counts["desorbed"]
    assert (main["low_95"], main["high_95"]) == pytest.approx(jeffreys(int(main["n_desorbed"]), 120))
    assert table[["model_std", "total_low_95", "total_high_95"]].isna().all(axis=None)
    text = (out / "probability.csv").read_text().splitlines()[1]
    assert text.endswith(",,,")  # empty, never zero
    assert table["probability"].is_monotonic_decreasing


def test_truth_check_uses_the_shared_starts_and_gates(full: tuple[Results, Path]) -> None:
    results, out = full
    truth = pandas.read_csv(out / "truth.csv")
    row = truth.set_index("quantity").loc["desorption probability by 2000 fs"]
    assert row["n_model"] == row["n_teacher"] == 96
    assert row["difference"] == pytest.approx(row["model"] - row["teacher"])
    assert row["agrees"] == ("yes" if row["difference_low_95"] <= 0 <= row["difference_high_95"] else "no")
    assert "desorption probability by 3000 fs" in set(truth["quantity"])
    section = Section.read(out)
    gates = {gate.name: gate for gate in section.gates}
    assert gates["No failed trajectory (model)"].passed is False
    assert gates["No failed trajectory (model)"].comment == "unphysical contact"
    assert gates["Control never desorbs: teacher without coupling"].passed is True
    gate = gates["Desorption probability at 2 ps: model − teacher, same starts"]
    far = max(abs(row["difference_low_95"]), abs(row["difference_high_95"]))
    assert (gate.value, gate.passed) == (pytest.approx(far), bool(far <= 0.15))
    assert results.truth.drift is not None
    assert len(results.truth.drift) == 3
    assert np.allclose(results.truth.drift["model_max_meV_per_atom"], 0, atol=1e-5)  # momenta have 8 digits
    assert (results.truth.drift["teacher_max_meV_per_atom"] > 0).all()


def test_trajectories_of_another_program_stand_beside_the_models(
    tmp_path: Path, write_shards: Callable[..., Path]
) -> None:
    shards = {
        "model": write_shards(tmp_path / "model", n=120),
        "aimd": write_shards(tmp_path / "aimd", n=40, seed=3, shard_size=40),
    }
    (shard,) = shards["aimd"].iterdir()
    write_json(shard / "about.json", {"told": "40 trajectories of pbe by vasp."})
    shard.rename(tmp_path / "task")
    shard.symlink_to(tmp_path / "task")  # as a task has it
    run(shards, tmp_path / "out")
    row = pandas.read_csv(tmp_path / "out/aimd.csv").set_index("quantity")
    row = row.loc["desorption probability by 3000 fs"]
    aimd = read_ensemble(tmp_path / "aimd")
    assert aimd is not None
    assert (row["n_model"], row["n_aimd"], row["interval"]) == (120, 40, "Newcombe, unpaired")
    gates = {gate.name: gate for gate in Section.read(tmp_path / "out").gates}
    assert gates["AIMD: drift of the total energy, median of the trajectories, in meV/ps"].limit == 500
    assert row["aimd"] == pytest.approx(aimd.counts["desorbed"] / 40)
    assert pandas.read_csv(tmp_path / "out/aimd_trajectories.csv")["trajectory_id"].tolist() == list(
        range(40)
    )
    curve = pandas.read_csv(tmp_path / "out/desorption_probability.csv")
    assert set(curve["series"]) == {"model", "AIMD"}
    section = Section.read(tmp_path / "out")
    assert any("40 trajectories of pbe by vasp." in text for text in section.text)
    gate = {gate.name: gate for gate in section.gates}["Desorption probability at 3 ps: model − AIMD"]
    far = max(abs(row["difference_low_95"]), abs(row["difference_high_95"]))
    assert (gate.value, gate.passed) == (pytest.approx(far), bool(far <= 0.15))


def test_every_figure_has_its_data(full: tuple[Results, Path], tmp_path: Path) -> None:
    _, out = full
    section = Section.read(out)
    assert len(section.figures) == 10
    for figure in section.figures:
        assert (out / figure.file).read_bytes().startswith(b"<?xml")
        assert (out / figure.file).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert Path(figure.data).stem == Path(figure.file).stem
        assert len(pandas.read_csv(out / figure.data))
    (tmp_path / "s.json").write_text('{"timestep_fs": 0.1}')
    failed = render([out], tmp_path / "s.json", tmp_path / "s.json", tmp_path / "report.html")
    assert "No failed trajectory (model)" in [gate.name for gate in failed]


def test_two_runs_write_identical_files(full: tuple[Results, Path], tmp_path: Path) -> None:
    results, out = full
    shards = {name: out.parent / name for name in results.ensembles}
    run(shards, tmp_path)
    for file in out.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_none_and_all_desorb(probability: float, tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    shards = {
        key: write_shards(tmp_path / key, n=12, probability=probability) for key in ("model", "teacher")
    }
    results = run(shards, tmp_path / "out")
    assert results.probability["probability"].iloc[0] == probability
    assert len(pandas.read_csv(tmp_path / "out" / "rotational_windows.csv")) >= 4
    if probability == 0:
        text = " ".join(Section.read(tmp_path / "out").text)
        assert "Translational energies not drawn: too few molecules (0" in text
        assert list(pandas.read_csv(tmp_path / "out" / "desorbed.csv").columns)[:2] == [
            "trajectory_id",
            "molecule",
        ]
        assert "Too few to tell" in text
        assert results.windows["j_peak"].isna().all()


def test_one_molecule_desorbs(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    shards = write_shards(tmp_path / "model", n=12, probability=0.0)
    whole = write_shards(tmp_path / "other", n=20, probability=0.5, shard_size=20) / "shard_000000"
    table = pandas.read_csv(whole / "trajectories.csv")
    only = int(table.loc[table["n_desorbed"] == 1, "trajectory_id"].iloc[0])
    extra = tmp_path / "model" / "shard_extra"
    extra.mkdir()
    for name in ("trajectories.csv", "desorbed.csv", "crossings.csv"):
        rows = pandas.read_csv(whole / name)
        rows[rows["trajectory_id"] == only].assign(trajectory_id=900).to_csv(extra / name, index=False)
    results = run({"model": shards}, tmp_path / "out")
    assert results.model.counts["desorbed"] == 1
    summary = results.summary.set_index("quantity")
    assert summary.loc["earliest_desorption", "value"] > 0
    assert np.isnan(summary.loc["translational_peak", "value"])
    gates = {gate.name: gate.passed for gate in Section.read(tmp_path / "out").gates}
    assert gates["Desorption probability at 3 ps: model − teacher, same starts"] is None


def test_empty_directories_are_ensembles_that_were_not_run(
    tmp_path: Path, write_shards: Callable[..., Path]
) -> None:
    (tmp_path / "teacher").mkdir()
    shards = {"model": write_shards(tmp_path / "model", n=6), "teacher": tmp_path / "teacher"}
    assert set(run(shards, tmp_path / "out").ensembles) == {"model"}


def test_long_tables_have_a_parquet_twin(
    tmp_path: Path, write_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LONG_TABLE", 10)
    run({"model": write_shards(tmp_path / "model", n=12, probability=0.2)}, tmp_path / "out")
    twin = pandas.read_parquet(tmp_path / "out" / "trajectories.parquet")
    assert len(twin) == 12
    assert not (tmp_path / "out" / "probability.parquet").exists()


def test_net_forces_of_a_model_are_reported(
    tmp_path: Path, write_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect_but_for_carbon(_: Path, frames: list[ase.Atoms]) -> list[np.ndarray]:
        labels = teacher_labels(frames, "van-hemert", 2.0)
        assert labels is not None
        return [forces + 0.1 * (np.arange(len(forces)) % 2 == 0)[:, None] for forces in labels[1]]

    monkeypatch.setattr(results_module, "model_forces", perfect_but_for_carbon)
    run({"model": write_shards(tmp_path / "model", n=5, with_frames=True)}, tmp_path / "out", model="model_0")
    table = pandas.read_csv(tmp_path / "out" / "net_force.csv")
    assert table["error_rmse_eV_per_A"].to_numpy() == pytest.approx(0.1)
    assert table["n"].tolist() == [18 * 7, 18, 18 * 8]
    assert any("Net force on whole molecules" in text for text in Section.read(tmp_path / "out").text)


def test_doubled_trajectories_are_refused(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    write_shards(tmp_path / "model", n=4)
    write_shards(tmp_path / "model" / "more", n=4)
    (tmp_path / "model" / "more" / "shard_000000").rename(tmp_path / "model" / "shard_again")
    (tmp_path / "model" / "more").rmdir()
    with pytest.raises(
        UserError, match=r"trajectories.csv has trajectory_id 0 twice \(in .*shard_000000.*, .*shard_again"
    ):
        read_ensemble(tmp_path / "model")


def test_broken_shards_are_refused(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    shard = write_shards(tmp_path / "model", n=9, probability=1.0) / "shard_000000"
    table = pandas.read_csv(shard / "trajectories.csv")
    table.drop(columns="energy_std_meV").to_csv(shard / "trajectories.csv", index=False)
    with pytest.raises(
        UserError, match=r"trajectories.csv has no column energy_std_meV; needed: trajectory_id"
    ):
        read_ensemble(tmp_path / "model")
    table.assign(outcome="vanished").to_csv(shard / "trajectories.csv", index=False)
    with pytest.raises(UserError, match="has outcome 'vanished' in row 1; allowed: desorbed, retained"):
        read_ensemble(tmp_path / "model")
    table[table["trajectory_id"] > 3].to_csv(shard / "trajectories.csv", index=False)
    with pytest.raises(
        UserError, match=r"desorbed.csv names trajectory_id 0, which does not belong to the rest"
    ):
        read_ensemble(tmp_path / "model")
    table.to_csv(shard / "trajectories.csv", index=False)
    (shard / "crossings.csv").unlink()
    with pytest.raises(
        UserError, match=r"shard .*shard_000000 has no crossings.csv; remove the incomplete shard"
    ):
        read_ensemble(tmp_path / "model")
    with pytest.raises(UserError, match="is not a directory; give a directory of shards"):
        read_ensemble(tmp_path / "nowhere")


def test_bad_settings_are_refused(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    shards = {"model": write_shards(tmp_path / "model", n=4)}
    with pytest.raises(UserError, match="criterion 3 Å is not among the criteria 2, 4 Å"):
        run(shards, tmp_path / "out", criteria_A=[2.0, 4.0])
    with pytest.raises(UserError, match=r"nowhere\.csv does not exist; give a photodesorption\.csv"):
        run(shards, tmp_path / "out", reference=Path("nowhere.csv"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"no trajectory under .*nothing"):
        run({"model": tmp_path / "nothing"}, tmp_path / "out")
