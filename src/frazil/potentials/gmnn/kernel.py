"""GM-NN in its compiled kernel (``kernels/gmnn.cpp``): what it serves, and the inputs that it wants.

It serves networks in float32 of any size, committees, heads, charges and repulsion, on CPUs; ``fast`` serves
all else. A replica's bits do not depend on the batch, and a structure's total force is 0.
"""

from collections.abc import Callable
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
from frazil.potentials.gmnn.contractions import feature_order
from frazil.potentials.gmnn.reference import ZBL_COEFFICIENTS, ZBL_EXPONENTS, ZBL_LENGTH_A, ZBL_POWER
from frazil.potentials.kernels import inputs, library
from frazil.potentials.neighbours import Neighbours
from frazil.units import COULOMB_eV_A

TARGET = "frazil_gmnn"
MOST_LAYERS = 12
INTERVALS_PER_GAUSSIAN = 64
"""Of the cubic tables of radial functions: slopes are right to 1e-6 of a Gaussian's, as float32 is."""
REPULSION_INTERVALS = 2048


def serves(architecture: Architecture) -> bool:
    """Return whether the kernel evaluates models of an architecture here; says why not if one is there."""
    if library.chosen() is None:
        return False
    if architecture.precision != "float32":
        library.say(f"GM-NN in {architecture.precision}: JAX, the compiled kernel is in float32")
        return False
    if len(architecture.hidden) >= MOST_LAYERS:
        library.say(
            f"GM-NN of {len(architecture.hidden)} hidden layers: JAX, the kernel has {MOST_LAYERS - 1}"
        )
        return False
    return True


def _cubics(values: jax.Array, slopes: jax.Array) -> jax.Array:
    """Return the cubics of functions that end at 0 (…, nodes + 1, 4); the last two are 0."""
    table = inputs.cubics(values, slopes)
    return jnp.pad(table, [(0, 0)] * (table.ndim - 2) + [(0, 2), (0, 0)])


def radial_tables(architecture: Architecture, radial: jax.Array) -> jax.Array:
    """Return the tables (…, nodes, 4, n_radial) float32 of radial functions (…, n_radial, n_basis)."""
    a = architecture
    intervals = INTERVALS_PER_GAUSSIAN * a.n_basis
    r = jnp.linspace(0.0, a.cutoff_A, intervals + 1)
    apart = r[:, None] - gaussian_centres(a)
    gaussians = jnp.exp(-gaussian_exponent(a) * apart**2)
    phase = np.pi * r[:, None] / a.cutoff_A
    cutoff, cutoff_slope = 0.5 * (jnp.cos(phase) + 1.0), -0.5 * np.pi / a.cutoff_A * jnp.sin(phase)
    slopes = cutoff_slope * gaussians - 2.0 * gaussian_exponent(a) * cutoff * apart * gaussians
    coefficients = radial.astype(jnp.float64)
    values, slopes = (coefficients @ x.T for x in (cutoff * gaussians, slopes * (a.cutoff_A / intervals)))
    return jnp.moveaxis(_cubics(values, slopes), -3, -1).astype(jnp.float32)


def repulsion_tables(architecture: Architecture) -> jax.Array:
    """Return the tables (S, S, nodes, 4) float64 of r times the repulsion (``reference.repulsion``), eV Å."""
    a = architecture
    n = len(a.elements)
    if not a.zbl_cutoff_A:
        return jnp.zeros((n, n, 2, 4))
    charge = np.asarray(a.atomic_numbers, float)
    sizes = (charge[:, None] ** ZBL_POWER + charge[None] ** ZBL_POWER)[..., None]
    r = np.linspace(0.0, a.zbl_cutoff_A, REPULSION_INTERVALS + 1)
    terms = [(c, e * sizes / ZBL_LENGTH_A) for c, e in zip(ZBL_COEFFICIENTS, ZBL_EXPONENTS, strict=True)]
    screening = sum(c * np.exp(-rate * r) for c, rate in terms)
    falling = sum(-rate * c * np.exp(-rate * r) for c, rate in terms)
    phase = np.pi * r / a.zbl_cutoff_A
    cutoff, cutoff_slope = 0.5 * (np.cos(phase) + 1.0), -0.5 * np.pi / a.zbl_cutoff_A * np.sin(phase)
    factor = 0.5 * COULOMB_eV_A * (charge[:, None] * charge[None])[..., None]
    slopes = factor * (falling * cutoff + screening * cutoff_slope) * (a.zbl_cutoff_A / REPULSION_INTERVALS)
    return _cubics(jnp.asarray(factor * screening * cutoff), jnp.asarray(slopes))


def constants(architecture: Architecture, weights: Weights) -> list[jax.Array]:
    """Return the kernel's inputs that are the model's, in order; weights lead with the networks."""
    a = architecture
    order = feature_order(a.n_radial)
    layers: list[jax.Array] = []
    for i, (w, b) in enumerate(weights.layers):
        ordered = w[:, order] if i == 0 else w
        back = jnp.swapaxes(ordered, 1, 2)
        layers += [inputs.panels(ordered), inputs.whole_panels(b), inputs.panels(back)]
    return [
        jnp.array([a.cutoff_A, a.zbl_cutoff_A]),
        repulsion_tables(a),
        radial_tables(a, weights.radial),
        weights.feature_factor[..., order],
        weights.feature_offset[..., order],
        weights.scale,
        weights.shift,
        *layers,
    ]


def functions(
    architecture: Architecture, weights: Weights, species: jax.Array, shares: jax.Array
) -> tuple[
    Callable[[Neighbours | None], Any], Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
]:
    """Return ``arrange`` and ``run`` for replicas of species (R, natoms), negative where there is no atom.

    ``weights`` lead with the networks; ``shares`` (networks, seeds, n_heads, R) say what the forces are
    those of. ``run(lists, positions)`` returns energies (networks · n_heads, R) eV, outputs (networks ·
    n_heads, quantities, R, natoms) and forces (networks · seeds, R, natoms, 3), eV/Å, float64. A replica that
    is not finite gets nan.
    """
    n_replicas, n_atoms = species.shape
    networks, seeds, heads = shares.shape[:3]
    n_outputs = architecture.n_outputs
    lengths, repulsion, *others = constants(architecture, weights)
    model = [lengths, repulsion, *others[:5], shares.astype(jnp.float32), *others[5:]]

    def run(lists: Any, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        given = [positions.astype(jnp.float64), species.astype(jnp.int32), *lists, *model]
        shapes = (
            (networks, heads, n_replicas),
            (networks, n_outputs, n_replicas, n_atoms),
            (networks, seeds, n_replicas, n_atoms, 3),
        )
        energies, outputs, forces = inputs.call(TARGET, given, shapes)
        by_head = jnp.swapaxes(outputs.reshape(networks, -1, heads, n_replicas, n_atoms), 1, 2)
        return (
            energies.reshape(networks * heads, n_replicas),
            by_head.reshape(networks * heads, -1, n_replicas, n_atoms),
            forces.reshape(networks * seeds, n_replicas, n_atoms, 3),
        )

    return inputs.lists_of, run
