"""se_e2_a in its compiled kernel (``kernels/se_e2_a.cpp``): what it serves, and the inputs that it wants.

The embedding networks are functions of one number, s(r), and become tables of cubic polynomials in it, fine
enough for the numbers that the kernel computes with. The fitting network stays what it is. A replica's bits
do not depend on the batch. A replica in which two atoms are nearer than ``NEAREST_A`` gets nan: there the
tables end, and no label has taught the network anything.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.kernels import inputs, library

TARGETS = {"float32": "frazil_se_e2_a_float32", "float64": "frazil_se_e2_a_float64"}
LINE = 64
"""Bytes of a line of outputs (``kernels/se_e2_a.cpp``)."""
MOST_LAYERS, MOST_TYPES = 8, 32
NEAREST_A = 0.4
SLOPE_ERROR = {"float32": 1e-6, "float64": 1e-8}
"""Largest error of a table's slopes, in parts of the largest slope."""
FEWEST_NODES, MOST_NODES = 128, 16384

Embedding = Callable[[jax.Array], jax.Array]
"""Outputs (n, M) of values (n, 1)."""


def serves(mean: np.ndarray, deviation: np.ndarray, n_layers: int) -> bool:
    """Return whether the kernel evaluates such a model here; says why not if one is there.

    mean, deviation (types, 4): of rows (s, s x/r, s y/r, s z/r).
    """
    if library.chosen() is None:
        return False
    reason = ""
    if (mean[:, 1:] != 0).any() or (deviation[:, 1:] != deviation[:, 1:2]).any():
        reason = "directions have means or deviations of their own"
    elif n_layers > MOST_LAYERS or len(mean) > MOST_TYPES:
        reason = f"more than {MOST_LAYERS} layers or {MOST_TYPES} types"
    if reason:
        library.say(f"se_e2_a, JAX instead of the compiled kernel: {reason}")
    return not reason


def falling(r_A: Any, cutoff_A: float, smooth_A: float) -> Any:
    """Return s(r), 1/Å: 1/r, switched off smoothly from ``smooth_A`` to the cutoff."""
    u = jnp.clip((r_A - smooth_A) / (cutoff_A - smooth_A), 0.0, 1.0)
    return (u**3 * (-6.0 * u**2 + 15.0 * u - 10.0) + 1.0) / r_A


def tables(
    embeddings: Sequence[Sequence[Embedding]], mean: np.ndarray, deviation: np.ndarray, highest: float,
    precision: str,
) -> np.ndarray:  # fmt: skip
    """Return the embedding of [centre][neighbour] as cubics of s from 0 to ``highest``.

    mean, deviation (types,): of s. Shape (types, types, steps + 1, 4, M): powers of the fraction of a step,
    the lowest first. Steps are as many as ``SLOPE_ERROR`` wants, for all pairs of types alike. Raises
    UserError where that takes too many.
    """
    nodes = FEWEST_NODES
    while True:
        found, worst = [], 0.0
        for centre, row in enumerate(embeddings):
            for network in row:
                values, slopes = _values_and_slopes(
                    network, mean[centre], deviation[centre], highest, 2 * nodes
                )
                step = highest / nodes
                cubics = np.asarray(inputs.cubics(values[::2].T, step * slopes[::2].T)).transpose(1, 2, 0)
                middle = (cubics[:, 1] + cubics[:, 2] + 0.75 * cubics[:, 3]) / step
                worst = max(worst, np.abs(middle - slopes[1::2]).max() / np.abs(slopes).max())
                found.append(np.pad(cubics, ((0, 1), (0, 0), (0, 0))))
        if worst <= SLOPE_ERROR[precision]:
            return np.reshape(found, (len(mean), -1, *found[0].shape))
        nodes *= 2
        if nodes > MOST_NODES:
            raise UserError(
                f"the embedding is too steep for a table of {MOST_NODES} steps (slopes err by {worst:.1g}); "
                f"run it without the kernel ({library.VARIABLE}=off)"
            )


