"""The gradient of a GM-NN's training loss by its weights, without a derivative of a derivative.

The loss L(outputs, forces) has the adjoints r = ∂L/∂outputs and u = ∂L/∂forces. With S = Σ w·outputs and
the forces −∇S at w = (1, 0, …), the gradient of L by the weights is that of S, differentiated once along the
positions' direction −u and the direction r of w (Pearlmutter, Neural Comput. 6, 147, 1994). So one pass
written by hand, outputs, forces and ∇S together, is linearized forward: about three times the pass itself.

Of a network with several heads the forces are those of the heads' mean, at the cost of one. A loss of every
head's forces has an adjoint u for each, and its gradient is the sum over heads.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from frazil.potentials.gmnn import contractions, fast
from frazil.potentials.gmnn.architecture import (
    Architecture,
    Parameters,
    Weights,
    fold,
    gaussian_centres,
    gaussian_exponent,
)
from frazil.potentials.gmnn.contractions import COMPONENTS, barrier, feature_order
from frazil.potentials.gmnn.reference import UNIT_SOFTENING_A
from frazil.potentials.neighbours import Neighbours

Loss = Callable[[jax.Array, jax.Array], tuple[jax.Array, Any]]
"""Of outputs (N, n_outputs) and forces (N, 3) of the heads' mean, or (n_heads, N, 3) of each: the loss (),
and anything else to hand back."""


def loss_and_gradient(
    architecture: Architecture,
    parameters: Parameters,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
    loss: Loss,
    each_head: bool = False,
) -> tuple[jax.Array, Any, Parameters]:
    """Return a loss (), what it hands back, and its gradient by one network's parameters.

    Lanes are N atoms of any number of structures; the normalisation of features is held fixed (gradient 0).
    ``each_head``: the loss is of every head's forces.
    """
    weights, unfold = jax.vjp(partial(fold, architecture), parameters)
    lists = fast.arrange(architecture, species, neighbours)
    n_heads, n_lanes = architecture.n_heads, positions.shape[0]
    ones = jnp.zeros((architecture.n_outputs, n_lanes)).at[:n_heads].set(1.0 / n_heads)

    def all_of(positions: jax.Array, lane_weights: jax.Array) -> tuple[jax.Array, jax.Array, Weights]:
        return _pass(architecture, weights, species, lists, positions, lane_weights)

    if each_head:
        heads = jnp.eye(n_heads, architecture.n_outputs)[..., None] * jnp.ones(n_lanes)
        of_each = jax.vmap(lambda head: all_of(positions, head)[:2], out_axes=(None, 0))
        outputs, forces = of_each(heads)
        (value, extra), (by_outputs, by_forces) = _with_adjoint(loss, outputs.T, forces)

        def of_head(head: jax.Array, by_own: jax.Array) -> Weights:
            """Return one head's part of the gradient, with an equal part of what the outputs give."""
            along = (-by_own, by_outputs.T / n_heads)
            return jax.jvp(all_of, (positions, head), along)[1][2]

        gradient = jax.tree.map(lambda parts: parts.sum(axis=0), jax.vmap(of_head)(heads, by_forces))
        (by_parameters,) = unfold(gradient)
        return value, extra, by_parameters

    (outputs, forces, _), along = jax.linearize(all_of, positions, ones)
    (value, extra), pull_back = _with_adjoint(loss, outputs.T, forces)
    by_outputs, by_forces = pull_back
    _, _, gradient = along(-by_forces, by_outputs.T)
    (by_parameters,) = unfold(gradient)
    return value, extra, by_parameters


