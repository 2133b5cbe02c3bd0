import csv
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.checkpoints import TimeLimit
from frazil.errors import OutOfTime, UserError

pytest.importorskip("optax")

import optax

from frazil.data.frames import write_frames
from frazil.learning import fit, gmnn
from frazil.learning.batches import batches, prepare
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.analytic.van_hemert import VanHemertCalculator
from frazil.potentials.gmnn.architecture import Architecture, member
from frazil.potentials.gmnn.committee import Committee, write_folder
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.registry import load

ARCHITECTURE = Architecture(
    ("C", "O"), n_basis=5, n_radial=2, hidden=(16, 8), heads=("energy", "charge"), precision="float64"
)
SETTINGS = GmnnTraining(
    n_members=2, n_epochs=100, batch_size=4, learning_rate=0.02, dipole_weight=1.0, checkpoint_every=2
)


def frames(n: int, seed: int) -> list[Atoms]:
    """Frames of 2 and 3 CO, labelled by the van Hemert field."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        n_molecules = 2 + i % 2
        centres = np.array([[0, 0, 0], [3.6, 0, 0], [0, 3.7, 0]])[:n_molecules]
        centres = centres + rng.normal(scale=0.2, size=centres.shape)
        axis = rng.normal(size=(n_molecules, 3))
        axis *= rng.uniform(1.05, 1.25, size=(n_molecules, 1)) / np.linalg.norm(axis, axis=1)[:, None] / 2
        atoms = Atoms(["C", "O"] * n_molecules, np.stack([centres - axis, centres + axis], 1).reshape(-1, 3))
        teacher = VanHemertCalculator(0.0)
        teacher.calculate(atoms)
        atoms.calc = SinglePointCalculator(atoms, **teacher.results)
        atoms.info["label_level"] = "van-hemert"
        out.append(atoms)
    return out


def test_batched_predictions_are_the_committees() -> None:
    held = frames(5, 1)
    ready = prepare(ARCHITECTURE, held)
    parameters = gmnn.start_parameters(ARCHITECTURE, SETTINGS, ready)
    expected = Committee(Model(ARCHITECTURE, parameters, {})).predict(held)
    batch = batches(ready, np.arange(5), 8)[0]
    for m in range(2):
        energies, forces, dipoles = gmnn.predict(ARCHITECTURE, member(parameters, m), batch)
        np.testing.assert_allclose(energies[:5], [p.energies_eV[m] for p in expected], rtol=1e-9)
        together = np.concatenate([p.forces_eV_per_A[m] for p in expected])
        np.testing.assert_allclose(forces[: len(together)], together, atol=1e-9)
        np.testing.assert_allclose(dipoles[:5], [p.dipoles_e_A[m] for p in expected], atol=1e-9)


def test_small_frames_are_not_padded_to_the_slots_of_large_ones() -> None:
    """Every frame is in one batch; what is left over goes with the large ones; only the last is short."""
    held = frames(7, 1)
    places = 2.2 * np.indices((3, 3, 3)).reshape(3, -1).T
    ends = np.array([[0, 0, 0], [0, 0, 1.1]])
    crowd = Atoms("CO" * 27, (places[:, None] + ends).reshape(-1, 3))
    crowd.calc = SinglePointCalculator(crowd, energy=0.0, forces=np.zeros((len(crowd), 3)))
    ready = prepare(ARCHITECTURE, [*held, crowd])
    made = batches(ready, np.array([6, 7, 5, 4, 3, 2, 1, 0]), 3)
    assert [int((batch.n_atoms > 0).sum()) for batch in made] == [3, 2, 3]
    assert made[0].index.shape[1] == made[2].index.shape[1] < made[1].index.shape[1]
    np.testing.assert_array_equal(made[0].n_atoms, [len(held[k]) for k in (6, 5, 4)])
    np.testing.assert_array_equal(made[1].n_atoms[:2], [len(crowd), len(held[0])])
    # The largest may be the sparsest: what is left over of the others still fits.
    far = Atoms("CO" * 40, np.repeat(9.0 * np.indices((5, 8, 1)).reshape(3, -1).T, 2, axis=0))
    far.positions[1::2, 2] += 1.1
    far.calc = SinglePointCalculator(far, energy=0.0, forces=np.zeros((len(far), 3)))
    made = batches(prepare(ARCHITECTURE, [crowd, far]), np.array([0, 1]), 2)
    assert [batch.n_atoms.tolist() for batch in made] == [[54, 80]]


@pytest.mark.parametrize("n", [6, 600], ids=["alike", "in a frame between those looked at"])
def test_an_element_of_one_frame_does_not_blow_up(n: int) -> None:
    """One lone H2 among frames of CO: its atoms are alike, and of 600 frames 512 are looked at."""
    network = replace(ARCHITECTURE, elements=("H", "C", "O"))
    few = frames(6, 1)
    lone = Atoms("HH", [[0, 0, 0], [0, 0, 0.74]])
    lone.calc = SinglePointCalculator(lone, energy=0.0, forces=np.zeros((2, 3)), dipole=np.zeros(3))
    held = [few[i % 6] for i in range(n)]
    held[6 % n] = lone  # of 600, linspace(0, 599, 512) leaves the seventh out
    start = gmnn.start_parameters(network, SETTINGS, prepare(network, held))
    committee = Committee(Model(network, start, {}))
    stretched = lone.copy()
    stretched.positions[1, 2] = 0.80
    of_hydrogen, of_others = (np.abs(p.forces_eV_per_A).max() for p in committee.predict([stretched, few[0]]))
    assert of_hydrogen < 30 * of_others


def test_the_losss_gradient_is_that_of_plain_autodiff() -> None:
    """All members together against one at a time, by the derivative of a derivative of the reference."""
    held = frames(3, 4)
    held[1].info["weight"] = 0.2
    held[0].info["pair"] = held[1].info["pair"] = "one"
    ready = prepare(ARCHITECTURE, held)
    parameters = gmnn.start_parameters(ARCHITECTURE, SETTINGS, ready)
    batch = batches(ready, np.arange(3), 4)[0]
    together = jax.jit(jax.vmap(lambda p: gmnn.loss_and_gradient_of(ARCHITECTURE, SETTINGS, p, batch)))
    losses, gradients = together(parameters)
    weights = np.array([SETTINGS.energy_weight, SETTINGS.force_weight, SETTINGS.dipole_weight, 0, 0, 0]) / 3
    plain = jax.jit(jax.value_and_grad(lambda p: gmnn.squared_errors(ARCHITECTURE, p, batch) @ weights))
    for m in range(2):
        loss, expected = plain(member(parameters, m))
        np.testing.assert_allclose(losses[m], loss, rtol=1e-10)
        for name in ("embedding", "layers", "scale", "shift"):
            for own, one in zip(
                jax.tree.leaves(member(gradients, m)[name]), jax.tree.leaves(expected[name]), strict=True
            ):
                np.testing.assert_allclose(own, one, atol=1e-9 * np.abs(one).max())


SHALLOW = replace(ARCHITECTURE, n_heads=3)
SHALLOW_SETTINGS = replace(SETTINGS, n_members=1, n_heads=3, n_epochs=5)


def test_the_likelihoods_gradient_is_its_slope() -> None:
    """Along random directions of each parameter, what is held fixed being held at its values there."""
    held = frames(3, 4)
    held[1].info["weight"] = 0.2
    ready = prepare(SHALLOW, held)
    parameters = member(gmnn.start_parameters(SHALLOW, SHALLOW_SETTINGS, ready), 0)
    batch = batches(ready, np.arange(3), 4)[0]
    weights = np.array([SETTINGS.energy_weight, SETTINGS.force_weight, SETTINGS.dipole_weight, 0, 0, 0])

    @jax.jit
    def parts(moved: Any) -> Any:
        energies, forces, dipoles = gmnn.predict_heads(SHALLOW, moved, batch)
        squares = gmnn._squared(batch, energies.mean(axis=0), forces.mean(axis=0), dipoles.mean(axis=0))
        return squares @ weights, gmnn.spreads(batch, energies, forces, dipoles)

    _, fixed = parts(parameters)

    def loss(moved: Any, quantities: tuple[int, ...]) -> float:
        squares, found = parts(moved)
        spread = [weights[q] * gmnn.spread_loss(found[q], fixed[q][0], fixed[q][1]) for q in quantities]
        return float(squares + sum(spread)) / 3

    rng, step = np.random.default_rng(3), 1e-5
    for by, quantities in ((gmnn.ENERGIES, (0, 2)), (gmnn.FORCES, (0, 1, 2))):
        of_batch = partial(gmnn.loss_and_gradient_of, SHALLOW, SHALLOW_SETTINGS, by=by)
        value, gradient = jax.jit(of_batch)(parameters, batch)
        assert value == pytest.approx(loss(parameters, quantities), rel=1e-9)
        for name in ("embedding", "layers", "scale", "shift"):
            way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), parameters[name])
            ends = [
                {**parameters, name: jax.tree.map(lambda p, w, s=s: p + s * step * w, parameters[name], way)}
                for s in (1, -1)
            ]
            slope = (loss(ends[0], quantities) - loss(ends[1], quantities)) / (2 * step)
            along = jax.tree.map(lambda g, w: (g * w).sum(), gradient[name], way)
            assert sum(jax.tree.leaves(along)) == pytest.approx(slope, rel=2e-5), (by, name)


def test_the_spread_that_a_likelihood_trains_covers_its_share() -> None:
    """Noise that grows to the right, heads that are polynomials: 95 % intervals hold 95 % of new labels."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Powers (n, 4), labels (n,) of noise σ (n,)."""
        x = rng.uniform(-1, 1, n)
        sigma = 0.1 + 0.08 * x
        return np.stack([x**k for k in range(4)], 1), np.sin(2 * x) + sigma * rng.normal(size=n), sigma

    powers, labels, _ = drawn(4000)
    coefficients = jnp.asarray(rng.normal(size=(8, 4)))

    def loss(coefficients: jax.Array) -> jax.Array:
        values = coefficients @ powers.T
        square, variance = (values.mean(axis=0) - labels) ** 2, values.var(axis=0, ddof=1)
        return (square.sum() + gmnn.spread_loss((square, variance, jnp.ones(len(labels))))) / len(labels)

    transform = optax.adam(0.02)

    @jax.jit
    def trained(coefficients: jax.Array) -> jax.Array:
        def step(_: Any, carry: Any) -> Any:
            coefficients, state = carry
            updates, state = transform.update(jax.grad(loss)(coefficients), state)
            return optax.apply_updates(coefficients, updates), state

        return jax.lax.fori_loop(0, 2000, step, (coefficients, transform.init(coefficients)))[0]

    values = np.asarray(trained(coefficients)) @ (new := drawn(20000))[0].T
    spread = values.std(axis=0, ddof=1)
    np.testing.assert_allclose(spread, new[2], rtol=0.2, atol=0.01)
    for part in (new[2] < 0.1, new[2] >= 0.1):
        covered = (np.abs(values.mean(axis=0) - new[1]) < 1.96 * spread)[part].mean()
        assert covered == pytest.approx(0.95, abs=0.015)


