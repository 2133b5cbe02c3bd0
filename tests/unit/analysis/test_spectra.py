"""The spectrum's script and the series that it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.analysis.settings import LIGHT_cm_per_fs, Spectrum
from frazil.analysis.spectra import COLUMNS, average, infrared_spectrum, without_timestep, write_spectrum
from frazil.errors import UserError


def series(n_steps: int = 9000, phase: float = 0.0) -> np.ndarray:
    time = 0.5 * np.arange(n_steps)
    return np.stack([np.cos(0.19 * time + phase), np.sin(0.1 * time), 0 * time], axis=1)


def test_what_the_time_step_shifts_goes_back_with_its_area() -> None:
    """Of velocity Verlet sin(Ωh/2) = ωh/2; a density keeps its area where its wavenumbers move."""
    step_fs, x = 2.0, np.linspace(0, 4000, 40_001)
    density = np.exp(-(((x - 3000) / 20) ** 2))
    places, moved = without_timestep(x, density, step_fs)
    phase = np.pi * LIGHT_cm_per_fs * step_fs
    assert places[30_000] == pytest.approx(np.sin(3000 * phase) / phase, rel=1e-12)
    assert places[30_000] < 2990
    assert np.trapezoid(moved, places) == pytest.approx(np.trapezoid(density, x), rel=1e-6)


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x93NUMPY\x01\x00", "cannot be read as a NumPy array"),
        (b"PK\x03\x04", "is an archive of arrays"),
        (b"\xff\xfe1 2 3\n", "neither an .npy file nor text"),
        (b"# step mu\n", "holds no dipoles"),
        (b"# mu\n1 2 3\n1 2\n", "line 3: '1 2'; needed are three numbers a line"),
        (b"0 1 2 3\n", "line 1: '0 1 2 3'; .*no step or time before them"),
        (b"x y z\n1 2 3\n", "line 1: 'x y z'"),
        (b"1 2 nan\n" * 9000, "9000 of 9000 steps are not finite"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "dipoles").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        write_spectrum([tmp_path / "dipoles"], 0.5, tmp_path / "out.csv")
    assert str(tmp_path / "dipoles") in str(caught.value)


def test_text_gives_the_spectrum_of_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "dipoles.npy", series())
    write_spectrum([tmp_path / "dipoles.npy"], 0.5, tmp_path / "array.csv")
    for form in ({"header": "mu_x mu_y mu_z"}, {"delimiter": ","}, {"delimiter": "\t"}):
        np.savetxt(tmp_path / "dipoles.txt", series(), fmt="%.17g", **form)
        write_spectrum([tmp_path / "dipoles.txt"], 0.5, tmp_path / "text.csv")
        assert (tmp_path / "text.csv").read_bytes() == (tmp_path / "array.csv").read_bytes()


@pytest.mark.parametrize("apart", [2.5, 3, 5, 11, 19, 20, 40, 400])
def test_jumps_by_a_quantum_are_seen_however_close(apart: float) -> None:
    """Polarization is known up to a quantum: jumps to and fro, some steps apart."""
    crossings = np.unique((apart * np.arange(1, 9000 / apart - 1)).astype(int))
    branch = np.zeros((9000, 1))
    branch[crossings[:-1]] = np.where(np.arange(len(crossings) - 1) % 2, -1.0, 1.0)[:, None]
    with pytest.raises(UserError, match=r"a gap: between steps .* a polarization without jumps"):
        infrared_spectrum(series() + 4.8 * np.cumsum(branch, axis=0), 0.5)


@pytest.mark.parametrize("period", [2.0, 2.5, 3.0, 3.9, 4.0, 4.1, 5.0, 20.0, 300.0])
def test_no_oscillation_is_taken_for_a_jump(period: float) -> None:
    step = np.arange(9000.0)
    for n_axes in (1, 3):
        phases = np.array([0.0, 0.7, 1.9])[:n_axes] + np.pi / 4
        motion = np.zeros((9000, 3))
        motion[:, :n_axes] = np.cos(2 * np.pi * step[:, None] / period + phases)
        infrared_spectrum(motion, 0.5)
    noise = np.zeros((9000, 3))
    noise[:, 0] = np.random.default_rng(int(10 * period)).normal(size=9000)
    infrared_spectrum(noise, 0.5)


def test_a_quantum_correction_needs_a_temperature() -> None:
    with pytest.raises(UserError, match="needs a temperature"):
        infrared_spectrum(series(), 0.5, Spectrum(correction="standard"))
