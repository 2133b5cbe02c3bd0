"""Rollouts: their gradient, the engine's trajectory, and ordinary training at S = 1."""

import os
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("optax")

from frazil.checkpoints import TimeLimit
from frazil.data.trajectories import LabelledTrajectory, of_rows
from frazil.errors import OutOfTime, UserError
from frazil.learning import along, dynamic, gmnn
from frazil.learning.batches import Batch, Frames
from frazil.learning.egnn import EgnnNetwork
from frazil.learning.fit import Progress
from frazil.learning.gmnn import GmnnNetwork
from frazil.learning.rollout import FromEnergy, Loss, cut, gather, loss_and_gradient, unroll
from frazil.learning.settings import GmnnTraining, RolloutTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, forces, frames
from frazil.potentials.analytic.van_hemert import VanHemert
from frazil.potentials.egnn import architecture as egnn
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.interface import Analytic, Potential, jit
from frazil.pytrees import pytree
from frazil.settings import BadSettings

TIMESTEP_fs = 0.5
CO = Atoms("CO" * 2, positions=[[0, 0, 0], [0.2, 0, 1.15], [3.2, 0.4, 0.3], [3.4, 1.4, 0]])
ARCHITECTURE = Architecture(
    ("C", "O"), cutoff_A=4.5, n_basis=4, n_radial=1, hidden=(8,), zbl_cutoff_A=1.3, precision="float64"
)


def trajectories(
    potential: Potential, atoms: Atoms, n: int, n_steps: int, seed: int = 1, speed: float = 0.02
) -> list[LabelledTrajectory]:
    """NVE trajectories of a known truth, every step labelled."""
    rng = np.random.default_rng(seed)
    ensemble = Ensemble(
        potential, VelocityVerlet(TIMESTEP_fs), atoms.get_masses(), n_steps, 1,
        observers=(energies, frames, forces), width=2,
    )  # fmt: skip
    positions = atoms.positions + rng.normal(scale=0.03, size=(n, len(atoms), 3))
    ran = ensemble.run(positions, rng.normal(scale=speed, size=positions.shape))
    found = sorted(ran, key=lambda trajectory: trajectory.trajectory_id)
    return [of_rows(str(t.trajectory_id), atoms, t.rows, TIMESTEP_fs, "truth") for t in found]


@pytest.fixture(scope="module")
def known() -> list[LabelledTrajectory]:
    return trajectories(VanHemert(0.0), CO, 3, 12)


EGNN = EgnnNetwork(
    egnn.Architecture(("C", "O"), cutoff_A=4.5, n_features=8, n_waves=8, n_layers=1, precision="float64")
)


@pytest.fixture(scope="module")
def network(known: list[LabelledTrajectory]) -> tuple[GmnnNetwork, Any]:
    """A GM-NN that knows nothing yet, and its parameters."""
    network = GmnnNetwork(ARCHITECTURE)
    return network, network.start(cut(network, known, 2, 0.3).frames, 3)


def ordinary(settings: GmnnTraining) -> Loss:
    return Loss("squared", force=settings.force_weight, alone_energy=settings.energy_weight)


def test_one_frame_is_ordinary_training(
    known: list[LabelledTrajectory], network: tuple[GmnnNetwork, Any]
) -> None:
    """Loss and gradient of S = 1, also with a skin on the lists, are those of ``learning.gmnn``."""
    model, parameters = network
    settings = GmnnTraining(n_members=1)
    ready = cut(model, known, 1, 0.3)
    rollouts = gather(ready, ready.starts[:3], 1, 4)
    value, gradient = jit(partial(loss_and_gradient, model, ordinary(settings)))(parameters, rollouts)
    batch = jax.tree.map(lambda leaf: leaf[0], rollouts.frames)
    expected, plain = jit(partial(gmnn.loss_and_gradient_of, ARCHITECTURE, settings))(parameters, batch)
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    for own, one in zip(jax.tree.leaves(gradient), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(own, one, atol=1e-9 * max(np.abs(one).max(), 1e-12))


@pytest.mark.parametrize("kind", ["gmnn", "egnn"])
def test_the_gradient_through_a_rollout_is_that_of_differences(
    known: list[LabelledTrajectory], network: tuple[GmnnNetwork, Any], kind: str
) -> None:
    """Along a random direction of each kind of parameters; five frames, two subsequences."""
    loss = Loss("squared", force=100.0, along_energy=1.0)
    model, parameters = network
    if kind == "egnn":
        model, parameters = EGNN, EGNN.start(cut(EGNN, known, 2, 0.3).frames, 3)
    ready = cut(model, known, 5, 0.3)
    rollouts = gather(ready, ready.starts[[1, 9]], 5, 2)
    rollouts = replace(rollouts, timesteps=3 * rollouts.timesteps)  # so that the way back matters
    parameters = {**parameters, "scale": 0.1 * parameters["scale"]}
    cost = jit(partial(loss_and_gradient, model, loss))
    _, gradient = cost(parameters, rollouts)
    rng = np.random.default_rng(2)
    trained = (name for name in parameters if not name.startswith("feature"))
    moved = {name: parameters[name] for name in trained}
    for name in moved:
        way = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), moved[name])
        slope = sum(
            float((a * b).sum())
            for a, b in zip(jax.tree.leaves(gradient[name]), jax.tree.leaves(way), strict=True)
        )
        step = 1e-5
        there, back = (
            cost({**parameters, name: jax.tree.map(lambda x, d, s=s: x + s * d, moved[name], way)}, rollouts)[
                0
            ]
            for s in (step, -step)
        )
        assert slope == pytest.approx(float(there - back) / (2 * step), rel=1e-5)


