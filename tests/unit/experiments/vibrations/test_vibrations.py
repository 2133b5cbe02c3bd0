"""Vibrational densities whose truth is known: harmonic and Morse bonds, members that differ by factors."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("jax")

import kept
from frazil.analysis.bands import bands_of, between
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.at_rest import check_cell, source_of
from frazil.experiments.campaign import repeated
from frazil.experiments.vibrations import physics, results
from frazil.experiments.vibrations.settings import Vibrations
from frazil.experiments.vibrations.subject import subject_of
from frazil.experiments.vibrations.tables import CALIBRATION, PEAKS
from frazil.md.integrity import WholeMolecules
from frazil.parameters import resolve
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.systems import minima
from frazil.systems.minima import differences, model_minimum, model_modes
from frazil.units import fs, hbar, inverse_cm, kB
from shards import run_in_shards

ROOT = Path(__file__).parents[4]
STIFFNESS_eV_per_A2, LENGTH_A = 118.0, 1.128
FACTORS = (0.985, 1.0, 1.01, 1.005)
MASS_amu = np.prod(Atoms("CO").get_masses()) / Atoms("CO").get_masses().sum()
LINES_cm1 = np.sqrt(STIFFNESS_eV_per_A2 * np.array(FACTORS) / MASS_amu) * hbar / inverse_cm
DEPTH_eV = 11.2
SMALL: dict[str, Any] = {
    "n_trajectories": 6, "shard_size": 6, "duration_fs": 4096, "equilibration_fs": 0, "timestep_fs": 0.5,
}  # fmt: skip


def bonds(folder: Path, kind: str, factors: tuple[float, ...] = FACTORS) -> dict[str, str]:
    """Write a CO that is not at rest, and a committee of bonds whose stiffness differs by factors."""
    parts = []
    for factor in factors:
        k = STIFFNESS_eV_per_A2 * factor
        of = {
            "harmonic": {"stiffness_eV_per_A2": k, "length_A": LENGTH_A},
            "morse": {
                "depth_eV": DEPTH_eV, "exponent_per_A": np.sqrt(k / (2 * DEPTH_eV)), "length_A": LENGTH_A
            },
        }[kind]  # fmt: skip
        parts.append({"kind": kind, **of})
    model = folder / f"{kind}-{len(factors)}"
    model.mkdir()
    described = {"kind": "committee", "parts": parts} if len(parts) > 1 else parts[0]
    (model / "model.json").write_text(json.dumps(described))
    Atoms("CO", [[0, 0, 0], [0, 0, LENGTH_A + 0.02]]).write(folder / "CO.xyz")
    return {"structure": str(folder / "CO.xyz"), "model": str(model)}


campaign = partial(run_in_shards, "vibrations")
"""Run all starts, in shards of some sizes, and analyse them."""


@pytest.fixture(scope="module")
def harmonic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("harmonic")
    return campaign(folder, {**SMALL, **bonds(folder, "harmonic")})


@pytest.fixture(scope="module")
def morse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("morse")
    values = {**SMALL, **bonds(folder, "morse"), "n_trajectories": 48, "equilibration_fs": 500}
    return campaign(folder, {**values, "shard_size": 48})


def test_harmonic_lines_are_where_they_belong_and_differ_as_the_members_do(harmonic: Path) -> None:
    (peak,) = pandas.read_csv(harmonic / "peaks.csv").to_dict("records")
    # Verlet at 0.5 fs shifts the line by ν (ωh)²/24, 3.8 cm⁻¹; what is left is the window function's tails.
    shift = LINES_cm1.mean() * (2 * np.pi * 2.99792458e-5 * 0.5 * LINES_cm1.mean()) ** 2 / 24
    assert peak["timestep_shift_cm1"] == pytest.approx(shift, abs=0.02)
    assert peak["position_cm1"] == pytest.approx(LINES_cm1.mean(), abs=0.15)
    assert peak["model_std_cm1"] == pytest.approx(LINES_cm1.std(ddof=1), rel=0.02)
    assert peak["stat_se_cm1"] < 0.1, "a harmonic line does not depend on its energy"
    own = pandas.read_csv(harmonic / "peak_positions.csv").groupby("member")["position_cm1"].mean()
    assert own.to_numpy() == pytest.approx(LINES_cm1, abs=0.3)
    (line,) = pandas.read_csv(harmonic / "harmonic.csv").to_dict("records")
    assert line["members_mean_cm1"] == pytest.approx(LINES_cm1.mean(), abs=0.02)
    assert line["model_std_cm1"] == pytest.approx(LINES_cm1.std(ddof=1), rel=1e-4)


def test_all_that_a_run_comes_to_is_as_kept(harmonic: Path) -> None:
    kept.check(harmonic, "vibrations", rel=2e-4)


def test_frames_of_a_run_move_as_their_velocities_say(tmp_path: Path) -> None:
    """Central differences of positions over the frames' own times are the velocities, to second order."""
    values = {**SMALL, **bonds(tmp_path, "harmonic", (1.0,))}
    _, frames = repeated(physics, load_settings(Vibrations, values), 1, [2])
    before, now, after = frames[2][40:43]
    assert [frame.info["time_fs"] for frame in frames[2][:3]] == pytest.approx([0.0, 2.0, 4.0])
    apart = (after.info["time_fs"] - before.info["time_fs"]) * fs
    omega = LINES_cm1[1] * inverse_cm / hbar
    expected = now.get_velocities() * np.sin(omega * apart / 2) / (omega * apart / 2)
    assert (after.positions - before.positions) / apart == pytest.approx(expected, rel=0.02)


