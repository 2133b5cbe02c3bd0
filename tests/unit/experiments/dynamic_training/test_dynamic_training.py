"""Dynamic training's comparison: data that is kept and split whole, paired differences, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("optax")

import kept
from frazil.analysis.settings import ModelError
from frazil.data.trajectories import LabelledTrajectory
from frazil.errors import UserError
from frazil.experiments.dynamic_training import analysis, arms, judge, truth
from frazil.experiments.dynamic_training.judge import ALONG, CHAOS, LONG_RUNS, ROLLOUTS, STARTS
from frazil.experiments.dynamic_training.settings import (
    ARMS,
    DynamicTraining,
    Judgement,
    TrainedNetwork,
    TrajectoryData,
)
from frazil.experiments.repeated import keep, repeat
from frazil.learning.batches import Batch
from frazil.learning.rollout import FromEnergy
from frazil.learning.settings import RolloutTraining
from frazil.potentials.analytic.simple import HarmonicBonds
from frazil.report.movie import read as read_movie
from frazil.report.section import Section
from frazil.settings import BadSettings, load, values_of
from frazil.units import fs

N_FRAMES = 40


def trajectory(
    name: str, seed: int, breaks: tuple[int, ...] = (), n_frames: int = N_FRAMES
) -> LabelledTrajectory:
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
    for _ in range(n_frames):
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
        rollouts, starts, along, long_runs = [], [], [], []
        for arm in ARMS:
            length = 4 if arm == "dynamic" else 1
            noise = 0.002 * random.normal(size=6)
            errors = hard * own * (1 - gain.get(arm, 0.0)) + noise
            starts += [[arm, length, seed, k, k // 3, 7, e / 2, e, e / 4, 20.0] for k, e in enumerate(errors)]
            mean = float(errors.mean())
            rollouts.append(
                [arm, "m", seed, 1, length, mean / 2, mean, mean / 4, 1.0, 100, 2.0, 20.0, 0.1, 0, 2, 0, 0.9]
            )
            long_runs += [[arm, length, seed, k, k, 0, 0, 50.0, -1.0, 1.1] for k in range(2)]
            along += [[arm, length, seed, k, 0.1, 0.01] for k in range(3)]
        if seed == 0:
            starts += [[CHAOS, 0, seed, k, k // 3, 7, 0.0, 0.1, 0.0, 100.0] for k in range(6)]
            along += [[CHAOS, 0, seed, k, 0.0, 0.001] for k in range(3)]
        every = ((ROLLOUTS, rollouts), (STARTS, starts), (ALONG, along), (LONG_RUNS, long_runs))
        for table, rows in every:
            table.write(table.frame(rows), folder / f"judged_{seed}")
    return folder


def differences(folder: Path, prepared: Path, gain: dict[str, float]) -> tuple[pandas.DataFrame, Section]:
    out = folder / "out"
    analysis.analyse(prepared, judged(folder / "judged", gain), [], 1, ModelError(), out)
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
    kept.check(tmp_path / "out", "dynamic_training")
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
    analysis.analyse(prepared, folder, [], 1, ModelError(), tmp_path / "out")
    gates = {gate.name: gate for gate in Section.read(tmp_path / "out").gates}
    assert gates["models that lack a seed"].passed is False
    assert gates["models that lack a seed"].comment == "restarts (S = 1)"


class Bond(FromEnergy):
    """CO on a spring as a network: what it trains are the logarithms of stiffness and length."""

    cutoff_A, n_species = 4.0, 2

    def __init__(self) -> None:
        def energies(weights: Any, batch: Batch, positions: jax.Array) -> jax.Array:
            ends = positions[: 2 * batch.n_structures].reshape(-1, 2, 3)
            apart = jnp.where((batch.n_atoms > 0)[:, None], ends[:, 1] - ends[:, 0], 1.0)
            length = jnp.sqrt((apart**2).sum(axis=1))
            return jnp.where(batch.n_atoms > 0, 0.5 * weights[0] * (length - weights[1]) ** 2, 0.0)

        super().__init__(energies)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        return (np.asarray(numbers) == 8).astype(np.int32)

    def identity(self) -> dict[str, Any]:
        return {"kind": "bond"}

    def start(self, frames: Any, seed: int) -> Any:
        first = np.random.default_rng(seed).normal(size=2) * [0.1, 0.01]
        return {"logarithms": jnp.log(jnp.array([90.0, 1.15])) + first}

    def rates(self, parameters: Any) -> Any:
        return {"logarithms": 1.0}

    def fold(self, parameters: Any) -> Any:
        return jnp.exp(parameters["logarithms"])

    def potential(self, parameters: Any, numbers: np.ndarray) -> HarmonicBonds:
        return HarmonicBonds(*self.fold(parameters))

    def write(self, folder: Path, parameters: Any, metadata: Any) -> None:
        stiffness, length = map(float, self.fold(parameters))
        folder.mkdir(parents=True)
        described = {"kind": "harmonic", "stiffness_eV_per_A2": stiffness, "length_A": length}
        (folder / "model.json").write_text(json.dumps(described))


def test_arms_are_trained_judged_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed of all arms on a bond whose constants are known: costs add up, and models are judged."""
    monkeypatch.setattr("frazil.experiments.dynamic_training.arms.network_of", lambda *_: Bond())
    data = tmp_path / "data"
    rows = []
    for number, subset in enumerate(("train", "test", "validation")):
        truth.write(trajectory(str(number), number, n_frames=310), data / f"{number:04d}.h5")
        rows.append([number, f"run {number}", subset, 310, 0, 0.5, "stated", 1.0, 0.5])
    truth.TRAJECTORIES.write(truth.TRAJECTORIES.frame(rows), data)
    known = {"kind": "harmonic", "stiffness_eV_per_A2": 100.0, "length_A": 1.13}
    (data / "summary.json").write_text(json.dumps({"truth": known, "level": "spring"}))
    training = RolloutTraining(
        longest=2, starts_per_epoch=64, learning_rate=0.02, reset_rate=0.01, smallest_rate=2e-3,
        rate_factor=0.3, plateau_epochs=0, validation_frames=20, n_validation=2, seed=1,
    )  # fmt: skip
    out = tmp_path / "judged/judged_0"
    arms.train(data, 0, 1, ARMS, TrainedNetwork(), training, tmp_path / "kept", tmp_path / "trained")
    judge.judge(data, tmp_path / "trained", 1, Judgement(n_test_starts=3, n_long=2, long_fs=50), out)
    table = ROLLOUTS.read(out).set_index("arm")
    assert dict(table["subsequence_length"]) == {"converged": 1, "dynamic": 2, "restarts": 1, "same-work": 1}
    curves = arms.CURVES.read(tmp_path / "trained")
    frames = curves.groupby("part")["frames"].max()
    assert table.loc["dynamic", "steps"] == frames["converged"] + frames["dynamic"]
    assert table.loc["same-work", "steps"] == frames["converged"] + frames["restarts"] + frames["same-work"]
    assert table.loc["same-work", "steps"] >= table.loc["dynamic", "steps"]
    assert (curves[curves["part"] == "dynamic"]["subsequence_length"] == 2).all()
    found = json.loads((tmp_path / "trained/dynamic-2/model.json").read_text())
    assert found["stiffness_eV_per_A2"] == pytest.approx(100, rel=0.05)
    assert (table["mepa_300"] > table["mepa_60"]).all()
    assert (table["n_holes"] == 0).all()
    assert (table["distance_overlap"] > 0.5).all()
    floor = STARTS.read(out).query("arm == 'truth'")
    assert floor["mepa_300"].max() < table["mepa_300"].min()
    results = tmp_path / "results/dynamic_training"
    analysis.analyse(data, tmp_path / "judged", [tmp_path / "trained"], 1, ModelError(), results)
    assert "1 seeds" in Section.read(results).headline
    judgement = fields_of(DynamicTraining, {"n_test_starts": 3, "n_long": 2, "long_fs": 50})
    parameters = {"campaign_seed": 1, "dynamic_training": judgement}
    (results.parent / "run.json").write_text(json.dumps({"parameters": parameters}))
    is_repeated(results.parent, tmp_path)
    assert "epochs" in capsys.readouterr().err


