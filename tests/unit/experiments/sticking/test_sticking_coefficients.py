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


def test_missing_columns_are_named() -> None:
    with pytest.raises(UserError, match="without phase"):
        coefficients(TABLE.drop(columns="phase"), [10.0])
    with pytest.raises(UserError, match="without probability, low_95, high_95"):
        coefficients(TABLE.drop(columns="n"), [10.0])
    with pytest.raises(UserError, match="outside 0 … 1"):
        coefficients(
            TABLE.drop(columns=["n", "n_stuck"]).assign(probability=[1.2, 0.3], low_95=0.1, high_95=1.0),
            [10.0],
        )


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
        "phase", "surface_temperature_K", "gas_temperature_K", "coefficient", "low_95", "high_95"
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


def test_attempt_frequency_counts_late_maxima() -> None:
    time = np.arange(0.0, 20000.0, 10.0)
    height = 3.0 + 0.3 * np.cos(2 * np.pi * time / 314.0)
    assert attempt_frequency_per_ps(time, height) == pytest.approx(3.18, rel=0.005)
    assert np.isnan(attempt_frequency_per_ps(time[:40], height[:40]))


def test_half_life_refuses_what_is_not_positive() -> None:
    with pytest.raises(UserError, match="both must be positive"):
        half_life_s(-100.0, 0.0, 10.0)
