"""Bands of a spectrum (a density of states, intensities): where each member has them, what a start adds."""

from dataclasses import dataclass

import numpy as np
import scipy.integrate
import scipy.signal

from frazil.analysis.estimates import TwoWay, two_way

CLEAR = 0.75
"""Part of the starts that have a peak of the mean, where it is no noise: higher there than at its feet."""
STEP_cm1 = 1.0
"""How far a window is moved to see how its first moment follows."""
MOST_FOLLOWING = 0.9
"""Of a step of the window, what its moment may follow: of a flat spectrum it is all, and says nothing."""


@dataclass(frozen=True)
class Band:
    """A band of the mean density: its window, and its position under each member by each start.

    low_cm1, high_cm1: ± the half width about the peak, ended half-way to its neighbours. area: of the mean
    density in the window; of a density of states, in modes. runs_cm1 (M, R): a member's mean over starts is
    the first moment of its own mean density, in a window that is moved with it.
    """

    low_cm1: float
    high_cm1: float
    area: float
    runs_cm1: np.ndarray

    @property
    def positions(self) -> TwoWay:
        """The layout of members and starts, cm⁻¹."""
        return two_way(self.runs_cm1)

    @property
    def largest_member_shift_cm1(self) -> float:
        """How far a member's position is from the mean of all, at most; nan of one model."""
        own = self.positions
        return float(np.abs(own.members - own.mean).max()) if len(own.members) > 1 else np.nan


def bands_of(
    wavenumbers_cm1: np.ndarray, runs: np.ndarray, halfwidth_cm1: float, least_height: float
) -> list[Band]:
    """Return the bands of densities (M, R, n), in ascending order.

    Peaks are those of the mean, from ``least_height`` on of the highest, that most starts have; of two nearer
    than the half width the higher one. A position is a first moment, since the highest point of a noisy band
    is unstable.
    """
    starts = runs.mean(axis=0)
    mean = starts.mean(axis=0)
    peaks, found = scipy.signal.find_peaks(
        mean, height=least_height * mean.max(), prominence=0.5 * least_height * mean.max(),
        distance=max(1.0, halfwidth_cm1 / (wavenumbers_cm1[1] - wavenumbers_cm1[0])),
    )  # fmt: skip
    around = np.maximum(starts[:, found["left_bases"]], starts[:, found["right_bases"]])
    places = wavenumbers_cm1[peaks[(starts[:, peaks] > around).mean(axis=0) >= CLEAR]]
    middles = 0.5 * (places[1:] + places[:-1])
    lows = np.maximum(places - halfwidth_cm1, np.concatenate([[0.0], middles]))
    highs = np.minimum(places + halfwidth_cm1, np.concatenate([middles, [np.inf]]))
    areas, firsts = (
        scipy.integrate.cumulative_trapezoid(weighted, wavenumbers_cm1, initial=0.0)
        for weighted in (runs, runs * wavenumbers_cm1)
    )
    windows = zip(lows, highs, strict=True)
    return [_band(wavenumbers_cm1, areas, firsts, float(low), float(high)) for low, high in windows]


def between(x: np.ndarray, sums: np.ndarray, low: float, high: float, axis: int = -1) -> np.ndarray:
    """Return integrals between two places, of those up to x (n,) along an axis; beyond x there is nothing."""

    def up_to(place: float) -> np.ndarray:
        right = int(np.clip(np.searchsorted(x, place), 1, len(x) - 1))
        part = np.clip((place - x[right - 1]) / (x[right] - x[right - 1]), 0.0, 1.0)
        return np.asarray((1 - part) * sums.take(right - 1, axis) + part * sums.take(right, axis))

    return up_to(high) - up_to(low)


def _band(x: np.ndarray, areas: np.ndarray, firsts: np.ndarray, low: float, high: float) -> Band:
    """Return a band from integrals (M, R, n) of the density, and of it times the wavenumber, up to x (n,).

    A window that stood still would cut off a line that has moved, and hide part of what members differ by.
    So a member's is moved by δ until its first moment m_k(δ) is the mean's plus δ. To first order a run's
    part in that is (∫ν S_kr − m_k ∫S_kr)/(⟨∫S_k⟩ (1 − dm_k/dδ)), whose mean over starts is zero.
    """

    def within(sums: np.ndarray, shift: float) -> np.ndarray:
        return between(x, sums, low + shift, high + shift)

    def moment(member: int | slice, shift: float) -> float:
        chosen = (firsts[member], areas[member])
        first, area = (within(own.mean(axis=tuple(range(own.ndim - 1))), shift) for own in chosen)
        return float(first / area)

    middle, farthest = moment(slice(None), 0.0), 0.5 * (high - low)
    rows = []
    for member in range(len(areas)):
        shift = 0.0
        for _ in range(100):
            shift, before = float(np.clip(moment(member, shift) - middle, -farthest, farthest)), shift
            if abs(shift - before) < 1e-4:
                break
        own, area = moment(member, shift), within(areas[member], shift)
        follows = (moment(member, shift + STEP_cm1) - moment(member, shift - STEP_cm1)) / (2 * STEP_cm1)
        part = (within(firsts[member], shift) - own * area) / area.mean()
        rows.append(own + part / (1 - min(follows, MOST_FOLLOWING)))
    return Band(low, high, float(within(areas.mean(axis=(0, 1)), 0.0)), np.array(rows))
