#!/usr/bin/env python3
"""Make the unlabelled frames of ``scans.extxyz``: rigid dimers through the wells of H2–CO and (CO)2.

Bonds are at this level's own minima (1.1122 and 0.7379 Å, from the curves in ``labelled.extxyz``). Distances
are between centres of mass; CO–CO at angles near those of its two known minima. Not for training.

    make_scans.py OUT.extxyz
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from frazil.files import write_atomic

MASSES = {"C": 12.011, "O": 15.999, "H": 1.008}
BONDS_A = {"CO": 1.1122, "HH": 0.7379}
X, Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
H2_SCANS = {
    "H2-CO C-end": (-X, X, (3.4, 3.7, 3.9, 4.1, 4.3, 4.6, 5.0, 6.0)),
    "H2-CO O-end": (X, X, (3.2, 3.5, 3.7, 3.9, 4.1, 4.4, 5.0, 6.0)),
    "H2-CO T": (Y, X, (2.8, 3.1, 3.3, 3.5, 3.7, 4.0, 4.5, 6.0)),
}
"""Axis of CO (C to O), axis of H2, distances along x (Å)."""
CO_SCANS = {
    "CO-CO C-side": (134.7, (3.7, 4.0, 4.2, 4.35, 4.5, 4.8, 5.3, 7.0)),
    "CO-CO O-side": (59.0, (3.1, 3.3, 3.5, 3.65, 3.8, 4.1, 4.6, 6.0)),
}
"""Angle of the first CO with the line of centres (degrees; the other is antiparallel), distances (Å)."""


def molecule(symbols: str, axis: np.ndarray, centre: np.ndarray) -> list[np.ndarray]:
    """Return the two positions of a diatomic."""
    first, second = (MASSES[symbol] for symbol in symbols)
    shift = BONDS_A[symbols] * axis / (first + second)
    return [centre - shift * second, centre + shift * first]


def main() -> None:
    """Write all scans."""
    pairs = [(name, "HH", *scan) for name, scan in H2_SCANS.items()]
    for name, (degrees, distances) in CO_SCANS.items():
        axis = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
        pairs.append((name, "CO", axis, -axis, distances))
    frames = []
    for name, partner, axis, other, distances in pairs:
        for distance_A in distances:
            positions = molecule("CO", axis, np.zeros(3)) + molecule(partner, other, distance_A * X)
            atoms = Atoms("CO" + partner, np.array(positions))
            atoms.info.update(trajectory_id=f"scan-{name}", time_fs=0.0, source="scan")
            atoms.info.update(scan=name, distance_A=distance_A)
            frames.append(atoms)
    with write_atomic(Path(sys.argv[1])) as path:
        write(path, frames, format="extxyz")


if __name__ == "__main__":
    main()
