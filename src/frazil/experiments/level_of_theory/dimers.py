"""Dimers on spherical Fibonacci lattices, with the monomers that their interaction energies need."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.seeds import rng
from frazil.systems.molecules import random_rotation

BOND_LENGTHS_A = {"CO": 1.1283, "H2": 0.7414}
"""Measured equilibrium bonds, rigid in every dimer."""
CENTRE = "CO"
"""The molecule at the origin, along z."""
ALONE = (0.0, -1)
"""Radius (Å) and point of a molecule that serves all dimers."""


def fibonacci_sphere(n: int) -> np.ndarray:
    """Return n unit vectors (n, 3) spread evenly: z in equal steps, azimuths by the golden angle."""
    z = 1 - (2 * np.arange(n) + 1) / n
    azimuth = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), z], axis=1)


def molecule(name: str, axis: np.ndarray, centre_A: np.ndarray) -> Atoms:
    """Return a diatomic with its centre of mass at a point and its bond along an axis."""
    atoms = Atoms(name, [[0, 0, 0], BOND_LENGTHS_A[name] * axis])
    atoms.positions += centre_A - atoms.get_center_of_mass()
    return atoms


def dimers(
    partner: str, radii_A: Sequence[float], n_points: int, campaign_seed: int, counterpoise: bool = False
) -> list[Atoms]:
    """Return the frames that the interaction energies of CO with ``partner`` need.

    Each dimer (the partner's centre of mass on the lattice, turned at random, alike at all radii) has the
    part "pair". Its molecules are the parts "first" and "second": alone, once for all dimers, or with
    ``counterpoise`` in the basis functions of the pair (an array ``ghost``), for each of them.
    ``info`` holds system, radius_A, point, part. Raises UserError for another partner or no points.
    """
    if partner not in BOND_LENGTHS_A or n_points < 1 or not len(radii_A) or min(radii_A) <= 0:
        raise UserError(
            f"{n_points} dimers of CO and {partner} at {list(radii_A)} Å; partners are "
            f"{', '.join(BOND_LENGTHS_A)}, radii and the number of points are positive"
        )
    z = np.array([0.0, 0.0, 1.0])
    centre = molecule(CENTRE, z, np.zeros(3))
    frames = []
    if not counterpoise:
        alone = [centre, molecule(partner, z, np.zeros(3))]
        frames += [
            _described(atoms, partner, *ALONE, part)
            for atoms, part in zip(alone, ("first", "second"), strict=True)
        ]
    for radius_A in radii_A:
        for point, direction in enumerate(fibonacci_sphere(n_points)):
            turned = random_rotation(rng(campaign_seed, f"dimer-{partner}", point))[2]
            pair = centre + molecule(partner, turned, radius_A * direction)
            frames.append(_described(pair, partner, radius_A, point, "pair"))
            if counterpoise:
                for part, absent in (("first", slice(2, 4)), ("second", slice(0, 2))):
                    lent = pair.copy()
                    ghosts = np.zeros(4, int)
                    ghosts[absent] = 1
                    lent.set_array("ghost", ghosts, int)
                    frames.append(_described(lent, partner, radius_A, point, part))
    return frames


def _described(atoms: Atoms, partner: str, radius_A: float, point: int, part: str) -> Atoms:
    described = atoms.copy()
    described.info = {
        "system": f"{CENTRE}-{partner}",
        "radius_A": radius_A,
        "point": point,
        "part": part,
        "trajectory_id": f"{CENTRE}-{partner}/{radius_A}/{point}/{part}",
    }
    return described


def write_dimers(
    out: Path | str,
    h2_radii_A: Sequence[float],
    co_radii_A: Sequence[float],
    n_points: int,
    campaign_seed: int,
    counterpoise: bool,
) -> None:
    """Write the frames of both systems as one file."""
    frames = dimers("H2", h2_radii_A, n_points, campaign_seed, counterpoise)
    write_frames(out, frames + dimers("CO", co_radii_A, n_points, campaign_seed, counterpoise))