def test_a_shallow_ensemble_is_trained_in_two_parts_and_goes_on_from_either(tmp_path: Path) -> None:
    train, test = frames(8, 2), frames(4, 3)
    run = partial(gmnn.fit, SHALLOW, SHALLOW_SETTINGS, train, test)
    whole = run(tmp_path / "whole.npz", TimeLimit())
    assert [row["epoch"] for row in whole.curve] == [0, 1, 2, 3, 4]
    assert {file.name for file in tmp_path.iterdir()} == {"whole.npz", "whole-forces.npz"}
    assert 4 <= whole.best_epoch[0] <= whole.epoch == 5
    for saved, of in ((1, 4), (2, 4), (3, 4), (4, 4), (1, 1)):
        with TimeLimit() as limit:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(OutOfTime, match=f"{saved} of {of} epochs are saved"):
                run(tmp_path / "part.npz", limit)
    resumed = run(tmp_path / "part.npz", TimeLimit())
    metadata = {"label_level": "van-hemert", "training_data_sha256": ""}
    write_folder(tmp_path / "model", SHALLOW, whole.best, metadata)
    source = load(tmp_path / "model")
    assert source.n_members == 3
    one: Any = source.potential(train[0], 2)
    assert one.architecture.n_heads == 1
    with pytest.raises(UserError, match="count from 0"):
        source.potential(train[0], 3)
    for own, other in zip(jax.tree.leaves(resumed.best), jax.tree.leaves(whole.best), strict=True):
        np.testing.assert_array_equal(own, other)


