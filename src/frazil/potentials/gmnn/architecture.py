"""What defines a GM-NN: hyper-parameters, trainable parameters, and the plain weights that they fold into.

Importing this module switches JAX to float64 (networks may still be float32).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.elements import OfElements
from frazil.pytrees import pytree

jax.config.update("jax_enable_x64", True)

Parameters = dict[str, Any]
"""A pytree: embedding (S, S, n_radial, n_basis) [centre, neighbour]; layers [{w (in, out), b (out)}, …];
scale, shift (S, n_outputs); feature_mean, feature_scale (S, n_features). A committee has a leading axis of
networks."""

SWISH_GAIN = 1.6765324703310907
"""Makes swish keep the second moment of a normal input."""
NTK_BIAS = 0.1
ARM = "arm-"
"""Begins the names of the outputs that multiply arms, one for each element."""
MOST_HEADS = 64


@dataclass(frozen=True)
class Architecture(OfElements):
    """Hyper-parameters; the defaults are the published ones (sticking of H2 on CO: 6 Å, 256-128).

    elements: chemical symbols in order of atomic number. heads: "energy", and "charge" for dipoles of free
    atoms, or an arm for each element (``arms_of``) for those that know ``oxidation`` numbers, in cells too.
    n_heads: members of a shallow ensemble, that share all of a network but its last layer; each has all of
    ``heads``. The outputs are the energies of all members, then their charges.
    zbl_cutoff_A: where the short-range repulsion of Ziegler, Biersack and Littmark ends; 0 is none. ntk:
    layers scale as in the neural tangent parametrization (w/√fan-in, 0.1 b). variance_preserving: activations
    are swish times 1.6765. precision: of the network, "float32" or "float64".
    adsorbate: elements that atoms of other elements do not see. What an adsorbate of these adds to the energy
    is then all in its own atoms, and no sum of small changes of many others.
    """

    elements: tuple[str, ...]
    cutoff_A: float = 6.0
    basis_start_A: float = 0.5
    n_basis: int = 7
    n_radial: int = 5
    hidden: tuple[int, ...] = (256, 128)
    heads: tuple[str, ...] = ("energy",)
    zbl_cutoff_A: float = 0.0
    ntk: bool = True
    variance_preserving: bool = True
    precision: str = "float32"
    n_heads: int = 1
    adsorbate: tuple[str, ...] = ()
    oxidation: tuple[float, ...] = ()
    """Of each element, e; none: dipoles have one value, and cells none."""
    may_lack: ClassVar[tuple[str, ...]] = ("n_heads", "adsorbate", "oxidation")

    def __post_init__(self) -> None:
        self.check_elements()
        if not self.cutoff_A > self.basis_start_A >= 0:
            raise UserError(
                f"cutoff {self.cutoff_A} Å; it must exceed the first Gaussian at {self.basis_start_A} Å"
            )
        if min(self.n_basis, self.n_radial, *self.hidden) < 1:
            raise UserError(
                f"{self.n_basis} Gaussians, {self.n_radial} radial functions, layers {self.hidden}; all ≥ 1"
            )
        known: list[tuple[str, ...]] = [("energy",), ("energy", "charge")]
        if self.oxidation:
            known = [("energy", *arms_of(self.elements))]
        if self.heads not in known or len(self.oxidation) not in (0, len(self.elements)):
            raise UserError(
                f"heads {self.heads} with {len(self.oxidation)} oxidation numbers; allowed are "
                f"{' and '.join(map(str, known))}, with one for each element or none"
            )
        if not 1 <= self.n_heads <= MOST_HEADS:
            raise UserError(
                f"{self.n_heads} heads on a network; from 1 (no shallow ensemble) to {MOST_HEADS}"
            )
        if not set(self.adsorbate) < set(self.elements):
            raise UserError(
                f"an adsorbate of {' '.join(self.adsorbate)}; allowed are some, not all, of the elements "
                f"{' '.join(self.elements)}"
            )
        if not 0 <= self.zbl_cutoff_A <= self.cutoff_A:
            raise UserError(
                f"repulsion up to {self.zbl_cutoff_A} Å; from 0 (none) to the cutoff {self.cutoff_A} Å"
            )

    @property
    def n_features(self) -> int:
        """Number of invariants: 360 for five radial functions."""
        r = self.n_radial
        pairs = r * (r + 1) // 2
        triples = r + r * (r - 1) + r * (r - 1) * (r - 2) // 6
        return r + 3 * pairs + triples + 2 * pairs * r + r**3

    @property
    def n_outputs(self) -> int:
        """Outputs of the last layer: ``n_heads`` of each quantity."""
        return self.n_heads * len(self.heads)

    def to_json(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON; those of ``may_lack`` where they are not the default only."""
        values = super().to_json()
        if self.n_heads == 1:
            del values["n_heads"]
        for name in ("adsorbate", "oxidation"):
            if not values[name]:
                del values[name]
        return values

    @property
    def seen(self) -> np.ndarray:
        """Whether an atom of a centre's element sees one of a neighbour's, (S, S) [centre, neighbour]."""
        own = np.isin(self.elements, self.adsorbate)
        return own[:, None] | ~own[None]

    def with_precision(self, precision: str) -> "Architecture":
        """Return the same architecture with another number type."""
        return replace(self, precision=precision)

    def alone(self) -> "Architecture":
        """Return the architecture of one member of a shallow ensemble, as a network of its own."""
        return replace(self, n_heads=1)


