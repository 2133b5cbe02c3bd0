"""From dipoles to tables: columns of the contract, errors, bands, sums, gates."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase.io
import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase.build import molecule

pytest.importorskip("optax")
pytest.importorskip("featomic")
pytest.importorskip("tblite")

import kept
from frazil.analysis.normal_modes import Modes
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import LIGHT_cm_per_fs, average
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.infrared import dynamics, results
from frazil.experiments.infrared.batches import like_sizes
from frazil.experiments.infrared.dipoles import Dipoles, read_dipoles
from frazil.experiments.infrared.dynamics import run_dipoles
from frazil.experiments.infrared.labels import Labels
from frazil.experiments.infrared.minima import Reference, find_minima, read_minima
from frazil.experiments.infrared.repeated import repeat as infrared_repeat
from frazil.experiments.infrared.settings import ClusterSpectrum, Runs
from frazil.experiments.infrared.spectra_tables import (
    Mean,
    bands,
    compared,
    convergence,
    mean_spectra,
    numbers_of,
    silicate_bands,
    sums,
)
from frazil.experiments.infrared.tables import RUNS
from frazil.experiments.repeated import keep, repeat
from frazil.files import write_json
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import Committee
from frazil.potentials.gmnn.files import read_model, write_model
from frazil.potentials.interface import Batched, Evaluation
from frazil.pytrees import pytree
from frazil.report.movie import read as read_movie
from frazil.report.section import Section
from frazil.systems.minima import Minimum, ModelModes

LINES_cm1 = {"P1": (450.0, 1030.0), "P2": (470.0, 1040.0)}


def dipoles(structure: str, engine: str, members: int, shift_cm1: float = 0.0, seed: int = 0) -> Dipoles:
    """Noisy runs of two lines; members differ by 4 % in the second line's height."""
    rng = np.random.default_rng(seed)
    time = 2.0 * np.arange(2001)
    runs = np.zeros((members, 2, 4, len(time), 3))
    for index in np.ndindex(members, 2, 4):
        for line, height in zip(LINES_cm1[structure], (1.0, 0.8 + 0.04 * index[0]), strict=True):
            phase = rng.uniform(0, 2 * np.pi)
            size = height * rng.normal(1.0, 0.05)
            wave = np.cos(2 * np.pi * LIGHT_cm_per_fs * (line + shift_cm1) * time + phase)
            runs[index] += 0.02 * size * wave[:, None] * np.array([1.0, 0.5, 0.0])
    of_runs = (
        np.full((members, 2, 4), 300.0),
        np.full((members, 2, 4), "finished"),
        np.full((members, 2, 4), 4e3),
        np.full((members, 2, 4), -0.01),
    )
    return Dipoles(structure, engine, 2.0, np.array([300.0, 600.0]), runs, *of_runs)


def test_mean_spectra_know_their_errors_and_count_lost_runs() -> None:
    given = dipoles("P1", "model", 3)
    given.dipoles_e_A[1, 0, 2, 500:] = np.nan
    given.outcomes[1, 0, 2] = "broken"
    first, second = mean_spectra(given, Spectrum(highest_cm1=1500.0))
    assert (first.spectrum.n_runs, first.n_lost) == (11, 1)
    assert (second.spectrum.n_runs, second.n_lost) == (12, 0)
    table = second.table()
    peak = table.loc[table["intensity"].idxmax()]
    assert peak["low_95"] < peak["intensity"] < peak["high_95"]
    assert peak["total_low_95"] <= peak["low_95"]
    one = mean_spectra(dipoles("P1", "label", 1), Spectrum())[0].table()
    assert one["model_std"].isna().all()
    assert one["total_low_95"].isna().all()
    jumping = dipoles("P1", "model", 3)
    jumping.dipoles_e_A[0, 0, 0, 800:] += 3.0
    first = mean_spectra(jumping, Spectrum())[0]
    assert (first.spectrum.n_runs, first.n_lost) == (11, 1), "a molecule that came apart"
    assert Counter(given.table()["outcome"]) == {"finished": 23, "broken": 1}
    given.outcomes[:, 1] = "broken"
    with pytest.raises(UserError, match="P1 at 600 K: all 12 runs of the model broke"):
        mean_spectra(given, Spectrum())


