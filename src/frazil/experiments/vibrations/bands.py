"""Bands of a density of states: where they are, and each run's position of each."""

from dataclasses import dataclass

import numpy as np
import scipy.signal

from frazil.analysis.estimates import TwoWay, two_way

CLEAR = 0.75
"""Part of the starts that have a peak of the mean, where it is no noise: higher there than at its feet."""


@dataclass(frozen=True)
class Band:
    """A band of the mean density, its window, and the first moment of each run there.

    low_cm1, high_cm1: ± the half width about the peak, ended half-way to its neighbours. positions: the
    layout of members and starts. area: of the mean density in the window, in modes.
    """

    peak_cm1: float
    low_cm1: float
    high_cm1: float
    area: float
    runs_cm1: np.ndarray

    @property
    def positions(self) -> TwoWay:
        """The layout of first moments (M, R), cm⁻¹."""
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

    Peaks are those of the mean, from ``least_height`` on of the highest, that most starts have. A position is a first moment, since the highest point of a noisy band is unstable. Densities may be
    slightly below zero between lines, which the window function does; moments take them as they are.
    """
    starts = runs.mean(axis=0)
    mean = starts.mean(axis=0)
    peaks, found = scipy.signal.find_peaks(
        mean, height=least_height * mean.max(), prominence=0.5 * least_height * mean.max()
    )
    around = np.maximum(starts[:, found["left_bases"]], starts[:, found["right_bases"]])
    peaks = peaks[(starts[:, peaks] > around).mean(axis=0) >= CLEAR]
    places = wavenumbers_cm1[peaks]
    middles = 0.5 * (places[1:] + places[:-1])
    lows = np.maximum(places - halfwidth_cm1, np.concatenate([[0.0], middles]))
    highs = np.minimum(places + halfwidth_cm1, np.concatenate([middles, [np.inf]]))
    return [_band(wavenumbers_cm1, runs, *ends) for ends in zip(places, lows, highs, strict=True)]


def _band(wavenumbers_cm1: np.ndarray, runs: np.ndarray, peak: float, low: float, high: float) -> Band:
    inside = (wavenumbers_cm1 >= low) & (wavenumbers_cm1 <= high)
    here, own = wavenumbers_cm1[inside], runs[..., inside]
    area = np.trapezoid(own, here, axis=-1)
    moments = np.trapezoid(own * here, here, axis=-1) / area
    return Band(float(peak), float(low), float(high), float(area.mean()), moments)