def arms_of(elements: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the outputs that multiply an atom's arms to neighbours of each element."""
    return tuple(f"{ARM}{element}" for element in elements)


def initialize(architecture: Architecture, key: jax.Array) -> Parameters:
    """Return random parameters of one member, float64: embeddings U(−1, 1), weights N(0, 1), biases 0.

    Without ``ntk`` weights are N(0, 1/fan-in). Scales are 1, shifts 0, features not normalised.
    """
    a, s = architecture, len(architecture.elements)
    sizes = (a.n_features, *a.hidden, a.n_outputs)
    keys = jax.random.split(key, len(sizes))
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        w = jax.random.normal(keys[i], (n_in, n_out), jnp.float64)
        layers.append({"w": w if a.ntk else w / np.sqrt(n_in), "b": jnp.zeros(n_out)})
    return {
        "embedding": jax.random.uniform(keys[-1], (s, s, a.n_radial, a.n_basis), jnp.float64, -1.0, 1.0),
        "layers": layers,
        "scale": jnp.ones((s, a.n_outputs)),
        "shift": jnp.zeros((s, a.n_outputs)),
        "feature_mean": jnp.zeros((s, a.n_features)),
        "feature_scale": jnp.ones((s, a.n_features)),
    }


def initialize_committee(architecture: Architecture, seed: int, n_members: int) -> Parameters:
    """Return ``n_members`` independent random parameter sets with a leading member axis."""
    keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), n_members)
    return stack_members([initialize(architecture, key) for key in keys])


def stack_members(members: list[Parameters]) -> Parameters:
    """Return parameter sets of the same shapes as one with a leading member axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(parameters: Parameters, index: int) -> Parameters:
    """Return one member of a committee's parameters."""
    return jax.tree.map(lambda leaf: leaf[index], parameters)


def n_networks(parameters: Parameters) -> int:
    """Return how many networks the parameters of a committee hold."""
    return int(parameters["embedding"].shape[0])


def apart(architecture: Architecture, parameters: Parameters) -> Parameters:
    """Return all members of networks with several heads as networks of their own (``architecture.alone()``).

    Members are counted by network, then by head.
    """
    n_heads = architecture.n_heads
    if n_heads == 1:
        return parameters

    def own(leaf: jax.Array) -> jax.Array:
        """(M, …, quantities · heads) -> (M · heads, …, quantities)."""
        split = jnp.moveaxis(leaf.reshape(*leaf.shape[:-1], -1, n_heads), -1, 1)
        return split.reshape(-1, *split.shape[2:])

    *trunk, last = parameters["layers"]
    shared = {name: parameters[name] for name in ("embedding", "feature_mean", "feature_scale")}
    copied = jax.tree.map(lambda leaf: jnp.repeat(leaf, n_heads, axis=0), {**shared, "layers": trunk})
    return {
        **copied,
        "layers": [*copied["layers"], jax.tree.map(own, last)],
        "scale": own(parameters["scale"]),
        "shift": own(parameters["shift"]),
    }


@pytree
@dataclass(frozen=True)
class Weights:
    """Parameters folded for evaluation, in the network's number type (scale and shift: float64).

    radial (S, S, n_radial, n_basis) [centre, neighbour]; layers of (w (in, out), b (out)) with plain swish
    between; feature_factor and feature_offset (S, n_features) multiply and add to the invariants; scale,
    shift (S, n_outputs).
    """

    radial: jax.Array
    layers: list[tuple[jax.Array, jax.Array]]
    feature_factor: jax.Array
    feature_offset: jax.Array
    scale: jax.Array
    shift: jax.Array


def fold(architecture: Architecture, parameters: Parameters) -> Weights:
    """Fold all constant factors of one member's parameters into plain weights (differentiable, cheap)."""
    a, dtype = architecture, architecture.dtype
    beta = gaussian_exponent(a)
    norm = (2.0 * beta / np.pi) ** 0.25 / np.sqrt(a.n_basis)
    seen = a.seen[..., None, None].astype(float)
    layers = []
    for i, layer in enumerate(parameters["layers"]):
        w, b = jnp.asarray(layer["w"], jnp.float64), jnp.asarray(layer["b"], jnp.float64)
        if a.ntk:
            w, b = w / np.sqrt(w.shape[0]), NTK_BIAS * b
        if i > 0 and a.variance_preserving:
            w = SWISH_GAIN * w
        layers.append((w.astype(dtype), b.astype(dtype)))
    factor = 1.0 / jnp.asarray(parameters["feature_scale"], jnp.float64)
    return Weights(
        radial=(norm * seen * jnp.asarray(parameters["embedding"], jnp.float64)).astype(dtype),
        layers=layers,
        feature_factor=factor.astype(dtype),
        feature_offset=(-factor * parameters["feature_mean"]).astype(dtype),
        scale=jnp.asarray(parameters["scale"], jnp.float64),
        shift=jnp.asarray(parameters["shift"], jnp.float64),
    )


def gaussian_exponent(architecture: Architecture) -> float:
    """Return β of exp(−β (r − s)²), 1/Å²."""
    return architecture.n_basis**2 / architecture.cutoff_A**2


def gaussian_centres(architecture: Architecture) -> np.ndarray:
    """Return the centres s (n_basis,), Å, of the Gaussians."""
    a = architecture
    return a.basis_start_A + (a.cutoff_A - a.basis_start_A) / a.n_basis * np.arange(a.n_basis)
