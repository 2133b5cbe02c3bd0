"""The labels' own curve of one isolated CO."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.labels.label import WORTH_KEEPING_s, label
from frazil.labels.levels import labeller
from frazil.systems.diatomic import BondCurve

BOND_LENGTHS_A = np.linspace(0.85, 2.4, 311)
"""Lengths at which a model's curve of one CO is held against the labels'."""


def bond_curve(level: str, bond_lengths_A: np.ndarray | None = None, **settings: Any) -> BondCurve:
    """Return the level's own curve of one isolated CO, at the level's lengths if none are given.

    Lengths at either end that have no label narrow the curve. Raises UserError for one inside.
    """
    lengths = labeller(level, **settings).bond_scan_A if bond_lengths_A is None else bond_lengths_A
    frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in lengths]
    labelled, failures = label(frames, level, **settings)
    failed = {failure.frame: failure.reason for failure in failures}
    good = [number for number in range(len(frames)) if number not in failed]
    inside = [number for number in failed if good and good[0] < number < good[-1]]
    if inside or len(good) < len(frames) // 2:
        number = (inside or list(failed))[0]
        raise UserError(
            f"no {level} label of CO at {lengths[number]:g} Å ({failed[number]}); narrow the bond scan"
        )
    return BondCurve(lengths[good], [atoms.get_potential_energy() for atoms in labelled])


def write_bond_curve(
    out: Path | str, level: str, out_fine: Path | str | None = None, **settings: Any
) -> None:
    """Write the level's curve of one isolated CO: bond_length_A, label_eV above its minimum.

    ``out_fine`` is another file to write, at ``BOND_LENGTHS_A``, with label_eV relative to anything: labels
    where they cost nothing, otherwise the curve's spline; empty (not a number) where there is neither.
    """
    source = labeller(level, **settings)
    curve = bond_curve(level, **settings)
    scan = source.bond_scan_A
    scan = scan[(scan >= curve.shortest_A) & (scan <= curve.longest_A)]
    _write_curve(out, scan, curve.energy(scan), "%.10g")
    if out_fine is None:
        return
    energies = curve.energy(BOND_LENGTHS_A)
    if source.seconds(Atoms("CO")) < WORTH_KEEPING_s:
        frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in BOND_LENGTHS_A]
        labelled, failures = label(frames, level, **settings)
        failed = [failure.frame for failure in failures]
        energies[np.delete(np.arange(len(frames)), failed)] = [a.get_potential_energy() for a in labelled]
        energies[failed] = np.nan
    _write_curve(out_fine, BOND_LENGTHS_A, energies, "%.17g")


def _write_curve(out: Path | str, lengths_A: np.ndarray, energies_eV: np.ndarray, digits: str) -> None:
    rows = np.column_stack([lengths_A, energies_eV])
    with write_atomic(out) as partial:
        np.savetxt(partial, rows, fmt=digits, delimiter=",", header="bond_length_A,label_eV", comments="")
