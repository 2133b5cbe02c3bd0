"""Dynamic training's comparison: data that is kept and split whole, paired differences, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

from frazil.analysis.settings import ModelError
from frazil.data.trajectories import LabelledTrajectory
from frazil.errors import UserError
from frazil.experiments.dynamic_training import analysis, truth
from frazil.experiments.dynamic_training.judge import ALONG, CHAOS, ROLLOUTS, STARTS
from frazil.experiments.dynamic_training.settings import ARMS, DynamicTraining, TrajectoryData
from frazil.report.section import Section
from frazil.settings import BadSettings, load
from frazil.units import fs

N_FRAMES = 40


def trajectory(name: str, seed: int, breaks: tuple[int, ...] = ()) -> LabelledTrajectory:
    """CO on a spring, by velocity Verlet."""
    random = np.random.default_rng(seed)
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.2]])
    x, dt, masses = atoms.positions.copy(), 0.5 * fs, atoms.get_masses()[:, None]
    v = 0.02 * random.normal(size=(2, 3))
    rows: dict[str, list[Any]] = {key: [] for key in ("x", "v", "f", "e")}

    def spring(x: np.ndarray) -> tuple[float, np.ndarray]:
        bond = x[1] - x[0]
        length = np.linalg.norm(bond)
        along = 100 * (length - 1.13) * bond / length
        return 50 * float(length - 1.13) ** 2, np.array([along, -along])

    e, f = spring(x)
    for _ in range(N_FRAMES):
        for key, value in (("x", x), ("v", v), ("f", f), ("e", e)):
            rows[key].append(np.array(value))
        v = v + 0.5 * dt * f / masses
        x = x + dt * v
        e, f = spring(x)
        v = v + 0.5 * dt * f / masses
    arrays = [np.array(rows[key]) for key in ("x", "v", "f", "e")]
    return LabelledTrajectory(name, atoms, 0.5, *arrays, breaks=breaks, level="spring")  # type: ignore[misc]


def test_trajectories_are_kept_with_their_gaps_and_split_whole(tmp_path: Path) -> None:
    known = [trajectory(f"run {i}", i, (15,) if i == 2 else ()) for i in range(5)]
    (tmp_path / "mine").mkdir()
    for number, own in enumerate(known):
        truth.write(own, tmp_path / f"mine/{number}.h5")
    one = tmp_path / "mine/2.h5"
    data = TrajectoryData(dataset=one, n_test_trajectories=1, n_validation_trajectories=1)
    with pytest.raises(UserError, match="1 trajectories, 2 of them to be held out; give more"):
        truth.prepare(data, 0.0, 1, tmp_path / "few")
    found = truth.read_trajectories([tmp_path / f"mine/{n}.h5" for n in range(5)])
    assert [own.runs() for own in found][2] == [(0, 15), (15, N_FRAMES)]
    np.testing.assert_array_equal(found[3].positions, known[3].positions)
    np.testing.assert_allclose(found[3].velocities, known[3].velocities, rtol=1e-12)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``prepare`` writes it."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = []
    for number, subset in enumerate(("train", "test", "test", "validation")):
        truth.write(trajectory(str(number), number), folder / f"{number:04d}.h5")
        rows.append([number, f"run {number}", subset, N_FRAMES, 0, 0.5, "derived", 1.0, 0.5])
    truth.TRAJECTORIES.write(truth.TRAJECTORIES.frame(rows), folder)
    (folder / "summary.json").write_text('{"truth": null, "level": "spring"}')
    return folder


def test_subsets_are_read_by_name(prepared: Path) -> None:
    held = truth.read(prepared, "test")
    assert [own.name for own in held] == ["run 1", "run 2"]
    assert all(own.derived and own.level == "spring" for own in held)
    assert len(truth.read(prepared)) == 4


def judged(folder: Path, gain: dict[str, float], seeds: int = 3) -> Path:
    """Tables of test runs, less wrong by ``gain`` of each arm; seeds and starts differ more than arms."""
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        own = 1 + 0.1 * random.normal()
        hard = np.repeat([0.5, 1.5], 3)  # of the starts, three of each trajectory
        rollouts, starts, along = [], [], []
        for arm in ARMS:
            length = 4 if arm == "dynamic" else 1
            noise = 0.002 * random.normal(size=6)
            errors = hard * own * (1 - gain.get(arm, 0.0)) + noise
            starts += [[arm, length, seed, k, k // 3, 7, e / 2, e, e / 4, 20.0] for k, e in enumerate(errors)]
            mean = float(errors.mean())
            rollouts.append(
                [arm, "m", seed, 1, length, mean / 2, mean, mean / 4, 1.0, 100, 2.0, 20.0, 0.1, 0, 2, 0, 0.9]
            )
            along += [[arm, length, seed, k, 0.1, 0.01] for k in range(3)]
        if seed == 0:
            starts += [[CHAOS, 0, seed, k, k // 3, 7, 0.0, 0.1, 0.0, 100.0] for k in range(6)]
            along += [[CHAOS, 0, seed, k, 0.0, 0.001] for k in range(3)]
        for table, rows in ((ROLLOUTS, rollouts), (STARTS, starts), (ALONG, along)):
            table.write(table.frame(rows), folder / f"judged_{seed}")
    return folder


def differences(folder: Path, prepared: Path, gain: dict[str, float]) -> tuple[pandas.DataFrame, Section]:
    out = folder / "out"
    analysis.analyse(prepared, judged(folder / "judged", gain), 1, ModelError(), out)
    table = pandas.read_csv(out / "differences.csv").set_index(["control", "measure"])
    return table, Section.read(out)


def test_a_gain_is_found_through_seeds_and_starts_that_differ_more(prepared: Path, tmp_path: Path) -> None:
    table, section = differences(tmp_path, prepared, {"dynamic": 0.1, "restarts": 0.1})
    row = table.loc[("same-work", "mepa_300")]
    assert row["difference"] == pytest.approx(-0.1, abs=0.02)
    assert row["low_95"] < row["difference"] < row["high_95"] < 0
    assert row["n_starts"] == 18
    assert row["n_seeds"] == 3
    none = table.loc[("restarts", "mepa_300")]
    assert abs(none["difference"]) < 0.01
    assert none["total_low_95"] < 0 < none["total_high_95"]
    assert none["total_low_95"] <= none["low_95"]
    assert "3 seeds" in section.headline
    assert any("Chaos floor" in text for text in section.text)
    assert all(gate.passed for gate in section.gates)
    jaccard = pandas.read_csv(tmp_path / "out/jaccard.csv")
    assert (jaccard["similarity"] == 1.0).all(), "two atoms that never part"


def test_no_gain_is_not_told_apart(prepared: Path, tmp_path: Path) -> None:
    _, section = differences(tmp_path, prepared, {})
    assert section.headline.startswith("Dynamic training is not told apart from S = 1 (same-work)")


def test_an_arm_that_lacks_a_seed_misses_its_gate(prepared: Path, tmp_path: Path) -> None:
    folder = judged(tmp_path / "judged", {})
    file = folder / "judged_2/rollouts.csv"
    rows = pandas.read_csv(file)
    rows[rows["arm"] != "restarts"].to_csv(file, index=False)
    analysis.analyse(prepared, folder, 1, ModelError(), tmp_path / "out")
    gates = {gate.name: gate for gate in Section.read(tmp_path / "out").gates}
    assert gates["models that lack a seed"].passed is False
    assert gates["models that lack a seed"].comment == "restarts (S = 1)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_trajectories": 10}, "n_trajectories: given 10; allowed: above n_test_trajectories, now 8"),
        ({"n_frames": 320, "longest": 321}, "longest: given 321; allowed: at most n_frames, now 320"),
        ({"n_frames": 299}, "test_frames: given 300; allowed: at most n_frames, now 299"),
        ({"arms": "same-work,converged"}, "same-work goes with dynamic and restarts"),
        ({"network": "mace"}, "network: given mace.*allowed: one of egnn, egnn-published, gmnn"),
        ({"reset_rate": 2e-6}, "reset_rate: given 2e-06; allowed: above smallest_rate"),
    ],
)
def test_settings_that_go_ill_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSettings, match=message):
        load(DynamicTraining, given)
