"""The first training frames: minima displaced along their normal modes, thinned by farthest points.

Plain normal-mode sampling (Smith, Isayev & Roitberg, Chem. Sci. 8, 3192, 2017) displaces along all modes at
once. The modification of Tang, Bromley & Hammer (2023, fig. 1): pools of frames along single modes, from
which farthest-point sampling takes the most different. Which energies they used is not said; here a frame has
the energy of a temperature drawn from a range, along one mode or shared among all at random.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.infrared.descriptors import farthest_points, soap_vectors
from frazil.seeds import rng
from frazil.systems.minima import Minimum
from frazil.systems.starts import SOFTEST_cm1, too_close
from frazil.units import hbar, inverse_cm, kB

POOL = 4
"""Frames drawn for each one that is kept."""
LARGEST_STEP_A = 0.35
"""No atom is displaced farther: beyond, harmonic displacements of soft modes break bonds."""


def initial_frames(
    minima: Sequence[Minimum],
    names: Sequence[str],
    n_per_structure: int,
    temperatures_K: tuple[float, float],
    campaign_seed: int,
) -> list[Atoms]:
    """Return the minima and, of each, the displaced frames that differ most; info ``structure``, ``source``.

    ``n_per_structure`` counts displaced frames. Raises UserError for a temperature range that is none.
    """
    low, high = temperatures_K
    if not 0 < low <= high:
        raise UserError(f"temperatures from {low:g} to {high:g} K; they must be positive and rise")
    if n_per_structure < 2:
        raise UserError(f"{n_per_structure} frames of a structure; at least 2 are needed")
    frames: list[Atoms] = []
    for number, (minimum, name) in enumerate(zip(minima, names, strict=True)):
        pool = [minimum.atoms.copy()]
        modes = minimum.modes
        stiff = np.maximum(modes.wavenumbers_cm1, SOFTEST_cm1) * inverse_cm / hbar
        random = rng(campaign_seed, "infrared-initial", number)
        for draw in range(POOL * n_per_structure):
            thermal = kB * random.uniform(low, high)
            size = np.zeros(len(stiff))
            if draw % 2:
                size[:] = random.normal(size=len(stiff))
            else:
                mode = (draw // 2) % len(stiff)
                size[mode] = random.uniform(-1, 1) * np.sqrt(2.0 * len(stiff))
            steps = np.einsum("m,max->ax", size * np.sqrt(thermal) / stiff, modes.displacements)
            largest = np.linalg.norm(steps, axis=1).max()
            moved = minimum.atoms.copy()
            moved.positions += steps * min(1.0, LARGEST_STEP_A / max(largest, 1e-12))
            if not too_close(moved):
                pool.append(moved)
        chosen = farthest_points(soap_vectors(pool), n_per_structure + 1)
        for place in sorted(chosen):
            frame = pool[place]
            frame.info = {"structure": name, "source": "minimum" if place == 0 else "normal modes"}
            frame.info["trajectory_id"] = f"initial-{name}-{place:05d}"
            frames.append(frame)
    return frames
