"""Bad input of the steps from probabilities to coefficients and residence times, and what they read and
write.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.errors import UserError
from frazil.experiments.sticking.coefficients import coefficients, weights, write_coefficients
from frazil.experiments.sticking.residence import (
    attempt_frequency_per_ps,
    half_life_s,
    write_residence_times,
)

TABLE = pandas.DataFrame(
    {
        "phase": "crystalline", "surface_temperature_K": 10, "collision_energy_K": [12.0, 100.0],
        "n": [192, 192], "n_stuck": [180, 60],
    }
)  # fmt: skip


@pytest.mark.parametrize("energies", [[], [0.0, 10.0], [-5.0, 3.0], [10.0, 5.0], [5.0, 5.0]])
def test_energies_must_be_positive_and_ascending(energies: list[float]) -> None:
    with pytest.raises(UserError, match="give positive ones, each once, in ascending order"):
        weights(np.array(energies), 10.0)


def test_ends_and_temperatures_are_checked() -> None:
    energies = np.array([10.0, 20.0])
    with pytest.raises(UserError, match="gas temperature of 0 K; it must be positive"):
        weights(energies, 0.0)
    with pytest.raises(UserError, match="allowed below: one, held, above: held, zero, linear"):
        weights(energies, 10.0, above="exponential")
    with pytest.raises(UserError, match="above the highest energy, 20 K"):
        weights(energies, 10.0, above="linear", vanishing_K=20.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_stuck": [200, 1]}, "200 of 192 stuck"),
        ({"collision_energy_K": [12.0, 12.0]}, "12 K occurs twice"),
        ({"phase": ["crystalline", None]}, "empty cell in column phase, row 2"),
        ({"surface_temperature_K": [10, np.nan]}, "empty cell in column surface_temperature_K, row 2"),
        ({"n_stuck": [180, np.nan]}, "row 2 of the probabilities is without n, n_stuck"),
        ({"probability": [180 / 192, 0.9]}, r"row 2 .*: 60 of 192 stuck, but a probability of 0\.9"),
        ({"collision_energy_K": [0.001, 0.03]}, r"up to 0\.03 K; eV in place of K\? 1 eV is 11605 K"),
        ({"collision_energy_K": [12.0, np.inf]}, "has collision_energy_K inf in row 2"),
    ],
)
def test_tables_are_checked(change: dict[str, list[float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        coefficients(TABLE.assign(**change), [10.0])


@pytest.mark.parametrize("n_stuck", [[12, 12, 12, 6], [0, 0, 0, 1], [12] * 4, [0] * 4])
def test_the_interval_holds_the_coefficient(n_stuck: list[int]) -> None:
    counted = pandas.DataFrame(
        {"phase": "crystalline", "surface_temperature_K": 10.0, "n": 12, "n_stuck": n_stuck,
         "collision_energy_K": [12.0, 35.0, 58.0, 93.0]}
    )  # fmt: skip
    given = counted.drop(columns=["n", "n_stuck"]).assign(probability=np.array(n_stuck) / 12)
    given["low_95"], given["high_95"] = np.maximum(given["probability"] - 0.2, 0), given["probability"]
    for table in (counted, given):
        for below in ("one", "held"):
            found = coefficients(table, [5.0, 10.0, 50.0, 300.0], below=below)
            assert (found["low_95"] <= found["coefficient"]).all()
            assert (found["coefficient"] <= found["high_95"]).all()


GIVEN = TABLE.drop(columns=["n", "n_stuck"]).assign(
    probability=[0.9, 0.3], low_95=[0.85, 0.2], high_95=[0.95, 0.4]
)


def test_missing_columns_and_cells_are_named() -> None:
    with pytest.raises(UserError, match="has no column phase"):
        coefficients(TABLE.drop(columns="phase"), [10.0])
    with pytest.raises(
        UserError, match="has no column collision_energy_K but collision_energy_eV, of another"
    ):
        coefficients(TABLE.rename(columns={"collision_energy_K": "collision_energy_eV"}), [10.0])
    for table in (TABLE.drop(columns="n"), GIVEN.drop(columns="low_95"), GIVEN.assign(high_95=[0.95, None])):
        with pytest.raises(UserError, match=r"row . of the probabilities is without"):
            coefficients(table, [10.0])
    for wrong in (1.7, -1.0):
        with pytest.raises(UserError, match=f"has high_95 {wrong} in row 1; allowed are 0 to 1"):
            coefficients(GIVEN.assign(high_95=[wrong, 0.4]), [10.0])
    with pytest.raises(UserError, match=r"row 2 .*: probability 0\.3 is outside its interval 0\.35"):
        coefficients(GIVEN.assign(low_95=[0.85, 0.35]), [10.0])


def test_every_cut_and_every_blank_cell_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    GIVEN.to_csv(file, index=False)
    text = file.read_text()
    whole = coefficients(GIVEN, [50.0])
    last_row, last_cell = text.rstrip().rindex("\n") + 1, text.rstrip().rindex(",") + 1
    for cut in range(last_row + 1, last_cell + 1):
        file.write_text(text[:cut])
        with pytest.raises(UserError):
            write_coefficients(file, ["50"], tmp_path / "s.csv", 1)
    for row in range(1, 3):
        for column in range(len(GIVEN.columns)):
            for blank in ("", "nan"):
                lines = [line.split(",") for line in text.splitlines()]
                lines[row][column] = blank
                file.write_text("\n".join(map(",".join, lines)) + "\n")
                with pytest.raises(UserError):
                    write_coefficients(file, ["50"], tmp_path / "s.csv", 1)
    file.write_text(text)
    write_coefficients(file, ["50"], tmp_path / "s.csv", 1)
    assert pandas.read_csv(tmp_path / "s.csv")["coefficient"].tolist() == pytest.approx(whole["coefficient"])


def test_coefficients_say_how_much_of_their_weight_lies_beyond_the_energies(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """(1 + u) exp(−u) above u = E/kT: 0.677 and 0.952 at 300 and 1000 K for the published energies."""
    published = root / "assets/reference/sticking_probabilities.csv"
    write_coefficients(published, ["300", "1000"], tmp_path / "s.csv", 1)
    found = pandas.read_csv(tmp_path / "s.csv")
    for gas_K, above in ((300, 0.677), (1000, 0.952)):
        assert found.loc[found["gas_temperature_K"] == gas_K, "weight_above"].to_numpy() == pytest.approx(
            above, abs=5e-4
        )
    below = found.loc[found["gas_temperature_K"] == 300, "weight_below"].to_numpy()
    assert below == pytest.approx(1 - 1.04 * np.exp(-0.04))
    assert "95% of the coefficient's weight lies above the energies given" in capsys.readouterr().err
    write_coefficients(published, ["50"], tmp_path / "s.csv", 1)
    assert not capsys.readouterr().err


def test_gas_temperatures_are_numbers_or_the_surface(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(UserError, match="gas temperature 'warm'"):
        write_coefficients(tmp_path / "p.csv", ["warm"], tmp_path / "s.csv", 1)
    with pytest.raises(UserError, match=r"none\.csv does not exist; give a sticking_probabilities\.csv"):
        write_coefficients(tmp_path / "none.csv", ["10"], tmp_path / "s.csv", 1)


def test_the_scripts_write_the_documented_columns(tmp_path: Path, root: Path) -> None:
    TABLE.to_csv(tmp_path / "p.csv", index=False)
    run = [sys.executable, str(root / "bin/sticking_coefficients.py"), "--probabilities", "p.csv"]
    run += ["--gas-temperatures-K", "surface,10,50,100", "--out", "s.csv"]
    subprocess.run(run, cwd=tmp_path, check=True)
    found = pandas.read_csv(tmp_path / "s.csv")
    assert list(found) == [
        "phase", "surface_temperature_K", "gas_temperature_K", "coefficient", "low_95", "high_95",
        "weight_below", "weight_above",
    ]  # fmt: skip
    assert found["gas_temperature_K"].tolist() == [10, 50, 100]
    assert ((found["low_95"] < found["coefficient"]) & (found["coefficient"] < found["high_95"])).all()
    run = [sys.executable, str(root / "bin/residence_times.py"), "--binding-energy-K", "-266"]
    run += ["--attempt-frequency-per-ps", "3.18", "--surface-temperatures-K", "5,8,10", "--out", "t.csv"]
    subprocess.run(run, cwd=tmp_path, check=True)
    found = pandas.read_csv(tmp_path / "t.csv")
    assert found["half_life_s"].tolist() == pytest.approx([2.8e10, 6.0e1, 7.8e-2], rel=0.02)


def test_residence_of_a_distribution_leaves_out_what_did_not_converge(tmp_path: Path) -> None:
    sites = pandas.DataFrame(
        {"phase": "amorphous", "binding_energy_K": [-100.0, -200.0], "converged": [1, 0]}
    )
    sites.to_csv(tmp_path / "b.csv", index=False)
    write_residence_times(None, tmp_path / "b.csv", 3.89, [10.0], "", tmp_path / "t.csv")
    assert pandas.read_csv(tmp_path / "t.csv")["binding_energy_K"].tolist() == [-100.0]
    with pytest.raises(UserError, match="no converged site of phase 'crystalline'"):
        write_residence_times(None, tmp_path / "b.csv", 3.89, [10.0], "crystalline", tmp_path / "t.csv")
    with pytest.raises(UserError, match="either --binding-energy-K or --binding-energies"):
        write_residence_times(None, None, 3.89, [10.0], "", tmp_path / "t.csv")


@pytest.mark.parametrize("energy_K", [500.0, 0.0, float("nan")])
def test_a_binding_energy_that_binds_nothing_is_refused(tmp_path: Path, energy_K: float) -> None:
    hint = r"\. UCLCHEM, UMIST and KIDA count it positive: give -500$" if energy_K > 0 else "$"
    with pytest.raises(UserError, match=f"a bound molecule has a negative one{hint}"):
        write_residence_times(energy_K, None, 1.0, [10.0], "", tmp_path / "t.csv")
    sites = pandas.DataFrame({"phase": "amorphous", "binding_energy_K": [-100.0, energy_K], "converged": 1})
    sites.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(
        UserError, match=r"negative one|has no binding_energy_K in row 2, of a converged site"
    ):
        write_residence_times(None, tmp_path / "b.csv", 1.0, [10.0], "", tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()
    assert np.isnan(half_life_s(energy_K, 1.0, 10.0))


def test_attempt_frequency_counts_late_maxima() -> None:
    time = np.arange(0.0, 20000.0, 10.0)
    height = 3.0 + 0.3 * np.cos(2 * np.pi * time / 314.0)
    assert attempt_frequency_per_ps(time, height) == pytest.approx(3.18, rel=0.005)
    assert np.isnan(attempt_frequency_per_ps(time[:40], height[:40]))


def test_half_life_refuses_what_is_not_positive() -> None:
    with pytest.raises(UserError, match="both must be positive"):
        half_life_s(-100.0, 0.0, 10.0)
