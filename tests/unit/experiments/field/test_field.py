"""Water and CO in fields: one molecule is exact by quadrature over its shape, its directions by Langevin."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms

import shards
from frazil.errors import UserError
from frazil.experiments.field import physics, results, subject
from frazil.experiments.field.settings import Field
from frazil.parameters import resolve
from frazil.potentials.analytic.water import (
    LENGTH_A,
    TO_OXYGEN,
    ANGLE_rad,
    BENDING_eV,
    CHARGE_e,
    DEPTH_eV,
    EXPONENT_per_A,
)
from frazil.potentials.polarizability import PolarizabilitySource
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.units import COULOMB_eV_A, kB
from shards import run_in_shards

TEMPERATURE_K, FIELDS = 1000.0, (0.0, 0.2, 1.0)
SMALL: dict[str, Any] = {
    "n_trajectories": 8, "shard_size": 8, "temperature_K": TEMPERATURE_K, "fields_V_per_A": list(FIELDS),
    "n_beads": [1, 13], "duration_fs": 3000, "equilibration_fs": 300, "timestep_fs": 0.5,
    "observe_every_fs": 10, "drive_V_per_A": 0.5, "drive_centre_fs": 120, "drive_width_fs": 30,
    "drive_duration_fs": 240, "drive_THz": 30.0,
}  # fmt: skip
BENT = 0.95 * np.array([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])
campaign = partial(run_in_shards, "field")


given = partial(shards.given, file="cluster.xyz")


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("water")
    return campaign(folder, {**SMALL, **given(folder, {"kind": "q-tip4p-f"}, Atoms("OHH", BENT))})


@cache
def exact(field_V_per_A: float) -> tuple[float, float]:
    """Return the mean dipole along the field, e Å, and the mean bond, Å, of a classical q-TIP4P/F molecule.

    Its shape (two bonds, the angle) has the weight r₁² r₂² sin θ, its directions sinh(x)/x, x = mE/kT.
    """
    thermal = kB * TEMPERATURE_K
    lengths, angles = np.linspace(0.7, 1.4, 61), np.linspace(0.8, 3.0, 81)
    r, s, angle = np.meshgrid(lengths, lengths, angles, indexing="ij")

    def stretched(r: np.ndarray) -> np.ndarray:
        z = EXPONENT_per_A * (r - LENGTH_A)
        return DEPTH_eV * (z**2 - z**3 + 7 / 12 * z**4)

    energy = stretched(r) + stretched(s) + 0.5 * BENDING_eV * (angle - ANGLE_rad) ** 2
    dipole = 0.5 * CHARGE_e * TO_OXYGEN * np.sqrt(r**2 + s**2 + 2 * r * s * np.cos(angle))
    x = dipole * max(field_V_per_A, 1e-9) / thermal
    weight = np.exp(-energy / thermal) * r**2 * s**2 * np.sin(angle) * np.sinh(x) / x
    langevin = dipole * (1 / np.tanh(x) - 1 / x)
    return tuple(float((weight * value).sum() / weight.sum()) for value in (langevin, r))  # type: ignore[return-value]


def test_polarization_and_bonds_are_exact_in_weak_and_strong_fields(water: Path) -> None:
    table = (
        pandas.read_csv(water / "response.csv").query("n_beads == 1").set_index(["quantity", "field_V_per_A"])
    )
    for field in FIELDS:
        for quantity, expected, most in zip(
            ("polarization", "O–H bond"), exact(field), (0.02, 0.0015), strict=True
        ):
            row = table.loc[(quantity, field)]
            error = (row["high_95"] - row["low_95"]) / (2 * 2.36)  # Student's t of eight starts
            assert error < most
            assert abs(row["value"] - expected * (field > 0 or quantity != "polarization")) < 4 * error, (
                quantity
            )
    assert exact(1.0)[0] > 2.5 * exact(0.2)[0]
    assert exact(1.0)[1] - exact(0.0)[1] > 0.002


def test_dipoles_without_a_field_tell_those_in_one(water: Path) -> None:
    """With classical nuclei as by quadrature; with beads too, whose rings turn as a whole."""
    table = pandas.read_csv(water / "langevin.csv").set_index(["n_beads", "field_V_per_A"])
    for field in FIELDS[1:]:
        assert table.loc[(1, field), "expected_e_A"] == pytest.approx(exact(field)[0], rel=0.01)
        for n_beads in (1, 13):
            row = table.loc[(n_beads, field)]
            error = (row["high_95"] - row["low_95"]) / (2 * 2.36)
            assert error < (0.1 if field == 0.2 else 0.02)
            assert abs(row["relative_difference"]) < 4 * error
            assert row["dipole_e_A"] == pytest.approx(
                row["expected_e_A"] * (1 + row["relative_difference"]), rel=0.01
            )
    linear = pandas.read_csv(water / "linear_response.csv").set_index(["n_beads", "by"])
    squared = (3 * kB * TEMPERATURE_K * linear.loc[(1, "fluctuations"), "value_e2_A2_per_eV"]) ** 0.5
    assert squared == pytest.approx(0.467, abs=0.005)


def test_energy_gained_is_the_work_of_the_pulse(water: Path) -> None:
    books = pandas.read_csv(water / "energy_books.csv")
    assert len(books) == 8
    assert (books["difference_meV"] != 0).all(), "no run of finite steps balances to the last digit"
    usual = np.sqrt((books["work_meV"] ** 2).mean())
    assert usual > 20
    assert books["difference_meV"].abs().median() < 0.002 * usual
    assert books["difference_meV"].abs().max() < 0.005 * usual
    np.testing.assert_allclose(books["gained_meV"] - books["work_meV"], books["difference_meV"], atol=1e-4)
    driven = pandas.read_csv(water / "driven.csv")
    assert driven["gained_meV"].iloc[-1] == pytest.approx(books["gained_meV"].mean(), abs=1.0)
    assert driven["field_V_per_A"].abs().max() == pytest.approx(0.5)


def test_section_tells_the_result_and_its_gates(water: Path) -> None:
    section = Section.read(water)
    assert section.headline.startswith("cluster at 1000 K in 1 V/Å: 0.")
    gates = {gate.name: gate for gate in section.gates}
    assert gates["runs that broke"].passed
    assert gates["energy gained less work, of the usual work, largest"].passed
    assert gates["dipole in stronger fields less Langevin's, classical nuclei (part)"].passed
    assert gates["the potential's error"].passed is None
    assert {figure.file for figure in section.figures} == {"polarization.svg", "drive.svg"}
    assert any("is neglected" in text for text in section.text)
    assert len(pandas.read_csv(water / "trajectories.csv")) == 8


def test_members_and_shards(tmp_path: Path) -> None:
    """A committee whose second member has shorter bonds; shards of any size give the same bytes."""
    members = [
        {
            "kind": "sum",
            "parts": [{"kind": "lennard-jones", "epsilon_eV": epsilon, "sigma_A": 0.7}, "q-tip4p-f"],
        }
        for epsilon in (0.01, 0.3)
    ]
    model = {"kind": "committee", "parts": members}
    values = {**SMALL, **given(tmp_path, model, Atoms("OHH", BENT)), "n_beads": [1], "n_trajectories": 4,
              "shard_size": 2, "duration_fs": 400}  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, sizes in ((whole, (4,)), (parts, (1, 3))):
        folder.mkdir()
        campaign(folder, values, sizes)
    for name in ("trajectories.csv", "response.csv", "energy_books.csv", "driven.csv"):
        assert (whole / "out" / name).read_bytes() == (parts / "out" / name).read_bytes(), name
    bonds = pandas.read_csv(whole / "out/response.csv").query("quantity == 'O–H bond'")
    assert (bonds["model_std"] > 0.002).all()
    assert bonds["total_high_95"].notna().all()


def test_frames_of_a_start_are_what_its_samples_say(tmp_path: Path) -> None:
    """Dipoles and bonds of the frames are the row's, run by run; rows are those of starts unseen."""
    atoms = Atoms("OHH", BENT)
    short = {"n_trajectories": 4, "duration_fs": 200, "equilibration_fs": 20, "drive_duration_fs": 150}
    values = {**SMALL, **given(tmp_path, {"kind": "q-tip4p-f"}, atoms), **short}
    settings = load_settings(Field, values)
    seen: dict[int, list[Atoms]] = {}
    rows = dict(physics.runner(settings, 1, seen.__setitem__)([1, 2], lambda: None))
    unseen = dict(physics.runner(settings, 1)([0, 1, 2], lambda: None))
    for identity, row in rows.items():
        for name in physics.ARRAYS:
            assert np.array_equal(row[name], unseen[identity][name], equal_nan=True), name
        assert row["mean_dipole_e_A"] == unseen[identity]["mean_dipole_e_A"] > 0.3
        n_sets, n_fields, n_samples = row["samples"].shape[:3]
        n_driven = len(row["driven"])
        assert len(seen[identity]) == n_sets * n_fields * (n_samples + 3) + n_driven
        compared = 0
        for frame in seen[identity]:
            assert (frame.info["trajectory_id"], frame.info["member"]) == (identity, 0)
            expected = dipole_of(frame)
            if frame.info["run"] == "driven":
                sample = round(frame.info["time_fs"] / settings.drive_every_fs)
                assert expected[2] == pytest.approx(row["driven"][sample, 2], abs=1e-9)
                since_fs = frame.info["time_fs"] - 120.0
                pulse = 0.5 * np.cos(2 * np.pi * 0.03 * since_fs) * np.exp(-0.5 * (since_fs / 30.0) ** 2)
                assert frame.info["field_V_per_A"] == pytest.approx(pulse, abs=1e-9)
                assert abs(frame.info["field_V_per_A"]) <= settings.drive_V_per_A
            elif (sample := round(frame.info["time_fs"] / 10) - 3) >= 0:
                of = (
                    settings.n_beads.index(frame.info["n_beads"]),
                    FIELDS.index(frame.info["field_V_per_A"]),
                )
                compared += 1
                # the dipole is linear in the positions, so that the centroids' is the beads' mean
                np.testing.assert_allclose(row["samples"][(*of, sample)][:3], expected, atol=1e-9)
        assert compared == n_sets * n_fields * n_samples