def _values_and_slopes(
    network: Embedding, mean: float, deviation: float, highest: float, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return G and dG/ds (n + 1, M) at n + 1 equal steps of s from 0 to ``highest``."""

    def of(s: jax.Array) -> jax.Array:
        return network((s - mean)[:, None] / deviation)

    s = jnp.linspace(0.0, highest, n + 1)
    values, slopes = jax.jvp(of, (s,), (jnp.ones_like(s),))
    return np.asarray(values), np.asarray(slopes)


def constants(
    embeddings: Sequence[Sequence[Embedding]], fitting: Sequence[Sequence[dict[str, Any]]], mean: np.ndarray,
    deviation: np.ndarray, shift: np.ndarray, sel: Sequence[int], axis: int, cutoff_A: float, smooth_A: float,
    precision: str,
) -> tuple[jax.Array, ...]:  # fmt: skip
    """Return the kernel's inputs that are the model's, in order, for ``functions``.

    embeddings [centre][neighbour]; fitting [type][layer] of w (in, out), b (out,) and idt (out,) where layers
    have steps of their own; mean, deviation (types, 4); shift (types,) eV.
    """
    n_types = len(mean)
    highest = float(falling(NEAREST_A, cutoff_A, smooth_A))
    cubics = tables(embeddings, mean[:, 0], deviation[:, 0], highest, precision)
    nodes, outputs = cubics.shape[2], cubics.shape[-1]
    width = LINE // np.dtype(precision).itemsize
    at_cutoff = -mean[:, 0] / deviation[:, 0]
    empty = [
        [at_cutoff[c] * np.asarray(network(jnp.full((1, 1), at_cutoff[c])))[0] for network in row]
        for c, row in enumerate(embeddings)
    ]
    norms = np.stack(
        [mean[:, 0], 1 / deviation[:, 0], 1 / deviation[:, 1], np.full(n_types, 1 / sum(sel))], 1
    )
    layers: list[jax.Array] = []
    for number in range(len(fitting[0]) - 1):
        own = [{name: np.asarray(value) for name, value in of[number].items()} for of in fitting]
        w = np.stack([layer["w"] for layer in own])
        if number == 0:  # features go by axis, then by output
            w = np.swapaxes(w.reshape(n_types, outputs, axis, -1), 1, 2).reshape(w.shape)
        parts = [np.stack([layer["b"], layer.get("idt", np.ones_like(layer["b"]))]) for layer in own]
        back = np.swapaxes(w, 1, 2)
        layers += [inputs.panels(w), inputs.whole_panels(np.stack(parts)), inputs.panels(back)]
    last = [of[-1] for of in fitting]
    numbers = [
        norms, np.asarray(sel, float), np.asarray(empty),
        np.pad(cubics, [(0, 0)] * 4 + [(0, -outputs % width)]),
        np.stack([np.asarray(layer["w"])[:, 0] for layer in last]),
    ]  # fmt: skip
    ends = np.array([float(np.asarray(layer["b"])[0]) for layer in last]) + shift
    radii = np.array([cutoff_A, smooth_A, NEAREST_A, (nodes - 1) / highest])
    return (
        jnp.asarray(radii), *(jnp.asarray(x, precision) for x in numbers), jnp.asarray(ends),
        *(jnp.asarray(x, precision) for x in layers),
    )  # fmt: skip


def functions(types: jax.Array, model: tuple[jax.Array, ...]) -> Batched:
    """Return the functions for replicas of types (R, natoms), with ``constants``."""
    name = TARGETS[str(model[1].dtype)]
    n_replicas, n_atoms = types.shape

    def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
        given = [positions.astype(jnp.float64), types.astype(jnp.int32), *lists, *model]
        energies, forces = inputs.call(name, given, [(n_replicas,), (n_replicas, n_atoms, 3)])
        return Evaluation(energies, forces, {})

    return Batched(inputs.lists_of, evaluate)
