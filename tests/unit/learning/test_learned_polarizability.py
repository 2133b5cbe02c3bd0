"""A learned polarizability: its symmetries, its errors on α-CO, its ridge, and labels that it refuses."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from crystals import labels, moved
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.learning.polarizability import ERRORS, LABEL, _ridge, errors, fit, train
from frazil.potentials.learned_polarizability import Learned, Moments, features
from frazil.potentials.polarizability import along, derivatives, load

MOMENTS = Moments((6, 8), cutoff_A=5.0, n_radial=3)


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return moved(110)


@pytest.fixture(scope="module")
def learned(frames: list[Atoms]) -> Learned:
    return fit(frames[:80], labels(frames[:80]), MOMENTS, n_members=4, campaign_seed=3)


def alpha(learned: Learned, atoms: Atoms) -> np.ndarray:
    return np.asarray(learned.function(atoms)(jnp.asarray(atoms.positions)))


def test_errors_are_small_beside_what_is_learnt(learned: Learned, frames: list[Atoms]) -> None:
    for row in errors(learned, frames[80:], labels(frames[80:]), "test"):
        assert row["rmse"] < 0.35 * row["std"]  # type: ignore[operator]
        assert row["rmse"] < row["rmse_of_members"]  # type: ignore[operator]
        assert 0.3 < row["calibration"] < 4  # type: ignore[operator]


def test_it_turns_with_the_atoms_takes_any_image_and_any_order(learned: Learned, frames: list[Atoms]) -> None:
    atoms, rng = frames[90], np.random.default_rng(2)
    before = alpha(learned, atoms)
    assert before == pytest.approx(before.swapaxes(1, 2), abs=1e-12)
    turn = Rotation.random(random_state=5).as_matrix()
    turned = atoms.copy()
    turned.positions, turned.cell = atoms.positions @ turn.T, atoms.cell.array @ turn.T
    assert alpha(learned, turned) == pytest.approx(turn @ before @ turn.T, abs=1e-10)
    wrapped = atoms.copy()
    wrapped.positions += rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    assert alpha(learned, wrapped) == pytest.approx(before, abs=1e-10)
    assert alpha(learned, atoms[rng.permutation(len(atoms))]) == pytest.approx(before, abs=1e-10)
    assert alpha(learned, atoms.repeat((1, 2, 1))) == pytest.approx(2 * before, abs=1e-10)


def test_forms_are_sums_of_the_features(learned: Learned, frames: list[Atoms]) -> None:
    atoms = frames[91]
    rank0, rank2 = features(
        MOMENTS, MOMENTS.species(atoms.numbers), jnp.asarray(atoms.positions), jnp.asarray(atoms.cell.array)
    )
    for member, found in enumerate(alpha(learned, atoms)):
        isotropic = learned.constant[member] * len(atoms) + learned.scalar[member].ravel() @ np.asarray(rank0)
        tensor = np.einsum("f,fab->ab", learned.tensor[member].ravel(), np.asarray(rank2))
        assert found == pytest.approx(isotropic * np.eye(3) + tensor, abs=1e-10)


def test_derivatives_are_slopes(learned: Learned, frames: list[Atoms]) -> None:
    atoms = frames[92]
    function, direction = learned.function(atoms), np.random.default_rng(4).normal(size=(len(atoms), 3))
    slopes = np.einsum("kaxij,ax->kij", derivatives(function, atoms.positions), direction)
    ends = [np.asarray(function(jnp.asarray(atoms.positions + s * 1e-4 * direction))) for s in (1, -1)]
    assert slopes == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-5)


def test_a_lone_molecule_and_one_beyond_the_cutoff(learned: Learned) -> None:
    one = Atoms("CO", [[0, 0, 0], [0, 0, 1.13]])
    two = one + Atoms("CO", [[30, 0, 0], [31.13, 0, 0]])
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    alone = alpha(learned, one)
    assert alpha(learned, two) == pytest.approx(alone + turn @ alone @ turn.T, abs=1e-10)


def test_the_ridge_leaves_out_whole_frames() -> None:
    rng = np.random.default_rng(0)
    rows, truth = rng.normal(size=(30, 2, 5)), rng.normal(size=5)
    exact = _ridge(rows, rows @ truth, np.arange(30))
    assert exact == pytest.approx(truth, abs=1e-8)
    # Of noise alone, next to nothing is learnt, though each frame is there three times.
    noise = rng.normal(size=(10, 2))
    own = np.repeat(np.arange(10), 3)
    many = rng.normal(size=(10, 2, 400))
    assert np.abs(many @ _ridge(many[own], noise[own], own)).max() < np.abs(noise).max()


def test_trained_by_its_step(frames: list[Atoms], tmp_path: Path) -> None:
    write_frames(tmp_path / "labelled.extxyz", frames[:40])
    told = train(tmp_path / "labelled.extxyz", 2, 5.0, 2, 0.25, 1, tmp_path / "model")
    assert told.startswith("2 members of 30 frames; errors of their mean on 10 others: rank 0: ")
    rows = ERRORS.read(tmp_path / "model/errors.csv")
    assert list(rows["n_frames"]) == [30, 30, 10, 10]
    source = load(tmp_path / "model")
    assert (source.n_members, source.level) == (2, "co-bonds")
    found = along(source.function(frames[50]))(frames[50].positions[None])
    assert found.shape == (1, 2, 3, 3)
    (tmp_path / "model/polarizability.npz").write_bytes(b"broken")
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (np.eye(3) + np.diag([0.1, 0], 1), "frame 1 of .*is not symmetric"),
        (np.eye(2), "frame 1 of .*cannot reshape"),
        (np.diag([1, 1, np.nan]), "frame 1 of .*is not finite"),
        (None, "frame 1 of .* has no label_polarizability_A3; label frames with labels.polarizability true"),
    ],
)
def test_labels_that_are_none(label: Any, told: str, tmp_path: Path) -> None:
    frames = [Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], info={LABEL: np.eye(3)}) for _ in range(12)]
    frames[1].info = {} if label is None else {LABEL: label}
    write_frames(tmp_path / "labelled.extxyz", frames)
    with pytest.raises(UserError, match=told):
        train(tmp_path / "labelled.extxyz", 2, 5.0, 2, 0.25, 1, tmp_path / "model")


def test_what_it_did_not_learn(learned: Learned, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"atoms of atomic number \[7\] for a polarizability that learnt \[6, 8\]"
    ):
        learned.function(Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]))
    with pytest.raises(UserError, match=r"faces 9 Å apart .* reaches 5 Å, which needs 10 Å or more: repeat"):
        learned.function(Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[9, 12, 12], pbc=True))
    with pytest.raises(UserError, match=r"faces 0 Å apart .* repeat the cell"):
        learned.function(Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], pbc=True))
    write_frames(tmp_path / "few.extxyz", moved(3))
    with pytest.raises(UserError, match="2 frames to train on and 1 to test on; needed are 10 and 1"):
        train(tmp_path / "few.extxyz", 2, 5.0, 2, 0.25, 1, tmp_path / "model")