def test_a_band_counts_starts_and_not_the_runs_that_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight starts, three members, correlation 0.9 between runs of one start: 95 % hold, as they say."""
    wavenumbers, rng = np.arange(500.0), np.random.default_rng(5)
    shared, own = rng.normal(size=(1, 8, 500)), rng.normal(size=(3, 8, 500))
    runs = 10 + np.sqrt(0.9) * shared + np.sqrt(0.1) * own
    monkeypatch.setattr(
        "frazil.experiments.infrared.spectra_tables.infrared_spectrum",
        lambda run, *_: (wavenumbers, runs[tuple(run[0, :2].astype(int))]),
    )
    places = np.zeros((3, 1, 8, 10, 3))
    places[..., 0] = np.arange(3)[:, None, None, None]
    places[..., 1] = np.arange(8)[:, None]
    zero = np.zeros((3, 1, 8))
    ended = (zero, np.full((3, 1, 8), "finished"), zero, zero)
    (mean,) = mean_spectra(Dipoles("P1", "model", 1.0, np.array([300.0]), places, *ended), Spectrum())
    table = mean.table()
    assert ((table["low_95"] <= 10) & (table["high_95"] >= 10)).mean() == pytest.approx(0.95, abs=0.03)
    assert ((table["total_low_95"] <= 10) & (table["total_high_95"] >= 10)).mean() >= 0.94
    assert mean.estimate.model_std.mean() < 0.1  # what members share by their starts is not theirs
    assert (table["n_runs"].iloc[0], table["n_starts"].iloc[0]) == (24, 8)


def test_bands_and_likeness_of_shifted_spectra() -> None:
    chosen = Spectrum(highest_cm1=2000.0)
    label = mean_spectra(dipoles("P1", "label", 1), chosen)[0]
    same = mean_spectra(dipoles("P1", "model", 3, seed=1), chosen)[0]
    moved = mean_spectra(dipoles("P1", "model", 3, 12.0, seed=1), chosen)[0]
    assert bands(same, label)["difference_cm1"].abs().max() < 3
    assert bands(moved, label)["difference_cm1"].to_numpy() == pytest.approx([12.0, 12.0], abs=3)
    assert bands(moved, label)["label_cm1"].to_numpy() == pytest.approx(LINES_cm1["P1"], abs=3)
    places = bands(same, label)
    assert (places["stat_se_cm1"] >= 0).all()
    assert (places["model_std_cm1"] >= 0).all()
    assert (places["total_low_95_cm1"] <= places["model_cm1"]).all()
    assert (places["model_cm1"] <= places["total_high_95_cm1"]).all()
    assert (places["total_high_95_cm1"] - places["total_low_95_cm1"]).max() < 30
    assert bands(label, label)["total_low_95_cm1"].isna().all()
    likeness = compared(same, label)
    assert likeness["cosine"] > 0.99
    assert likeness["label_noise_floor"] > 0.98
    assert compared(moved, label)["cosine"] < likeness["cosine"]


def test_sums_over_sizes_have_a_wavelength_axis() -> None:
    means = [m for name in LINES_cm1 for m in mean_spectra(dipoles(name, "model", 2), Spectrum())]
    table = sums(means, {"P1": "MgO3Si", "P2": "Mg2O6Si2"})
    assert set(table["family"]) == {"pyroxene"}
    assert (table["n_structures"] == 2).all()
    assert table["wavelength_um"].to_numpy() == pytest.approx(1e4 / table["wavenumber_cm1"].to_numpy())
    found = silicate_bands(table)
    assert found["peak_um"].to_numpy() == pytest.approx([1e4 / 1035.0] * 2, abs=0.15)
    other = sums(means, {"P1": "Mg2O4Si", "P2": "H2O"})
    assert set(other["family"]) == {"olivine", "H2O"}


@pytest.fixture(scope="module")
def minima(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minima")
    molecule("H2O").write(folder / "P1.xyz")
    find_minima([folder / "P1.xyz"], folder / "minima.extxyz", "gfn2-xtb", "relax")
    return folder / "minima.extxyz"


def test_harmonic_errors_do_not_cancel() -> None:
    """One mode 3 cm⁻¹ too high and one 5 too low err by 4 in the mean; intensities 10 and −20 by 15."""
    columns = ["structure", "method", "mode", "wavenumber_cm1", "intensity_km_per_mol"]
    rows = [("P1", "label", 1, 300.0, 50.0), ("P1", "label", 2, 900.0, 80.0),
            ("P1", "model", 1, 303.0, 60.0), ("P1", "model", 2, 895.0, 60.0)]  # fmt: skip
    found = results.harmonic_errors(pandas.DataFrame(rows, columns=columns)).set_index("structure")
    for name in ("P1", "all"):
        assert found.loc[name].tolist() == pytest.approx([2, 4.0, 15.0])


def test_tables_and_section_of_a_run(minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = read_minima(minima)[0]

    def modes(model: object, reference: Reference) -> ModelModes:
        own = reference.minimum.modes
        moved = Modes(own.wavenumbers_cm1 + 5.0, own.intensities_km_per_mol, own.displacements)
        return ModelModes(
            Minimum(reference.minimum.atoms, moved),
            moved.wavenumbers_cm1 + np.sqrt([[2.0], [2.0]]) * [[1], [-1]],
        )

    monkeypatch.setattr(results, "_modes", modes)
    learned = tmp_path / "learned"
    architecture = Architecture(("H", "O"), n_radial=1, hidden=(4,), heads=("energy", "charge"))
    metadata = {"label_level": "gfn2-xtb", "training_data_sha256": "0"}
    write_model(learned / "model.h5", architecture, initialize_committee(architecture, 1, 2), metadata)
    rattled = [reference.minimum.atoms.copy() for _ in range(4)]
    for number, atoms in enumerate(rattled):
        atoms.rattle(0.05, seed=number)
    labelled = Labels("gfn2-xtb").of(rattled)[0]
    write_frames(learned / "frames.extxyz", labelled)
    write_frames(learned / "test.extxyz", labelled[1:])
    for name, text in (
        ("rounds", "round,n_train,harmonic_mae_cm1,energy_rmse_meV_per_atom,force_rmse_eV_per_A,"
         "dipole_rmse_e_A,force_std_eV_per_A,force_factor,limit_force_std_eV_per_A\n"
         "0,54,5.1,2.1,0.05,0.01,0.04,1.2,0.1\n1,80,3.1,1.1,0.03,0.01,0.02,1.1,0.1\n"),
        ("active_learning", "round,structure,temperature_K,time_fs,committee_std_meV_per_atom,selected,"
         "replica,outcome,force_std_eV_per_A,fate\n0,P1,400,52,3.1,1,0,uncertain,0.2,labelled\n"),
        ("calibration", "round,force_std_eV_per_A,force_error_eV_per_A,energy_std_meV_per_atom,"
         "energy_error_meV_per_atom\n0,0.1,0.2,1,2\n0,0.05,0.04,1,2\n1,0.1,0.1,1,1\n1,0.02,0.03,1,1\n"),
        ("harmonic_rounds", "round,P1\n0,5.1\n1,3.1\n"),
    ):  # fmt: skip
        (learned / f"{name}.csv").write_text(text)
    files = []
    for engine, members in (("model", 2), ("label", 1)):
        files.append(tmp_path / f"{engine}.h5")
        dipoles("P1", engine, members).write(files[-1])

    out = tmp_path / "infrared"
    results.analyse(minima, learned, files, out, spectrum=ClusterSpectrum(highest_cm1=1500.0))

    first = {
        "harmonic": [
            "structure", "method", "mode", "wavenumber_cm1", "intensity_km_per_mol", "model_std_cm1",
        ],
        "spectra": [
            "structure", "temperature_K", "wavenumber_cm1", "intensity", "low_95", "high_95", "n_runs",
        ],
        "active_learning": [
            "round", "structure", "temperature_K", "time_fs", "committee_std_meV_per_atom", "selected",
        ],
        "rounds": [
            "round", "n_train", "harmonic_mae_cm1", "energy_rmse_meV_per_atom", "force_rmse_eV_per_A",
        ],
    }  # fmt: skip
    for name, columns in first.items():
        assert list(pandas.read_csv(out / f"{name}.csv").columns[: len(columns)]) == columns
    errors = pandas.read_csv(out / "errors.csv").set_index(["subset", "quantity"])
    assert {subset for subset, _ in errors.index} == {"train", "validation", "calibration", "test"}
    parity = pandas.read_csv(out / "dipole_parity.csv")
    label_D = np.concatenate([atoms.get_dipole_moment() for atoms in labelled[1:]]) / 0.20819434
    np.testing.assert_allclose(parity["label_D"], label_D, rtol=1e-6)
    missed = parity["model_D"] - parity["label_D"]
    row = errors.loc[("test", "dipole")]
    assert (row["unit"], row["n"]) == ("D", 9)
    assert (row["mae"], row["rmse"]) == pytest.approx(
        [missed.abs().mean(), np.sqrt((missed**2).mean())], rel=1e-4
    )
    found = Committee(read_model(learned / "model.h5")).predict(labelled[1:2])[0]
    energy = 1000 * (found.energy_eV - labelled[1].get_potential_energy()) / 3
    assert errors.loc[("test", "energy")]["max"] >= 0.999 * abs(energy)
    harmonic = pandas.read_csv(out / "harmonic.csv")
    assert list(harmonic["method"]) == ["label"] * 3 + ["model"] * 3
    assert list(harmonic["mode"]) == [1, 2, 3] * 2
    assert harmonic["model_std_cm1"].notna().tolist() == [False] * 3 + [True] * 3
    off = pandas.read_csv(out / "harmonic_errors.csv").set_index("structure")
    assert off.index.tolist() == ["P1", "all"]
    assert off.loc["all"].tolist() == pytest.approx([3, 5.0, off.loc["P1", "intensity_mae_km_per_mol"]])
    intensities = harmonic["intensity_km_per_mol"].to_numpy()
    assert off.loc["P1", "intensity_mae_km_per_mol"] == pytest.approx(
        np.abs(intensities[3:] - intensities[:3]).mean(), rel=1e-4
    )
    section = json.loads((out / "section.json").read_text())
    gates = {gate["name"]: gate for gate in section["gates"]}
    assert gates["Harmonic wavenumbers (mean absolute error, cm⁻¹)"]["value"] == pytest.approx(5.0)
    assert gates["Harmonic wavenumbers (mean absolute error, cm⁻¹)"]["passed"] is True
    assert gates["Model runs that broke"]["passed"] is True
    assert {figure["file"] for figure in section["figures"]} == {
        "learning.svg", "calibration_points.svg", "spectrum_P1.svg", "summed.svg", "dipole_parity.svg",
        "convergence.svg", "spectra_by_starts_P1.svg",
    }  # fmt: skip
    by_starts = pandas.read_csv(out / "spectra_by_starts_P1.csv")
    own = by_starts[by_starts["engine"] == "model"]
    whole = own[own["n_starts"] == own["n_starts"].max()].sort_values(["temperature_K", "wavenumber_cm1"])
    spectra = pandas.read_csv(out / "spectra.csv")["intensity"]
    np.testing.assert_allclose(whole["intensity"], spectra, rtol=1e-4, atol=1e-6)
    for item in [*section["figures"], *section["tables"]]:
        assert (out / item["file"]).is_file()
    kept.check(out, "infrared", rel=2e-4)  # labels of tblite, an untrained network
    dipoles("P2", "model", 1).write(tmp_path / "P2.h5")
    with pytest.raises(UserError, match=r"dipoles of P2, which .* does not hold"):
        results.analyse(minima, learned, [tmp_path / "P2.h5"], out)


def test_spectra_of_more_starts_are_more_alike() -> None:
    """One line under white noise: 1/cosine − 1 of two means of n starts falls as 1/n."""
    assert numbers_of(1) == [1]
    assert numbers_of(6) == [1, 2, 4, 6]
    wavenumbers = np.linspace(0.0, 1500.0, 600)
    line = np.exp(-(((wavenumbers - 800.0) / 60.0) ** 2))
    noise = np.random.default_rng(3).normal(scale=1.0, size=(1, 64, 600))
    runs = line + noise
    mean = Mean("P1", 300.0, average([(wavenumbers, one) for one in runs[0]]), runs, 0)
    table = convergence("model", mean)
    assert table["n_starts"].tolist() == [1, 2, 4, 8, 16, 32]
    lost = 1 / table["mean_cosine"].to_numpy() - 1
    assert lost[-1] * 32 == pytest.approx(lost[2] * 4, rel=0.35)
    assert (table["least_cosine"] <= table["mean_cosine"]).all()


def test_one_round_of_learning_is_compared_with_nothing() -> None:
    methods = {"structure": ["P1"] * 2, "mode": [1, 1], "method": ["label", "model"]}
    tables = {
        "rounds": pandas.DataFrame({"force_rmse_eV_per_A": [0.02]}),
        "harmonic": pandas.DataFrame(methods | {"wavenumber_cm1": [300.0, 302.0]}),
        "spectra": pandas.DataFrame({"structure": ["P1"], "temperature_K": [300.0], "n_lost": [0]}),
    }
    gate = results._gates(tables)[1]
    assert gate.value == 0.02
    assert gate.passed is None


def test_labels_own_dynamics_do_not_depend_on_the_batch(
    minima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = Runs((300.0,), campaign_seed=1, n_replicas=1, duration_fs=10.0, equilibration_fs=2.0)
    found = []
    for n_replicas in (1, 3):
        settings = Runs(**{**vars(short), "n_replicas": n_replicas})
        run_dipoles(minima, ["P1"], "label", tmp_path, tmp_path / "checkpoints", settings)
        found.append(read_dipoles(tmp_path / "dipoles-P1-label.h5"))
    assert found[0].dipoles_e_A.shape == (1, 1, 1, 11, 3)
    assert found[1].dipoles_e_A[0, 0, 0] == pytest.approx(found[0].dipoles_e_A[0, 0, 0], abs=1e-12)
    damaged = max(tmp_path.glob("checkpoints/dipoles-*/*/trajectory-*1.npz"))
    kept = {file: file.stat().st_mtime_ns for file in damaged.parent.glob("trajectory-*.npz")}
    damaged.write_bytes(damaged.read_bytes()[:-100])
    table = (tmp_path / "dipoles-P1-label.h5").read_bytes()
    run_dipoles(minima, ["P1"], "label", tmp_path, tmp_path / "checkpoints", settings)
    assert f"warning: {damaged} is damaged" in capsys.readouterr().err
    assert {file for file, written in kept.items() if file.stat().st_mtime_ns != written} == {damaged}
    assert (tmp_path / "dipoles-P1-label.h5").read_bytes() == table
    with pytest.raises(UserError, match=r"no structure P9 in .*; there are P1"):
        run_dipoles(minima, ["P9"], "label", tmp_path, tmp_path, short)
    with pytest.raises(UserError, match="the engine 'model' needs a model"):
        run_dipoles(minima, ["P1"], "model", tmp_path, tmp_path, short)
    with pytest.raises(UserError, match=r"equilibration_fs: given 2\.5 fs; allowed: a whole number"):
        Runs((300.0,), campaign_seed=1, equilibration_fs=2.5)
    with pytest.raises(UserError, match=r"a whole number of timestep_fs, now 0\.3 fs"):
        Runs((300.0,), campaign_seed=1, timestep_fs=0.3)


def test_clusters_of_like_size_share_a_batch(tmp_path: Path) -> None:
    """Water and ammonia together, hydrogen peroxide's dimer by itself: the same dipoles as one by one."""
    names = {
        "water": molecule("H2O"),
        "ammonia": molecule("NH3"),
        "pair": molecule("H2O2") + molecule("H2O2"),
    }
    names["pair"].positions[4:, 2] += 3.0
    architecture = Architecture(
        ("H", "N", "O"), n_radial=2, hidden=(4,), heads=("energy", "charge"), precision="float64"
    )
    about = {"label_level": "none", "training_data_sha256": "", "settings": {}}
    write_model(tmp_path / "model.h5", architecture, initialize_committee(architecture, 1, 2), about)
    for name, atoms in names.items():
        atoms.info = {
            "name": name, "label_level": "none", "energy_eV": 0.0,
            "hessian_eV_per_A2": 10.0 * np.eye(3 * len(atoms)),
            "dipole_derivatives_e": np.zeros((3, 3 * len(atoms))),
        }  # fmt: skip
    ase.io.write(tmp_path / "minima.extxyz", list(names.values()))
    assert like_sizes(list(names.values())) == [[0, 1], [2]]
    short = Runs((10.0, 20.0), campaign_seed=1, n_replicas=2, duration_fs=10.0, equilibration_fs=2.0)
    files = {}
    for folder, groups in (("together", [list(names)]), ("alone", [[name] for name in names])):
        (tmp_path / folder).mkdir()
        for group in groups:
            given = (tmp_path / "minima.extxyz", group, "model", tmp_path / folder, tmp_path / "checkpoints")
            run_dipoles(*given, short, tmp_path / "model.h5", keep_positions=True)
        files[folder] = [read_dipoles(tmp_path / folder / f"dipoles-{name}-model.h5") for name in names]
    for one, other in zip(*files.values(), strict=True):
        assert one.dipoles_e_A.shape == (2, 2, 2, 11, 3)
        assert one.dipoles_e_A == pytest.approx(other.dipoles_e_A, abs=1e-9)
        assert one.positions_A == pytest.approx(other.positions_A, abs=1e-6)


