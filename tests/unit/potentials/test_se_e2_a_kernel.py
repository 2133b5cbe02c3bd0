"""The compiled se_e2_a against JAX in float64, and what must not change its bits."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiled import CARRIED, RUNNABLE, call
from frazil.errors import UserError
from frazil.potentials.deepmd import kernel
from frazil.potentials.deepmd.se_e2_a import DeepPotSE, _embed
from frazil.potentials.interface import Evaluation, jit
from frazil.potentials.kernels import library
from frazil.potentials.neighbours import Neighbours, allocate

CUTOFF_A, SMOOTH_A = 5.0, 0.5
TYPES = np.array([0, 1] * 12 + [2, 3])
SEL, AXIS = (16, 17, 1, 1), 4
FORCE_ERROR = {"float32": 2e-5, "float64": 2e-7}
BOX_A = 10.4 * np.eye(3)
NAMES = {name: name.removeprefix("frazil_se_e2_a_") for name in kernel.TARGETS.values()}

pytestmark = pytest.mark.skipif(not RUNNABLE, reason="no kernels are carried for this processor")


def positions_of(seed: int) -> np.ndarray:
    """CO molecules on a jittered grid, turned at random, in a box."""
    rng = np.random.default_rng(seed)
    centres = 3.4 * np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[: len(TYPES) // 2]
    axes = rng.normal(size=centres.shape)
    axes *= 0.56 / np.linalg.norm(axes, axis=1)[:, None]
    return np.stack([centres - axes, centres + axes], 1).reshape(-1, 3) + rng.normal(scale=0.05, size=(26, 3))


def random_model(with_steps: bool = False) -> DeepPotSE:
    """Networks of random numbers, of a size that fills no line and no panel; layers of equal width add."""
    rng = np.random.default_rng(7)

    def layer(n_in: int, n_out: int, size: float = 1.0) -> dict[str, jax.Array]:
        made = {"w": size * rng.normal(size=(n_in, n_out)) / np.sqrt(n_in), "b": 0.3 * rng.normal(size=n_out)}
        if with_steps:
            made["idt"] = rng.uniform(0.05, 0.2, size=n_out)
        return {name: jnp.asarray(value) for name, value in made.items()}

    deviation = np.repeat(rng.uniform(0.1, 0.3, size=(4, 1)), 4, axis=1) * [1.0, 0.6, 0.6, 0.6]
    return DeepPotSE(
        embedding=[[[layer(1, 9), layer(9, 18), layer(18, 18)] for _ in range(4)] for _ in range(4)],
        fitting=[
            [layer(18 * AXIS, 21, 30.0), layer(21, 21), layer(21, 13), layer(13, 1, 4.0)] for _ in range(4)
        ],
        mean=jnp.asarray(np.pad(rng.uniform(0.02, 0.1, size=(4, 1)), ((0, 0), (0, 3)))),
        deviation=jnp.asarray(deviation),
        shift=jnp.asarray([-150.0, -430.0, -149.0, -431.0]),
        types=jnp.asarray(TYPES),
        compiled=(),
        counts=tuple(np.bincount(TYPES).tolist()),
        type_map=("C", "O", "X1", "X2"),
        sel=SEL,
        axis=AXIS,
        cutoff=CUTOFF_A,
        smooth=SMOOTH_A,
    )


def constants_of(model: DeepPotSE, precision: str) -> tuple[jax.Array, ...]:
    """What the kernel is given of a model."""
    networks = [[partial(_embed, net) for net in row] for row in model.embedding]
    mean, deviation, shift = (np.asarray(x) for x in (model.mean, model.deviation, model.shift))
    return kernel.constants(
        networks, model.fitting, mean, deviation, shift, SEL, AXIS, CUTOFF_A, SMOOTH_A, precision
    )


@pytest.fixture(scope="module")
def model() -> DeepPotSE:
    return random_model()


@pytest.fixture(scope="module")
def made(model: DeepPotSE) -> dict[str, list[np.ndarray]]:
    """The kernel's constants by precision."""
    return {p: [np.array(x) for x in constants_of(model, p)] for p in kernel.TARGETS}


def lists_of(positions: np.ndarray, periodic: bool = False) -> Neighbours:
    options: dict[str, Any] = {"cell_A": BOX_A, "pbc": [True] * 3} if periodic else {}
    own = [allocate(x, CUTOFF_A, 0.2, capacity=100 if periodic else 25, **options) for x in positions]
    stacked: Neighbours = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
    return stacked


