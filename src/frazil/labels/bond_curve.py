"""The labels' own curve of one isolated CO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.labels.label import WORTH_KEEPING_s, label
from frazil.labels.levels import COARSE_CO_SCAN_A, labeller
from frazil.systems.diatomic import BondCurve

FEWEST_LENGTHS = 12
SAME_LENGTH_A, SAME_ENERGY_eV = 1e-4, 1e-3
"""Two molecules of one length have one energy."""
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


def curve_of_frames(frames: Sequence[Atoms]) -> BondCurve:
    """Return the curve that the frames of one CO alone, of many bond lengths, give.

    Raises UserError for too few of them, and for two energies at one length.
    """
    alone = [atoms for atoms in frames if sorted(atoms.get_chemical_symbols()) == ["C", "O"]]
    points = sorted((atoms.get_distance(0, 1), atoms.get_potential_energy()) for atoms in alone)
    kept: list[tuple[float, float]] = []
    for length_A, energy_eV in points:
        if kept and length_A - kept[-1][0] < SAME_LENGTH_A:
            if abs(energy_eV - kept[-1][1]) > SAME_ENERGY_eV:
                raise UserError(
                    f"two CO of {length_A:.4f} Å with energies {abs(energy_eV - kept[-1][1]):.2g} eV apart; "
                    "the data set holds labels of two kinds"
                )
            continue
        kept.append((length_A, energy_eV))
    if len(kept) < FEWEST_LENGTHS:
        raise UserError(
            f"the data set holds one CO alone at {len(kept)} bond lengths; needed for a bond curve: "
            f"{FEWEST_LENGTHS} from the inner to the outer turning point, or labels.bond_curve_file"
        )
    return BondCurve(*np.array(kept).T)


def write_bond_curve(
    out: Path | str,
    level: str,
    out_fine: Path | str | None = None,
    curve_file: Path | str | None = None,
    frames: Path | str | None = None,
    **settings: Any,
) -> str:
    """Write the curve of one isolated CO: bond_length_A, label_eV above its minimum; return where it is from.

    It is that of a file (the same columns), that of the molecules alone among labelled frames, or the
    level's. ``out_fine`` is another file to write, at ``BOND_LENGTHS_A``, with label_eV relative to anything:
    labels where they cost nothing, otherwise the curve's spline; empty (not a number) where there is neither.
    """
    if curve_file is not None or frames is not None:
        curve = BondCurve.read(curve_file) if curve_file else curve_of_frames(load_frames(str(frames)))
        free, scan, said = (
            False,
            COARSE_CO_SCAN_A,
            "a file" if curve_file else "the data set's molecules alone",
        )
    else:
        source = labeller(level, **settings)
        curve, scan, said = bond_curve(level, **settings), source.bond_scan_A, level
        free = source.seconds(Atoms("CO")) < WORTH_KEEPING_s
    scan = scan[(scan >= curve.shortest_A) & (scan <= curve.longest_A)]
    _write_curve(out, scan, curve.energy(scan), "%.10g")
    if out_fine is not None:
        energies = curve.energy(BOND_LENGTHS_A)
        if free:
            molecules = [Atoms("CO", positions=[[0, 0, 0], [0, 0, length]]) for length in BOND_LENGTHS_A]
            labelled, failures = label(molecules, level, **settings)
            failed = [failure.frame for failure in failures]
            good = np.delete(np.arange(len(molecules)), failed)
            energies[good] = [atoms.get_potential_energy() for atoms in labelled]
            energies[failed] = np.nan
        _write_curve(out_fine, BOND_LENGTHS_A, energies, "%.17g")
    reach = f"{curve.shortest_A:g} to {curve.longest_A:g} Å"
    return f"bond curve of {said}: {reach}, minimum at {curve.minimum_A:.4f} Å"


def _write_curve(out: Path | str, lengths_A: np.ndarray, energies_eV: np.ndarray, digits: str) -> None:
    rows = np.column_stack([lengths_A, energies_eV])
    with write_atomic(out) as partial:
        np.savetxt(partial, rows, fmt=digits, delimiter=",", header="bond_length_A,label_eV", comments="")
