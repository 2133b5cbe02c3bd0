"""Free energies between windows of a path: MBAR, integration along the path, overlap, decorrelated numbers.

Energies here are reduced, u = U/kT, and free energies f = F/kT. Of path integrals u is that of the mean over
the beads, ΣV/P kT. ``pymbar`` gives the same numbers (test, where it is installed); a dozen lines of SciPy do
without a further dependency.
"""

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

Array = NDArray[np.float64]


def mbar(reduced: Array, counts: Array) -> Array:
    """Return the free energies (K,) of K windows, the first 0, of which the last may hold no samples.

    Args:
        reduced: (K, n) u of every sample in every window, the samples in the order of their windows. Not
            finite is taken for infinite: a place that the window never visits. counts: (K,) samples of each
            window.

    They are the minimum of the convex function (1/n) Σ_n ln Σ_k N_k exp(f_k − u_kn) − (1/n) Σ_k N_k f_k
    (multistate Bennett acceptance ratio; Shirts & Chodera, J. Chem. Phys. 129, 124105, 2008, eq. 11).
    """
    energies, numbers = np.where(np.isfinite(reduced), reduced, np.inf), np.asarray(counts, float)
    sampled = numbers > 0
    own, weights = energies[sampled], numbers[sampled]
    n_samples = weights.sum()

    def negative(free: Array) -> tuple[float, Array]:
        exponents = np.log(weights)[:, None] + free[:, None] - own
        total = logsumexp(exponents, axis=0)
        slope = np.exp(exponents - total).sum(axis=1) - weights
        return (total.sum() - weights @ free) / n_samples, slope / n_samples

    def curvature(free: Array) -> Array:
        exponents = np.log(weights)[:, None] + free[:, None] - own
        parts = np.exp(exponents - logsumexp(exponents, axis=0))
        return (np.diag(parts.sum(axis=1)) - parts @ parts.T) / n_samples

    begun = _neighbouring(own, weights)
    found = scipy.optimize.minimize(
        negative, begun, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10}
    )
    mixture = logsumexp(np.log(weights)[:, None] + found.x[:, None] - own, axis=0)
    free = -logsumexp(-energies - mixture, axis=1)
    return np.asarray(free - free[0])


def _neighbouring(own: Array, weights: Array) -> Array:
    """Return a first guess: the mean difference to the next window, of the samples of both."""
    ends = np.concatenate([[0], np.cumsum(weights)]).astype(int)
    steps = []
    for k in range(len(own) - 1):
        difference = own[k + 1] - own[k]
        both = [np.median(difference[ends[i] : ends[i + 1]]) for i in (k, k + 1)]
        steps.append(np.mean([step for step in both if np.isfinite(step)] or [0.0]))
    return np.concatenate([[0.0], np.cumsum(steps)])


def unbiased(reduced: Array, counts: Array, free: Array) -> Array:
    """Return the weight (n,) of every sample without any bias, their sum 1.

    Args:
        reduced: (K, n) the windows' own energies alone, u of the bias of each window, for every sample.
        counts: (K,) samples of each window. free: (K,) as of ``mbar`` for these energies.

    exp(−0)/Σ_k N_k exp(f_k − u_kn), normalised (Shirts & Chodera 2008, eq. 9). Of path integrals with a bias
    on the centroid every bead of a sample has the sample's weight.
    """
    exponents = np.log(np.asarray(counts, float))[:, None] + free[:, None] - reduced
    logs = -logsumexp(exponents, axis=0)
    return np.asarray(np.exp(logs - logsumexp(logs)))


def overlap(reduced: Array, counts: Array, free: Array) -> Array:
    """Return the overlap of each window with the next (K − 1,): 1/2 of the same, 0 of none.

    The probability that a sample of one belongs to the other, of the two alone (Klimovich, Shirts & Mobley,
    J. Comput.-Aided Mol. Des. 29, 397, 2015, where 0.03 is the least for a reliable result).
    """
    energies = np.where(np.isfinite(reduced), reduced, np.inf)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    found = []
    for k in range(len(counts) - 1):
        own = energies[k : k + 2, ends[k] : ends[k + 2]] - free[k : k + 2, None]
        own = own - np.log(np.asarray(counts[k : k + 2], float))[:, None]
        other = np.exp(-own[1] - logsumexp(-own, axis=0))
        found.append(float(other[: counts[k]].mean()))
    return np.array(found)


def integrated(places: Array, slopes: Array, end: float) -> float:
    """Return the integral of slopes (n,) from the first of places (n,) to ``end``, by a cubic spline.

    The spline is carried on beyond the last place where ``end`` lies there.
    """
    order = np.argsort(places)
    spline = CubicSpline(places[order], slopes[order])
    return float(spline.integrate(places[0], end))


def effective_number(series: Array) -> float:
    """Return how many independent values a series (n,) is worth: n over its statistical inefficiency.

    1 + 2 Σ_t (1 − t/n) ρ(t), up to the first ρ(t) that is not positive (Chodera, Swope, Pitera, Seok & Dill,
    J. Chem. Theory Comput. 3, 26, 2007).
    """
    n = len(series)
    left = np.asarray(series, float) - np.mean(series)
    if n < 2 or not left.any():
        return float(n)
    padded = np.fft.rfft(left, 2 * n)
    correlation = np.fft.irfft(np.abs(padded) ** 2)[:n] / (left @ left)
    below = np.flatnonzero(correlation <= 0)
    last = int(below[0]) if len(below) else n
    times = np.arange(1, last)
    return float(n / max(1.0, 1 + 2 * ((1 - times / n) * correlation[1:last]).sum()))
