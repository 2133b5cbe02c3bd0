"""Starts of dynamics at a minimum: positions and velocities of the harmonic canonical ensemble."""

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.seeds import rng
from frazil.systems.minima import Minimum
from frazil.units import hbar, inverse_cm, kB

SOFTEST_cm1 = 30.0
"""A softer mode is displaced as if it were this stiff."""
MOST_DRAWS = 1000
CLOSEST = 0.6
"""Atoms nearer than this part of their covalent radii's sum are no frame to label."""


def canonical(
    minimum: Minimum, temperature_K: float, campaign_seed: int, stream: str, *ids: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (natoms, 3), Å, and velocities, ASE units, of the harmonic canonical ensemble.

    Each mode's displacement and velocity are normal, with kT/2 of either energy on average, so that the
    spectrum of modes that mix slowly is no portrait of its starts. Modes below ``SOFTEST_cm1`` move as if
    they were as stiff. Draws in which two atoms would overlap are drawn anew.
    """
    modes, random = minimum.modes, rng(campaign_seed, stream, *ids)
    stiff = np.maximum(modes.wavenumbers_cm1, SOFTEST_cm1) * inverse_cm / hbar
    drawn = minimum.atoms.copy()
    for _ in range(MOST_DRAWS):
        sizes, speeds = np.sqrt(kB * temperature_K) * random.normal(size=(2, len(stiff)))
        drawn.positions = minimum.atoms.positions + np.einsum("m,max->ax", sizes / stiff, modes.displacements)
        if not too_close(drawn):
            return drawn.positions, np.einsum("m,max->ax", speeds, modes.displacements)
    raise UserError(
        f"{minimum.atoms.get_chemical_formula()} at {temperature_K:g} K: {MOST_DRAWS} harmonic draws had "
        "overlapping atoms; give a lower temperature"
    )


def too_close(atoms: Atoms) -> bool:
    """Return whether two atoms are nearer than any chemistry has them."""
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return bool((distances < CLOSEST * (radii[:, None] + radii)).any())
