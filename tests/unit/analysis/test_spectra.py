"""The spectrum's script and the series that it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import COLUMNS, average, infrared_spectrum, write_spectrum
from frazil.errors import UserError


def series(n_steps: int = 9000, phase: float = 0.0) -> np.ndarray:
    time = 0.5 * np.arange(n_steps)
    return np.stack([np.cos(0.19 * time + phase), np.sin(0.1 * time), 0 * time], axis=1)


def test_script_writes_the_columns_and_says_the_unit(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dipoles.npy", series())
    command = [
        sys.executable, root / "bin/infrared_spectrum.py", "--dipoles", tmp_path / "dipoles.npy",
        "--timestep-fs", "0.5", "--out", tmp_path / "spectrum.csv",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "(e Å)²/fs" in done.stdout
    table = pandas.read_csv(tmp_path / "spectrum.csv")
    assert tuple(table.columns) == COLUMNS
    assert table["low_95"].isna().all()
    assert (table["n_runs"] == 1).all()
    peak = table["wavenumber_cm1"][table["intensity"].idxmax()]
    assert peak == pytest.approx(0.19 / (2 * np.pi * 2.99792458e-5), abs=8)


def test_band_covers_the_scatter_of_runs(tmp_path: Path) -> None:
    spectra = [infrared_spectrum(size * series(), 0.5) for size in (1.0, 1.1, 0.9)]
    found = average(spectra)
    values = np.array([intensity for _, intensity in spectra])
    assert found.standard_error == pytest.approx(values.std(axis=0, ddof=1) / np.sqrt(3))
    assert (found.high_95 >= found.intensity).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 4000, np.nan, x), "a gap: 1 of 9000 .* is 4000"),
        (lambda x: np.concatenate([x[:4000], x[4400:] + 3.0]), "a gap: between steps 3999 and 4000"),
        (lambda x: x[:3000], "depth of 2048 fs; .* the run's 1499 fs"),
        (lambda x: x[:, :2], r"shape \(9000, 2\)"),
        (lambda x: x[:0], "at most the run's 0 fs"),
    ],
)
def test_bad_series_are_refused(tmp_path: Path, spoil: object, message: str) -> None:
    file = tmp_path / "dipoles.npy"
    np.save(file, spoil(series()))  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        write_spectrum([file], 0.5, tmp_path / "spectrum.csv")
    assert str(file) in str(caught.value)
    assert not (tmp_path / "spectrum.csv").exists()


def test_runs_of_different_time_steps_do_not_mix() -> None:
    with pytest.raises(UserError, match="different wavenumbers"):
        average([infrared_spectrum(series(), 0.5), infrared_spectrum(series(), 0.45)])


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "dipoles.npy").write_text("1 2 3")
    with pytest.raises(UserError, match="cannot be read as a NumPy array"):
        write_spectrum([tmp_path / "dipoles.npy"], 0.5, tmp_path / "out.csv")


def test_a_quantum_correction_needs_a_temperature() -> None:
    with pytest.raises(UserError, match="needs a temperature"):
        infrared_spectrum(series(), 0.5, Spectrum(correction="standard"))