def test_a_rollout_is_the_engines_trajectory(known: list[LabelledTrajectory]) -> None:
    """Of an EGNN that knows nothing; a GM-NN's forces in rollouts are by the engine's own function."""
    model, parameters = EGNN, EGNN.start(cut(EGNN, known, 2, 0.3).frames, 3)
    ready = cut(model, known, 12, 2.0)
    first = int(ready.starts[1])
    run = jit(lambda p, r: unroll(model, model.fold(p), r))
    energy, force, position = run(parameters, gather(ready, np.array([first]), 12, 1))
    ensemble = Ensemble(
        model.potential(parameters, CO.numbers), VelocityVerlet(TIMESTEP_fs), CO.get_masses(), 11, 1,
        observers=(energies, frames, forces), width=1,
    )  # fmt: skip
    (engine,) = ensemble.run(known[0].positions[1:2], known[0].velocities[1:2])
    np.testing.assert_allclose(position[:, :4], engine.rows["positions"], atol=1e-9)
    np.testing.assert_allclose(force[:, :4], engine.rows["forces"], atol=1e-7)
    np.testing.assert_allclose(energy[:, 0], engine.rows["energy"], atol=1e-8)
    assert np.abs(position[-1, :4] - known[0].positions[12]).max() > 1e-6
    # Atoms that are held stay where they are.

    atoms = CO.copy()
    atoms.set_array("fixed", np.array([0, 0, 1, 1]))
    held = replace(known[0], atoms=atoms, velocities=known[0].velocities * [[1], [1], [0], [0]])
    ready = cut(model, [held], 12, 2.0)
    _, _, position = run(parameters, gather(ready, np.array([first]), 12, 1))
    assert (position[-1, 2:4] == position[0, 2:4]).all()
    assert (position[-1, :2] != position[0, :2]).any()


def test_the_published_loss_by_hand(known: list[LabelledTrajectory]) -> None:
    """Of a structure of 2 C and 2 O and one of 1 C and 3 O, and a free place; eqs. 9 to 12."""
    model = GmnnNetwork(ARCHITECTURE)
    rollouts = gather(cut(model, known, 2, 0.0), np.array([0, 5]), 2, 3)
    species = rollouts.frames.species.copy()
    species[:, 4:8] = [0, 1, 1, 1]
    batch = replace(rollouts.frames, species=species)
    rng = np.random.default_rng(0)
    shape = batch.forces.shape
    off, up = rng.normal(size=shape), rng.normal(size=batch.energies.shape)
    given = (jnp.asarray(batch.energies + up), jnp.asarray(batch.forces + off))

    def force(k: int) -> float:
        mean = [np.abs(off[k, lanes]).mean() for lanes in ([0, 2], [1, 3], [4], [5, 6, 7])]
        return sum(mean) / 2

    assert float(Loss()(batch, 2, *given)) == pytest.approx(50 * force(0) + force(1))
    energy = [np.abs(up[k, :2]).mean() / 4 for k in (0, 1)]
    with_energy = float(Loss(first=3.0, along_energy=0.5)(batch, 2, *given))
    assert with_energy == pytest.approx(3 * (force(0) + 0.5 * energy[0]) + force(1) + 0.5 * energy[1])
    alone = jax.tree.map(lambda leaf: leaf[:1], batch)
    assert float(Loss()(alone, 2, *(g[:1] for g in given))) == pytest.approx(force(0) + energy[0])


REST = np.array([[0.0, 0, 0], [3.0, 0, 0]])


