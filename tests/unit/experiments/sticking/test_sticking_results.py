"""Tables of the sticking experiment: probabilities with both errors, attempts, half-lives, bad tables."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas
import pytest
from ase import Atoms

import kept
from frazil.analysis.statistics import jeffreys
from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.experiments.sticking import clusters
from frazil.experiments.sticking.analysis import analyse, keep_campaign
from frazil.experiments.sticking.binding import points, summary
from frazil.experiments.sticking.clusters import PUBLISHED, TABLE_1, approached, placed, sampled
from frazil.experiments.sticking.coefficients import coefficients, weights
from frazil.experiments.sticking.figures import residence
from frazil.experiments.sticking.residence import residence_times
from frazil.experiments.sticking.results import (
    Results,
    attempts_of,
    half_lives,
    pairs,
    probabilities,
    sensitivity,
    with_model_error,
)
from frazil.experiments.sticking.section import section_of
from frazil.experiments.sticking.settings import PLACED_FRAMES, Grid
from frazil.experiments.sticking.tables import TRAJECTORIES
from frazil.potentials.analytic import h2_co
from frazil.report.section import Section
from frazil.units import kB


def table(stuck: dict[str, int], n: int = 64, failed: int = 0) -> pandas.DataFrame:
    rows = []
    for model, count in stuck.items():
        for k in range(n):
            outcome = "stuck" if k < count else "failed" if k >= n - failed else "bounced"
            rows.append((len(rows), "crystalline", 10.0, 12.0, model, outcome))
    columns = [
        "trajectory_id", "phase", "surface_temperature_K", "collision_energy_K", "model_id", "outcome",
    ]  # fmt: skip
    return pandas.DataFrame(rows, columns=columns)


def test_failed_trajectories_stay_in_the_denominator() -> None:
    (row,) = probabilities(table({"analytic": 30}, failed=4)).to_dict("records")
    assert (row["n"], row["n_stuck"], row["n_failed"]) == (64, 30, 4)
    assert row["probability"] == 30 / 64
    assert (row["low_95"], row["high_95"]) == jeffreys(30, 64)
    assert np.isnan([row["model_std"], row["total_low_95"], row["total_high_95"]]).all()


def test_the_model_s_error_is_what_counting_does_not_explain() -> None:
    (agree,) = probabilities(table({"gmnn-0": 30, "gmnn-1": 31, "gmnn-2": 30})).to_dict("records")
    assert agree["model_std"] == 0.0
    assert agree["total_low_95"] < agree["low_95"]
    (differ,) = probabilities(table({"gmnn-0": 10, "gmnn-1": 30, "gmnn-2": 50})).to_dict("records")
    assert differ["model_std"] == pytest.approx(np.sqrt((20 / 64) ** 2 - (30 * 34) / 64**3), rel=1e-9)
    assert differ["total_low_95"] < 10 / 64
    assert differ["total_high_95"] > 50 / 64


def two_energies(slow: dict[str, int], fast: dict[str, int]) -> pandas.DataFrame:
    both = [table(slow), table(fast).assign(collision_energy_K=348.0)]
    return pandas.concat(both, ignore_index=True).assign(trajectory_id=lambda own: np.arange(len(own)))


def test_a_member_s_error_is_carried_to_the_coefficient() -> None:
    alike = two_energies({"gmnn-0": 50, "gmnn-1": 51, "gmnn-2": 50}, {"gmnn-0": 6, "gmnn-1": 5, "gmnn-2": 6})
    (row,) = with_model_error(coefficients(probabilities(alike), [100.0]), alike).to_dict("records")
    assert row["model_std"] == 0.0
    assert row["total_low_95"] < row["low_95"] < row["coefficient"] < row["high_95"] < row["total_high_95"]
    trusted = with_model_error(coefficients(probabilities(alike), [100.0]), alike, scale=0.01)
    assert trusted["total_high_95"].iloc[0] == pytest.approx(row["high_95"], abs=0.01)
    apart = two_energies(
        {"gmnn-0": 20, "gmnn-1": 40, "gmnn-2": 60}, {"gmnn-0": 0, "gmnn-1": 10, "gmnn-2": 20}
    )
    (row,) = with_model_error(coefficients(probabilities(apart), [100.0]), apart).to_dict("records")
    w, _ = weights(np.array([12.0, 348.0]), 100.0)
    between = w @ np.array([20 / 64, 10 / 64])
    counting = w**2 @ np.array([40 * 24, 10 * 54]) / 64**3
    assert row["model_std"] == pytest.approx(np.sqrt(between**2 - counting), rel=1e-9)
    assert row["total_low_95"] < row["low_95"] < row["high_95"] < row["total_high_95"]
    one = two_energies({"gmnn-mean": 30}, {"gmnn-mean": 3})
    (row,) = with_model_error(coefficients(probabilities(one), [100.0]), one).to_dict("records")
    assert np.isnan([row["model_std"], row["total_low_95"], row["total_high_95"]]).all()


def test_pairs_count_what_ends_differently() -> None:
    model, truth = table({"gmnn-0": 40}), table({"analytic": 30})
    (row,) = pairs(model, truth).to_dict("records")
    assert (row["only_model"], row["only_truth"], row["n"]) == (10, 0, 64)
    assert row["p_value"] == pytest.approx(2 * 0.5**10)
    (same,) = pairs(model, model.assign(model_id="analytic")).to_dict("records")
    assert same["p_value"] == 1.0
    with pytest.raises(UserError, match="64 collisions of the model, 63 of the truth; they must be the same"):
        pairs(model, truth.iloc[1:])


def test_attempts_and_half_lives_follow_the_paper_s_choice() -> None:
    time = np.arange(0.0, 10000.0, 20.0)
    bouncing = 3.0 + 0.3 * np.cos(2 * np.pi * time / 250.0)
    paths = [
        pandas.DataFrame({"time_fs": time, "z_A": bouncing, "apart_A": apart}).assign(
            phase=phase, trajectory_id=i
        )
        for i, (phase, apart) in enumerate([("crystalline", 3.0), ("crystalline", 9.0), ("amorphous", 3.0)])
    ]
    attempts = attempts_of(pandas.concat(paths), 2000.0)
    assert attempts["trajectory_id"].tolist() == [0, 2]
    assert attempts["attempt_frequency_per_ps"].to_numpy() == pytest.approx(4.0, rel=0.02)
    sites = pandas.DataFrame(
        {
            "phase": ["crystalline"] * 3 + ["amorphous"] * 3,
            "binding_energy_K": [-300.0, -250.0, -100.0, -200.0, -150.0, -40.0],
            "converged": [1, 1, 1, 1, 1, 0], "model_std_K": np.nan,
            "truth_energy_K": np.nan, "largest_shift_A": [0.1, 0.6, 0.1, 0.1, 0.1, 0.9],
        }
    )  # fmt: skip
    typical = half_lives(sites, attempts, [10.0], True).set_index("phase")["binding_energy_K"]
    assert typical["crystalline"] == -250.0
    assert typical["amorphous"] == -175.0
    assert len(half_lives(sites, attempts, [5.0, 10.0], False)) == 10
    counted = summary(sites).set_index("phase")
    assert counted.loc["amorphous", "n_unconverged"] == 1
    assert counted["n_rearranged"].to_dict() == {"crystalline": 1, "amorphous": 0}
    assert counted.loc["crystalline", "median_K"] == -250.0


def test_binding_energies_and_half_lives_have_both_errors() -> None:
    rng = np.random.default_rng(3)
    energies = rng.normal(-400, 60, 40)
    sites = pandas.DataFrame(
        {"phase": "amorphous", "binding_energy_K": energies, "converged": 1, "model_std_K": 20.0,
         "truth_energy_K": np.nan, "largest_shift_A": 0.1}
    )  # fmt: skip
    attempts = pandas.DataFrame(
        {"phase": "amorphous", "trajectory_id": range(8),
         "attempt_frequency_per_ps": rng.normal(3.0, 0.5, 8)}
    )  # fmt: skip
    members = {f"member_{m}_K": energies + shift for m, shift in enumerate((-30.0, 0.0, 30.0))}
    alone, both = (
        half_lives(own, attempts, [10.0], True).iloc[0] for own in (sites, sites.assign(**members))
    )
    assert alone["low_95"] < alone["half_life_s"] < alone["high_95"]
    assert np.isnan(alone["total_low_95"])
    assert both["total_low_95"] < both["low_95"]
    assert both["high_95"] < both["total_high_95"]
    sem = energies.std(ddof=1) / np.sqrt(40) * 2.02
    assert np.log(alone["high_95"] / alone["half_life_s"]) > sem / 10.0  # the frequency's error is in it
    (row,) = summary(sites.assign(**members)).to_dict("records")
    assert row["mean_total_low_95_K"] < row["mean_low_95_K"] < row["mean_K"] < row["mean_high_95_K"]
    assert row["mean_K"] + 30 < row["mean_total_high_95_K"]
    (row,) = summary(sites).to_dict("records")
    assert np.isnan(row["mean_total_low_95_K"])


def test_other_criteria_of_sticking_that_change_it_are_flagged() -> None:
    own = table({"gmnn-0": 30}).assign(time_fs=np.where(np.arange(64) < 30, 10000.0, 6000.0))
    own["beyond_5_A_fs"] = np.where(np.arange(64) < 20, 3000.0, np.nan)
    found = sensitivity(own).set_index(["criterion", "setting"])
    assert found.loc[("duration_fs", 5000.0), "part_stuck"] == 1.0
    assert found.loc[("duration_fs", 5000.0), "exceeds"] == 1
    assert found.loc[("duration_fs", 7000.0), "change"] == 0
    assert found.loc[("bounce_A", 5.0), "part_stuck"] == 10 / 64
    assert found.loc[("bounce_A", 5.0), "exceeds"] == 1
    assert ("bounce_A", 4.0) not in found.index


def test_broken_tables_are_refused(tmp_path: Path) -> None:
    whole = table({"analytic": 3}, 5).assign(
        **dict.fromkeys(["surface_id", "n_bounces"], 0),
        **dict.fromkeys(["polar_angle_deg", "azimuth_deg", "aim_x_A", "aim_y_A", "time_fs"], 0.0),
        energy_drift_meV_per_ps=0.0,
    )
    with pytest.raises(UserError, match=r"holds no trajectories\.csv; it is made by run_collisions\.py"):
        TRAJECTORIES.read(tmp_path)
    for shard in ("a", "b"):
        (tmp_path / shard).mkdir()
        whole.to_csv(tmp_path / shard / "trajectories.csv", index=False)
    with pytest.raises(UserError, match=r"trajectories\.csv has trajectory_id 0 twice \(in .*/a/.*, .*/b/"):
        TRAJECTORIES.read(tmp_path)
    whole.replace("stuck", "lost").to_csv(tmp_path / "b/trajectories.csv", index=False)
    with pytest.raises(UserError, match="has outcome 'lost' in row 1; allowed: stuck"):
        TRAJECTORIES.read(tmp_path)
    (tmp_path / "b/trajectories.csv").unlink()
    with pytest.raises(UserError, match=r"shard .*b has no trajectories\.csv"):
        TRAJECTORIES.read(tmp_path)
    for shard in ("a", "b"):
        (tmp_path / shard / "campaign.json").write_text(shard)
    with pytest.raises(UserError, match="holds shards of 2 campaigns"):
        keep_campaign(tmp_path, tmp_path / "out")
    whole.drop(columns="aim_x_A").to_csv(tmp_path / "b/trajectories.csv", index=False)
    with pytest.raises(UserError, match="no column aim_x_A"):
        TRAJECTORIES.read(tmp_path)


def test_the_grid_of_sites_is_the_paper_s() -> None:
    found = points(Grid())
    assert found.shape == (400, 2)
    assert np.allclose(found.mean(axis=0), 0.0)


def test_table_1_has_the_paper_s_counts() -> None:
    assert sum(row.n_frames for row in TABLE_1) == 20344
    with pytest.raises(UserError, match="a scale of 11 of Table 1"):
        next(sampled(PUBLISHED, 11.0, 1))


def test_nothing_is_explored_that_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``sticking.dataset`` and ``sticking.scans``: molecules alone are written, nothing else."""
    monkeypatch.setattr(clusters, "calculator", None)
    of = {"parts": (), "projectile": "H2", "density_g_per_cm3": 1.07, "packing_distance_A": 2.6}
    files = [tmp_path / name for name in ("clusters", "molecules", "scans")]
    clusters.write_clusters(0.0, 0, 1, 0, *files, True, molecules=("CO",), **of)
    assert (tmp_path / "clusters").read_text() == (tmp_path / "scans").read_text() == ""
    assert len(load_frames(tmp_path / "molecules")) == 59
    with pytest.raises(UserError, match="H2O with interaction_only"):
        clusters.write_clusters(0.0, 0, 1, 0, *files, True, molecules=("CO", "H2O"), **of)