def dipole_of(frame: Atoms) -> np.ndarray:
    """Return the dipole (3,), e Å, of q-TIP4P/F water, O first: −q on M, q/2 on each H."""
    oxygen, *hydrogens = frame.positions
    middle = TO_OXYGEN * oxygen + (1 - TO_OXYGEN) * np.mean(hydrogens, axis=0)
    return np.asarray(CHARGE_e * (np.mean(hydrogens, axis=0) - middle))


def test_what_a_field_induces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CO, whose own dipole is next to nothing, has that of its bond's polarizability."""

    def bond(positions: jax.Array) -> jax.Array:
        along = positions[1] - positions[0]
        stretched = jnp.sqrt((along**2).sum()) - 1.13
        across = 1.78 + 0.7 * stretched
        return (across * jnp.eye(3) + (0.53 + 2.6 * stretched) * jnp.outer(along, along) / 1.13**2)[None]

    source = PolarizabilitySource("test", "test", lambda atoms: bond)
    monkeypatch.setattr(subject, "polarizability_of", lambda folder: source)
    model = {"kind": "van-hemert", "coupling_eV": 2.0, "with_dipole": True}
    values = {**SMALL, **given(tmp_path, model, Atoms("CO", [[0, 0, 0], [0, 0.3, 1.1]])),
              "n_beads": [1], "n_trajectories": 4, "fields_V_per_A": [0.0, 0.3], "temperature_K": 100.0,
              "duration_fs": 1000}  # fmt: skip
    out = campaign(tmp_path, values | {"polarizability": values["model"]})
    row = pandas.read_csv(out / "langevin.csv").iloc[0]
    induced = 0.3 * (2.31 + 2 * 1.78) / 3 / COULOMB_eV_A
    assert induced < row["expected_e_A"] < 1.2 * induced
    error = (row["high_95"] - row["low_95"]) / (2 * 3.18)
    assert error < 0.05
    assert abs(row["relative_difference"]) < 4 * error + 0.02, "α turns the molecule too: 1.3 %"
    books = pandas.read_csv(out / "energy_books.csv")
    assert (books["difference_meV"].abs() < 0.01 * np.sqrt((books["work_meV"] ** 2).mean())).all()
    assert not any("is neglected" in text for text in Section.read(out).text)