def batch(constants: list[np.ndarray], seeds: list[int], periodic: bool = False) -> list[np.ndarray]:
    """Return the inputs of ``se_e2_a.cpp`` for the structures of seeds."""
    positions = np.stack([positions_of(seed) for seed in seeds])
    lists = lists_of(positions, periodic)
    shift = np.zeros(0) if lists.shift is None else np.asarray(lists.shift)
    kinds = np.tile(TYPES.astype(np.int32), (len(seeds), 1))
    given = [positions, kinds, np.asarray(lists.index, np.int32), shift, *constants]
    return [np.array(x, order="C") for x in given]


def results_of(given: list[np.ndarray]) -> list[np.ndarray]:
    return [np.full(len(given[0]), 7.0), np.full(given[0].shape, 7.0)]


def evaluate(loaded: ctypes.CDLL, precision: str, given: list[np.ndarray]) -> list[np.ndarray]:
    return call(loaded, kernel.TARGETS[precision], given, results_of(given))


@jit
def by_jax(model: DeepPotSE, lists: Neighbours, positions: jax.Array) -> Evaluation:
    ready = model.batched(len(positions))
    return ready.evaluate(ready.arrange(lists), positions)


@pytest.mark.parametrize("periodic", [False, True])
def test_it_is_what_jax_computes(
    loaded: ctypes.CDLL, model: DeepPotSE, made: dict[str, list[np.ndarray]], periodic: bool
) -> None:
    positions = np.stack([positions_of(seed) for seed in (0, 1)])
    expected = by_jax(model, lists_of(positions, periodic), jnp.asarray(positions))
    assert np.abs(expected.forces).max() > 1
    for precision, constants in made.items():
        energies, forces = evaluate(loaded, precision, batch(constants, [0, 1], periodic))
        error = FORCE_ERROR[precision]
        np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=error)
        np.testing.assert_allclose(energies, expected.energies, rtol=0, atol=error)
        assert (forces.sum(axis=1) == 0).all()


def test_layers_may_have_steps_of_their_own(loaded: ctypes.CDLL) -> None:
    stepped = random_model(with_steps=True)
    positions = positions_of(0)[None]
    expected = by_jax(stepped, lists_of(positions), jnp.asarray(positions))
    constants = [np.array(x) for x in constants_of(stepped, "float64")]
    energies, forces = evaluate(loaded, "float64", batch(constants, [0]))
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=FORCE_ERROR["float64"])
    np.testing.assert_allclose(energies, expected.energies, rtol=0, atol=FORCE_ERROR["float64"])


@pytest.mark.parametrize("precision", list(kernel.TARGETS))
def test_forces_are_the_slope_of_the_energy(
    loaded: ctypes.CDLL, made: dict[str, list[np.ndarray]], precision: str
) -> None:
    """Of the tables' own energy, to its rounding: a trajectory keeps its energy whatever the tables err."""
    given = batch(made[precision], [0])
    forces = evaluate(loaded, precision, given)[1][0]
    step_A = {"float32": 3e-3, "float64": 1e-4}[precision]
    for atom, axis in ((0, 0), (5, 2), (24, 1)):
        ends = []
        for side in (1, -1):
            moved = [*given]
            moved[0] = given[0].copy()
            moved[0][0, atom, axis] += side * step_A
            ends.append(evaluate(loaded, precision, moved)[0][0])
        slope = -(ends[0] - ends[1]) / (2 * step_A)
        assert slope == pytest.approx(forces[atom, axis], abs={"float32": 6e-3, "float64": 2e-6}[precision])


