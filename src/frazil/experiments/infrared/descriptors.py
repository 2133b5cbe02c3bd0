"""SOAP vectors of whole structures, choosing the farthest of many, and where a structure lies among others.

Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115 (2013); the vectors are featomic's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

CUTOFF_A = 5.0
SAME = 1e-6
"""Distance of vectors of one structure."""
HYPERS = {
    "cutoff": {"radius": CUTOFF_A, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
    "density": {"type": "Gaussian", "width": 0.4},
    "basis": {"type": "TensorProduct", "max_angular": 3, "radial": {"type": "Gto", "max_radial": 3}},
}


def soap_vectors(frames: Sequence[Atoms]) -> np.ndarray:
    """Return a vector of length 1 for every frame (n, features): means over the atoms of each element.

    The features are those of the elements of all frames together, so compare vectors of one call only.
    """
    from featomic import SoapPowerSpectrum
    from metatensor import Labels

    elements = sorted({int(number) for atoms in frames for number in atoms.numbers})
    keys = [
        (centre, one, other) for centre in elements for one in elements for other in elements if one <= other
    ]
    names = ["center_type", "neighbor_1_type", "neighbor_2_type"]
    found = SoapPowerSpectrum(**HYPERS).compute(list(frames), selected_keys=Labels(names, np.array(keys)))
    columns = []
    for key, block in zip(found.keys.values, found.blocks(), strict=True):
        counts = np.array([max((atoms.numbers == key[0]).sum(), 1) for atoms in frames])
        sums = np.zeros((len(frames), block.values.shape[1]))
        np.add.at(sums, np.asarray(block.samples["system"]), block.values)
        columns.append(sums / counts[:, None])
    vectors = np.hstack(columns)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def farthest_points(vectors: np.ndarray, n: int, known: np.ndarray | None = None) -> np.ndarray:
    """Return numbers (n,) of rows (rows, features), each the farthest from those chosen before and ``known``.

    Without ``known`` (rows, features) the first is row 0 (Eldar et al., IEEE Trans. Image Process. 6, 1305,
    1997). A row that is ``SAME`` as one before is never chosen, so that there may be fewer than n.
    """
    if known is None or not len(known):
        chosen, nearest = [0], np.linalg.norm(vectors - vectors[0], axis=1)
    else:
        chosen, nearest = [], np.full(len(vectors), np.inf)
        for row in known:
            nearest = np.minimum(nearest, np.linalg.norm(vectors - row, axis=1))
    while len(chosen) < n and nearest.max() > SAME:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(vectors - vectors[chosen[-1]], axis=1))
    return np.array(chosen[:n], dtype=int)


@dataclass(frozen=True)
class Plane:
    """The plane of largest variance of some vectors (principal component analysis)."""

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray
    """Parts of the variance along the two axes (2,)."""

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Plane":
        """Return the plane of vectors (n, features), n ≥ 2."""
        mean = vectors.mean(axis=0)
        _, sizes, axes = np.linalg.svd(vectors - mean, full_matrices=False)
        variance = sizes**2 / max((sizes**2).sum(), 1e-300)
        return cls(mean, axes[:2], variance[:2])

    def places(self, vectors: np.ndarray) -> np.ndarray:
        """Return where vectors lie in it, (n, 2)."""
        return np.asarray((vectors - self.mean) @ self.axes.T)