def test_total_interval_is_that_of_another_member(harmonic: Path) -> None:
    (line,) = pandas.read_csv(harmonic / "harmonic.csv").to_dict("records")
    half = 3.182446 * np.sqrt(1 + 1 / 4) * LINES_cm1.std(ddof=1)
    assert line["total_high_95_cm1"] - line["members_mean_cm1"] == pytest.approx(half, rel=1e-4)
    density = pandas.read_csv(harmonic / "vdos.csv")
    assert (density["total_high_95"] >= density["high_95"]).all()
    inside = density[density["wavenumber_cm1"].between(2000, 2400)]
    area = np.trapezoid(inside["density"], inside["wavenumber_cm1"])
    energies = pandas.read_csv(harmonic / "trajectories.csv")["temperature_K"].mean() / 300
    assert area == pytest.approx(energies, rel=0.02), "the area is the number of modes, one, of its energy"


def test_section_says_what_was_relaxed_and_that_nothing_calibrates(harmonic: Path) -> None:
    section = Section.read(harmonic)
    assert "its atoms moved by up to 0.01" in section.text[0]
    assert "energy fell by 23.6 meV" in section.text[0], "½ k (0.02 Å)²"
    assert "not calibrated" in section.text[-1]
    gates = {gate.name: gate for gate in section.gates}
    assert gates["runs that broke"].passed
    assert gates["energy drift over a run, of the thermal energy, largest"].passed
    alpha = next(gate for name, gate in gates.items() if "α" in name)
    assert alpha.passed is None
    assert "no labels" in alpha.comment
    assert json.loads((harmonic / "counts.json").read_text()) == {"model": {"total": 24}}


def test_shards_change_nothing(harmonic: Path, tmp_path: Path) -> None:
    values = {**SMALL, **bonds(tmp_path, "harmonic"), "shard_size": 4}
    again = campaign(tmp_path, values, (4, 2))
    for name in ("trajectories.csv", "vdos.csv", "peaks.csv", "peak_positions.csv"):
        assert (again / name).read_bytes() == (harmonic / name).read_bytes(), name


