"""Electric fields along one direction that change with time; ``integrators.Driven`` runs under them."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.pytrees import pytree

STEPS_PER_PERIOD = 20
"""Of a field, at least: its work is then right to some tenths of a percent."""
CYCLES_PER_fs = 1e-3
"""Of a frequency of 1 THz."""


@pytree
@dataclass(frozen=True)
class Drive:
    """E(t) = A cos(2πf (t − t₀)) exp(−(t − t₀)²/2w²), V/Å, from t = 0 on.

    A field that is constant has no frequency and no end (``width_fs`` infinite); a continuous wave has no
    end; of a pulse ``width_fs`` is the standard deviation of the envelope.
    """

    amplitude_V_per_A: Any
    frequency_THz: Any = 0.0
    centre_fs: Any = 0.0
    width_fs: Any = np.inf

    def check(self, timestep_fs: float) -> None:
        """Raise UserError for numbers that are no field, and for a time step too long for its frequency."""
        for name, value, allowed in (
            ("amplitude_V_per_A", self.amplitude_V_per_A, np.isfinite(self.amplitude_V_per_A)),
            ("frequency_THz", self.frequency_THz, 0 <= self.frequency_THz < np.inf),
            ("centre_fs", self.centre_fs, np.isfinite(self.centre_fs)),
            ("width_fs", self.width_fs, self.width_fs > 0),
        ):
            if not allowed:
                raise UserError(
                    f"{name} {float(value):g} of a field; amplitude and centre must be finite, the frequency "
                    "not negative, the width positive"
                )
        if STEPS_PER_PERIOD * timestep_fs * CYCLES_PER_fs * self.frequency_THz > 1:
            longest_fs = 1 / (STEPS_PER_PERIOD * CYCLES_PER_fs * self.frequency_THz)
            raise UserError(
                f"a time step of {timestep_fs:g} fs for a field of {self.frequency_THz:g} THz; allowed are "
                f"{STEPS_PER_PERIOD} steps a period, {longest_fs:.2g} fs: lower timestep_fs"
            )

    def at(self, time_fs: Any) -> jax.Array:
        """Return E (), V/Å, at a time; or at times, of their shape."""
        since = jnp.asarray(time_fs, jnp.float64) - self.centre_fs
        wave = jnp.cos(2 * jnp.pi * CYCLES_PER_fs * self.frequency_THz * since)
        return self.amplitude_V_per_A * wave * jnp.exp(-0.5 * (since / self.width_fs) ** 2)