def fields_of(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values_of(load(kind, given)).items() if value is not None}


def is_repeated(results: Path, folder: Path) -> None:
    """Test runs and long runs come out the same from their numbers, under every model and the truth."""
    starts = (results / "dynamic_training/starts.csv").read_text().splitlines()
    repeat("dynamic_training", results, 1, 1000, folder / "one")
    again = (folder / "one/starts.csv").read_text().splitlines()
    assert again[1:] == [line for line in starts[1:] if line.split(",")[3] == "1"]
    assert len(again) == 1 + len(ARMS) + 1, "every model, and the truth"
    frames = read_movie(folder / "one/frames.extxyz")
    assert len(frames) == 300 * (len(ARMS) + 1)
    held = truth.read(results / "dynamic_training/held_out", "test")[0]
    place, first = map(int, again[1].split(",")[4:6])
    soft = [frame for frame in frames if frame.info["arm"] == "dynamic"]
    assert place == 0
    np.testing.assert_allclose(soft[0].positions, held.positions[first], atol=1e-7)
    np.testing.assert_allclose(soft[40].positions, held.positions[first + 40], atol=0.05)
    repeat("dynamic_training", results, 1, 10, folder / "long", "long")
    runs = (results / "dynamic_training/long_trajectories.csv").read_text().splitlines()
    assert (folder / "long/long_trajectories.csv").read_text().splitlines()[1:] == [
        line for line in runs[1:] if line.split(",")[3] == "1"
    ]
    with pytest.raises(UserError, match=r"trajectory 7; .*starts.csv has 3, 0 to 2"):
        repeat("dynamic_training", results, 7, 10, folder / "none")
    keep("dynamic_training", results, 2, 5, (), (), folder / "kept")
    (gate,) = Section.read(folder / "kept").gates
    assert (gate.passed, gate.value) == (True, 2)
    assert len(read_movie(folder / "kept/frames.extxyz")) == 2 * 5 * (len(ARMS) + 1)
    file = results / "dynamic_training/models/seed_0/dynamic-2/model.json"
    softer = json.loads(file.read_text())
    softer["stiffness_eV_per_A2"] *= 0.99
    file.write_text(json.dumps(softer))
    with pytest.raises(UserError, match="trajectory 1 came out as "):
        repeat("dynamic_training", results, 1, 10, folder / "changed")
    shutil.rmtree(results / "dynamic_training/models")
    with pytest.raises(UserError, match=r"there is no .*seed_0/converged-1; give the results of a whole run"):
        repeat("dynamic_training", results, 1, 10, folder / "gone")


