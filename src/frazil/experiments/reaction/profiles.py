"""From samples of windows to the profiles and rates of one number of beads and isotope, by MBAR."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter

from frazil.analysis.free_energy import mbar, overlap, unbiased
from frazil.errors import UserError
from frazil.experiments.passes import check_connected, nuclei_of
from frazil.experiments.reaction.path import basin_and_top
from frazil.experiments.reaction.settings import Reaction
from frazil.experiments.reaction.tables import CENTROID, DENSITY
from frazil.experiments.reaction.windows import Set, centres_of, reduced
from frazil.units import fs, kB, meV

FEWEST_BINS = 10
SMOOTH_A = 0.18
"""Length over which a cubic is fitted to a profile, for its minima and its top (Savitzky–Golay)."""
MORE = "take more of them (n_windows), or softer ones (window_eV_per_A2)"
"""What to do where windows do not overlap."""


@dataclass(frozen=True)
class Profile:
    """One free-energy profile of all passes that count, relative to its left minimum.

    places_A (B,). values (M, R, B), meV, of M members and R passes; smooth (M, R, B) as they are fitted.
    basin, top: bins of the left minimum and of the top between both.
    """

    of: Set
    kind: str
    places_A: np.ndarray
    values: np.ndarray
    smooth: np.ndarray
    basin: int
    top: int

    @property
    def barrier(self) -> np.ndarray:
        """The top above the left minimum (M, R), meV."""
        return np.asarray(self.smooth[..., self.top] - self.smooth[..., self.basin])

    @property
    def beyond(self) -> int:
        """The bin of the right minimum."""
        return int(self.top + self.smooth[..., self.top :].mean(axis=(0, 1)).argmin())

    @property
    def from_edge_A(self) -> float:
        """How far the nearer of the two minima is from the end of what is sampled, Å."""
        lowest, highest = self.places_A[[self.basin, self.beyond]]
        return float(min(lowest - self.places_A[0], self.places_A[-1] - highest))

    @property
    def relative(self) -> np.ndarray:
        """The profiles (M, R, B), meV, 0 at the smoothed left minimum."""
        return np.asarray(self.values - self.smooth[..., [self.basin]])


@dataclass(frozen=True)
class Sampled:
    """What all passes of some members found of one set: see ``Profile`` for the axes.

    coordinates (M, R, K, n, 1 + P), Å; weights (M, R, K n) without any window. overlaps (M, R, K − 1).
    log_rates (M, R), 1/ps. halves (M, R): barrier of the first half of each window less that of the second,
    meV. kinetic (M, R, K, 2), eV.
    """

    of: Set
    coordinates: np.ndarray
    weights: np.ndarray
    overlaps: np.ndarray
    profiles: tuple[Profile, ...]
    log_rates: np.ndarray
    halves: np.ndarray
    kinetic: np.ndarray

    @property
    def centroid(self) -> Profile:
        """The profile of the centroid."""
        return self.profiles[0]


def sampled(
    settings: Reaction, of: Set, coordinates: np.ndarray, roots: np.ndarray, kinetic: np.ndarray
) -> Sampled:  # fmt: skip
    """Return profiles and rates of one set from coordinates (M, R, K, n, 1 + P) and roots (M, R, K, n)."""
    n_members, n_passes, n_windows, n_samples = coordinates.shape[:4]
    edges = edges_of(settings)
    kinds = (CENTROID, DENSITY)
    values = np.empty((len(kinds), n_members, n_passes, len(edges) - 1))
    halves = np.empty((2, n_members, n_passes, len(edges) - 1))
    overlaps = np.empty((n_members, n_passes, n_windows - 1))
    weighted = np.empty((n_members, n_passes, n_windows * n_samples))
    for k in range(n_members):
        for r in range(n_passes):
            own = coordinates[k, r].astype(float)
            weighted[k, r], overlaps[k, r] = weights_of(settings, own[..., 0])
            for place, series in enumerate((own[..., :1], own[..., 1:])):
                flat = series.reshape(n_windows * n_samples, -1)
                values[place, k, r] = profile(flat, weighted[k, r], edges, settings.temperature_K)
            for place, part in enumerate(np.array_split(own[..., 0], 2, axis=1)):
                halves[place, k, r] = profile(
                    part.reshape(-1, 1), weights_of(settings, part)[0], edges, settings.temperature_K
                )
    check_overlap(settings, overlaps.mean(axis=(0, 1)), of.n_beads)
    profiles = tuple(placed(of, kind, edges, own) for kind, own in zip(kinds, values, strict=True))
    centroid = profiles[0]
    drift = np.full((n_members, n_passes), np.nan)
    # Halves have fewer bins than the whole; only those that smooth the minimum and the top are needed.
    low = max(centroid.basin - _smoothing_bins(settings.bin_A), 0)
    halves = halves[..., sampled_bins(values[0], edges, of.n_beads)]
    halves = halves[..., low : centroid.top + _smoothing_bins(settings.bin_A) + 1]
    if np.isfinite(halves).all():
        first, second = (_smoothed(own, settings.bin_A) for own in halves)
        apart = first - second
        drift = apart[..., centroid.top - low] - apart[..., centroid.basin - low]
    rates = np.array([
        [
            log_rate(
                coordinates[k, r, ..., 0].ravel(), weighted[k, r], roots[k, r].ravel(), centroid, k, r,
                settings )
            for r in range(n_passes)
        ]
        for k in range(n_members)
    ])  # fmt: skip
    return Sampled(of, coordinates, weighted, overlaps, profiles, rates, drift, kinetic)


def weights_of(settings: Reaction, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unbiased weights (K n,) of centroids (K, n), by MBAR, and the windows' overlaps (K − 1,)."""
    n_windows, n_samples = coordinates.shape
    counts = np.full(n_windows, n_samples)
    energies = reduced(coordinates.ravel(), settings)
    free = mbar(energies, counts)
    return unbiased(energies, counts, free), overlap(energies, counts, free)