def values(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return outputs (heads, N) and forces (N, 3) of one member's folded weights."""
    lists = fast.arrange(architecture, species, neighbours)
    spread = fast.spread(architecture, weights, species)
    return fast.evaluate(architecture, spread, species, lists, positions)


def gradient(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
    by_lane: jax.Array,
) -> tuple[Weights, jax.Array]:
    """Return the gradient of Σ by_lane · energies, by_lane (N,), by folded weights and positions (N, 3).

    It can be differentiated forward once more: along positions and by_lane together that gives the
    derivatives of energies and forces (``learning.rollout``).
    """
    lists = fast.arrange(architecture, species, neighbours)
    lane_weights = jnp.zeros((len(architecture.heads), positions.shape[0])).at[0].set(by_lane)
    _, forces, by_weights = _pass(architecture, weights, species, lists, positions, lane_weights)
    return by_weights, -forces


def _with_adjoint(loss: Loss, outputs: jax.Array, forces: jax.Array) -> tuple[Any, Any]:
    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(outputs, forces)


def _pass(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    lists: fast.Lists,
    positions: jax.Array,
    lane_weights: jax.Array,
) -> tuple[jax.Array, jax.Array, Weights]:
    """Return outputs (n_outputs, N), and of S = Σ lane_weights · outputs −∂S/∂positions (N, 3), ∂S/∂weights.

    With weights that add up to 1 over the energies and 0 for others the former are the forces of their mean.
    """
    dtype, n_species = architecture.dtype, len(architecture.elements)
    beta, centres = gaussian_exponent(architecture), gaussian_centres(architecture)
    one_hot = (species == jnp.arange(n_species)[:, None]).astype(dtype)
    vectors = fast._separations(lists, positions, architecture.cutoff_A)
    x, y, z = (vectors[axis].astype(dtype) for axis in range(3))
    distance = jnp.sqrt(x * x + y * y + z * z)
    inverse = 1.0 / (distance + UNIT_SOFTENING_A)
    unit = [x * inverse, y * inverse, z * inverse]
    inside = distance < architecture.cutoff_A
    near = jnp.where(inside, distance, architecture.cutoff_A)
    cutoff, cutoff_slope = fast._cosine_cutoff(near, architecture.cutoff_A)
    cutoff, cutoff_slope = jnp.where(inside, cutoff, 0.0), jnp.where(inside, cutoff_slope, 0.0)
    offsets = near[None] - jnp.asarray(centres, dtype)[:, None, None]
    plain = jnp.exp(-beta * offsets**2)
    basis = cutoff * plain
    basis_slope = cutoff_slope * plain - (2.0 * beta) * offsets * basis
    # By the neighbour's species: (S, n_basis, K, N); the table of a lane's own species is (N, S, R, B).
    kinds = lists.species[:, None]
    by_kind = barrier(kinds * basis).reshape(n_species * architecture.n_basis, *distance.shape)
    slope_by_kind = barrier(kinds * basis_slope).reshape(by_kind.shape)
    table = jnp.transpose(weights.radial, (0, 2, 1, 3)).reshape(n_species, architecture.n_radial, -1)[species]
    radial = jnp.einsum("nrq,qkn->rkn", table, by_kind)
    slope = jnp.einsum("nrq,qkn->rkn", table, slope_by_kind)

    monomials = jnp.stack(fast._monomials(*unit))
    moments = jnp.einsum("ckn,rkn->crn", monomials, radial)
    between = contractions._intermediates(moments)
    features = contractions._features(moments, *between)
    order = feature_order(architecture.n_radial)
    factor, offset = weights.feature_factor[:, order][species].T, weights.feature_offset[:, order][species].T
    outputs, adjoint, layers = _network(weights, order, species, features * factor + offset, lane_weights)
    moment_adjoint = contractions._adjoint(moments, *between, adjoint * factor)

    radial_adjoint = jnp.einsum("crn,ckn->rkn", moment_adjoint, monomials)
    along = (radial_adjoint * slope).sum(axis=0)
    weight = jnp.einsum("crn,rkn->ckn", moment_adjoint, radial)
    by_unit = [jnp.zeros_like(distance)] * 3
    for c, component in enumerate(COMPONENTS):
        for axis in set(component):
            rest = list(component)
            rest.remove(axis)
            by_unit[axis] = (
                by_unit[axis] + component.count(axis) * weight[c] * monomials[COMPONENTS.index(tuple(rest))]
            )
    by_lane = jnp.einsum("rkn,qkn->nrq", radial_adjoint, by_kind)
    table_gradient = jnp.einsum("sn,nrq->srq", one_hot, by_lane)
    shape = (n_species, architecture.n_radial, n_species, architecture.n_basis)

    radially = along - inverse * sum(u * b for u, b in zip(unit, by_unit, strict=True))
    if architecture.zbl_cutoff_A > 0:
        energies, slopes = fast._repulsion(architecture, lists, species, vectors)
        n_heads = architecture.n_heads
        outputs = outputs.at[:n_heads].add(energies)
        share = lane_weights[0] if n_heads == 1 else lane_weights[:n_heads].sum(axis=0)
        radially = radially + (share * slopes).astype(dtype)
    scaled = radially * (1.0 + UNIT_SOFTENING_A / jnp.maximum(distance, UNIT_SOFTENING_A))
    forces = []
    for b, u in zip(by_unit, unit, strict=True):
        pair = jnp.where(inside, inverse * b + scaled * u, 0.0)
        forces.append((pair - pair.reshape(-1)[lists.reverse]).sum(axis=0))
    gradient = replace(
        layers,
        radial=jnp.transpose(table_gradient.reshape(shape), (0, 2, 1, 3)),
        feature_factor=jnp.zeros_like(weights.feature_factor),
        feature_offset=jnp.zeros_like(weights.feature_offset),
    )
    return outputs, jnp.stack(forces, axis=-1).astype(jnp.float64), gradient


def _network(
    weights: Weights, order: Any, species: jax.Array, x: jax.Array, lane_weights: jax.Array
) -> tuple[jax.Array, jax.Array, Weights]:
    """Return outputs (n_outputs, N), the adjoint of the first layer's inputs, and the gradients of layers,
    scale and shift (in the other fields: the weights themselves).
    """
    n_species, dtype = weights.scale.shape[0], x.dtype
    scale, one_hot = weights.scale[species].T, species == jnp.arange(n_species)[:, None]
    inputs, slopes = [x], []
    for i, (w, b) in enumerate(weights.layers[:-1]):
        z = (w[order] if i == 0 else w).T @ x + b[:, None]
        s = jax.nn.sigmoid(z)
        x = z * s
        inputs.append(x)
        slopes.append(s * (1.0 + z * (1.0 - s)))
    w, b = weights.layers[-1]
    last = (w.T @ x + b[:, None]).astype(jnp.float64)
    adjoint = (scale * lane_weights).astype(dtype)
    gradients: list[tuple[jax.Array, jax.Array]] = []
    for i in range(len(weights.layers) - 1, -1, -1):
        by_w = inputs[i] @ adjoint.T
        if i == 0:
            by_w = jnp.zeros_like(by_w).at[order].set(by_w)
        gradients.insert(0, (by_w, adjoint.sum(axis=1)))
        w = weights.layers[i][0]
        adjoint = (w[order] if i == 0 else w) @ adjoint
        if i > 0:
            adjoint = adjoint * slopes[i - 1]
    hot = one_hot.astype(jnp.float64)
    by_scale, by_shift = hot @ (lane_weights * last).T, hot @ lane_weights.T
    result = replace(weights, layers=gradients, scale=by_scale, shift=by_shift)
    return scale * last + weights.shift[species].T, adjoint, result
