"""Tables: what is written is read again, and nothing missing, doubled, foreign or cut is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from frazil import tables
from frazil.errors import UserError
from frazil.experiments.infrared import tables as infrared
from frazil.experiments.photodesorption import tables as photodesorption
from frazil.experiments.sticking import tables as sticking
from frazil.learning import errors
from frazil.tables import ALL_DIGITS, Table

RUNS = Table(
    "runs",
    "*trajectory_id:int outcome:str probability time_fs?",
    limits={"outcome": ("stuck", "bounced"), "probability": (0, 1)},
    made_by="run_collisions.py",
)
ROWS = [(2, "bounced", 0.25, 1 / 3), (0, "stuck", 1.0, None), (11, "stuck", 0.0, 20.0)]
TEXT = "trajectory_id,outcome,probability,time_fs\n0,stuck,1,\n2,bounced,0.25,0.33333333\n11,stuck,0,20\n"


def test_a_table_is_written_sorted_with_one_format_and_read_as_it_was(tmp_path: Path) -> None:
    file = RUNS.write(RUNS.frame(ROWS), tmp_path)
    assert file == tmp_path / "runs.csv"
    assert file.read_text() == TEXT
    found = RUNS.read(tmp_path)
    assert found["trajectory_id"].tolist() == [0, 2, 11]
    assert found["trajectory_id"].dtype == np.int64
    assert found["time_fs"].isna().tolist() == [True, False, False]
    RUNS.write(found, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == TEXT
    RUNS.named("others").write(found.assign(note="kept"), tmp_path)
    assert (tmp_path / "others.csv").read_text().splitlines()[0] == TEXT.splitlines()[0] + ",note"


def test_all_digits_survive_where_they_are_wanted(tmp_path: Path) -> None:
    exact = Table("exact", "x", order="given", digits=ALL_DIGITS)
    values = np.random.default_rng(1).normal(size=500) * 10.0 ** np.random.default_rng(2).integers(-9, 9, 500)
    exact.write(pandas.DataFrame({"x": values}), tmp_path)
    assert (exact.read(tmp_path)["x"].to_numpy() == values).all()


def test_shards_of_any_size_make_the_same_table(tmp_path: Path) -> None:
    for name, rows in (("a", ROWS[:1]), ("b", ROWS[1:])):
        RUNS.write(RUNS.frame(rows), tmp_path / "shards" / name)
    RUNS.write(RUNS.frame([]), tmp_path / "shards" / "empty")
    RUNS.write(RUNS.read(tmp_path / "shards"), tmp_path)
    RUNS.write(RUNS.read(tmp_path / "shards/b", tmp_path / "shards/a/runs.csv"), tmp_path / "named.csv")
    assert (tmp_path / "runs.csv").read_text() == (tmp_path / "named.csv").read_text() == TEXT


def test_an_empty_table_keeps_its_columns_and_types(tmp_path: Path) -> None:
    RUNS.write(RUNS.frame([]), tmp_path)
    found = RUNS.read(tmp_path)
    assert list(found) == RUNS.names
    assert found["trajectory_id"].dtype == np.int64
    assert not len(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"runs\.csv is empty; needed are the columns trajectory_id, outcome"),
        (
            TEXT.replace("time_fs", "time_ps"),
            r"runs\.csv has no column time_fs but time_ps, of another unit; needed: trajectory_id, outcome",
        ),
        (TEXT[:-4], r"runs\.csv is cut in the middle of its last row"),
        (TEXT + "3,stuck\n", r"runs\.csv cannot be read \(row 4 has 2 cells, the header 4\)"),
        (TEXT + "3,stuck,0.5\n", r"runs\.csv cannot be read \(row 4 has 3 cells, the header 4\)"),
        (TEXT.replace("0.33333333", "1e400"), r"has time_fs inf in row 2; allowed are numbers"),
        (TEXT.replace("0.33333333", "-inf"), r"has time_fs -inf in row 2; allowed are numbers"),
        (TEXT.replace("0,stuck", "1e400,stuck"), r"has trajectory_id .*inf.* in row 1; allowed are whole"),
        (TEXT.replace("0.25", ""), r"has an empty cell in column probability, row 2"),
        (TEXT.replace("0.25", "nan"), r"has an empty cell in column probability, row 2"),
        (TEXT.replace("0.25", "1.25"), r"has probability .*1\.25.* in row 2; allowed are 0 to 1"),
        (TEXT.replace("0.25", "much"), r"has probability 'much' in row 2; allowed are numbers"),
        (TEXT.replace("\n11", "\n1.5"), r"has trajectory_id .*1\.5.* in row 3; allowed are whole numb"),
        (TEXT.replace("\n0,", "\n,"), r"has an empty cell in column trajectory_id, row 1"),
        (TEXT.replace("bounced", "lost"), r"has outcome 'lost' in row 2; allowed: stuck, bounced"),
        (TEXT.replace("\n11", "\n2"), r"runs\.csv has trajectory_id 2 twice \(in .*runs\.csv\)"),
        (TEXT.replace("0.25", "0.25,7"), r"runs\.csv cannot be read \(.*\); give a CSV of equal rows"),
        (TEXT.replace("\n0,stuck,1,", "\n0,stuck,1,,7,8"), r"runs\.csv cannot be read"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "runs.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        RUNS.read(tmp_path)


def test_doubles_strangers_and_incomplete_shards_are_named(tmp_path: Path) -> None:
    for shard in ("a", "b"):
        RUNS.write(RUNS.frame(ROWS), tmp_path / shard)
    with pytest.raises(UserError, match=r"runs\.csv has trajectory_id 0 twice \(in .*a/runs\.csv, .*b/runs"):
        RUNS.read(tmp_path)
    with pytest.raises(UserError, match=r"a/runs\.csv names trajectory_id 2, which does not belong"):
        RUNS.read(tmp_path / "a", only={"trajectory_id": [0, 11]})
    (tmp_path / "b/runs.csv").unlink()
    with pytest.raises(UserError, match=r"shard .*b has no runs\.csv; remove the incomplete shard"):
        RUNS.read(tmp_path)
    with pytest.raises(UserError, match=r"b holds no runs\.csv; it is made by run_collisions\.py"):
        RUNS.read(tmp_path / "b")
    with pytest.raises(UserError, match=r"none does not exist; give a runs\.csv"):
        RUNS.read(tmp_path / "none")


def test_a_hand_written_table_need_not_end_its_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_text(TEXT.rstrip())
    assert len(RUNS.read(tmp_path, by_hand=True)) == 3
    assert "runs.csv does not end with the end of a line; is it whole?" in capsys.readouterr().err
    for cut in range(len(TEXT) - len("11,stuck,0,20\n") + 1, len(TEXT) - len(",20\n")):
        (tmp_path / "runs.csv").write_text(TEXT[:cut])
        with pytest.raises(UserError, match=r"row 3 has . cells, the header 4"):
            RUNS.read(tmp_path, by_hand=True)


def test_a_binary_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(bytes(range(256)) + b"\n")
    with pytest.raises(UserError, match=r"runs\.csv cannot be read \(.*\); give a CSV"):
        RUNS.read(tmp_path)


def test_columns_that_may_be_missing_are_checked_where_they_are(tmp_path: Path) -> None:
    given = Table("given", "x", also="n:int? share?", order="given", limits={"share": (0, 1)})
    for text, message in (
        ("x,share\n1,0.5\n", ""),
        ("x,n\n1,\n2,3\n", ""),
        ("x,share\n1,-1\n", "has share -1 in row 1; allowed are 0 to 1"),
        ("x,share\n1,1.7\n", r"has share 1\.7 in row 1; allowed are 0 to 1"),
        ("x,n\n1,2.5\n", "allowed are whole numbers"),
    ):
        (tmp_path / "given.csv").write_text(text)
        if not message:
            assert len(given.read(tmp_path))
            continue
        with pytest.raises(UserError, match=message):
            given.read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, "lost", 0.5, 1.0)], "table runs has outcome 'lost'"),
        ([(0, "stuck", None, 1.0)], "table runs has an empty cell in column probability, row 1"),
        ([(0, "stuck", 0.5, 1.0)] * 2, "table runs has trajectory_id 0 twice"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RUNS.write(RUNS.frame(rows), tmp_path)
    assert not (tmp_path / "runs.csv").exists()


def test_a_declaration_that_is_none_is_a_bug() -> None:
    with pytest.raises(ValueError, match=r"table runs: 'time_fs:float' declares no column"):
        _ = Table("runs", "*trajectory_id:int time_fs:float").names


def test_long_tables_are_parquet_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONG_TABLE", 2)
    RUNS.write(RUNS.frame(ROWS), tmp_path)
    assert pandas.read_parquet(tmp_path / "runs.parquet")["trajectory_id"].tolist() == [0, 2, 11]
    RUNS.write(RUNS.frame(ROWS[:1]), tmp_path)
    assert not (tmp_path / "runs.parquet").exists(), "a Parquet file of another table is not left beside"


CONTRACT = {
    errors.MODELS: "model_id kind seed n_parameters train_energy_rmse_meV_per_atom "
    "train_force_rmse_eV_per_A test_energy_rmse_meV_per_atom test_force_rmse_eV_per_A "
    "validation_energy_rmse_meV_per_atom validation_force_rmse_eV_per_A selected",
    errors.ERRORS: "model_id subset quantity species unit n mae rmse max",
    photodesorption.TRAJECTORIES: "trajectory_id snapshot_id model_id excited_molecule excitation_energy_eV "
    "initial_temperature_K outcome n_desorbed first_desorption_fs duration_fs energy_std_meV "
    "energy_drift_meV_per_ps",
    photodesorption.DESORBED: "trajectory_id molecule excited desorption_fs returned "
    "translational_energy_meV rotational_energy_meV rotational_quantum_number vibrational_energy_meV "
    "vibrational_quantum_number",
    photodesorption.PROBABILITY: "criterion_A n n_desorbed n_failed probability low_95 high_95 model_std "
    "total_low_95 total_high_95",
    photodesorption.WINDOWS: "translational_low_meV translational_high_meV n j_peak j_max",
    sticking.TRAJECTORIES: "trajectory_id phase surface_id surface_temperature_K model_id "
    "collision_energy_K polar_angle_deg azimuth_deg aim_x_A aim_y_A outcome time_fs n_bounces "
    "energy_drift_meV_per_ps",
    sticking.PROBABILITIES: "phase surface_temperature_K collision_energy_K n n_stuck n_failed probability "
    "low_95 high_95 model_std total_low_95 total_high_95",
    sticking.COEFFICIENTS: "phase surface_temperature_K gas_temperature_K coefficient low_95 high_95",
    sticking.BINDING_ENERGIES: "phase surface_id site_id x_A y_A z_A binding_energy_K model_std_K converged",
    sticking.BINDING_SUMMARY: "phase n mean_K median_K std_K",
    sticking.ATTEMPT_FREQUENCIES: "phase trajectory_id attempt_frequency_per_ps",
    sticking.RESIDENCE_TIMES: "phase surface_temperature_K binding_energy_K attempt_frequency_per_ps "
    "half_life_s",
    infrared.HARMONIC: "structure method mode wavenumber_cm1 intensity_km_per_mol model_std_cm1",
    infrared.SPECTRA: "structure temperature_K wavenumber_cm1 intensity low_95 high_95 n_runs",
    infrared.ACTIVE_LEARNING: "round structure temperature_K time_fs committee_std_meV_per_atom selected",
    infrared.ROUNDS: "round n_train harmonic_mae_cm1 energy_rmse_meV_per_atom force_rmse_eV_per_A",
}
FILES = (
    "models errors trajectories desorbed probability rotational_windows trajectories sticking_probabilities "
    "sticking_coefficients binding_energies binding_summary attempt_frequencies residence_times harmonic "
    "spectra active_learning rounds"
)


def test_published_tables_keep_the_names_that_people_read() -> None:
    assert [table.name for table in CONTRACT] == FILES.split()
    for table, names in CONTRACT.items():
        wanted = names.split()
        assert table.names[: len(wanted)] == wanted, table.name
    outcomes = {column.name: column.allowed for column in sticking.TRAJECTORIES.columns}["outcome"]
    assert outcomes == ("stuck", "bounced", "dissociated", "failed")
    outcomes = {column.name: column.allowed for column in photodesorption.TRAJECTORIES.columns}["outcome"]
    assert outcomes == ("desorbed", "retained", "dissociated", "failed")