@pytree
@dataclass(frozen=True)
class Pulled:
    """Every atom is pulled away from the first: no number is ever not finite."""

    pull_eV_per_A: Any
    cutoff_A = None
    n_atoms = 3

    def batched(self, n_replicas: int) -> Batched:
        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            away = self.pull_eV_per_A * (positions - positions[:, :1])
            forces = away.at[:, 0].set(-away.sum(axis=1))
            return Evaluation(jnp.zeros(n_replicas), forces, {"dipole_e_A": jnp.ones((n_replicas, 3))})

        return Batched(lambda _: jnp.zeros(0), evaluate)


def test_runs_that_come_apart_are_broken_and_leave_no_dipoles(
    minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Runs(
        temperatures_K=(1.0, 300.0), campaign_seed=1, n_replicas=2, duration_fs=80.0, equilibration_fs=20.0
    )
    found = []
    for pull in (0.0, 5.0):
        monkeypatch.setattr(dynamics, "_labeller", lambda _, pull=pull: Pulled(pull))
        folder = tmp_path / f"{pull:g}"
        run_dipoles(minima, ["P1"], "label", folder, folder / "checkpoints", settings)
        found.append(read_dipoles(folder / "dipoles-P1-label.h5"))
    still, torn = found
    assert (torn.outcomes != "finished").all()
    assert (torn.outcomes[0, 1] == "broken").all()
    assert (torn.ended_fs < 100).all()
    assert np.isnan(torn.dipoles_e_A).all()
    # Free atoms at 1 K: none has gone far in 0.1 ps.
    assert (still.outcomes[0, 0] == "finished").all()
    assert (still.dipoles_e_A[0, 0] == 1).all()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of runs of two clusters, which share a batch under a committee, and of one under the label."""
    root = tmp_path_factory.mktemp("published")
    clusters = {"water": molecule("H2O"), "ammonia": molecule("NH3")}
    for name, atoms in clusters.items():
        atoms.info = {
            "name": name, "label_level": "gfn2-xtb", "energy_eV": 0.0,
            "hessian_eV_per_A2": 10.0 * np.eye(3 * len(atoms)),
            "dipole_derivatives_e": np.zeros((3, 3 * len(atoms))),
        }  # fmt: skip
    minima, model = root / "infrared/minima.extxyz", root / "learned/model.h5"
    minima.parent.mkdir()
    ase.io.write(minima, list(clusters.values()), format="extxyz")
    architecture = Architecture(("H", "N", "O"), n_radial=1, hidden=(4,), heads=("energy", "charge"))
    about = {"label_level": "gfn2-xtb", "training_data_sha256": "", "settings": {}}
    write_model(model, architecture, initialize_committee(architecture, 1, 2), about)
    times = {"timestep_fs": 1.0, "duration_fs": 20.0, "equilibration_fs": 2.0, "dipole_every_fs": 2.0}
    own = {"temperatures_K": (10.0, 20.0), "n_replicas": 2, **times}
    rest = {"members": "each", "structures_per_task": 100, "n_label_replicas": 1, "label_timestep_fs": 0.5}
    write_json(root / "run.json", {"parameters": {"campaign_seed": 7, "infrared": {**own, **rest}}})
    settings = Runs(**own, campaign_seed=7)
    run_dipoles(minima, list(clusters), "model", root, root / "checkpoints", settings, model)
    settings = replace(settings, n_replicas=1, timestep_fs=0.5)
    run_dipoles(minima, ["water"], "label", root, root / "checkpoints", settings)
    found = [
        read_dipoles(root / f"dipoles-{name}.h5") for name in ("ammonia-model", "water-model", "water-label")
    ]
    tables = [one.table(8 * number) for number, one in enumerate(found)]  # 2 members, temperatures, replicas
    RUNS.write(pandas.concat(tables), root / "infrared")
    return root


def test_a_run_is_repeated_from_its_id(published: Path, tmp_path: Path) -> None:
    """Under a member and the label, alone and in a batch: the same row, and every dipole to the last bit."""
    lines = (published / "infrared/runs.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(18))
    for identity, natoms, place in ((3, 4, (0, 1, 1)), (13, 3, (1, 0, 1)), (17, 3, (0, 1, 0))):
        repeat("infrared", published, identity, 5, tmp_path)
        assert (tmp_path / "runs.csv").read_text().splitlines() == [lines[0], lines[identity + 1]]
        frames = read_movie(tmp_path / "frames.extxyz")
        assert [len(frame) for frame in frames] == [natoms] * 5
        name, engine = lines[identity + 1].split(",")[1:3]
        known = read_dipoles(published / f"dipoles-{name}-{engine}.h5").dipoles_e_A[place]
        curve = infrared_repeat(published, identity).curve
        assert curve is not None
        assert curve["time_fs"].tolist() == list(np.arange(0.0, 23.0, 2.0))
        np.testing.assert_array_equal(curve[[f"dipole_{axis}_e_A" for axis in "xyz"]][1:], known)
    keep("infrared", published, 1, 4, (), (), tmp_path / "kept")
    assert Section.read(tmp_path / "kept").gates[0].passed
    assert [frame.info["trajectory_id"] for frame in read_movie(tmp_path / "kept/frames.extxyz")] == [0] * 4
    with pytest.raises(UserError, match=r"trajectory 18; .*runs\.csv has 18, 0 to 17"):
        repeat("infrared", published, 18, 5, tmp_path)
    with pytest.raises(UserError, match="ensemble 'teacher'; infrared has model"):
        repeat("infrared", published, 1, 5, tmp_path, "teacher")