@pytree
@dataclass(frozen=True)
class Coupled(Analytic):
    """Two masses held by springs k and joined by a spring c, constants (2,) eV/Å²; they rest at ``REST``."""

    constants: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        moved = positions_A - REST
        own, between = (moved**2).sum(), ((moved[0] - moved[1]) ** 2).sum()
        return 0.5 * (self.constants[0] * own + self.constants[1] * between)


class Springs(FromEnergy):
    """The same as a network: its parameters are the constants' logarithms."""

    cutoff_A, n_species = 20.0, 1

    def __init__(self) -> None:
        def energies(weights: Any, batch: Batch, positions: jax.Array) -> jax.Array:
            places = positions[: 2 * batch.n_structures].reshape(-1, 2, 3)
            return jax.vmap(Coupled(weights).energy)(places) * (batch.n_atoms > 0)

        super().__init__(energies)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        return np.zeros(len(numbers), np.int32)

    def identity(self) -> dict[str, Any]:
        return {"kind": "two springs"}

    def start(self, frames: Frames, seed: int) -> Any:
        return {"logarithms": jnp.log(jnp.array([0.5, 0.5]))}

    def rates(self, parameters: Any) -> Any:
        return {"logarithms": 1.0}

    def fold(self, parameters: Any) -> Any:
        return jnp.exp(parameters["logarithms"])

    def potential(self, parameters: Any, numbers: np.ndarray) -> Potential:
        return Coupled(self.fold(parameters))


PAIR = Atoms("H2", positions=[[0.4, 0, 0], [3, 0.7, 0]])
TRUE = np.array([1.7, 0.3])


@pytest.fixture(scope="module")
def springs() -> list[LabelledTrajectory]:
    return trajectories(Coupled(jnp.asarray(TRUE)), PAIR, 4, 40, speed=0.05)


def test_bad_subsequences(springs: list[LabelledTrajectory]) -> None:
    broken = replace(springs[0], breaks=(10, 25))
    assert broken.runs() == [(0, 10), (10, 25), (25, 41)]
    np.testing.assert_array_equal(broken.starts(15), [10, 25, 26])
    broken.check_subsequence(10, 15)
    with pytest.raises(UserError, match=r"frames 8 to 12 of 0 cross a gap .* 0-9, 10-24, 25-40"):
        broken.check_subsequence(8, 5)
    with pytest.raises(UserError, match=r"of 17 frames of 0, whose longest run .* has 16; give longer"):
        cut(Springs(), [broken], 17, 0.0)


SETTINGS = RolloutTraining(
    longest=4, batch_size=16, learning_rate=0.1, reset_rate=0.02, smallest_rate=1e-3, rate_factor=0.3,
    plateau_epochs=1, validation_frames=20, n_validation=4, checkpoint_every=3,
)  # fmt: skip


def trained(
    known: list[LabelledTrajectory],
    checkpoint: Path,
    lengths: tuple[int, ...],
    limit: TimeLimit | None = None,
    **changed: Any,
) -> Progress:
    settings = replace(SETTINGS, **changed)
    return dynamic.fit(Springs(), settings, known[:3], known[3:], lengths, checkpoint, limit or TimeLimit())


def test_coupled_springs_recover_their_constants_from_the_way_alone(
    springs: list[LabelledTrajectory], tmp_path: Path
) -> None:
    """The first frame, which ordinary training sees, has no weight: all came through the steps."""
    found = trained(springs, tmp_path / "one.npz", (4,), first_weight=0.0, smallest_rate=1e-5)
    np.testing.assert_allclose(np.exp(dynamic.best_of(found, 4)["logarithms"]), TRUE, rtol=1e-3)


@pytest.fixture(scope="module")
def grown(springs: list[LabelledTrajectory], tmp_path_factory: pytest.TempPathFactory) -> Progress:
    return trained(springs, tmp_path_factory.mktemp("grown") / "whole.npz", (1, 2, 3, 4))


def test_subsequences_grow_at_each_plateau(grown: Progress) -> None:
    """The rate falls by its factor, is reset, and each length keeps its best model; errors fall."""
    lengths = [row["subsequence_length"] for row in grown.curve]
    assert lengths == sorted(lengths)
    assert set(lengths) == {1, 2, 3, 4}
    for length in (2, 3, 4):
        rates = [row["learning_rate"] for row in grown.curve if row["subsequence_length"] == length]
        assert sorted(set(rates), reverse=True) == pytest.approx([0.02, 0.006, 0.0018])
        assert rates == sorted(rates, reverse=True)
    for length in (1, 2, 3, 4):
        losses = [row["test_loss"] for row in grown.curve if row["subsequence_length"] == length]
        assert grown.optimizer_state["best_loss"][length - 1] == min(losses)
    frames_per_epoch = 3 * (41 - 3)
    assert grown.curve[-1]["frames"] == frames_per_epoch * sum(lengths)
    assert float(grown.best_loss[0]) < 0.05 * grown.curve[0]["test_loss"]


