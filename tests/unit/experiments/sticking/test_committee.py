"""Validation of the committee that drives the sticking experiment, and what its driver refuses."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import kept
from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.experiments.sticking.clusters import PUBLISHED, isolated, with_bonds
from frazil.experiments.sticking.committee import Predicted, deviation
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.validation import validate
from frazil.files import write_atomic
from frazil.labels.interaction import curves, interaction, take_molecules_out
from frazil.labels.label import label
from frazil.learning.errors import COMMITTEE, calibration_factor
from frazil.learning.settings import GmnnTraining
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import write_model
from frazil.report.section import Section


def near(number: int, distance_A: float) -> Atoms:
    """Two CO side by side and one H2 above them, at a distance."""
    generator = np.random.default_rng(number)
    atoms = Atoms("COCOHH", [[0, 0, 0], [1.13, 0, 0], [0, 3.7, 0], [0, 3.7, 1.13], [0, 0, 0], [0.74, 0, 0]])
    atoms.positions[4:] += [0.2, 1.8, distance_A]
    atoms.positions += generator.normal(scale=0.02, size=(6, 3))
    atoms.info |= {"trajectory_id": f"4/{number}", "distance_A": distance_A}
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels, their interaction, and an untrained committee of two and of one."""
    folder = tmp_path_factory.mktemp("committee")
    alone, _ = label(isolated(PUBLISHED), "h2-co-analytic")
    frames, _ = label([near(k, 3.0 + 0.25 * k) for k in range(8)], "h2-co-analytic")
    scans = [atoms.copy() for atoms in frames]
    for atoms, own in zip(scans, frames, strict=True):
        atoms.calc = own.calc
        atoms.info["trajectory_id"] = "scan/0"
    write_frames(folder / "alone.extxyz", alone)
    write_frames(folder / "frames.extxyz", frames)
    write_frames(folder / "scans.extxyz", scans)
    take_molecules_out(
        [folder / "frames.extxyz"], folder / "alone.extxyz", 0.1, folder / "interaction.extxyz",
        folder / "molecular_curves.csv",
    )  # fmt: skip
    found = interaction(frames, curves(alone))
    for subset, part in (("train", found[:4]), ("test", found[4:6]), ("validation", found[6:])):
        write_frames(folder / "dataset" / f"{subset}.extxyz", part)
    architecture = Architecture(("H", "C", "O"), n_radial=2, hidden=(8,))
    learning = pandas.DataFrame({"epoch": [0, 1], "member": [0, 0], "test_force_rmse_eV_per_A": [0.1, 0.05]})
    for n in (1, 2):
        for level in ("h2-co-analytic interaction", "h2-co-analytic"):
            metadata = {"label_level": level, "training_data_sha256": "", "settings": asdict(GmnnTraining())}
            model = folder / f"{n}{'' if level.endswith('c') else '-interaction'}"
            write_model(model / "model.h5", architecture, initialize_committee(architecture, 1, n), metadata)
            with write_atomic(model / "learning_curve.csv") as partial:
                learning.to_csv(partial, index=False)
    return folder


def test_tables_figures_and_gates_of_a_committee(folder: Path, tmp_path: Path) -> None:
    taken_out = str(folder / "molecular_curves.csv")
    validate(folder / "2-interaction", taken_out, folder / "dataset", folder / "scans.extxyz", tmp_path)
    kept.check(tmp_path, "sticking_committee", rel=2e-4)
    section = Section.read(tmp_path)
    assert [gate.limit for gate in section.gates] == [20.0, 0.0434]
    assert any("times the members' spread" in text for text in section.text)
    for item in (*section.figures, *section.tables):
        assert (tmp_path / item.file).stat().st_size > 0
    assert "pf/callback" in (tmp_path / "committee/in.lammps").read_text()
    models = pandas.read_csv(tmp_path / "models.csv")
    assert models["model_id"].tolist() == ["gmnn-0", "gmnn-1"]
    assert models[["train_force_rmse_eV_per_A", "validation_force_rmse_eV_per_A"]].notna().all(axis=None)
    errors = pandas.read_csv(tmp_path / "errors.csv")
    assert list(errors)[:8] == ["model_id", "subset", "quantity", "species", "unit", "n", "mae", "rmse"]
    mean = errors[(errors["model_id"] == "gmnn-mean") & (errors["subset"] == "validation")]
    assert set(mean["species"]) == {"all", "H", "C", "O", "H2", "CO"}
    scans = pandas.read_csv(tmp_path / "scans.csv")
    assert scans["label_K"].iloc[-1] == 0.0
    assert np.allclose(scans[["gmnn-0_K", "gmnn-1_K"]].mean(axis=1), scans["gmnn-mean_K"], atol=1e-2)
    assert -300 < pandas.read_csv(tmp_path / "scan_minima.csv")["label_minimum_K"].iloc[0] < -30
    table = pandas.read_csv(tmp_path / "training_set.csv")
    assert table["n_paper"].sum() == 20344
    for subset in ("train", "validation"):
        assert table[f"n_{subset}"].sum() == len(read_frames([folder / "dataset" / f"{subset}.extxyz"]))


