"""Training with the real DeePMD-kit, a few steps at a time."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas
import pytest

import frazil.learning.deepmd as training
from frazil.data.frames import write_frames
from frazil.errors import OutOfTime, UserError
from frazil.learning.deepmd import read_learning_curve, train
from frazil.learning.deepmd_input import check_neighbours, to_input
from frazil.learning.settings import DeepmdTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.lammps import LammpsSession
from frazil.md.observers import energies as energies_of
from frazil.potentials.deepmd.model import DeepPotential, evaluate, model_file_of
from frazil.potentials.registry import load
from frazil.systems.co import deepmd_types
from models import TINY, random_frames, write_dataset


def settings(**changes: object) -> DeepmdTraining:
    return dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]


def test_the_model_directory_is_complete(tiny_model: Path) -> None:
    description = json.loads((tiny_model / "model.json").read_text())
    assert description["type_map"] == ["C", "O", "X1", "X2"]
    assert description["kind"] == "deepmd"
    assert description["compressed"]
    assert description["n_train_frames"] == 12
    embedding = 4 * (1 * 4 + 4 + 4 * 8 + 8)  # a net per neighbour type
    fitting = 4 * (16 * 8 + 8 + 8 * 8 + 8 + 8 + 8 + 1)  # a net per centre, one with a time step
    assert description["n_parameters"] == embedding + fitting
    curve = pandas.read_csv(tiny_model / "learning_curve.csv")
    assert curve["step"].tolist() == list(range(TINY.n_steps + 1))
    assert curve["learning_rate"].iloc[-1] == pytest.approx(TINY.learning_rate_stop)


def test_compressed_equals_frozen(tiny_model: Path) -> None:
    frames = random_frames(5, seed=9)
    (_, frozen), (_, compressed) = (evaluate(tiny_model / name, frames) for name in ("frozen.pb", "model.pb"))
    assert np.abs(np.array(frozen) - np.array(compressed)).max() < 1e-6


def test_a_killed_training_ends_with_the_bytes_of_an_unkilled_one(tiny_dataset: Path, tmp_path: Path) -> None:
    """Terminated twice, and once its last checkpoint is damaged too: then the one before it serves."""
    wanted = settings(n_steps=1200)
    train(tiny_dataset, tmp_path / "whole", tmp_path / "unkilled", 0, 7, wanted, compress=False)
    checkpoints, out = tmp_path / "checkpoints", tmp_path / "model"

    def steps() -> list[int]:
        files = checkpoints.glob("*/training/saved.json")
        return [saved["step"] for file in files for saved in json.loads(file.read_text())["value"]]

    def terminate(step: int) -> None:
        curves = "*/training/learning_curve.out"
        while not any(training._last_step(file) >= step for file in checkpoints.glob(curves)):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    for step in (150, 500):
        killer = threading.Thread(target=terminate, args=(step,))
        killer.start()
        with pytest.raises(OutOfTime, match=r"stopped at step \d+ of 1200"):
            train(tiny_dataset, out, checkpoints, 0, 7, wanted, compress=False)
        killer.join()
        assert step <= steps()[-1] < 1200
    assert not out.exists()
    earlier, last = steps()
    (file,) = checkpoints.glob(f"*/training/model.ckpt-{last}.data*")
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.MonkeyPatch.context() as patch:
        found: list[str | None] = []
        command = training.command
        patch.setattr(training, "command", lambda *given: found.append(given[0]) or command(*given))
        train(tiny_dataset, out, checkpoints, 0, 7, wanted, compress=False)
    assert found == [f"model.ckpt-{earlier}"]
    for name in ("model.pb", "frozen.pb", "learning_curve.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_training_is_copied_out_when_it_is_asked_for_again(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(n_steps=2)
    train(tiny_dataset, tmp_path / "one", tmp_path / "checkpoints", 0, 7, wanted, compress=False)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_run", None)
        train(tiny_dataset, tmp_path / "two", tmp_path / "checkpoints", 0, 7, wanted, compress=False)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    (kept,) = tmp_path.glob("checkpoints/deepmd-*/model")
    assert {file.name for file in kept.parent.iterdir()} == {"lock", "model", "model.sha256"}
    (kept / "model.pb").write_bytes(b"")
    capsys.readouterr()
    train(tiny_dataset, tmp_path / "three", tmp_path / "checkpoints", 0, 7, wanted, compress=False)
    assert f"warning: {kept} is damaged (its digest is another)" in capsys.readouterr().err
    assert (tmp_path / "three/model.pb").read_bytes() == (tmp_path / "one/model.pb").read_bytes()


@pytest.mark.parametrize("excited_types", [True, False])
def test_a_residual_model_has_its_bonds_wherever_it_runs(
    excited_types: bool, tiny_residual: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    if excited_types:
        shutil.copytree(tiny_residual, tmp_path / "model")
    else:
        train(
            tiny_dataset, tmp_path / "model", tmp_path, 0, 8, settings(),
            excited_types=False, bond_curve=tiny_residual.with_name("curve.csv"),
        )  # fmt: skip
    assert json.loads((tmp_path / "model/model.json").read_text())["bond_baseline"]
    frames = random_frames(6, seed=3)
    file = model_file_of(tmp_path / "model")
    energies, forces = evaluate(file, frames)
    frame, energy, force = frames[0], energies[0], forces[0]
    if excited_types:
        scan = np.linspace(0.95, 1.8, 18)
        alone = np.array([[[0, 0, 0], [0, 0, length]] for length in scan])
        curve = DeepPotential(file).evaluate(alone, np.array([2, 3]))[0]
        expected = 11.2 * (1 - np.exp(-2.3 * (scan - 1.128))) ** 2
        assert np.ptp(curve - expected) < 0.5 < np.ptp(expected)
    potential = DeepPotential(file)
    moves = 1e-4 * np.eye(frame.positions.size).reshape(-1, len(frame), 3)
    plus, _ = potential.evaluate(frame.positions + moves, deepmd_types(frame))
    minus, _ = potential.evaluate(frame.positions - moves, deepmd_types(frame))
    np.testing.assert_allclose(force.ravel(), (minus - plus) / 2e-4, atol=2e-5)
    with LammpsSession(tmp_path / "model", 3) as session:
        start = next(session.run(frame.positions, 0 * frame.positions, deepmd_types(frame), 0.1, 0, 1))
    assert start.potential_energy_eV == pytest.approx(energy, abs=1e-6)
    frozen, frozen_forces = evaluate(tmp_path / "model/without_bonds_frozen.network", [frame])
    engine = Ensemble(
        load(tmp_path / "model").potential(frame), VelocityVerlet(0.1), frame.get_masses(), 0, 1,
        observers=(energies_of, lambda state, system: {"forces": state.forces}), width=1,
    )  # fmt: skip
    (found,) = engine.run(frame.positions[None], np.zeros((1, len(frame), 3)))
    assert found.rows["energy"][0] == pytest.approx(frozen[0], abs=1e-6)
    np.testing.assert_allclose(found.rows["forces"][0], frozen_forces[0], atol=1e-6)
    table = (tmp_path / "model/bond.table").read_bytes()
    (tmp_path / "model/bond.table").write_bytes(table.replace(b"1.1", b"1.2", 1))
    for run in (model_file_of, load, lambda folder: LammpsSession(folder, 3)):
        with pytest.raises(UserError, match=r"bond\.table is damaged: it is not the file that model"):
            run(tmp_path / "model")
    (tmp_path / "model/bond.table").write_text("nothing")
    with pytest.raises(UserError, match=r"bond\.table is damaged \("):
        evaluate(file, frames)
    (tmp_path / "model/bond.table").unlink()
    with pytest.raises(UserError, match=r"is a residual model and its bond\.table is not beside it"):
        evaluate(file, frames)


def test_without_excited_types_the_tag_means_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    train(
        tiny_dataset,
        tmp_path / "plain",
        tmp_path,
        0,
        8,
        settings(n_steps=2),
        excited_types=False,
        compress=False,
    )
    assert DeepPotential(tmp_path / "plain" / "model.pb").type_map == ["C", "O"]
    tagged, plain = random_frames(1)[0], random_frames(1)[0]
    plain.arrays["excited"][:] = 0
    _, (with_tag, without) = evaluate(tmp_path / "plain" / "model.pb", [tagged, plain])
    np.testing.assert_array_equal(with_tag, without)


def test_a_failure_of_deepmd_shows_its_last_lines(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]
    monkeypatch.setattr(training, "command", lambda *arguments: words)
    with pytest.raises(RuntimeError, match=r"ended with 3; its last lines:\nthe reason"):
        train(tiny_dataset, tmp_path / "model", tmp_path / "checkpoints", 0, 7, TINY)


def test_a_learning_curve_has_units(tmp_path: Path) -> None:
    file = tmp_path / "curve.out"
    file.write_text("# step\n 0 9 8 7 6 5 4 1e-3\n 10 8 8 7 6 5 4 1e-4\n# step\n 20 7 8 7 6 5 4 1e-5\n")
    curve = read_learning_curve(file)
    assert curve["step"].tolist() == [0, 10, 20]
    assert curve["test_loss"].tolist() == [9, 8, 7]
    assert curve["train_energy_rmse_meV_per_atom"].tolist() == [6000, 6000, 6000]
    assert curve["train_force_rmse_eV_per_A"].tolist() == [4, 4, 4]


def test_a_dataset_without_labels_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    frames = random_frames(2)
    for frame in frames:
        frame.calc = None
    write_frames(tmp_path / "train.extxyz", frames)
    with pytest.raises(UserError, match="no energy and no forces"):
        train(tmp_path, tmp_path / "model", tmp_path, 0, 7, TINY)


def test_a_sel_below_the_neighbours_is_refused() -> None:
    frames = random_frames(4)
    check_neighbours(frames, TINY)
    with pytest.raises(UserError, match=r"sel 2,2,1,1 is too small: .*hold up to 3,3,1,1 .*at least 3,3,1,1"):
        check_neighbours(frames, settings(sel=(2, 2, 1, 1)))
    check_neighbours(frames, settings(sel=(1, 1, 1, 1), cutoff_A=2.0))


def test_the_defaults_are_the_papers() -> None:
    content = to_input(DeepmdTraining(), seed=1, excited_types=True)
    descriptor, fitting, order = (
        content["model"]["descriptor"],
        content["model"]["fitting_net"],
        content["training"],
    )
    assert (descriptor["rcut"], descriptor["rcut_smth"], descriptor["axis_neuron"]) == (6.5, 0.5, 8)
    assert (descriptor["neuron"], content["model"]["fitting_net"]["neuron"]) == (
        [50, 50, 50],
        [250, 250, 250],
    )
    assert (order["numb_steps"], order["training_data"]["batch_size"]) == (
        400_000,
        1,
    )
    assert (content["learning_rate"]["start_lr"], content["learning_rate"]["stop_lr"]) == (1e-2, 1e-3)
    assert len({descriptor["seed"], fitting["seed"], order["seed"]}) == 3


def test_the_script_refuses_in_one_line(root: Path, tmp_path: Path) -> None:
    words = ["--dataset", tmp_path, "--checkpoints", tmp_path, "--out", tmp_path / "m"]
    for extra, message in ((["--n-steps", "0"], "--n-steps: given 0"), ([], "no dataset")):
        done = subprocess.run(
            [sys.executable, root / "bin/train_deepmd.py", *words, *extra],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