def test_frames_count_by_their_weight() -> None:
    """Two frames of a batch: its loss is the weighted sum of theirs; walls count less than wells."""
    held = frames(2, 4)
    ready = prepare(ARCHITECTURE, held)
    parameters = member(gmnn.start_parameters(ARCHITECTURE, SETTINGS, ready), 0)

    def errors(chosen: list[int]) -> np.ndarray:
        batch = batches(prepare(ARCHITECTURE, held), np.array(chosen), 2)[0]
        return np.asarray(gmnn.squared_errors(ARCHITECTURE, parameters, batch))

    first, second = errors([0]), errors([1])
    held[0].info["weight"] = 0.3
    np.testing.assert_allclose(errors([0, 1])[:3], 0.3 * first[:3] + second[:3], rtol=1e-12)
    np.testing.assert_allclose(errors([0, 1])[3:], first[3:] + second[3:], rtol=1e-12)


def test_walls_count_less_than_wells() -> None:
    pair, other = frames(1, 4)[0], Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])
    held = [pair.copy(), pair.copy(), other]
    for atoms, energy_eV in zip(held, (-3.0, -2.5, 7.0), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=energy_eV)
    held[2].info["weight"] = 0.7
    gmnn.weigh(held, 0.5)
    assert [atoms.info["weight"] for atoms in held] == pytest.approx([1.0, 0.25, 0.7])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> fit.Progress:
    checkpoint = tmp_path_factory.mktemp("gmnn") / "whole.npz"
    return gmnn.fit(ARCHITECTURE, SETTINGS, frames(16, 2), frames(4, 3), checkpoint, TimeLimit())