def test_morse_lines_are_red_by_their_energy_and_members_share_what_starts_do(morse: Path) -> None:
    (peak,) = pandas.read_csv(morse / "peaks.csv").to_dict("records")
    # ω(E) = ω √(1 − E/D), and the density weighs canonical energies by E: −kT/D of ω at 300 K.
    expected = LINES_cm1.mean() * (1 - kB * 300 / DEPTH_eV)
    assert peak["position_cm1"] == pytest.approx(expected, abs=4 * peak["stat_se_cm1"])
    assert 0.3 < peak["stat_se_cm1"] < 1.5
    assert peak["model_std_cm1"] == pytest.approx(LINES_cm1.std(ddof=1), rel=0.05)
    runs = pandas.read_csv(morse / "peak_positions.csv").pivot(
        index="member", columns="trajectory_id", values="position_cm1"
    )
    by_itself = runs.std(axis=1, ddof=1).mean()
    paired = (runs - runs.mean()).std(axis=1, ddof=1).mean()
    assert paired < by_itself / 5, "a member's shift is known far better than its position"
    warm = pandas.read_csv(morse / "trajectories.csv")["temperature_K"].mean()
    assert warm == pytest.approx(300, rel=4 / np.sqrt(48))


def test_one_model_has_no_error_of_its_own(tmp_path: Path) -> None:
    out = campaign(tmp_path, {**SMALL, **bonds(tmp_path, "harmonic", (1.0,))})
    (peak,) = pandas.read_csv(out / "peaks.csv").to_dict("records")
    assert peak["position_cm1"] == pytest.approx(LINES_cm1[1], abs=0.15)
    empty = ("model_std_cm1", "total_low_95_cm1", "total_high_95_cm1", "calibration")
    assert all(np.isnan(peak[name]) for name in empty)
    assert pandas.read_csv(out / "vdos.csv")[["model_std", "total_low_95"]].isna().all(axis=None)
    section = Section.read(out)
    assert "error is unknown" in section.headline
    assert any("the potential's error is unknown" in text for text in section.text)
    assert section.gates[-1].passed is None


def test_starts_are_canonical_under_the_mean(tmp_path: Path) -> None:
    settings = load_settings(Vibrations, {**SMALL, **bonds(tmp_path, "harmonic"), "equilibration_fs": 500})
    subject = subject_of(settings)
    masses = subject.atoms.get_masses()
    k = STIFFNESS_eV_per_A2 * np.mean(FACTORS)
    runs = physics.runs_of(subject, settings)
    found = runs.starts(300.0, 500.0, 3, "vibrations-start", range(400), lambda: None)
    stretched = np.array([np.linalg.norm(x[1] - x[0]) - LENGTH_A for x, _ in found.values()])
    moving = np.array([0.5 * (masses[:, None] * v**2).sum() for _, v in found.values()])
    turning = np.array([np.cross(x[1] - x[0], v[1] - v[0]) for x, v in found.values()])
    for energies in (0.5 * k * stretched**2, moving):
        assert energies.mean() == pytest.approx(0.5 * kB * 300, rel=4 * np.sqrt(2 / 400))
    assert np.abs(turning).max() < 1e-9, "drift and rotation of the whole are taken out"


def test_starts_that_a_member_did_not_finish_are_counted_and_left_out(harmonic: Path, tmp_path: Path) -> None:
    values = json.loads((harmonic.parent / "settings.json").read_text())
    settings = load_settings(Vibrations, values)
    table = pandas.read_csv(harmonic / "trajectories.csv")
    with np.load(harmonic.parent / "shards/shard_0/arrays.npz") as arrays:
        table["density"] = list(arrays["density"])
    table.loc[5, "outcome"] = "broken"
    table.at[5, "density"] = np.full_like(table["density"][5], np.nan)
    section = results.analyse(settings, table, 3, tmp_path)
    assert section.gates[0].value == 1
    assert not section.gates[0].passed
    left = pandas.read_csv(tmp_path / "peak_positions.csv")["trajectory_id"].unique()
    assert left.tolist() == [0, 2, 3, 4, 5], "start 1, of which member 1 broke, is left out"
    table["outcome"] = "broken"
    table.loc[table["member"] == 0, "outcome"] = "finished"
    table.loc[4, "outcome"] = "broken"
    table["ended_fs"] = 10.0 * (1 + table.index)
    ends = r"\(member 0: 1 broken from 50 fs on, 5 finished; member 1: 6 broken from 20 fs on; "
    with pytest.raises(UserError, match=f"0 of 6 starts were finished by every member {ends}"):
        results.analyse(settings, table, 3, tmp_path)


