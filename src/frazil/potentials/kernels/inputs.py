"""What the models' kernels share on the side of Python: their panels, tables, lists, and the call."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from frazil.potentials.kernels import library
from frazil.potentials.neighbours import Neighbours

PANEL = 8
"""Rows of a panel of weights (``network.h``)."""


def panels(w: Any) -> jax.Array:
    """Return w (M, inputs, outputs) as panels (M, panels, inputs, PANEL) of outputs, filled up with 0."""
    many, n_in, n_out = w.shape
    filled = jnp.pad(w, ((0, 0), (0, 0), (0, -n_out % PANEL)))
    return jnp.swapaxes(filled.reshape(many, n_in, -1, PANEL), 1, 2)


def whole_panels(x: Any) -> jax.Array:
    """Return numbers of each output (…, outputs), filled up with 0 to whole panels."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % PANEL)])


def cubics(values: Any, slopes: Any) -> jax.Array:
    """Return the cubics (…, nodes − 1, 4) between nodes from values and slopes times the interval (…, nodes).

    Powers of the fraction of an interval, the lowest first.
    """
    low, high, start, end = values[..., :-1], values[..., 1:], slopes[..., :-1], slopes[..., 1:]
    return jnp.stack(
        [low, start, 3 * (high - low) - 2 * start - end, 2 * (low - high) + start + end], axis=-1
    )


def lists_of(neighbours: Neighbours | None) -> tuple[jax.Array, jax.Array]:
    """Return index (R, natoms, slots) int32 and shift (R, natoms, slots, 3), or (0,) where there is none."""
    assert neighbours is not None
    shift = jnp.zeros(0) if neighbours.shift is None else neighbours.shift
    return neighbours.index.astype(jnp.int32), shift


def call(name: str, inputs: Sequence[jax.Array], shapes: Sequence[tuple[int, ...]]) -> list[jax.Array]:
    """Return the results, float64 of the shapes, of one of ``library.TARGETS``, with the memory it wants."""
    kernels = library.chosen()
    assert kernels is not None
    scratch_bytes = kernels.scratch_bytes(name, [x.shape for x in inputs])
    results = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes]
    results.append(jax.ShapeDtypeStruct((scratch_bytes,), jnp.uint8))
    found = jax.ffi.ffi_call(kernels.target(name), tuple(results), vmap_method="sequential")(*inputs)
    return list(found[:-1])