@pytest.mark.parametrize(
    ("network", "form"), [("egnn", "smooth"), ("egnn-published", "published"), ("gmnn", "")]
)
def test_a_network_is_built_as_its_settings_say(network: str, form: str) -> None:
    size = TrainedNetwork(
        network=network, cutoff_A=4.5, precision="float64", n_features=6, n_waves=7, n_layers=2,
        sigma_per_A=3.5, n_radial=2, n_basis=5, hidden=(8, 9),
    )  # fmt: skip
    built: Any = arms.network_of(size, ("C", "O"))
    of_egnn = {"form": form, "n_features": 6, "n_waves": 7, "n_layers": 2, "sigma_per_A": 3.5}
    expected = of_egnn if form else {"n_radial": 2, "n_basis": 5, "hidden": (8, 9)}
    expected |= {"elements": ("C", "O"), "cutoff_A": 4.5, "precision": "float64"}
    assert {name: getattr(built.architecture, name) for name in expected} == expected


def test_models_of_known_bonds_are_judged_by_what_they_are(tmp_path: Path) -> None:
    """The truth errs by nothing, a softer bond by what it is softer, a shorter one falls into a hole."""
    data, trained, out = (tmp_path / name for name in ("data", "trained", "judged"))
    rows = []
    for number, subset in enumerate(("train", "test", "test")):
        truth.write(trajectory(str(number), number, n_frames=310), data / f"{number:04d}.h5")
        rows.append([number, f"run {number}", subset, 310, 0, 0.5, "stated", 1.0, 0.5])
    truth.TRAJECTORIES.write(truth.TRAJECTORIES.frame(rows), data)
    known = {"kind": "harmonic", "stiffness_eV_per_A2": 100.0, "length_A": 1.13}
    (data / "summary.json").write_text(json.dumps({"truth": known, "level": "spring"}))
    models = []
    for length, (name, changed) in enumerate(
        {"right": {}, "soft": {"stiffness_eV_per_A2": 96.0}, "short": {"length_A": 0.6}}.items(), 1
    ):
        (trained / name).mkdir(parents=True)
        (trained / name / "model.json").write_text(json.dumps(known | changed))
        models.append(["dynamic", length, name, 5, length - 1, 0.1, 1000 * length, 2.5])
    arms.MODELS.write(arms.MODELS.frame(models), trained)
    judge.judge(data, trained, 1, Judgement(n_test_starts=4, n_long=3, long_fs=45), out)
    table = ROLLOUTS.read(out).set_index("model")
    assert table.loc["right", ["mepa_300", "force_mae_eV_per_A", "energy_mae_meV_per_atom"]].max() < 1e-6
    assert table.loc["right", "time_to_tenth_A_fs"] == 150.0, "never a tenth off in 300 frames"
    assert table["n_holes"].to_dict() == {"right": 0, "soft": 0, "short": 3}
    assert table.loc["right", "distance_overlap"] > 0.7 > table.loc["short", "distance_overlap"]
    pulls = np.concatenate([own.forces[::5] for own in truth.read(data, "test")])
    assert table.loc["soft", "force_mae_eV_per_A"] == pytest.approx(0.04 * np.abs(pulls).mean(), rel=1e-4)
    assert table.loc["right", "drift_meV_per_atom_per_ps"] < 3.0
    kept.check(out, "dynamic_judge", rel=2e-4)


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