def test_labels_calibrate_the_spread(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = []
    for number in range(40):
        atoms = Atoms("CO", [[0, 0, 0], [0, 0, LENGTH_A + 0.05 * rng.normal()]])
        pull = 1.2 * STIFFNESS_eV_per_A2 * (atoms.positions[1, 2] - LENGTH_A)
        forces = np.array([[0, 0, pull], [0, 0, -pull]])
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
        atoms.info.update(label_level="harmonic", trajectory_id=str(number))
        frames.append(atoms)
    write_frames(tmp_path / "labels.extxyz", frames)
    values = {**SMALL, **bonds(tmp_path, "harmonic"), "labels": str(tmp_path / "labels.extxyz")}
    settings = load_settings(Vibrations, values)
    (row,) = results.calibration(settings, subject_of(settings)).to_dict("records")
    ratio = (1.2 - np.mean(FACTORS)) / np.std(FACTORS, ddof=1)
    assert row["calibration"] == pytest.approx(np.sqrt(ratio**2 / 3 - 1 / 4), rel=1e-3)
    assert row["n_frames"] == 40
    assert row["n_members"] == 4
    frames[7].info["label_level"] = "pbe/sto-3g"
    write_frames(tmp_path / "labels.extxyz", frames)
    with pytest.raises(UserError, match=r"frame 7 of .* is labelled at pbe/sto-3g, the potential is of harm"):
        results.calibration(settings, subject_of(settings))


def test_integrals_between_two_places_end_where_the_spectrum_does() -> None:
    x = np.array([1.0, 2.0, 4.0, 8.0])
    sums = np.stack([x**2, 3 * x], axis=0)[:, :, None]  # straight lines between 1, 4, 16 and 64
    assert between(x, sums, 3.0, 6.0, axis=1)[:, 0] == pytest.approx([40.0 - 10.0, 9.0])
    assert between(x, sums[..., 0], 0.0, 99.0) == pytest.approx([63.0, 21.0])


def test_moving_windows_find_lines_that_members_shift_far() -> None:
    x = np.arange(0.0, 3000.0, 2.0)
    shifts = np.array([-20.0, -5.0, 3.0, 14.0])
    rng = np.random.default_rng(2)
    own = rng.normal(scale=2.0, size=30)
    energies = rng.exponential(size=(30, 1))

    def lines(centre: float) -> np.ndarray:
        places = centre + shifts[:, None] + own
        return np.asarray(energies * np.exp(-0.5 * ((x - places[..., None]) / 8) ** 2))

    noise = 0.01 * rng.normal(size=(4, 30, len(x)))
    runs = lines(900.0) + 0.5 * lines(1500.0) + noise
    found = bands_of(x, runs, 30.0, 0.05)
    assert len(found) == 2, "noise is no band"
    for band, centre in zip(found, (900.0, 1500.0), strict=True):
        layout = band.positions
        assert layout.members - layout.mean == pytest.approx(shifts - shifts.mean(), abs=0.5)
        assert layout.mean == pytest.approx(centre + shifts.mean(), abs=4 * layout.standard_error)
        assert layout.standard_error == pytest.approx(2.0 * np.sqrt(2 / 30), rel=0.5), "weighed by energies"
        assert band.largest_member_shift_cm1 == pytest.approx(18.0, abs=0.5)
    assert found[0].area == pytest.approx(energies.mean() * 8 * np.sqrt(2 * np.pi), rel=0.2)


def test_a_band_is_as_high_as_asked_and_stands_out_by_half_of_that_in_most_starts() -> None:
    x = np.arange(0.0, 3000.0, 2.0)

    def line(centre: float, height: float) -> np.ndarray:
        return np.asarray(height * np.exp(-0.5 * ((x - centre) / 8) ** 2))

    plateau = 0.3 / (1 + np.exp(-(x - 2000) / 20)) / (1 + np.exp((x - 2600) / 20))
    clear = line(900, 1.0) + line(920, 0.9) + line(1500, 0.12) + line(1700, 0.08)
    runs = np.array(clear + plateau + line(2300, 0.07) + line(2440, 0.03)) * np.ones((1, 8, 1))
    runs[:, :3] += line(500, 0.6)
    found = bands_of(x, runs, 30.0, 0.1)
    middles = [0.5 * (band.low_cm1 + band.high_cm1) for band in found]
    assert middles == pytest.approx([902.0, 1500.0, 2300.0], abs=6.0)
    assert [band.high_cm1 - band.low_cm1 for band in found] == pytest.approx([60.0] * 3)
    apart = bands_of(x, np.array(line(900, 1.0) + line(940, 0.8)) * np.ones((1, 8, 1)), 30.0, 0.1)
    assert [band.high_cm1 for band in apart] == pytest.approx([920.0, 970.0])
    assert apart[1].low_cm1 == pytest.approx(920.0), "half-way between two"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"timestep_fs": 1.0}, r"a time step of 1 fs for CO, whose fastest mode has \d+ cm⁻¹; .* 0\.7\d fs"),
        ({"highest_cm1": 2300.0}, r"spectra of CO end at 2300 cm⁻¹, its fastest mode has .* raise highest"),
        ({"velocity_every_fs": 8.0, "highest_cm1": 2000.0}, r"spectra of CO end at 2000"),
    ],
)
def test_times_that_cannot_show_the_fastest_mode_are_refused(
    changed: dict[str, float], message: str, tmp_path: Path
) -> None:
    values = {**SMALL, **bonds(tmp_path, "harmonic"), **changed}
    with pytest.raises(UserError, match=message):
        subject_of(load_settings(Vibrations, values))