def test_the_spread_grows_off_the_training_data(whole: fit.Progress) -> None:
    committee = Committee(Model(ARCHITECTURE, whole.best, {}))

    def spread(seen: list[Atoms]) -> float:
        """Median over frames of the largest spread of a force."""
        return float(np.median([p.forces_spread_eV_per_A.max() for p in committee.predict(seen)]))

    known, stretched, pressed = frames(8, 5), frames(8, 5), frames(8, 5)
    for long, close in zip(stretched, pressed, strict=True):
        for first in range(0, len(long), 2):
            axis = long.positions[first + 1] - long.positions[first]
            long.positions[first + 1] += 0.5 * axis
            close.positions[first : first + 2] *= 0.6
            close.positions[first + 1] = close.positions[first] + axis
    assert spread(stretched) > 3 * spread(known)
    assert spread(pressed) > 3 * spread(known)


def test_training_learns_and_a_stopped_one_goes_on_to_the_same_numbers(
    whole: fit.Progress, tmp_path: Path
) -> None:
    train, test = frames(16, 2), frames(4, 3)
    losses = np.array([row["test_loss"] for row in whole.curve]).reshape(-1, 2)
    assert (whole.best_loss < losses[0]).all()
    np.testing.assert_allclose(whole.best_loss, losses.min(axis=0))

    for epoch in (1, 2, 3):
        with TimeLimit() as limit:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(OutOfTime, match=f"{epoch} of 100 epochs are saved"):
                gmnn.fit(ARCHITECTURE, SETTINGS, train, test, tmp_path / "part.npz", limit)
    resumed = gmnn.fit(ARCHITECTURE, SETTINGS, train, test, tmp_path / "part.npz", TimeLimit())
    np.testing.assert_array_equal(resumed.best["embedding"], whole.best["embedding"])
    np.testing.assert_array_equal(resumed.parameters["layers"][0]["w"], whole.parameters["layers"][0]["w"])
    assert [row["test_loss"] for row in resumed.curve] == [row["test_loss"] for row in whole.curve]


