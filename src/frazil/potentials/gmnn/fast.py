"""GM-NN energies and forces as fast as plain JAX gives them, checked against ``reference``.

What makes it fast (docs/benchmarks.md has the numbers): atoms are the last axis of every array ("lanes"),
moments have their 20 unique components, the contractions and all adjoints are straight lines of products
written by hand, and a pair's force reaches the neighbour by a gather over the reversed pair, not by a
scatter. Several structures are one set of lanes with offset indices (``join``), never a vmap: one matrix
product serves all. Positions and their differences are float64, the network is the architecture's type,
energies are float64 again. Compile with ``interface.jit``.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.gmnn.architecture import (
    Architecture,
    Weights,
    gaussian_centres,
    gaussian_exponent,
)
from frazil.potentials.gmnn.contractions import COMPONENTS, barrier, contract, feature_order
from frazil.potentials.gmnn.reference import (
    UNIT_SOFTENING_A,
    ZBL_COEFFICIENTS,
    ZBL_EXPONENTS,
    ZBL_LENGTH_A,
    ZBL_POWER,
)
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

_MIDDLE_A = 3.0
"""Gaussian centres are counted from here, which keeps float32 digits in the slope."""


@pytree
@dataclass(frozen=True)
class LaneWeights:
    """Weights of one member spread over the lanes of fixed species: made once per structure, used every step.

    radial, radial_slope (S [neighbour], n_basis, n_radial, 1, N); layers of (wᵀ, w, b as a column), the first
    with its inputs in the order of ``contract``; factor, offset (n_features, N) normalise; scale, shift
    (outputs, N).
    """

    radial: jax.Array
    radial_slope: jax.Array
    layers: list[tuple[jax.Array, jax.Array, jax.Array]]
    factor: jax.Array
    offset: jax.Array
    scale: jax.Array
    shift: jax.Array


@pytree
@dataclass(frozen=True)
class Lists:
    """Neighbour lists of N lanes, slots first; free slots hold the index N.

    index, reverse (K, N): neighbour's lane, and the place of the reversed pair in a flat (K, N) array (a free
    slot: its own). species (S, K, N): 1 where the neighbour is of that element, else 0. shift (3, K, N) Å or
    None.
    """

    index: jax.Array
    reverse: jax.Array
    species: jax.Array
    shift: jax.Array | None
    n_lanes: int = field(metadata={"static": True})


def spread(architecture: Architecture, weights: Weights, species: jax.Array) -> LaneWeights:
    """Return one member's weights for lanes of ``species`` (N,)."""
    centres = jnp.asarray(gaussian_centres(architecture) - _MIDDLE_A, architecture.dtype)
    # (N, S, n_radial, n_basis) -> (S, n_basis, n_radial, 1, N)
    radial = jnp.transpose(weights.radial[species], (1, 3, 2, 0))[:, :, :, None, :]
    order = feature_order(architecture.n_radial)
    layers = []
    for i, (w, b) in enumerate(weights.layers):
        ordered = w[order] if i == 0 else w
        layers.append((ordered.T, ordered, b[:, None]))
    return LaneWeights(
        radial=radial,
        radial_slope=radial * centres[None, :, None, None, None],
        layers=layers,
        factor=weights.feature_factor[:, order][species].T,
        offset=weights.feature_offset[:, order][species].T,
        scale=weights.scale[species].T,
        shift=weights.shift[species].T,
    )


def arrange(architecture: Architecture, species: jax.Array, neighbours: Neighbours) -> Lists:
    """Return a structure's neighbour lists in the order of lanes."""
    n_lanes = species.shape[0]
    slots = neighbours.index.shape[1]
    index = neighbours.index.T
    lane = jnp.arange(n_lanes, dtype=jnp.int32)[None, :]
    real = index < n_lanes
    reverse = neighbours.reverse.T * n_lanes + jnp.where(real, index, lane)
    own = jnp.arange(slots, dtype=jnp.int32)[:, None] * n_lanes + lane
    kinds = jnp.where(real, jnp.append(species, 0)[index], -1)
    one_hot = kinds[None] == jnp.arange(len(architecture.elements), dtype=kinds.dtype)[:, None, None]
    return Lists(
        index=index,
        reverse=jnp.where(real, reverse, own).astype(jnp.int32),
        species=one_hot.astype(architecture.dtype),
        shift=None if neighbours.shift is None else jnp.transpose(neighbours.shift, (2, 1, 0)),
        n_lanes=n_lanes,
    )


def _cosine_cutoff(distance: jax.Array, cutoff_A: float) -> tuple[jax.Array, jax.Array]:
    """Return ½(cos πr/r_c + 1) and its slope, for r ≤ r_c; in float32 by Taylor series to rounding (6e-8)."""
    rate = np.pi / cutoff_A
    phase = distance * rate - 0.5 * np.pi
    if distance.dtype == jnp.float64:
        return 0.5 - 0.5 * jnp.sin(phase), -0.5 * rate * jnp.cos(phase)
    square = phase * phase
    sine = cosine = jnp.ones_like(phase)
    for k in range(6, 0, -1):
        sine = 1.0 - square * (1.0 / (2 * k * (2 * k + 1))) * sine
        cosine = 1.0 - square * (1.0 / (2 * k * (2 * k - 1))) * cosine
    return 0.5 - 0.5 * phase * sine, -0.5 * rate * cosine


