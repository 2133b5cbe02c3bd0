"""What defines an EGNN: hyper-parameters and parameters. Importing it switches JAX to float64."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.elements import OfElements

jax.config.update("jax_enable_x64", True)

Parameters = dict[str, Any]
"""A pytree of one model. F features, W waves, S elements.

embedding {w (S, F), b}; layers [{waves (W,) 1/Å, message, update}, …], each of the two a list of two dense
layers with their norm {w (in, F), b, gain, offset}, the first of ``message`` of [own, neighbour, waves] and
of ``update`` of [own, messages]; head [{w (F, F), b}, {w (F, 1), b}]; shift (S,) eV; scale () eV. waves,
shift and scale are not trained."""

FORMS = ("smooth", "published")
FIXED = ("waves", "shift", "scale")
"""Leaves that are not trained."""


@dataclass(frozen=True)
class Architecture(OfElements):
    """Hyper-parameters; the defaults are the published ones (Žugec et al.), but for the form.

    form "published": as in the authors' code, which differs from the paper: no cutoff function, so the energy
    jumps where a pair passes the cutoff; the head is a ReLU network of the features summed over all atoms, so
    the energy is not that of parts. "smooth": messages fade by a cosine, each atom has an energy of its own,
    the head is of SiLU. sigma_per_A: the waves' frequencies are drawn from N(0, σ²/2), as coded.
    """

    elements: tuple[str, ...]
    form: str = "smooth"
    cutoff_A: float = 5.0
    n_features: int = 128
    n_waves: int = 256
    n_layers: int = 3
    sigma_per_A: float = 4.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        self.check_elements()
        if self.form not in FORMS:
            raise UserError(f"form {self.form!r}; allowed are {', '.join(FORMS)}")
        if not (self.cutoff_A > 0 and self.sigma_per_A > 0):
            raise UserError(f"cutoff {self.cutoff_A} Å, σ {self.sigma_per_A} Å⁻¹; both must be positive")
        if min(self.n_features, self.n_waves, self.n_layers) < 1:
            raise UserError(
                f"{self.n_features} features, {self.n_waves} waves, {self.n_layers} layers; all at least 1"
            )


def initialize(architecture: Architecture, seed: int) -> Parameters:
    """Return random parameters, float64: dense layers U(−1, 1)/√fan-in (torch's), norms 1 and 0."""
    a = architecture
    random = np.random.default_rng(seed)

    def dense(n_in: int, n_out: int, norm: bool = True) -> dict[str, jax.Array]:
        bound = 1.0 / np.sqrt(n_in)
        made = {"w": random.uniform(-bound, bound, (n_in, n_out)), "b": random.uniform(-bound, bound, n_out)}
        if norm:
            made |= {"gain": np.ones(n_out), "offset": np.zeros(n_out)}
        return {name: jnp.asarray(value) for name, value in made.items()}

    f = a.n_features
    layers = [
        {
            "waves": jnp.asarray(random.normal(size=a.n_waves) * a.sigma_per_A / np.sqrt(2.0)),
            "message": [dense(2 * f + 2 * a.n_waves, f), dense(f, f)],
            "update": [dense(2 * f, f), dense(f, f)],
        }
        for _ in range(a.n_layers)
    ]
    return {
        "embedding": dense(len(a.elements), f, norm=False),
        "layers": layers,
        "head": [dense(f, f, norm=False), dense(f, 1, norm=False)],
        "shift": jnp.zeros(len(a.elements)),
        "scale": jnp.ones(()),
    }


def rates(parameters: Parameters) -> Parameters:
    """Return 1 for each leaf that is trained and 0 for the others, in the parameters' shape."""

    def rate(path: Any, _: Any) -> float:
        return 0.0 if getattr(path[-1], "key", "") in FIXED else 1.0

    return dict(jax.tree_util.tree_map_with_path(rate, parameters))


def n_trained(parameters: Parameters) -> int:
    """Return the number of parameters that are trained."""
    pairs = zip(jax.tree.leaves(parameters), jax.tree.leaves(rates(parameters)), strict=True)
    return sum(int(np.size(leaf)) for leaf, rate in pairs if rate)
