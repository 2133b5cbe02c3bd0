"""Raman spectra of the α-CO crystal: harmonic areas, symmetry's forms, tables that agree, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")

from crystals import labels, moved
from frazil.errors import UserError
from frazil.experiments.raman import physics, results
from frazil.experiments.raman.settings import Raman, shipped
from frazil.experiments.raman.subject import subject_of
from frazil.learning.polarizability import fit, write_learned
from frazil.md.integrity import BROKEN, WholeMolecules
from frazil.parameters import resolve
from frazil.potentials.learned_polarizability import Moments
from frazil.report.section import Section
from frazil.settings import load as load_settings
from shards import run_in_shards

ASSETS = Path(__file__).parents[4] / "assets"
FILES = {name: str(ASSETS / file) for name, file in shipped(load_settings(Raman, {})).items()}
SMALL: dict[str, Any] = {
    **FILES, "temperatures_K": [10.0], "n_trajectories": 4, "shard_size": 4, "equilibration_fs": 1000.0,
    "duration_fs": 6000.0, "depth_fs": 3000.0, "n_angles": 13, "band_halfwidth_cm1": 12.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_in_shards("raman", tmp_path_factory.mktemp("raman"), SMALL)


def test_bands_are_where_harmonic_lines_are_and_as_strong(crystal: Path) -> None:
    bands = pandas.read_csv(crystal / "raman_bands.csv")
    for line, tolerance in ((31.3, 2.0), (2199.3, 2.5)):
        band = bands.iloc[(bands["position_cm1"] - line).abs().argmin()]
        assert band["position_cm1"] == pytest.approx(line, abs=tolerance)
        assert band["harmonic_cm1"] == pytest.approx(line, abs=1.0)
        # Four starts at 10 K: a mode's energy has the standard deviation of its mean.
        spread = 4 * np.sqrt(2 / (4 * band["n_modes"]))
        assert 1 - min(spread, 0.9) < band["area"] / band["harmonic_area"] < 1 + spread


def test_angles_are_arithmetic_of_the_cross_spectra(crystal: Path) -> None:
    cross = pandas.read_csv(crystal / "cross_spectra.csv").pivot(
        index="wavenumber_cm1", columns="components", values="activity_A4_cm_per_amu"
    )
    oriented = pandas.read_csv(crystal / "oriented.csv")
    part = oriented[(oriented["geometry"] == "parallel") & (oriented["angle_deg"] == 0)]
    at_45 = oriented[(oriented["geometry"] == "crossed") & (oriented["angle_deg"] == 45)]
    nu = cross.index.to_numpy()
    factor = (1 - nu / (1e7 / 532.0)) ** 4 / nu / -np.expm1(-nu * 1.438777 / 10.0)
    assert part["intensity"].to_numpy() == pytest.approx(factor * cross["xx,xx"], rel=1e-5)
    across = (cross["xx,xx"] + cross["yy,yy"] - 2 * cross["xx,yy"]) / 4
    assert at_45["intensity"].to_numpy() == pytest.approx(
        factor * across, rel=1e-4, abs=1e-6 * float(at_45["intensity"].max())
    )


def test_symmetry_s_forms_and_silence(crystal: Path) -> None:
    gates = {gate.name: gate for gate in Section.read(crystal).gates}
    assert gates["intensity left where symmetry forbids it, of the brightest"].value < 0.01
    assert gates["∂α/∂Q against differences, of the largest"].value < 1e-6
    assert gates["the model's error"].passed is None
    assert all(gate.passed for gate in gates.values() if gate.name != "the model's error")
    # Stretches: parallel A/3 + T sin²2θ/2, crossed T cos²2θ/2 for squares A and T of all components.
    angles = pandas.read_csv(crystal / "raman_angles.csv")
    modes = pandas.read_csv(crystal / "harmonic.csv")
    stretch = modes[modes["wavenumber_cm1"] > 2000]
    a = ((stretch["r_xx"] + stretch["r_yy"] + stretch["r_zz"]) ** 2).sum() / 3
    t = 2 * (stretch["r_xy"] ** 2 + stretch["r_xz"] ** 2 + stretch["r_yz"] ** 2).sum() / 3
    own = angles[angles["band"] == angles["band"].max()]
    theta = np.deg2rad(own["angle_deg"])
    told = np.where(
        own["geometry"] == "parallel", a / 3 + t / 2 * np.sin(2 * theta) ** 2, t / 2 * np.cos(2 * theta) ** 2
    )
    ratio = own["harmonic_area"] / told
    seen = told > 1e-6 * told.max()
    assert ratio[seen].to_numpy() == pytest.approx(float(ratio[seen].mean()), rel=5e-3)
    assert own["harmonic_area"][~seen].max() < 1e-6 * own["harmonic_area"].max()


def test_a_learned_polarizability_sees_the_same_runs(crystal: Path, tmp_path: Path) -> None:
    frames = moved(90)
    learned = fit(frames, labels(frames), Moments((6, 8), 5.0, 2), n_members=3, campaign_seed=1)
    folder = tmp_path / "learned"
    write_learned(folder, learned, "co-bonds", len(frames))
    out = run_in_shards("raman", tmp_path, {**SMALL, "polarizability": str(folder)})
    truth, found = (pandas.read_csv(x / "raman_angles.csv") for x in (crystal, out))
    bands, true_bands = (pandas.read_csv(x / "raman_bands.csv") for x in (out, crystal))
    assert bands["area_model_std"].notna().all()
    assert bands["area_total_high_95"].gt(bands["area_high_95"]).all()
    for line in (31.3, 2199.3):
        one, other = (b.iloc[(b["position_cm1"] - line).abs().argmin()] for b in (bands, true_bands))
        assert one["area"] == pytest.approx(other["area"], rel=0.3)
        assert one["area_total_low_95"] < other["area"] < one["area_total_high_95"]
    assert set(truth["geometry"]) == set(found["geometry"])
    assert any("members are of the polarizability" in text for text in Section.read(out).text)
    rows = pandas.read_csv(out / "trajectories.csv")
    assert len(rows) == 4, "one potential runs, whatever sees it"


def test_the_report_has_its_parts(crystal: Path) -> None:
    section = Section.read(crystal)
    assert [figure.file for figure in section.figures] == [
        "raman_map.svg", "raman_polar.svg", "raman_powder.svg"
    ]  # fmt: skip
    assert not any(figure.left_out for figure in section.figures if figure.file != "raman_polar.svg")
    assert "at any angle of the polarizer" in section.headline
    rows = pandas.read_csv(crystal / "trajectories.csv")
    assert list(rows["trajectory_id"]) == [0, 1, 2, 3]
    assert (rows["outcome"] == "finished").all()
    for name in ("raman_spectra", "oriented", "raman_angles"):
        assert pandas.read_csv(crystal / f"{name}.csv")["model_std"].isna().all()


def test_a_molecule_under_a_committee_of_both_in_pairs(tmp_path: Path) -> None:
    """A CO bond of two stiffnesses, α learnt of a molecule along z: lines and areas by hand."""
    stiffness = (117.0, 119.0)
    parts = [{"kind": "harmonic", "stiffness_eV_per_A2": k, "length_A": 1.128} for k in stiffness]
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text(json.dumps({"kind": "committee", "parts": parts}))
    Atoms("CO", [[0, 0, 0], [0, 0, 1.14]]).write(tmp_path / "CO.extxyz")
    frames = [Atoms("CO", [[0, 0, 0], [0, 0, length]]) for length in np.linspace(1.05, 1.2, 40)]
    stretch = np.array([atoms.positions[1, 2] - 1.128 for atoms in frames])
    alpha = np.stack([np.diag([1.8 + 0.7 * s, 1.8 + 0.7 * s, 2.3 + 3.3 * s]) for s in stretch])
    learned = fit(frames, alpha, Moments((6, 8), 5.0, 4), n_members=2, campaign_seed=1)
    write_learned(tmp_path / "learned", learned, "by hand", len(frames))
    values = {
        "structure": str(tmp_path / "CO.extxyz"), "model": str(tmp_path / "model"),
        "polarizability": str(tmp_path / "learned"), "temperatures_K": [100.0], "n_trajectories": 6,
        "shard_size": 6, "equilibration_fs": 0.0, "duration_fs": 4096.0, "depth_fs": 2048.0, "n_angles": 5,
        "band_halfwidth_cm1": 40.0, "lowest_cm1": 20.0, "zero_along": [1, 0, 0], "light_along": [0, 1, 0],
    }  # fmt: skip
    out = run_in_shards("raman", tmp_path, values)
    (band,) = pandas.read_csv(out / "raman_bands.csv").to_dict("records")
    mass = 12.011 * 15.999 / (12.011 + 15.999)
    lines = np.sqrt(np.array(stiffness) / mass) * 521.47  # cm⁻¹ of √(eV/Å²/amu)
    assert band["position_cm1"] == pytest.approx(lines.mean(), abs=1.5)
    assert band["model_std_cm1"] == pytest.approx(lines.std(ddof=1), rel=0.1)
    assert band["n_modes"] == 1
    rows = pandas.read_csv(out / "trajectories.csv")
    assert list(rows["member"]) == [0, 1] * 6
    modes = pandas.read_csv(out / "harmonic.csv")
    assert abs(modes["r_zz"][0]) == pytest.approx(3.3 / np.sqrt(mass), rel=0.02)
    assert abs(modes["r_xx"][0]) == pytest.approx(0.7 / np.sqrt(mass), rel=0.02)
    # The polarizer goes from x to −z: at 90° parallel the light sees r_zz alone, at 0° r_xx.
    angles = pandas.read_csv(out / "raman_angles.csv").query("geometry == 'parallel'").set_index("angle_deg")
    assert angles["area"][90] / angles["area"][0] == pytest.approx((3.3 / 0.7) ** 2, rel=0.05)
    assert 0.25 < angles["area"][90] / angles["harmonic_area"][90] < 2.5, "the energy of six starts"


def test_temperatures_go_in_turn() -> None:
    settings = load_settings(Raman, {**SMALL, "temperatures_K": [10.0, 20.0], "n_trajectories": 4})
    assert [physics.temperature_of(settings, number) for number in range(4)] == [10.0, 20.0, 10.0, 20.0]


def test_a_molecule_that_came_apart_is_told() -> None:
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], cell=[6] * 3, pbc=True)
    atoms.positions[1, 2] -= 6.0  # in the next cell
    rule = WholeMolecules.at_rest(atoms)

    class Now:
        positions = atoms.positions

    assert int(rule(Now, None)) == 0  # type: ignore[arg-type]
    Now.positions = atoms.positions + np.array([[0, 0, 0], [0, 0, 0.7]])
    assert int(rule(Now, None)) == BROKEN  # type: ignore[arg-type]
    assert int(WholeMolecules.at_rest(Atoms("Ar", cell=[9] * 3, pbc=True))(Now, None)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"zero_along": "0,0,2"}, "at right angles to --raman.light_along, now 0,0,1, since"),
        ({"zero_along": "0,0,0"}, "an angle needs two vectors"),
        ({"light_along": "1,0"}, "raman.light_along: given 1,0"),
        ({"temperatures_K": "10,20,30"}, "a multiple of the number of --raman.temperatures_K"),
        ({"depth_fs": 30000}, "at most half of --raman.duration_fs"),
        ({"lowest_cm1": 1}, r"at least the resolution, 33,356 cm⁻¹ over --raman.depth_fs"),
        ({"band_halfwidth_cm1": 1}, r"at least the resolution, 33,356 cm⁻¹ over --raman.depth_fs"),
        ({"laser_nm": 3000}, "below the light's own wavenumber"),
        ({"polarizability_every_fs": 10}, r"raman.highest_cm1.*allowed: at most 1/\(2c\)"),
        ({"model": str(ASSETS / "potentials/alpha-co")}, "raman.structure"),
    ],
)
def test_settings_that_contradict_each_other(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve({"experiments": "raman", **{f"raman.{name}": value for name, value in changed.items()}})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"light_along": (1.0, 1.0, 0.0), "zero_along": (0.0, 0.0, 1.0)},
         r"axes are taken from its file: a along \(1, 0, 0\), b along .*Light along no axis of this setting"),
        ({"timestep_fs": 1.0}, "20 steps a period"),
        ({"highest_cm1": 2300.0}, "its fastest mode has 22"),
        ({"model": "free"}, "is a crystal, and .* of kind van-hemert is for free atoms"),
        ({"structure": "small"}, "needs 11.2 Å or more: repeat the cell"),
        ({"structure": "slab"}, "periodic along a, b only"),
        ({"structure": "atom"}, "holds a single atom, which has no vibrations"),
        ({"polarizability": FILES["model"]}, "holds a 'co-crystal', no polarizability"),
    ],
)  # fmt: skip
def test_what_cannot_be_run(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"kind": "van-hemert", "coupling_eV": 0.0}))
    cell = {"cell": [5.65] * 3, "pbc": True}
    Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], **cell).write(tmp_path / "small.extxyz")
    Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], cell=[12] * 3, pbc=[1, 1, 0]).write(tmp_path / "slab.extxyz")
    Atoms("Ar", cell=[12] * 3, pbc=True).write(tmp_path / "atom.extxyz")
    own = {"free": tmp_path, **{name: tmp_path / f"{name}.extxyz" for name in ("small", "slab", "atom")}}
    values = {**SMALL, **{k: str(own.get(v, v)) if isinstance(v, str) else v for k, v in changed.items()}}
    with pytest.raises(UserError, match=told):
        subject_of(load_settings(Raman, values))


def test_a_form_fits_what_harmonic_patterns_can_and_is_none_without_them() -> None:
    turn = np.deg2rad(np.arange(0.0, 180.0, 15.0))
    patterns = np.stack([np.cos(turn) ** 2, np.sin(turn) ** 2, 0 * turn])
    areas = 3 * patterns[0] + 0.5 * patterns[1]
    assert results._fitted(patterns, areas) == pytest.approx(areas)
    negative = results._fitted(patterns, 3 * patterns[0] - 0.5 * patterns[1])
    assert (np.asarray(negative) >= 0).all()
    assert np.isnan(results._fitted(np.zeros_like(patterns), areas))


def test_a_form_that_is_not_there_is_told() -> None:
    rows = pandas.DataFrame(
        {
            "form_area": [1.0, 2.0, np.nan, 5.0], "low_95": [0.5, 2.5, 0.0, 4.0],
            "high_95": [1.5, 3.0, 1.0, 6.0],
            "total_low_95": [np.nan] * 4, "total_high_95": [np.nan] * 4,
        }
    )  # fmt: skip
    assert results.form_within(rows) == pytest.approx(2 / 3)
    assert np.isnan(results.form_within(rows.assign(form_area=np.nan)))