def _separations(lists: Lists, positions: jax.Array, cutoff_A: float) -> jax.Array:
    """Return vectors (3, K, N), float64, from centres to neighbours; free slots are twice the cutoff away."""
    columns = jnp.concatenate([positions, jnp.zeros((1, 3))]).T
    real = lists.index < lists.n_lanes
    out = []
    for axis in range(3):
        there = columns[axis].at[lists.index].get(mode="promise_in_bounds")
        difference = there - columns[axis, :-1][None]
        if lists.shift is not None:
            difference = difference + lists.shift[axis]
        out.append(jnp.where(real, difference, 2.0 * cutoff_A if axis == 0 else 0.0))
    return jnp.asarray(barrier(jnp.stack(barrier(out))))


def _monomials(x: jax.Array, y: jax.Array, z: jax.Array) -> list[jax.Array]:
    """Return the products of COMPONENTS of unit vectors: 1, x, y, z, xx, xy, …"""
    axes = (x, y, z)
    values: dict[tuple[int, ...], jax.Array] = {(): jnp.ones_like(x)}
    for component in COMPONENTS[1:]:
        rest = values[component[:-1]]
        values[component] = axes[component[-1]] if len(component) == 1 else rest * axes[component[-1]]
    return list(values.values())


def _moments(unit: list[jax.Array], radial: jax.Array) -> jax.Array:
    """Return moments (20, n_radial, N) of unit vectors 3 × (K, N) and radial functions (n_radial, K, N)."""
    slots = radial.shape[1]
    monomials = barrier(_monomials(*unit))
    out = []
    for values in monomials:
        total = values[0][None] * radial[:, 0]
        for k in range(1, slots):
            total = total + values[k][None] * radial[:, k]
        out.append(total)
    return jnp.asarray(barrier(jnp.stack(barrier(out))))


def _gradient_terms(
    adjoint: jax.Array, unit: list[jax.Array], radial: jax.Array, slope: jax.Array
) -> list[jax.Array]:
    """Return the derivatives (K, N) by the three components of the unit vector and by the distance."""
    monomials = dict(zip(COMPONENTS, _monomials(*unit), strict=True))
    n_radial = radial.shape[0]
    along, by_unit = 0.0, [0.0, 0.0, 0.0]
    for c, component in enumerate(COMPONENTS):
        weight = sum(adjoint[c, r][None] * radial[r] for r in range(n_radial))
        along = along + sum(adjoint[c, r][None] * slope[r] for r in range(n_radial)) * monomials[component]
        for axis in set(component):
            rest = list(component)
            rest.remove(axis)
            by_unit[axis] = by_unit[axis] + component.count(axis) * weight * monomials[tuple(rest)]
    return [*by_unit, along]


