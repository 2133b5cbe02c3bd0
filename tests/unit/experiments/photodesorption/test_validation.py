"""Errors of models, choice of the best, calibration, and the report's section."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.errors import UserError
from frazil.experiments.photodesorption.committee import exploration_rounds, read_committee
from frazil.experiments.photodesorption.evaluation import Predictions, evaluate_model, load_predictions
from frazil.experiments.photodesorption.validation import select_model
from frazil.labels.bond_curve import write_bond_curve
from frazil.learning.errors import committee_errors
from frazil.potentials.deepmd.model import DeepPotential
from frazil.report.section import Section
from models import random_frames


@pytest.fixture(scope="module")
def evaluations(
    tiny_committee: list[Path], tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    directory = tmp_path_factory.mktemp("evaluations")
    made = [directory / f"evaluation_{number}" for number in range(len(tiny_committee))]
    write_bond_curve(directory / "scan.csv", "van-hemert", directory / "fine.csv", coupling_eV=2.0)
    for model, out in zip(tiny_committee, made, strict=True):
        evaluate_model(model, tiny_dataset, directory / "fine.csv", out)
    return made


def test_errors_of_known_size(tiny_model: Path) -> None:
    frames = random_frames(3)
    model = DeepPotential(tiny_model / "model.pb")
    made = Predictions.of(model, frames)
    forces = made.force_model_eV_per_A.copy()
    forces[made.types == 2] += [0.3, 0.0, 0.0]
    shifted = dataclasses.replace(
        made, energy_label_eV=made.energy_model_eV - 0.006, force_label_eV_per_A=forces
    )
    errors = {(quantity, species): error for quantity, species, _, error in shifted.errors()}
    np.testing.assert_allclose(errors["energy", "all"], 1.0)
    np.testing.assert_allclose(errors["energy_total", "all"], 6.0)
    assert np.abs(errors["force", "X1"]).max() == pytest.approx(0.3)
    assert not errors["force", "C"].any()
    np.testing.assert_allclose(errors["force_net_molecule", "excited"], [[-0.3, 0, 0]] * 3)
    assert not errors["force_net_molecule", "ground"].any()


def test_an_evaluation_is_complete(evaluations: list[Path]) -> None:
    errors = pandas.read_csv(evaluations[1] / "errors.csv")
    assert list(errors.columns) == [
        "model_id",
        "subset",
        "quantity",
        "species",
        "unit",
        "n",
        "mae",
        "rmse",
        "max",
    ]
    assert (errors["model_id"] == 1).all()
    assert set(errors["subset"]) == {"train", "test", "validation"}
    row = errors.query("subset == 'train' and quantity == 'force' and species == 'X1'").iloc[0]
    assert row["n"] == 12 * 3
    assert 0 < row["mae"] <= row["rmse"] <= row["max"]
    curves = pandas.read_csv(evaluations[1] / "bond_curves.csv")
    assert list(curves.columns) == ["bond_length_A", "label_eV", "model_co_eV", "model_x1x2_eV"]
    assert curves["label_eV"].min() == pytest.approx(0, abs=1e-6)
    assert curves["bond_length_A"].iloc[[0, -1]].tolist() == [0.85, 2.4]
    made = load_predictions(evaluations[1])["train"]
    rmse = np.sqrt((made.force_errors_eV_per_A[made.types == 2] ** 2).mean())
    assert rmse == pytest.approx(row["rmse"], rel=1e-5)


def test_an_empty_subset_is_left_out(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path / "data")
    scan, fine = tmp_path / "scan.csv", tmp_path / "fine.csv"
    write_bond_curve(scan, "van-hemert", fine, coupling_eV=2.0)
    (tmp_path / "data/validation.extxyz").write_text("")
    evaluate_model(tiny_model, tmp_path / "data", fine, tmp_path / "out")
    assert set(pandas.read_csv(tmp_path / "out/errors.csv")["subset"]) == {"train", "test"}
    with pytest.raises(UserError, match=r"scan.csv is no curve of 311 lengths from 0.85 to 2.4 Å"):
        evaluate_model(tiny_model, tmp_path / "data", scan, tmp_path / "out")
    (tmp_path / "data/train.extxyz").write_text("")
    with pytest.raises(UserError, match="is empty; prepare the dataset"):
        evaluate_model(tiny_model, tmp_path / "data", fine, tmp_path / "out")


def test_the_best_model_is_selected_whatever_the_order(
    tiny_committee: list[Path], evaluations: list[Path], tmp_path: Path
) -> None:
    explored = tmp_path / "exploration.csv"
    explored.write_text(
        "round,trajectory_id,excited,model_id,end_fs,reason,closest_contact_A,max_deviation_eV_per_A,"
        "median_deviation_eV_per_A,n_frames,n_above_low,n_chosen\n"
        "1,0,1,0,50,unphysical,1.4,2,0.1,5,3,2\n1,1,1,1,100,finished,2.9,0.2,0.1,10,0,0\n"
    )
    reference = tmp_path / "paper.csv"
    reference.write_text("quantity,value\nvalidation_force_rmse_C,0.045\n")
    out = tmp_path / "potential"
    select_model(tiny_committee, evaluations[::-1], [explored], reference, out)
    models = pandas.read_csv(out / "models.csv")
    assert models["model_id"].tolist() == [0, 1]
    assert models["selected"].sum() == 1
    sums = models["train_force_rmse_eV_per_A"] + models["validation_force_rmse_eV_per_A"]
    best = int(sums.argmin())
    assert models["selected"][best] == 1
    assert json.loads((out / "selected/model.json").read_text())["model_id"] == best
    selected = evaluations[best] / "bond_curves.csv"
    assert (out / "bond_curves.csv").read_bytes() == selected.read_bytes()
    assert len(pandas.read_csv(out / "errors.csv")) == 2 * len(pandas.read_csv(evaluations[0] / "errors.csv"))
    rounds = pandas.read_csv(out / "explorations.csv")
    assert rounds[["n_unphysical", "n_finished", "n_candidates"]].to_numpy().tolist() == [[1, 1, 2]]
    assert rounds["fraction_above_low"][0] == pytest.approx(0.2)
    beside = pandas.read_csv(out / "errors_beside_paper.csv").set_index("species")
    assert beside["paper"]["C"] == 0.045

    section = Section.read(out)
    gates = {gate.name: gate for gate in section.gates}
    assert gates["force error of C, validation frames (RMSE, eV/Å)"].passed is False
    assert {f"force error of {name}, validation frames (RMSE, eV/Å)" for name in ("X1", "X2")} <= set(gates)
    assert gates["largest force difference of compressed and frozen model (eV/Å)"].passed
    for item in [*section.figures, *section.tables]:
        assert (out / item.file).stat().st_size
    assert {figure.file for figure in section.figures} == {
        "energy_parity.svg", "force_parity.svg", "force_errors.svg", "force_angles.svg", "dissociation.svg",
        "learning_curves.svg", "calibration.svg", "exploration.svg",
    }  # fmt: skip
    for figure in section.figures:
        assert len(pandas.read_csv(out / figure.data))


def test_a_single_model_has_no_calibration(tiny_model: Path, evaluations: list[Path], tmp_path: Path) -> None:
    select_model([tiny_model], evaluations[:1], [], None, tmp_path)
    assert not len(pandas.read_csv(tmp_path / "committee.csv"))
    assert not (tmp_path / "calibration.svg").exists()


def test_an_ideal_committee_is_calibrated() -> None:
    errors = np.random.default_rng(1).normal(size=(5, 4000, 3))
    spread, of_mean, of_best = committee_errors(errors, 2)
    rms = [float(np.sqrt((values**2).mean())) for values in (spread, of_mean, of_best)]
    np.testing.assert_allclose(rms, np.sqrt([3, 3 / 5, 3]), rtol=0.03)


def test_an_empty_exploration_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    assert not len(exploration_rounds([tmp_path / "empty.csv"]))


def test_models_and_evaluations_that_do_not_match_are_refused(
    tiny_committee: list[Path], evaluations: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"models \[0, 1\] and evaluations of models \[0\] do not match"):
        read_committee(tiny_committee, evaluations[:1])
    with pytest.raises(UserError, match="two models have the number 0"):
        read_committee([tiny_committee[0]] * 2, evaluations)
    with pytest.raises(UserError, match=r"holds no evaluation\.json"):
        read_committee(tiny_committee, [tmp_path])
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        select_model(tiny_committee, evaluations, [], tmp_path / "none.csv", tmp_path)