def edges_of(settings: Reaction) -> np.ndarray:
    """Return the edges (B + 1,) of the profiles' bins, from the first window to the last."""
    n_bins = round((settings.last_A - settings.first_A) / settings.bin_A)
    return np.linspace(settings.first_A, settings.last_A, n_bins + 1)


def profile(
    coordinates: np.ndarray, weights: np.ndarray, edges: np.ndarray, temperature_K: float
) -> np.ndarray:  # fmt: skip
    """Return −kT ln ρ (B,), meV, of samples (n, P) with weights (n,); infinite in bins without a sample.

    ρ is the density per Å of all, also of those outside of the bins.
    """
    repeated = np.broadcast_to(weights[:, None] / coordinates.shape[1], coordinates.shape)
    found, _ = np.histogram(coordinates, edges, weights=repeated)
    with np.errstate(divide="ignore"):
        return np.asarray(-kB * temperature_K * np.log(found / np.diff(edges)) / meV)


def _smoothing_bins(bin_A: float) -> int:
    return max(int(SMOOTH_A / bin_A) // 2 * 2 + 1, 5)


def _smoothed(values: np.ndarray, bin_A: float) -> np.ndarray:
    width = min(_smoothing_bins(bin_A), (values.shape[-1] - 1) // 2 * 2 + 1)
    return np.asarray(savgol_filter(values, width, 3, axis=-1))


def placed(of: Set, kind: str, edges: np.ndarray, values: np.ndarray) -> Profile:
    """Return a profile with its left minimum and its top, which are those of the mean over all passes."""
    kept = sampled_bins(values, edges, of.n_beads)
    smooth = _smoothed(values[..., kept], edges[1] - edges[0])
    basin, top = basin_and_top(smooth.mean(axis=(0, 1)))
    return Profile(of, kind, 0.5 * (edges[1:] + edges[:-1])[kept], values[..., kept], smooth, basin, top)


def log_rate(
    coordinates: np.ndarray, weights: np.ndarray, roots: np.ndarray, centroid: Profile, k: int, r: int,
    settings: Reaction,
) -> float:  # fmt: skip
    """Return ln of the rate, 1/ps, of one pass, of centroids (n,) with weights and roots (n,).

    k = √(kT/2π) ⟨√(Σ|∇ξ|²/m)⟩ ρ(ξ‡)/∫_{ξ<ξ‡} ρ dξ; ρ(ξ‡) is that of the fitted profile.
    """
    thermal = kB * settings.temperature_K
    dividing = centroid.places_A[centroid.top]
    near = np.abs(coordinates - dividing) <= SMOOTH_A / 2
    root = np.average(roots[near], weights=weights[near])
    density = np.exp(-centroid.smooth[k, r, centroid.top] * meV / thermal)
    reactant = weights[coordinates < dividing].sum()
    rate = np.sqrt(thermal / (2 * np.pi)) * root * density / reactant
    return float(np.log(rate * 1e3 * fs))


def check_overlap(settings: Reaction, overlaps: np.ndarray, n_beads: int) -> None:
    """Raise UserError for windows (K,) that share nothing with the next: overlaps (K − 1,)."""
    check_connected(overlaps, lambda k: f"at {between(settings, k)}", nuclei_of(n_beads), MORE)


def between(settings: Reaction, place: int) -> str:
    """Return which two windows a place among the overlaps is between."""
    one, other = centres_of(settings)[place : place + 2]
    return f"{one:.3g} and {other:.3g} Å"


def sampled_bins(values: np.ndarray, edges: np.ndarray, n_beads: int) -> slice:
    """Return the bins that every pass has samples in, of profiles (…, B): those at either end may lack them.

    Raises UserError for a bin without samples between others, and for fewer than ten with them.
    """
    known = np.isfinite(values).reshape(-1, values.shape[-1]).all(axis=0)
    places = np.flatnonzero(known)
    first, last = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(known))
    if last - first < FEWEST_BINS or not known[first:last].all():
        gap = first + int((~known[first:last]).argmax())
        raise UserError(
            f"no sample of a pass from {edges[gap]:.3g} to {edges[gap + 1]:.3g} Å ({nuclei_of(n_beads)}); "
            "sample longer (duration_fs), or take wider bins (bin_A)"
        )
    return slice(first, last)