def _network(
    weights: LaneWeights, features: jax.Array, shares: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Return the outputs (outputs, N), float64, and the adjoint (n_features, N) of the driving energy."""
    x = features * weights.factor + weights.offset
    slopes = []
    for w_t, _, b in weights.layers[:-1]:
        z = w_t @ x + b
        s = jax.nn.sigmoid(z)
        x, slope = barrier((z * s, s * (1.0 + z * (1.0 - s))))
        slopes.append(slope)
    w_t, w, b = weights.layers[-1]
    outputs = weights.scale * (w_t @ x + b).astype(jnp.float64) + weights.shift
    if shares is None:
        adjoint = w[:, :1] * weights.scale[:1].astype(x.dtype)
    else:
        n_heads = shares.shape[0]
        adjoint = w[:, :n_heads] @ (weights.scale[:n_heads] * shares).astype(x.dtype)
    for (_, w, _), slope in zip(weights.layers[-2::-1], slopes[::-1], strict=True):
        adjoint = w @ (adjoint * slope)
    return outputs, adjoint * weights.factor


def _repulsion(
    architecture: Architecture, lists: Lists, species: jax.Array, vectors: jax.Array
) -> tuple[Any, Any]:
    """Return the universal repulsion: energies (N,) and slopes over the distance (K, N), float64, half of
    each pair.
    """
    charge = jnp.asarray(architecture.atomic_numbers, jnp.float64)
    distance = jnp.sqrt(jnp.sum(vectors**2, axis=0))
    other = jnp.tensordot(charge, lists.species.astype(jnp.float64), 1)
    centre = charge[species][None]
    sizes = centre**ZBL_POWER + jnp.where(other > 0, other, 1.0) ** ZBL_POWER

    def pairs(r: jax.Array) -> jax.Array:
        r = jnp.clip(r, 0.02, architecture.zbl_cutoff_A)
        screening = sum(
            c * jnp.exp(-e * r * sizes / ZBL_LENGTH_A)
            for c, e in zip(ZBL_COEFFICIENTS.tolist(), ZBL_EXPONENTS.tolist(), strict=True)
        )
        cutoff = 0.5 * (jnp.cos(np.pi * r / architecture.zbl_cutoff_A) + 1.0)
        return 0.5 * COULOMB_eV_A * centre * other / r * screening * cutoff

    energies, slopes = jax.jvp(pairs, (distance,), (jnp.ones_like(distance),))
    return energies.sum(axis=0), slopes


def evaluate(
    architecture: Architecture,
    weights: LaneWeights,
    species: jax.Array,
    lists: Lists,
    positions: jax.Array,
    shares: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Return the outputs (outputs, N) per lane and the forces (N, 3), eV/Å, both float64.

    The first output is the energy, eV, repulsion included: its sum over a structure's lanes is the
    structure's energy. Of several heads the first ``n_heads`` are, and ``shares`` (n_heads, N) weighs them:
    the forces are those of the weighted sum, at the cost of one.
    """
    dtype = architecture.dtype
    vectors = _separations(lists, positions, architecture.cutoff_A)
    x, y, z = (vectors[axis].astype(dtype) for axis in range(3))
    distance = jnp.sqrt(x * x + y * y + z * z)
    inverse = 1.0 / (distance + UNIT_SOFTENING_A)
    distance, inverse, unit = barrier((distance, inverse, [x * inverse, y * inverse, z * inverse]))

    near = jnp.minimum(distance, architecture.cutoff_A)
    cutoff, cutoff_slope = _cosine_cutoff(near, architecture.cutoff_A)
    beta = gaussian_exponent(architecture)
    gaussians = [jnp.exp(-beta * (near - float(c)) ** 2) for c in gaussian_centres(architecture)]
    cutoff, cutoff_slope, gaussians = barrier((cutoff, cutoff_slope, gaussians))
    # Σ_b C_b G_b and Σ_b C_b (s_b − 3 Å) G_b give the radial functions and their slopes.
    plain, first = (
        sum(
            lists.species[s][None] * sum(table[s, b] * g[None] for b, g in enumerate(gaussians))
            for s in range(len(architecture.elements))
        )
        for table in (weights.radial, weights.radial_slope)
    )
    radial = cutoff * plain
    slope = cutoff_slope * plain - (2.0 * beta) * cutoff * ((near - _MIDDLE_A) * plain - first)
    radial, slope = barrier((radial, slope))

    features, pull_back = jax.vjp(contract, _moments(unit, radial))
    outputs, adjoint = _network(weights, features, shares)
    (moment_adjoint,) = pull_back(adjoint)
    # The barrier keeps the monomials here from being shared with those above, which breaks the fusion up.
    adjoint, unit, radial, slope = barrier((moment_adjoint, unit, radial, slope))
    by_x, by_y, by_z, along, unit, inverse, distance = barrier(
        (*_gradient_terms(adjoint, unit, radial, slope), unit, inverse, distance)
    )

    # d/d(vector) through unit = vector/(r + softening) and r.
    inside = (distance < architecture.cutoff_A).astype(dtype)
    radially = along - inverse * (unit[0] * by_x + unit[1] * by_y + unit[2] * by_z)
    if architecture.zbl_cutoff_A > 0:
        energies, slopes = _repulsion(architecture, lists, species, vectors)
        outputs = outputs.at[: architecture.n_heads].add(energies)
        slopes = slopes if shares is None else slopes * shares.sum(axis=0)
        radially = radially + slopes.astype(dtype)
    scaled = radially * (1.0 + UNIT_SOFTENING_A / jnp.maximum(distance, UNIT_SOFTENING_A)) * inside
    inward = inverse * inside
    pair = barrier([inward * b + scaled * u for b, u in zip((by_x, by_y, by_z), unit, strict=True)])
    forces = []
    for component in pair:
        reversed_pair = barrier(component.reshape(-1).at[lists.reverse].get(mode="promise_in_bounds"))
        forces.append((component - reversed_pair).sum(axis=0))
    return outputs, jnp.stack(forces, axis=-1).astype(jnp.float64)


def evaluate_each(
    architecture: Architecture, weights: LaneWeights, species: jax.Array, lists: Lists, positions: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the outputs (outputs, N) and the forces (n_heads, N, 3) of every head: one way forward, and one
    back for each.
    """
    run = partial(evaluate, architecture, weights, species, lists, positions)
    if architecture.n_heads == 1:
        outputs, forces = run()
        return outputs, forces[None]
    shares = jnp.broadcast_to(
        jnp.eye(architecture.n_heads)[..., None], (*[architecture.n_heads] * 2, lists.n_lanes)
    )
    return jax.vmap(run, out_axes=(None, 0))(shares)


def by_head(architecture: Architecture, outputs: jax.Array) -> jax.Array:
    """Return outputs (outputs, N) as (n_heads, quantities, N)."""
    split = outputs.reshape(-1, architecture.n_heads, *outputs.shape[1:])
    return jnp.swapaxes(split, 0, 1)
