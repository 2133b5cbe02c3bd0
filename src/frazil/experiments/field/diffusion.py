"""Diffusion of what is in a cell: by how far centres have gone, unwrapped, from the centre of all."""

import numpy as np

LAG = 0.1
"""Of a run: squared displacements are compared at this lag and at twice this."""


def diffusion_A2_per_ps(centres_A: np.ndarray, every_fs: float) -> float:
    """Return D, Å²/ps, of centres (n, molecules, 3), so long apart: half the slope of ⟨|Δr|²⟩, over three.

    The difference of two lags leaves out what centres do about their places: of a crystal it is none. All
    are counted from the centre of all, which a thermostat moves by itself. No correction for a small cell.
    """
    lag = max(1, round(LAG * len(centres_A)))
    one, two = (float(((centres_A[k:] - centres_A[:-k]) ** 2).sum(axis=-1).mean()) for k in (lag, 2 * lag))
    return (two - one) / (6.0 * lag * every_fs * 1e-3)
