"""What trainings of Gaussian-moment networks share: the optimizer, whose rate falls with the steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from frazil.learning.settings import GmnnTraining
from frazil.potentials.gmnn.architecture import Parameters

RATES = {"layers": 1.0, "embedding": 2 / 3, "shift": 5 / 3, "scale": 1 / 30}
"""Learning rates relative to the layers' (Zaverkin & Kästner 2021: 0.03, 0.02, 0.05, 0.001)."""
OPTIMIZERS = {"amsgrad": optax.amsgrad, "adam": optax.adam}
SMALLEST_SCALE = 1e-3
"""Of a feature's standard deviation, relative to the largest of its element: constant features stay small."""


class Annealed:
    """A training whose rate falls with the steps, whatever its tests say; epochs and patience end it."""

    def judge(self, parameters: Parameters, optimizer_state: Any, test_loss: np.ndarray) -> Any:
        """Return the optimizer's state as it is."""
        return optimizer_state

    def finished(self, optimizer_state: Any) -> bool:
        """Return False."""
        return False


def rate_of(first: float, part: Any) -> Any:
    """Return the learning rate after a part of the steps, 0 to 1: it falls linearly to 1 % of the first."""
    return first * (1 - 0.99 * part)


def optimizer(settings: GmnnTraining, n_steps: Any) -> optax.GradientTransformation:
    """Return Adam, or AMSGrad (Reddi et al. 2018), with rates per group that fall linearly to 1 % in
    ``n_steps``; the normalisation of features stays fixed.
    """

    def group(factor: float) -> optax.GradientTransformation:
        first = settings.learning_rate * factor
        return OPTIMIZERS[settings.optimizer](lambda step: rate_of(first, jnp.minimum(step / n_steps, 1)))

    transforms = {name: group(factor) for name, factor in RATES.items()}
    fixed = {"feature_mean": "fixed", "feature_scale": "fixed"}

    def labels(parameters: Parameters) -> dict[str, Any]:
        return {k: jax.tree.map(lambda _, k=k: fixed.get(k, k), v) for k, v in parameters.items()}

    return optax.multi_transform({**transforms, "fixed": optax.set_to_zero()}, labels)


def floored(scale: jax.Array) -> jax.Array:
    """Return standard deviations of features (…, n_features) without those that are as good as 0."""
    return jnp.maximum(scale, SMALLEST_SCALE * jnp.maximum(scale.max(axis=-1, keepdims=True), 1e-6))