def test_structures_that_cannot_be_run_are_refused(tmp_path: Path) -> None:
    given = bonds(tmp_path, "harmonic")
    two = tmp_path / "two.xyz"
    Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]).write(two)
    two.write_text(two.read_text() * 2)
    with pytest.raises(UserError, match=r"two\.xyz holds 2 structures; give one"):
        subject_of(load_settings(Vibrations, {**SMALL, **given, "structure": str(two)}))
    boxed = tmp_path / "boxed.extxyz"
    Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[9, 9, 9], pbc=True).write(boxed)
    with pytest.raises(UserError, match=r"is a crystal, and .* of kind .* is for free atoms; give a GM-NN"):
        subject_of(load_settings(Vibrations, {**SMALL, **given, "structure": str(boxed)}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_trajectories": 3}, "an integer from 4"),
        ({"velocity_every_fs": 0.7}, "allowed: a whole number of --vibrations.timestep_fs"),
        ({"duration_fs": 3000}, "allowed: above --vibrations.velocity_every_fs, now 2 fs and at most half"),
        ({"band_halfwidth_cm1": 10}, "allowed: at least the resolution"),
        ({"velocity_every_fs": 4}, "allowed: at most 1/(2c) over --vibrations.velocity_every_fs"),
        ({"temperature_K": "nan"}, "not a finite number"),
        ({"model": "."}, "needed with --vibrations.model"),
    ],
)
def test_bad_settings_are_refused_at_launch(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        resolve({"experiments": "vibrations", "vibrations": given})
    assert message in str(refused.value), refused.value


def test_tables_have_what_their_readers_are_promised() -> None:
    assert PEAKS.names[:7] == [
        "structure", "temperature_K", "band", "position_cm1", "stat_se_cm1", "model_std_cm1", "calibration",
    ]  # fmt: skip
    assert "calibration" in CALIBRATION.names


def test_a_crystal_vibrates_in_its_cell(tmp_path: Path) -> None:
    """α-CO under a known truth: modes of the cell's own period, known lines, the rule of whole molecules."""
    (tmp_path / "model.json").write_text('{"kind": "co-crystal"}')
    crystal = ROOT / "assets/structures/alpha_co.extxyz"
    settings = load_settings(Vibrations, {**SMALL, "structure": str(crystal), "model": str(tmp_path)})
    subject = subject_of(settings)
    lines = subject.modes.minimum.modes.wavenumbers_cm1
    assert len(lines) == 3 * 64 - 3
    assert np.abs(lines - 31.3).min() < 0.7
    assert np.abs(lines - 2198.2).min() < 0.7
    assert subject.moved_A < 0.01
    assert isinstance(physics.runs_of(subject, settings).stop, WholeMolecules)


def test_a_crystal_along_some_axes_only_is_refused_before_any_work() -> None:
    chain = Atoms("Ar", cell=[11.3, 13.1, 14.0], pbc=(True, False, True))
    with pytest.raises(UserError, match="argon: periodic along a, c only; allowed are all three"):
        check_cell(chain, "argon", Path("model"), source_of(Path("co-crystal")))


def test_a_calibration_widens_intervals_and_narrows_none(harmonic: Path, tmp_path: Path) -> None:
    """The mean's forces may be good by chance, its curvature is no better for it."""
    subject = subject_of(load_settings(Vibrations, {**SMALL, **bonds(tmp_path, "harmonic")}))
    (as_it_is,) = pandas.read_csv(harmonic / "harmonic.csv").to_dict("records")
    width = as_it_is["total_high_95_cm1"] - as_it_is["total_low_95_cm1"]
    for alpha, times in ((np.nan, 1.0), (0.0, 1.0), (0.4, 1.0), (1.5, 1.5)):
        (line,) = results.harmonic(subject, alpha).to_dict("records")
        own = line["total_high_95_cm1"] - line["total_low_95_cm1"]
        assert own == pytest.approx(times * width, rel=1e-5)


def test_a_member_whose_minimum_is_linear_has_no_lines_like_the_bent_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bent = Atoms("OHH", 0.95 * np.array([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]))

    def springs(apart_A: float) -> Any:
        def surface(positions: np.ndarray) -> tuple[float, np.ndarray]:
            energy, forces = 0.0, np.zeros((3, 3))
            for one, other, rest, k in ((0, 1, 0.95, 40.0), (0, 2, 0.95, 40.0), (1, 2, apart_A, 10.0)):
                vector = positions[other] - positions[one]
                length = np.linalg.norm(vector)
                energy += 0.5 * k * (length - rest) ** 2
                pull = k * (length - rest) * vector / length
                forces[one] += pull
                forces[other] -= pull
            return float(energy), forces

        return surface

    surfaces = {None: springs(1.52), 0: springs(1.52), 1: springs(2.2)}
    straight = Atoms("OHH", [[0, 0, 0], [0.95, 0, 0], [-0.95, 0, 0]])

    class Two:
        def surface(self, positions: np.ndarray, member: int | None = None) -> Any:
            return surfaces[member](positions)

        def curvature(self, positions: np.ndarray, member: int | None = None) -> Any:
            return differences(surfaces[member])(positions)

    def from_where_it_ends(atoms: Atoms, name: str, members: Any, member: int | None = None) -> Any:
        return model_minimum(straight if member == 1 else atoms, name, members, member)

    monkeypatch.setattr(minima, "model_minimum", from_where_it_ends)
    assert len(from_where_it_ends(bent, "water", Two(), 1).modes.wavenumbers_cm1) == 4
    found = model_modes(Two(), 2, bent, "water")
    assert np.isfinite(found.members_cm1[0]).all()
    assert np.isnan(found.members_cm1[1]).all()
    assert found.n_without_minimum == 1
