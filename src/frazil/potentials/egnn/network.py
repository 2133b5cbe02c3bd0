"""EGNN's energies on lanes of atoms (Žugec et al., eqs. 1–7; form "published": as their code has it).

With waves φ(d) = [sin b d, cos b d] each layer makes messages m_ij = Φ(h_i, h_j, φ(d_ij)), sums them over the
neighbours and adds Φ'(h_i, m_i) to h_i; Φ and Φ' are twice a dense layer, its norm (Ba et al. 2016) and SiLU.
The dense layer of [h_i, h_j, φ] is taken as the sum of three: two of them are of atoms, not of pairs.
"""

import jax
import jax.numpy as jnp

from frazil.potentials.egnn.architecture import Architecture, Parameters
from frazil.potentials.gmnn.reference import cosine_cutoff
from frazil.potentials.neighbours import Neighbours

NORM_SOFTENING = 1e-5


def _normed(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Return SiLU of a dense layer's outputs (…, F), normed over the features."""
    off = x - x.mean(axis=-1, keepdims=True)
    width = jnp.sqrt((off**2).mean(axis=-1, keepdims=True) + NORM_SOFTENING)
    return jax.nn.silu(off / width * layer["gain"] + layer["offset"])


def _second(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return _normed(layer, x @ layer["w"] + layer["b"])


def of_neighbours(values: jax.Array, neighbours: Neighbours) -> jax.Array:
    """Return the values (N, …) of each lane's neighbours (N, K, …), 0 in free slots.

    Its adjoint is a gather too, over the reversed pairs: a scatter takes much longer.
    """
    index, reverse = neighbours.index, neighbours.reverse
    real = index < values.shape[0]

    def masked(gathered: jax.Array) -> jax.Array:
        return jnp.where(real.reshape(*real.shape, *[1] * (gathered.ndim - 2)), gathered, 0.0)

    def plain(values: jax.Array) -> jax.Array:
        return masked(values[jnp.where(real, index, 0)])

    def backward(_: None, by: jax.Array) -> tuple[jax.Array]:
        return (masked(by[jnp.where(real, index, 0), reverse]).sum(axis=1),)

    gather = jax.custom_vjp(plain)
    gather.defvjp(lambda values: (plain(values), None), backward)
    return jnp.asarray(gather(values))


def distances(neighbours: Neighbours, positions: jax.Array) -> jax.Array:
    """Return the distances (N, K), Å, to neighbours; free slots are twice the cutoff away."""
    vectors = of_neighbours(positions, neighbours) - positions[:, None, :]
    if neighbours.shift is not None:
        vectors = vectors + neighbours.shift
    real = neighbours.index < positions.shape[0]
    far = jnp.array([2.0 * neighbours.cutoff_A, 0.0, 0.0])
    return jnp.sqrt(jnp.sum(jnp.where(real[..., None], vectors, far) ** 2, axis=-1))


def features(
    architecture: Architecture,
    weights: Parameters,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> jax.Array:
    """Return the atoms' features (N, F) after all layers, in the network's number type.

    ``weights`` are parameters in that type; pairs beyond the cutoff count nothing, whatever the lists hold.
    """
    a = architecture
    distance = distances(neighbours, positions)
    inside = distance < a.cutoff_A
    fade = inside.astype(a.dtype)
    if a.form == "smooth":
        fade = fade * cosine_cutoff(distance, a.cutoff_A).astype(a.dtype)
    distance = distance.astype(a.dtype)
    h = weights["embedding"]["w"][species] + weights["embedding"]["b"]
    f = a.n_features
    for layer in weights["layers"]:
        phase = distance[..., None] * layer["waves"]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        first, second = layer["message"]
        own, other = h @ first["w"][:f] + first["b"], h @ first["w"][f : 2 * f]
        pairs = own[:, None] + of_neighbours(other, neighbours) + waves @ first["w"][2 * f :]
        messages = _second(second, _normed(first, pairs))
        received = (messages * fade[..., None]).sum(axis=1)
        first, second = layer["update"]
        h = h + _second(second, _normed(first, h @ first["w"][:f] + received @ first["w"][f:] + first["b"]))
    return h


def head(architecture: Architecture, weights: Parameters, h: jax.Array) -> jax.Array:
    """Return the head's output (…,), float64, of features (…, F)."""
    first, second = weights["head"]
    activation = jax.nn.silu if architecture.form == "smooth" else jax.nn.relu
    inner = activation(h @ first["w"] + first["b"])
    # A sum over features, not a product with one column: each row comes the same way, wherever it stands.
    output = (inner * second["w"][:, 0]).sum(axis=-1) + second["b"][0]
    return weights["scale"] * output.astype(jnp.float64)


def atom_energies(
    architecture: Architecture, weights: Parameters, species: jax.Array, h: jax.Array
) -> jax.Array:
    """Return the atoms' energies (N,), eV, of the smooth form."""
    return head(architecture, weights, h) + weights["shift"][species]


def in_precision(architecture: Architecture, parameters: Parameters) -> Parameters:
    """Return parameters in the network's number type; shift and scale stay float64."""
    cast = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(architecture.dtype), parameters)
    return {**cast, **{name: jnp.asarray(parameters[name], jnp.float64) for name in ("shift", "scale")}}