@pytest.mark.parametrize("precision", list(kernel.TARGETS))
def test_bits_know_nothing_of_the_batch(
    loaded: ctypes.CDLL, made: dict[str, list[np.ndarray]], precision: str
) -> None:
    """In any slot, in batches of any size, beside broken ones and in more turns than one."""

    def of(found: list[np.ndarray], replica: int) -> list[bytes]:
        return [np.ascontiguousarray(part[replica]).tobytes() for part in found]

    alone = [of(evaluate(loaded, precision, batch(made[precision], [seed])), 0) for seed in range(4)]
    assert len({found[0] for found in alone}) == 4
    whole = batch(made[precision], [0, 1, 2, 3])
    for order in ([0, 1, 2, 3], [3, 1], [2] * 90 + [1]):
        given = [x[order] for x in whole[:3]] + whole[3:]
        found = evaluate(loaded, precision, given)
        assert all(of(found, slot) == alone[which] for slot, which in enumerate(order))
        for broken in (np.nan, np.inf):
            given[0][0, 5, 1] = broken
            found = evaluate(loaded, precision, given)
            assert np.isnan(found[0][0])
            assert np.isnan(found[1][0]).all()
            assert all(of(found, slot) == alone[order[slot]] for slot in range(1, len(order)))


def test_nearer_than_the_tables_is_no_number(loaded: ctypes.CDLL, made: dict[str, list[np.ndarray]]) -> None:
    given = batch(made["float32"], [0, 1])
    whole = evaluate(loaded, "float32", given)
    given[0][0, 1] = given[0][0, 0] + [0, 0, kernel.NEAREST_A * 0.999]
    energies, forces = evaluate(loaded, "float32", given)
    assert np.isnan(energies[0])
    assert np.isnan(forces[0]).all()
    assert energies[1] == whole[0][1]
    given[0][0, 1] = given[0][0, 0] + [0, 0, kernel.NEAREST_A * 1.001]
    assert np.isfinite(evaluate(loaded, "float32", given)[1]).all()


def test_levels_agree(made: dict[str, list[np.ndarray]]) -> None:
    """To the last bit: whether a machine has AVX2 or AVX-512 changes no number of these files."""
    if len(RUNNABLE) < 2:
        pytest.skip("this processor runs one level")
    for precision, constants in made.items():
        best, other = (
            evaluate(library.load(CARRIED[level]), precision, batch(constants, [0, 1])) for level in RUNNABLE
        )
        assert best[0].tobytes() == other[0].tobytes()
        assert best[1].tobytes() == other[1].tobytes()


def test_it_stays_within_its_arrays(
    within_arrays: Callable[[list[Any]], None], made: dict[str, list[np.ndarray]]
) -> None:
    calls = []
    for precision, constants in made.items():
        for given in (batch(constants, [0, 1]), batch(constants, [0], periodic=True)):
            calls.append((kernel.TARGETS[precision], given, results_of(given)))
    calls[0][1][0][1, 3] = np.nan
    within_arrays(calls)


def test_tables_are_as_fine_as_they_must_be(made: dict[str, list[np.ndarray]]) -> None:
    coarse, fine = (made[precision][4].shape[2] for precision in ("float32", "float64"))
    assert kernel.FEWEST_NODES < coarse < fine
    steep = {"w": jnp.full((1, 2), 1e7), "b": jnp.zeros(2)}
    network = partial(_embed, [steep])
    with pytest.raises(UserError, match="the embedding is too steep for a table of 16384 steps"):
        kernel.tables([[network]], np.zeros(1), np.ones(1), 2.0, "float32")


def test_what_it_serves(afresh: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert afresh("") is not None
    mean, deviation = np.zeros((2, 4)), np.ones((2, 4))
    assert kernel.serves(mean, deviation, 3)
    assert not kernel.serves(mean, deviation * [1, 1, 1, 2], 3)
    assert "JAX instead of the compiled kernel: directions have means" in capsys.readouterr().err
    assert not kernel.serves(mean, deviation, 9)
    assert afresh("off") is None
    assert not kernel.serves(mean, deviation, 3)


def test_numbers_of_either_kind_run_as_the_potential(
    afresh: Callable[[str], Any], tiny_model: Path, made: dict[str, list[np.ndarray]], model: DeepPotSE
) -> None:
    assert afresh("") is not None
    read = {p: DeepPotSE.of(tiny_model / "frozen.pb", TYPES, p) for p in kernel.TARGETS}
    assert [str(own.compiled[1].dtype) for own in read.values()] == list(kernel.TARGETS)
    positions = np.stack([positions_of(seed) for seed in (0, 1)])
    ready = replace(model, compiled=tuple(map(jnp.asarray, made["float64"])))
    found = by_jax(ready, lists_of(positions), jnp.asarray(positions))
    expected = by_jax(model, lists_of(positions), jnp.asarray(positions))
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=FORCE_ERROR["float64"])