def test_a_foreign_or_damaged_checkpoint_counts_as_none(
    whole: fit.Progress, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "training.npz"
    fit.save(whole, "this one", file)
    again = fit.restore(whole, "this one", file)
    assert again is not None
    assert again.curve == whole.curve
    assert fit.restore(whole, "another", file) is None
    file.write_bytes(file.read_bytes()[:-300])
    assert fit.restore(whole, "this one", file) is None
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"warning: {file} is damaged (it is of another training); it counts as not done"
    assert told[1].startswith(f"warning: {file} is damaged (")
    assert len(told) == 2


def test_train_writes_a_model_and_a_curve(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_frames(tmp_path / "data/train.extxyz", frames(8, 2))
    write_frames(tmp_path / "data/test.extxyz", frames(4, 3))
    settings = GmnnTraining(n_members=1, n_epochs=2, batch_size=4)
    size = GmnnArchitecture(n_radial=2, hidden=(8,))
    gmnn.train(tmp_path / "data", tmp_path / "out", tmp_path / "checkpoints", settings, size)
    (kept,) = tmp_path.glob("checkpoints/gmnn-*/training.npz")
    written = kept.stat().st_mtime_ns
    gmnn.train(tmp_path / "data", tmp_path / "again", tmp_path / "checkpoints", settings, size)
    assert kept.stat().st_mtime_ns == written, "it was trained again"
    for name in ("model.h5", "learning_curve.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    model = read_model(tmp_path / "out/model.h5")
    assert model.architecture.elements == ("C", "O")
    assert model.metadata["label_level"] == "van-hemert"
    assert len(model.metadata["training_data_sha256"]) == 64
    with (tmp_path / "out/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == gmnn.CURVE_COLUMNS
    assert len(rows) == 2
    assert "n_heads" not in model.metadata["settings"]


def test_training_goes_on_from_a_committee_of_the_same_network_and_level(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_frames(tmp_path / "data/train.extxyz", frames(8, 2))
    write_frames(tmp_path / "data/test.extxyz", frames(4, 3))
    settings = GmnnTraining(n_members=1, n_epochs=2, batch_size=4)
    size = GmnnArchitecture(n_radial=2, hidden=(8,))

    def go_on(settings: GmnnTraining, size: GmnnArchitecture) -> None:
        places = tmp_path / "data", tmp_path / "out", tmp_path / "checkpoints"
        gmnn.train(*places, settings, size, tmp_path / "first", further_epochs=3)

    gmnn.train(tmp_path / "data", tmp_path / "first", tmp_path / "checkpoints", settings, size)
    go_on(settings, size)
    with (tmp_path / "out/learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = read_model(tmp_path / "first/model.h5")
    each = batches(prepare(first.architecture, frames(4, 3)), np.arange(4), 4)
    squares = [gmnn.squared_errors(first.architecture, member(first.parameters, 0), b)[4] for b in each]
    before = np.sqrt(sum(map(float, squares)) / 3 / sum(map(len, frames(4, 3))))
    assert len(rows) == 3
    assert float(rows[0]["learning_rate"]) == pytest.approx(0.3 * 0.02)
    assert float(rows[0]["test_force_rmse_eV_per_A"]) < 1.2 * before
    kept = read_model(tmp_path / "out/model.h5").parameters["feature_mean"]
    assert (kept == first.parameters["feature_mean"]).all(), "the normalisation is another"
    with pytest.raises(UserError, match=r"another network \(hidden: \[8\], asked for \[9\]\)"):
        go_on(settings, replace(size, hidden=(9,)))
    with pytest.raises(UserError, match="a committee of 1 networks; asked for 2"):
        go_on(replace(settings, n_members=2), size)
    for atoms in (other := frames(8, 2)):
        atoms.info["label_level"] = "gfn2-xtb"
    write_frames(tmp_path / "data/train.extxyz", other)
    with pytest.raises(UserError, match="learnt labels of level van-hemert, the frames have gfn2-xtb"):
        go_on(settings, size)


def test_the_setting_gives_the_network_its_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        write_frames(tmp_path / f"data/{name}.extxyz", frames(2, 2))
    asked: list[Architecture] = []

    def noted(network: Architecture, *_: Any) -> Any:
        asked.append(network)
        raise OutOfTime("noted")

    monkeypatch.setattr(gmnn, "fit", noted)
    settings = GmnnTraining(n_members=2, n_heads=3, dipole_weight=1.0)
    with pytest.raises(OutOfTime):
        gmnn.train(tmp_path / "data", tmp_path / "out", tmp_path / "kept", settings, GmnnArchitecture())
    assert (asked[0].n_heads, asked[0].heads, asked[0].n_outputs) == (3, ("energy", "charge"), 6)
    assert gmnn.said(settings)["n_heads"] == 3