def test_a_stopped_training_goes_on_to_the_same_numbers(
    springs: list[LabelledTrajectory], grown: Progress, tmp_path: Path
) -> None:
    """Stopped in two stages, between checkpoints and plateaus."""
    file = tmp_path / "part.npz"
    for _ in range(3):
        with TimeLimit() as limit:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(OutOfTime, match="epochs are saved"):
                trained(springs, file, (1, 2, 3, 4), limit)
    resumed = trained(springs, file, (1, 2, 3, 4))
    measured = ("wall_s", "cpu_s")
    plain = [
        [{k: v for k, v in row.items() if k not in measured} for row in found.curve]
        for found in (resumed, grown)
    ]
    assert plain[0] == plain[1]
    for length in (1, 2, 3, 4):
        same = (dynamic.best_of(p, length)["logarithms"] for p in (resumed, grown))
        np.testing.assert_array_equal(*same)


def test_restarts_and_a_budget(springs: list[LabelledTrajectory], grown: Progress, tmp_path: Path) -> None:
    """Stages of S = 1 that go on from a training, with its moments, until frames are spent."""
    first = trained(springs, tmp_path / "first.npz", (1,))
    n_first = len(first.curve)
    assert [row["test_loss"] for row in first.curve] == [row["test_loss"] for row in grown.curve[:n_first]]
    warm = dynamic.warm_from(first, SETTINGS)
    more = dynamic.fit(
        Springs(),
        SETTINGS,
        springs[:3],
        springs[3:],
        (1,) * 50,
        tmp_path / "more.npz",
        TimeLimit(),
        warm,
        1000,
    )
    assert [row["frames"] for row in more.curve[-2:]] == [114 * 8, 114 * 9]
    assert more.curve[0]["learning_rate"] == 0.02
    assert dynamic.best_of(more, 1).keys() == {"logarithms"}


def test_what_cannot_be_trained(springs: list[LabelledTrajectory], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"subsequences of 42 frames of 0, .* has 41"):
        trained(springs, tmp_path / "x.npz", (1,), longest=42)
    with pytest.raises(UserError, match="subsequences of 60 frames of 3, whose longest run"):
        trained(springs, tmp_path / "x.npz", (1,), validation_frames=60)
    with pytest.raises(UserError, match="no trajectory to train on"):
        dynamic.fit(Springs(), SETTINGS, [], springs, (1,), tmp_path / "x.npz", TimeLimit())
    with pytest.raises(BadSettings, match="smallest_rate"):
        replace(SETTINGS, smallest_rate=0.01)
    assert not list(tmp_path.iterdir())


def test_errors_along_a_trajectory(springs: list[LabelledTrajectory]) -> None:
    """Of the truth rounding's; of another, eq. 11 by hand; what broke counts as infinite."""
    starts = [(0, 0), (0, 20), (1, 3)]
    exact = along.run_along(lambda _: Coupled(jnp.asarray(TRUE)), springs, starts, 21, width=2)
    assert exact.mepa(21) < 1e-12
    assert exact.deviations.max() < 1e-12
    assert (exact.frames_to(0.1) == 21).all()
    off = along.run_along(lambda _: Coupled(jnp.array([2.0, 0.3])), springs, starts, 21)
    assert off.force_errors[2, 0] == pytest.approx(0.3 * np.abs(springs[1].positions[3] - REST).mean())
    here = springs[1].positions[3] - REST
    assert off.energy_errors[2, 0] == pytest.approx(0.3 * 0.5 * (here**2).sum() / 2)
    assert off.mepa(1) == pytest.approx(off.force_errors[:, 0].mean())
    wide = off.deviations > 0.01
    assert wide.any()
    assert off.frames_to(0.01)[0] == wide[0].argmax()
    assert np.abs(off.drift).max() < 5e-3
    broken = along.run_along(lambda _: Coupled(jnp.array([np.nan, 0.3])), springs, starts, 21)
    assert np.isinf(broken.mepa(21))
    with pytest.raises(UserError, match="frames 21 to 41 of 0 cross a gap or its end"):
        along.run_along(lambda _: Coupled(jnp.asarray(TRUE)), springs, [(0, 21)], 21)


def test_starts_are_shared_among_trajectories(springs: list[LabelledTrajectory]) -> None:
    found = along.choose_starts(springs, 40, 6, np.random.default_rng(0))
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1), (2, found[4][1]), (3, found[5][1])]
