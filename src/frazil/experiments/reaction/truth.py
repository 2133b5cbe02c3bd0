"""A level's own classical profile: the potential's samples, reweighted to the energies of the level."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from frazil.analysis.estimates import two_way
from frazil.errors import UserError
from frazil.experiments.reaction.profiles import SMOOTH_A, Sampled
from frazil.experiments.reaction.settings import Reaction
from frazil.units import kB, meV


@dataclass(frozen=True)
class Truth:
    """What the level adds to the classical profile (M, R, B), meV, from the potential's left minimum on.

    n_effective: the least number of samples that the reweighted ones near a place between the minima are
    worth, of a pass, and place_A where. n_without: samples that have no energy at the level.
    """

    adds: np.ndarray
    n_effective: float
    place_A: float
    n_without: int


def truth_of(settings: Reaction, own: Sampled, added: np.ndarray) -> Truth:
    """Return what the level adds to the profile, of energies that it adds (M, R, K, n), eV.

    −kT ln ⟨exp(−ΔV/kT)⟩ over the samples within half of ``SMOOTH_A`` of a place, with their weights: the
    level's own profile where the potential's samples reach what the level would visit (Zwanzig, J. Chem.
    Phys. 22, 1420, 1954). Raises UserError where a place has no such sample.
    """
    thermal, profile = kB * settings.temperature_K, own.centroid
    adds, worth = np.empty(profile.values.shape), np.full(len(profile.places_A), np.inf)
    for k, r in np.ndindex(added.shape[:2]):
        coordinates = own.coordinates[k, r, ..., 0].astype(float)
        weights = own.weights[k, r]
        known = ~np.isnan(added[k, r]).ravel()
        places, weights = coordinates.ravel()[known], weights[known]
        factors = added[k, r].ravel()[known] / thermal
        near = np.abs(places - profile.places_A[:, None]) <= SMOOTH_A / 2
        if (empty := ~near.any(axis=1)).any():
            raise UserError(
                f"no sample for {settings.truth} near {profile.places_A[empty.argmax()]:.3g} Å; evaluate it "
                "on more of them (n_truth_samples)"
            )
        shift = factors.min()
        ratios = weights * np.exp(shift - factors)
        adds[k, r] = thermal / meV * (shift - np.log((near @ ratios) / (near @ weights)))
        part = (near @ ratios) ** 2 / (near @ ratios**2) * (near @ weights**2) / (near @ weights) ** 2
        worth = np.minimum(worth, part * near.sum(axis=1))
    least = profile.basin + int(worth[profile.basin : profile.beyond + 1].argmin())
    place = float(profile.places_A[least])
    return Truth(adds - adds[..., [profile.basin]], float(worth[least]), place, int(np.isinf(added).sum()))


def truth_rows(own: Sampled, truth: Truth) -> list[tuple[Any, ...]]:
    """Return the rows of ``TRUTH``."""
    model = own.centroid.relative
    level, added = two_way(model + truth.adds), two_way(truth.adds)
    several = len(added.members) > 1
    largest = np.abs(added.members).max(axis=0) if several else np.full(model.shape[-1], np.nan)
    columns = (own.centroid.places_A, two_way(model).mean, level.mean, level.standard_error, added.mean,
               added.standard_error, largest)  # fmt: skip
    return list(zip(*columns, strict=True))