@pytest.mark.parametrize(
    ("model", "info", "change", "message"),
    [
        ({"kind": "lennard-jones", "epsilon_eV": 0.1, "sigma_A": 1}, {}, {}, "a field on Lennard"),
        ({"kind": "q-tip4p-f"}, {"charge": 1}, {}, r"cluster has a charge of \+1 e; .* would fly off"),
        ({"kind": "q-tip4p-f"}, {}, {"n_beads": [1, 10]}, r"10 beads for cluster at 1000 K, .* or more"),
        ({"kind": "q-tip4p-f"}, {}, {"timestep_fs": 2.5}, r"a time step of 2.5 fs .* 14 steps a period"),
        ({"kind": "q-tip4p-f"}, {}, {"drive_timestep_fs": 0.5}, "0.5 fs .* 28 steps a period"),
        ({"kind": "q-tip4p-f"}, {}, {"drive_THz": 400}, r"a field of 400 THz; .* lower timestep_fs"),
    ],
)  # fmt: skip
def test_bad_input_of_a_structure(
    tmp_path: Path, model: Any, info: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    atoms = Atoms("OHH", BENT, info=info)
    settings = load_settings(Field, {**SMALL, **given(tmp_path, model, atoms), **change})
    with pytest.raises(UserError, match=message):
        subject.subject_of(settings)


def test_a_potential_whose_charges_do_not_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(tmp_path, {"kind": "q-tip4p-f"}, Atoms("OHH", BENT))
    monkeypatch.setattr(subject, "_dipole_and_charge", lambda source, atoms: (np.ones(3), 0.01))
    with pytest.raises(UserError, match=r"cluster has a charge of \+0\.01 e; .* would fly off"):
        subject.subject_of(load_settings(Field, {**SMALL, **found}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fields_V_per_A": "0.1,0.2"}, "fields_V_per_A.*0, whose fluctuations tell the response"),
        ({"fields_V_per_A": "0,0.2,0.1"}, "fields_V_per_A.*rising"),
        ({"n_beads": "80"}, "n_beads.*allowed: 1, whose frames"),
        ({"equilibration_fs": 1010}, "equilibration_fs.*a whole number of"),
        ({"drive_every_fs": 0.3}, "drive_every_fs.*a whole number of"),
        ({"drive_centre_fs": 100}, "drive_centre_fs.*at least 3 times"),
        ({"drive_duration_fs": 10}, "drive_duration_fs.*at least 20 times"),
    ],
)
def test_settings_that_do_not_go_together(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve({"experiments": "field", "field": asked})


def test_langevins_function_and_its_logarithm() -> None:
    x = np.array([0.0, 1e-5, 0.01, 1.0, 30.0, 700.0])
    series = results._langevin_function(x)
    np.testing.assert_allclose(series[1:3], x[1:3] / 3, rtol=1e-5)
    assert series[3] == pytest.approx(1 / np.tanh(1) - 1, rel=1e-12)
    assert series[5] == pytest.approx(1 - 1 / 700)
    slope = np.diff(results._log_sinhc(x[3] + np.array([-1e-5, 1e-5])))[0] / 2e-5
    assert slope == pytest.approx(series[3], rel=1e-8), "L is the slope of ln(sinh x / x)"
    assert np.isfinite(results._log_sinhc(x)).all()
