"""The tube's steps: frames of a path at a labelling level, and rounds of a committee that chooses some."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

pytest.importorskip("jax")

from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.frames import load_frames, write_frames
from frazil.errors import UserError
from frazil.experiments.reaction import tube
from frazil.experiments.reaction.path import path_of, read_path
from frazil.experiments.reaction.settings import TubeLearning, TubeSampling, TubeTraining
from frazil.learning.settings import GmnnArchitecture
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.settings import load as load_settings

ENDS = Path(__file__).parents[4] / "assets/structures/malonaldehyde.extxyz"
SAMPLING = {"n_initial": 20, "n_candidates": 20}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tube of malonaldehyde at GFN2-xTB, its first frames labelled."""
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("tube")
    told = tube.sample_tube(ENDS, 7, load_settings(TubeSampling, SAMPLING), 3, folder)
    assert told.startswith("path of malonaldehyde at gfn2-xtb: a barrier of ")
    assert float(told.split()[-2]) == pytest.approx(163.0, abs=0.3)
    first = load_frames(folder / "initial.extxyz")
    surface = members_of(load("gfn2-xtb"), first[0]).surface
    for atoms in first:
        energy, forces = surface(atoms.positions)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info["label_level"] = "gfn2-xtb"
    write_frames(folder / "labelled.extxyz", first)
    return folder


def test_a_path_and_frames_about_it(sampled: Path) -> None:
    frames, name = read_path(sampled / "path.extxyz")
    assert name == "malonaldehyde"
    given = path_of(frames, name, members_of(load("gfn2-xtb"), frames[0]).surface, 7)
    assert given.label_energies_eV == pytest.approx(given.energies_eV, abs=1e-6), "frames keep their energies"
    first, rest = (load_frames(sampled / f"{own}.extxyz") for own in ("initial", "tube"))
    assert (len(first), len(rest)) == (7 + 20, 20)
    names = [atoms.info["trajectory_id"] for atoms in (*first, *rest)]
    assert len(set(names)) == len(names)


def learn(
    sampled: Path, out: Path, number: int, before: Path | None = None, **learning: Any
) -> dict[str, Any]:
    """Run a round with networks of a moment, in the folder ``out``."""
    tube.learn_tube(
        [sampled / "labelled.extxyz"], sampled / "tube.extxyz", number, "gfn2-xtb",
        load_settings(TubeLearning, {"max_frames": 4, **learning}),
        load_settings(TubeTraining, {"n_members": 2, "n_epochs": 2, "batch_size": 6}),
        load_settings(GmnnArchitecture, {"n_radial": 1, "n_basis": 4, "hidden": [4], "cutoff_A": 3}),
        3, out.parent / "kept", out, before,
    )  # fmt: skip
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return found


def test_rounds_ask_for_the_frames_that_members_differ_on(sampled: Path, tmp_path: Path) -> None:
    first = learn(sampled, tmp_path / "0", 0)
    assert first == {"n_candidates": 4, "clean": False}
    chosen = load_frames(tmp_path / "0/candidates.extxyz")
    pool = load_frames(sampled / "tube.extxyz")
    model = tube.read_model(tmp_path / "0/model.h5")
    spreads = tube.spreads_of(model, pool)[:, 0]
    names = {pool[place].info["trajectory_id"] for place in np.argsort(-spreads)[:4]}
    assert {atoms.info["trajectory_id"] for atoms in chosen} == names
    last = learn(sampled, tmp_path / "1", 1, tmp_path / "0", max_rounds=1)
    assert last == {"n_candidates": 0, "clean": True}
    rounds = pandas.read_csv(tmp_path / "1/rounds.csv")
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["n_chosen"].tolist() == [4, 0]
    assert load("gfn2-xtb").kind != load(tmp_path / "1").kind == "gmnn"


def test_labels_of_another_level(sampled: Path, tmp_path: Path) -> None:
    frames = load_frames(sampled / "labelled.extxyz")
    for atoms in frames:
        atoms.info["label_level"] = "gfn1-xtb"
    write_frames(tmp_path / "labelled.extxyz", frames)
    (tmp_path / "tube.extxyz").write_text((sampled / "tube.extxyz").read_text())
    with pytest.raises(UserError, match="holds labels of gfn1-xtb, the run's are gfn2-xtb"):
        learn(tmp_path, tmp_path / "out", 0)