def test_h2_is_placed_around_a_cluster_at_all_distances() -> None:
    """The cluster is the same in all frames, the last is without H2; the nearest atom is as far as drawn."""
    crowd = Atoms("CO" * 2, [[0, 0, 0], [0, 0, 1.13], [4, 0, 0], [4, 1.13, 0]])
    generator = np.random.default_rng(3)
    for nearest_A in (2.4, 4.0, 6.4):
        both = approached(PUBLISHED, crowd, PUBLISHED.rests(2, False), nearest_A, generator)
        np.testing.assert_array_equal(both.positions[:4], crowd.positions)
        apart = np.linalg.norm(both.positions[:4, None] - both.positions[None, 4:], axis=2).min()
        assert nearest_A <= apart < nearest_A + 0.11
        assert both.get_distance(4, 5) == pytest.approx(0.7414)
    pytest.importorskip("gfnff")
    found = placed(PUBLISHED, 1, 0)
    assert [len(frame) for frame in found] == [*[22] * 6, 20] * 2
    assert {frame.info["trajectory_id"] for frame in found} == {"placed/0"}
    for first in (0, 7):
        alone = found[first + 6].positions
        assert all(np.array_equal(frame.positions[:20], alone) for frame in found[first : first + 7])
    larger = placed(PUBLISHED, 1, 4)
    assert [len(frame) for frame in larger] == [*[82] * 6, 80] * 2, "every fifth cluster has 40 CO"
    assert len(found) == len(larger) == PLACED_FRAMES
    apart = [
        np.linalg.norm(frame.positions[:-2, None] - frame.positions[None, -2:], axis=2).min()
        for frame in (*found, *larger)
        if 1 in frame.numbers
    ]
    assert 1.8 <= min(apart) < 2.5, "walls are learnt from what is inside them"