def test_a_committee_without_scans_says_its_errors(folder: Path, tmp_path: Path) -> None:
    """As that of a mixed ice, from which nothing is pulled off."""
    validate(folder / "2", "", folder / "dataset", None, tmp_path)
    section = Section.read(tmp_path)
    assert section.title == "Potential"
    assert [gate.limit for gate in section.gates] == [0.0434]
    assert not section.results
    assert not (tmp_path / "scans.csv").exists()
    for item in (*section.figures, *section.tables):
        assert (tmp_path / item.file).stat().st_size > 0
    assert "pf/callback" in (tmp_path / "committee/in.lammps").read_text()


def test_deviation_is_told_by_the_distance_to_another_molecule() -> None:
    """Two members err by ±0.1 eV/Å on every atom of a pair of N2 that is 3.2 Å apart, not on one far off."""
    lengths = ((0.0, 0.0, 0.0), (0.0, 0.0, 1.1))
    atoms = Atoms("N6", [[x, y, z] for x in (0.0, 3.2, 20.0) for _, y, z in lengths])
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((6, 3)))
    alone = Atoms("N2", lengths)
    alone.calc = SinglePointCalculator(alone, energy=0.0, forces=np.zeros((2, 3)))
    forces = np.zeros((2, 8, 3))
    forces[0, :4, 0], forces[1, :4, 0] = 0.1, -0.1
    found = deviation(Predicted([atoms, alone], np.zeros((2, 2)), forces))
    (row,) = found.to_dict("records")
    assert (row["element"], row["nearest_low_A"], row["nearest_high_A"], row["n"]) == ("N", 3.0, 3.5, 4)
    assert row["spread_rms_eV_per_A"] == pytest.approx(0.1 * np.sqrt(2))
    assert row["error_of_mean_rms_eV_per_A"] == pytest.approx(0.0)


def test_the_spreads_factor_is_that_of_all_bins() -> None:
    rows = [
        ("validation", "force", "eV/Å", 0.0, 1.0, 3, 1.0, 3.0, 0.0),
        ("validation", "force", "eV/Å", 1.0, 2.0, 1, 3.0, 3.0, 0.0),
        ("train", "force", "eV/Å", 0.0, 1.0, 3, 1.0, 9.0, 0.0),
    ]
    table = COMMITTEE.frame(rows)
    assert calibration_factor(table, "validation", "force") == pytest.approx(np.sqrt(36 / 12))
    assert np.isnan(calibration_factor(table, "validation", "energy"))


def test_a_committee_of_one_has_no_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a committee of one; its error is not known"):
        validate(folder / "1", "", folder / "dataset", folder / "scans.extxyz", tmp_path)


def test_scans_of_another_level_are_refused(folder: Path, tmp_path: Path) -> None:
    scans = read_frames([folder / "scans.extxyz"])
    for atoms in scans:
        atoms.info["label_level"] = "pbe/def2-svp"
    write_frames(tmp_path / "scans.extxyz", scans)
    with pytest.raises(UserError, match=r"labelled at pbe/def2-svp, the committee at h2-co-analytic; give"):
        validate(folder / "2", "", folder / "dataset", tmp_path / "scans.extxyz", tmp_path / "out")


def test_walls_count_less_and_molecules_alone_are_among_the_frames(folder: Path) -> None:
    found = read_frames([folder / "interaction.extxyz"])
    pairs = [a for a in found if len(a) == 6]
    assert len(pairs) == 8
    assert {a.get_chemical_formula() for a in found if len(a) == 2} == {"CO", "H2"}
    largest = [np.linalg.norm(a.get_forces(), axis=1).max() for a in pairs]
    assert [a.info["weight"] for a in pairs] == pytest.approx([(0.1 / (0.1 + f)) ** 2 for f in largest])
    alone = [a for a in found if len(a) == 2]
    assert max(abs(a.get_potential_energy()) for a in alone) < 1e-9
    with pytest.raises(UserError, match="a force scale of -1 eV/Å"):
        take_molecules_out([folder / "frames.extxyz"], folder / "frames.extxyz", -1.0, *[folder / "none"] * 2)


def test_explored_frames_get_bonds_of_their_own() -> None:
    explored = near(0, 3.5)
    rests = PUBLISHED.rests(2, True)
    same, drawn = (with_bonds(explored, rests, with_) for with_ in (None, np.random.default_rng(1)))
    assert np.allclose(same.get_center_of_mass(), explored.get_center_of_mass())
    lengths = np.linalg.norm(same.positions[1::2] - same.positions[::2], axis=1)
    assert lengths == pytest.approx([1.128, 1.128, 0.7414])
    spread = np.linalg.norm(drawn.positions[1::2] - drawn.positions[::2], axis=1) - lengths
    assert (np.abs(spread) > 1e-4).all()
    assert (np.abs(spread) < 0.12).all()


def test_interactions_need_their_curves(folder: Path) -> None:
    assert driver(folder / "2-interaction/model.h5", folder / "molecular_curves.csv").source.curves
    assert not driver(folder / "2/model.h5").source.curves
    with pytest.raises(UserError, match=r"needs the molecular_curves\.csv that was taken out"):
        driver(folder / "2-interaction/model.h5")
    with pytest.raises(UserError, match="any other needs none"):
        driver(folder / "2/model.h5", folder / "molecular_curves.csv")
