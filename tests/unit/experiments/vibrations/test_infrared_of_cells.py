"""Infrared spectra of molecules and cells: Born charges times velocities, and harmonic intensities."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")

import frazil
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import power_spectrum
from frazil.experiments.campaign import repeated
from frazil.experiments.dipoles import Dipoles, slopes_of
from frazil.experiments.vibrations import physics
from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import absorption_of, intensities_km_per_mol, subject_of
from frazil.potentials.analytic.rock_salt import rock_salt
from frazil.potentials.registry import load
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.units import fs
from shards import given, run_in_shards

SALT: dict[str, Any] = {
    "n_trajectories": 12, "shard_size": 12, "temperature_K": 5.0, "duration_fs": 8192, "equilibration_fs": 0,
    "timestep_fs": 4.0, "velocity_every_fs": 8.0, "highest_cm1": 600.0,
}  # fmt: skip
WATER: dict[str, Any] = {
    "n_trajectories": 12, "shard_size": 12, "temperature_K": 20.0, "duration_fs": 4096, "equilibration_fs": 0,
    "timestep_fs": 0.25, "velocity_every_fs": 1.0,
}  # fmt: skip
FREE_WATER = Atoms("OHH", 0.95 * np.array([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]))


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("salt")
    values = SALT | given(folder, {"kind": "rock-salt"}, rock_salt(1, 1, 1))
    return run_in_shards("vibrations", folder, values)


def test_cold_salt_absorbs_with_the_intensity_of_its_modes(salt: Path) -> None:
    (band,) = pandas.read_csv(salt / "infrared_bands.csv").to_dict("records")
    lines = pandas.read_csv(salt / "harmonic.csv")
    active = lines[lines["intensity_km_per_mol"] > 1]
    assert len(active) == 3, "one transverse mode of three directions in a cubic cell without its surface"
    assert band["harmonic_km_per_mol"] == pytest.approx(active["intensity_km_per_mol"].sum(), rel=1e-3)
    assert band["position_cm1"] == pytest.approx(active["wavenumber_cm1"].mean(), abs=2)
    error = (band["area_high_95"] - band["area_low_95"]) / (2 * 2.201)  # Student's t of twelve starts
    assert 0 < error < 0.3 * band["harmonic_km_per_mol"]
    assert abs(band["area_km_per_mol"] - band["harmonic_km_per_mol"]) < 4 * error
    assert np.isnan(band["area_model_std"]), "one model"
    spectrum = pandas.read_csv(salt / "infrared.csv")
    within = spectrum[spectrum["wavenumber_cm1"].between(band["low_cm1"], band["high_cm1"])]
    area = np.trapezoid(within["absorption"], within["wavenumber_cm1"])
    assert area == pytest.approx(band["area_km_per_mol"], rel=0.02)
    section = Section.read(salt)
    assert any("infrared_bands.csv" in table.file for table in section.tables)
    assert any("per mole of cells" in line for line in section.text)


def test_the_sum_of_intensities_is_that_of_born_charges(tmp_path: Path) -> None:
    """Σ I = N_A/(12 ε₀ c²) Σ_a |Z_a|²/m_a, 42.2561 km/mol for 1 (D/Å)²/amu, whatever the force constants."""
    values = SALT | given(tmp_path, {"kind": "rock-salt"}, rock_salt(1, 1, 1))
    subject = subject_of(load_settings(Vibrations, values))
    assert subject.dipole_slopes_e is not None
    per_mass = (subject.dipole_slopes_e**2).sum(axis=(1, 2)) / subject.atoms.get_masses()
    debye_per_e_A = 4.803205
    expected = 42.2561 * debye_per_e_A**2 * per_mass.sum()
    assert intensities_km_per_mol(subject).sum() == pytest.approx(expected, rel=1e-4)


def test_a_run_absorbs_what_its_born_charges_and_velocities_say(tmp_path: Path) -> None:
    """dμ/dt = Σ Z v where the slopes hardly change: at 5 K to a percent."""
    values = SALT | given(tmp_path, {"kind": "rock-salt"}, rock_salt(1, 1, 1))
    settings = load_settings(Vibrations, values)
    subject = subject_of(settings)
    _, runs = repeated(physics, settings, 1, [3])
    frames, dipoles = runs[3], Dipoles(subject.source, subject.atoms)
    series = np.array([dipoles(frame.positions) for frame in frames])
    velocities = np.array([frame.get_velocities() for frame in frames]) * fs
    rates = np.einsum("adx,tax->td", subject.dipole_slopes_e, velocities)
    spectrum = Spectrum(highest_cm1=600.0, temperature_K=5.0)
    wavenumbers, power = power_spectrum(rates, settings.velocity_every_fs, spectrum)
    found = absorption_of(series, settings)
    place = wavenumbers[found.argmax()]
    assert place == pytest.approx(wavenumbers[power.argmax()], abs=3)
    # N_A/(6 ε₀ c kT), of CODATA's constants: m² to km, times 100 m⁻¹ a cm⁻¹.
    avogadro, vacuum, light, boltzmann = 6.02214076e23, 8.8541878128e-12, 2.99792458e8, 1.380649e-23
    squares = (1.602176634e-19 * 1e-10) ** 2 * 1e15
    per_cm1 = avogadro * squares / (6 * vacuum * light * boltzmann * 5.0) * 1e2 / 1e3
    inside = np.abs(wavenumbers - place) < 30
    expected = np.trapezoid(power[inside], wavenumbers[inside]) * per_cm1
    assert expected > 0
    assert np.trapezoid(found[inside], wavenumbers[inside]) / expected == pytest.approx(1.0, rel=0.03)


def test_free_water_absorbs_as_its_modes_do(tmp_path: Path) -> None:
    twice = {"kind": "committee", "parts": [{"kind": "q-tip4p-f"}] * 2}
    out = run_in_shards("vibrations", tmp_path, WATER | given(tmp_path, twice, FREE_WATER))
    bands = pandas.read_csv(out / "infrared_bands.csv").dropna(subset=["harmonic_km_per_mol"])
    lines = pandas.read_csv(out / "harmonic.csv")
    assert len(lines) == 3
    strong = lines[lines["intensity_km_per_mol"] > 0.1 * lines["intensity_km_per_mol"].max()]
    for line in strong.to_dict("records"):
        near = bands[
            (bands["low_cm1"] <= line["wavenumber_cm1"]) & (bands["high_cm1"] > line["wavenumber_cm1"])
        ]
        (band,) = near.to_dict("records")
        error = (band["area_high_95"] - band["area_low_95"]) / (2 * 2.201)
        assert band["area_model_std"] == pytest.approx(0, abs=1e-6), "two members are one potential"
        assert band["area_total_high_95"] == pytest.approx(band["area_high_95"])
        assert abs(band["area_km_per_mol"] - band["harmonic_km_per_mol"]) < 4 * error


def test_liquid_water_has_a_dipole_and_what_has_none_says_so(tmp_path: Path) -> None:
    shifts = 3.1 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    liquid = Atoms("OHH" * 4, np.concatenate([FREE_WATER.positions + shift for shift in shifts]),
                   cell=6.2 * np.eye(3), pbc=True)  # fmt: skip
    slopes, why = slopes_of(load("q-tip4p-f"), liquid, "liquid")
    assert why == ""
    assert slopes is not None
    assert np.abs(slopes.sum(axis=0)).max() < 1e-9, "all atoms together change no dipole"
    bond = {"kind": "harmonic", "stiffness_eV_per_A2": 118.0, "length_A": 1.128}
    values = WATER | given(tmp_path, bond, Atoms("CO", [[0, 0, 0], [0, 0, 1.13]]))
    out = run_in_shards("vibrations", tmp_path, values)
    assert not (out / "infrared.csv").exists()
    assert pandas.read_csv(out / "harmonic.csv")["intensity_km_per_mol"].isna().all()
    assert any("No infrared spectrum: " in line and "no dipole" in line for line in Section.read(out).text)


def test_dipoles_that_are_called_back_have_their_slopes_by_differences() -> None:
    dipoles = Dipoles(load("q-tip4p-f"), FREE_WATER)
    expected = dipoles.born_charges(FREE_WATER.positions)
    assert dipoles.by_differences(FREE_WATER.positions) == pytest.approx(expected, abs=1e-9), (
        "linear in the places"
    )
    turned = FREE_WATER.copy()
    turned.rotate(40.0, (1, 2, 3))
    found, why = slopes_of(load("gfn2-xtb"), turned, "water")
    assert why == ""
    assert found is not None
    assert np.abs(found.sum(axis=0)).max() < 5e-3, "all atoms together change no dipole, but for its SCF"
    turned.calc = frazil.load("gfn2-xtb")
    before = turned.get_dipole_moment()
    turned.positions[1] += [0.02, 0, 0]
    along_x = (turned.get_dipole_moment() - before) / 0.02
    assert along_x == pytest.approx(found[1, :, 0], abs=0.01), "the dipole's component first"
    assert abs(found[1, 1, 0] - found[1, 0, 1]) > 0.03, "which matters: slopes are not symmetric"
    charges = np.trace(found, axis1=1, axis2=2) / 3
    assert charges[0] < -0.3 < 0 < charges[1]
    assert charges[1] == pytest.approx(charges[2], abs=5e-3)