def test_h2_slides_into_pockets() -> None:
    """Half of the frames with H2 slid to where GFN-FF binds it, and the known truth binds it there, too."""
    pytest.importorskip("gfnff")
    frames = [frame for frame in placed(PUBLISHED, 1, 0) if len(frame) == 22]
    deepest_K: list[list[float]] = [[], []]
    for place, frame in enumerate(frames):
        assert frame.get_distance(-2, -1) == pytest.approx(0.7414)
        energy_K = float(h2_co.interaction(frame.positions[:-2], frame.positions[-2:])) / kB
        deepest_K[place % 6 // 3].append(energy_K)
    only_placed, slid = deepest_K
    assert max(slid) < -50
    assert np.median(slid) < -70
    assert max(only_placed) > 500, "walls are learnt from those"


def finished(folder: Path) -> None:
    """Folders of all steps before the analysis, made up."""
    generator = np.random.default_rng(1)
    for number, phase in enumerate(("crystalline", "amorphous")):
        rows = table({"gmnn-0": 40, "gmnn-1": 45}).assign(
            phase=phase, surface_id=0, polar_angle_deg=0.0, azimuth_deg=0.0, aim_x_A=0.0, aim_y_A=0.0,
            time_fs=5000.0, n_bounces=3, energy_drift_meV_per_ps=0.01,
        )  # fmt: skip
        fast = rows.assign(
            collision_energy_K=348.0, outcome="bounced", trajectory_id=rows["trajectory_id"] + 128
        )
        own = pandas.concat([rows, fast])
        own["trajectory_id"] += 256 * number
        time = np.arange(0.0, 10000.0, 20.0)
        path = pandas.DataFrame(
            {
                "time_fs": time, "z_A": 3.0 + 0.3 * np.cos(time / 40.0), "apart_A": 3.0,
                "trajectory_id": number, "phase": phase,
            }
        )  # fmt: skip
        sites = pandas.DataFrame(
            {
                "phase": phase, "surface_id": 0, "site_id": np.arange(30), "x_A": generator.normal(size=30),
                "y_A": generator.normal(size=30), "z_A": 2.5, "converged": 1, "model_std_K": 8.0,
                "largest_shift_A": 0.1, "site_type": ["hollow", "bridge", "top"] * 10,
                "binding_energy_K": generator.normal(-200.0, 40.0, size=30),
            }
        ).assign(truth_energy_K=lambda own: own["binding_energy_K"] + 6.0)  # fmt: skip
        atoms = pandas.DataFrame(
            generator.normal(size=(40, 3)), columns=["x_A", "y_A", "z_A"]
        ).assign(phase=phase, surface_id=0, fixed=0, element=["C", "O"] * 20)  # fmt: skip
        checks = pandas.DataFrame(
            [
                {
                    "phase": phase, "surface_temperature_K": 10, "n_molecules": 60, "n_fixed": 28,
                    "radius_A": 9.0, "n_surfaces": 1, "temperature_K": 10.2, "temperature_error_K": 0.3,
                    "initial_density_g_per_cm3": 1.0, "density_g_per_cm3": 1.04, "n_deep": 9,
                    "rms_displacement_A": 0.1,
                }
            ]
        )  # fmt: skip
        warm = {"phase": phase, "bath_K": 10, "replica": 0, "time_fs": time, "temperature_K": 10.0}
        radial = {"phase": phase, "distance_A": np.arange(1.0, 9.0), "g": 1.0}
        for kind, name, content in (
            ("shards", "trajectories", own), ("attempts", "paths", path), ("attempts", "trajectories", own),
            ("sites", "binding_energies", sites),
            ("sites", "surface_atoms", atoms), ("surfaces", "checks", checks),
            ("surfaces", "temperature", pandas.DataFrame(warm)),
            ("surfaces", "radial", pandas.DataFrame(radial)),
            ("truth", "trajectories", own.assign(model_id="analytic")),
        ):  # fmt: skip
            (folder / kind / phase).mkdir(parents=True, exist_ok=True)
            content.to_csv(folder / kind / phase / f"{name}.csv", index=False)
        for kind in ("shards", "attempts", "truth"):
            (folder / kind / phase / "campaign.json").write_text("{}")
        (folder / "surfaces" / phase / "snapshots.extxyz").write_text(phase)


def test_a_half_life_beyond_all_numbers_is_drawn(tmp_path: Path) -> None:
    """Thousands of K in the cold, as where a committee has a hole."""
    energies = [-9000.0, -200.0]
    sites = residence_times("amorphous", energies, 4.0, [5.0])
    assert sites["half_life_s"].max() == sys.float_info.max
    figure = residence(cast("Results", SimpleNamespace(residence_sites=sites, is_published=True)), tmp_path)
    assert len(pandas.read_csv(tmp_path / figure.data)) == len(energies)


def test_everything_documented_is_written(tmp_path: Path, root: Path) -> None:
    finished(tmp_path)
    folders = [tmp_path / name for name in ("surfaces", "sites", "shards", "attempts", "truth")]
    results = analyse(
        *folders, ["surface", "100"], [5.0, 10.0], 2000.0, root / "assets/reference", 1, tmp_path / "out"
    )  # fmt: skip
    kept.check(tmp_path / "out", "sticking")
    section = Section.read(tmp_path / "out")
    assert all(gate.passed for gate in section.gates), section.gates
    for item in (*section.figures, *section.tables):
        assert (tmp_path / "out" / item.file).stat().st_size > 0
    assert (tmp_path / "out/surfaces/amorphous/snapshots.extxyz").read_text() == "amorphous"
    assert (tmp_path / "out/campaign.json").read_text() == "{}"
    for name, columns in CONTRACT.items():
        found = list(pandas.read_csv(tmp_path / "out" / f"{name}.csv"))
        assert found[: len(columns.split(", "))] == columns.split(", "), name
    kinds = pandas.read_csv(tmp_path / "out/binding_by_type.csv")
    assert kinds["site_type"].tolist() == ["top", "bridge", "hollow"] * 2
    assert (kinds["n"] == 10).all()
    assert kinds["truth_mean_error_K"].to_numpy() == pytest.approx(-6.0)
    counts = json.loads((tmp_path / "out/counts.json").read_text())["model"]
    assert counts == {"stuck": 170, "bounced": 342, "dissociated": 0, "failed": 0, "total": 512}
    for phase, density, passed in (
        ("crystalline", 1.059, True), ("crystalline", 0.95, False), ("crystalline", np.nan, None),
        ("amorphous", 0.89, True), ("amorphous", 0.82, False), ("amorphous", 1.09, False),
    ):  # fmt: skip
        checks = results.checks.assign(density_g_per_cm3=density)
        gates = section_of(replace(results, checks=checks), []).gates
        assert {gate.name: gate for gate in gates}[f"density (g/cm³), {phase}, 10 K"].passed is passed
    for low, high, passed in ((-0.05, 0.08, True), (-0.2, 0.2, False), (0.05, 0.15, False)):
        apart = results.truth_pairs.assign(difference=0.0, difference_low_95=low, difference_high_95=high)
        gates = section_of(replace(results, truth_pairs=apart), []).gates
        assert [g.passed for g in gates if "part that sticks" in g.name] == [passed] * 2
    for drifts, passes in (([0.1, 0.2, 50.0], [True, False]), ([2.0, 3.0, 0.1], [False, True])):
        n = len(results.trajectories)
        drifting = results.trajectories.assign(energy_drift_meV_per_ps=np.resize(drifts, n))
        gates = section_of(replace(results, trajectories=drifting), []).gates
        assert [g.passed for g in gates if "energy drift of a trajectory" in g.name] == passes
    off = results.sites_summary.assign(truth_mean_error_K=-25.0)
    gates = section_of(replace(results, sites_summary=off), []).gates
    assert [gate.passed for gate in gates if "mean error of binding" in gate.name] == [False, False]
    for spread_K, passed in ((8.0, [True, True]), (80.0, [False, False]), (np.nan, [])):
        spread = results.sites_summary.assign(model_std_K=spread_K)
        gates = section_of(replace(results, sites_summary=spread), []).gates
        assert [gate.passed for gate in gates if "members' spread" in gate.name] == passed
    truth = results.truth_coefficients
    own = results.coefficients
    apart = truth.assign(coefficient=own["coefficient"] + 0.3, low_95=0.2, high_95=0.6)
    gates = section_of(replace(results, truth_coefficients=apart), []).gates
    half = np.hypot(0.5 * (own["high_95"] - own["low_95"]), 0.2)
    for phase, part in (0.3 + half).groupby(own["phase"]):
        (gate,) = [g for g in gates if "S(T_g)" in g.name and str(phase) in g.name]
        assert gate.value == pytest.approx(part.max())
        assert gate.passed is False
    alike = truth.assign(coefficient=own["coefficient"], low_95=0.4, high_95=0.5)
    close = replace(results, coefficients=own.assign(low_95=0.4, high_95=0.5), truth_coefficients=alike)
    gates = section_of(close, []).gates
    assert [g.passed for g in gates if "S(T_g)" in g.name] == [True, True]


CONTRACT = {
    "sticking_probabilities": "phase, surface_temperature_K, collision_energy_K, n, n_stuck, n_failed, "
    "probability, low_95, high_95, model_std, total_low_95, total_high_95",
    "sticking_coefficients": "phase, surface_temperature_K, gas_temperature_K, coefficient, low_95, high_95, "
    "model_std, total_low_95, total_high_95",
    "truth_pairs": "phase, n, n_stuck_model, n_stuck_truth, only_model, only_truth, p_value",
    "truth_coefficients": "phase, surface_temperature_K, gas_temperature_K, coefficient, low_95, high_95",
    "binding_energies": "phase, surface_id, site_id, x_A, y_A, z_A, binding_energy_K, model_std_K, converged",
    "binding_summary": "phase, n, mean_K, median_K, std_K, n_unconverged, model_std_K, truth_mean_error_K, "
    "truth_rms_error_K",
    "attempt_frequencies": "phase, trajectory_id, attempt_frequency_per_ps",
    "residence_times": "phase, surface_temperature_K, binding_energy_K, attempt_frequency_per_ps, "
    "half_life_s",
}
