"""Units that energies and forces share: such labels agree with each other, and not with what atoms can do.

No energy lies below that of all electrons, whatever it is counted from; and no bond is stiffer than some
twice that of N2 where its force vanishes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import find_mic

from frazil.labels.imports.named import FACTORS

THOMAS_FERMI_eV = -20.92
"""Energy of a neutral Thomas–Fermi atom divided by Z^(7/3)."""
ALL_ELECTRONS = (0.5, 1.05)
"""An all-electron energy is this part of the Thomas–Fermi one (H 0.65, C 0.75, O 0.76, Si 0.80)."""
LOWEST = 1.5
"""No energy in eV is more of it."""
STIFFEST_eV_per_A2 = 350.0
"""NO+ has 155, N2 143, CO 118, H2 36, Si–O and O–H some 40, C–C 28: in kcal/mol all are 23 times as many."""
BONDED = 1.3
"""Atoms are bonded within so many sums of their covalent radii, in most frames."""
NEAR_A, FEWEST_NEAR, LEAST_SPREAD_A = 0.1, 10, 0.01
"""The slope of a bond's force is taken over so many frames at least, so near to the length without force,
whose lengths scatter by so much.
"""
MOST_FRAMES, FIRST_FRAMES = 500, 20
"""Of a composition so many frames are looked at; so many say which atoms are bonded."""
SMALLER = ("kcal/mol", "kJ/mol")
"""Units of energy that are less than 1 eV."""


def of_all_electrons(atoms: Atoms) -> float:
    """Return a frame's energy as a part of that of Thomas–Fermi atoms: some 0.75 for all electrons."""
    scale = THOMAS_FERMI_eV * (atoms.numbers.astype(float) ** (7 / 3)).sum()
    return float(atoms.get_potential_energy() / scale)


def too_low(atoms: Atoms) -> str:
    """Return in words that a frame's energy lies below that of all its electrons, empty where it does not."""
    part = of_all_electrons(atoms)
    if not part > LOWEST:
        return ""
    low, high = ALL_ELECTRONS
    guessed = [unit for unit in SMALLER if low < part * FACTORS[unit] < high]
    told = f"in {guessed[0]}" if guessed else "in another unit than eV"
    return f"an energy below that of all electrons of the atoms: {told}? say energy_unit and forces_unit"


def too_stiff(frames: Sequence[Atoms]) -> str:
    """Return in words that bonds are stiffer than any bond is, empty where none is or nothing can be told.

    Of each two elements the median over their bonds counts.
    """
    found: dict[str, list[float]] = {}
    groups: dict[tuple[bytes, bool], list[Atoms]] = {}
    for atoms in frames:
        groups.setdefault((atoms.numbers.tobytes(), bool(atoms.pbc.any())), []).append(atoms)
    for own in groups.values():
        for pair, stiffness in _stiffness(own[:: -(-len(own) // MOST_FRAMES)]):
            found.setdefault(pair, []).append(stiffness)
    medians = {pair: float(np.median(values)) for pair, values in found.items()}
    pair, largest = max(medians.items(), key=lambda item: item[1], default=("", 0.0))
    if largest < STIFFEST_eV_per_A2:
        return ""
    units = " or ".join(SMALLER)
    return (
        f"bonds {pair} have {largest:.0f} eV/Å² where their force vanishes, N2 has 143: energies and forces "
        f"in {units}? say energy_unit and forces_unit"
    )


def _stiffness(frames: Sequence[Atoms]) -> Iterator[tuple[str, float]]:
    """Yield the elements of each bond of frames of like atoms, and how its force falls by length, eV/Å².

    The force of a bond is its reduced mass times the relative acceleration of its atoms along it. Bonds that
    are never without force, or hardly move, are left out.
    """
    if len(frames) < FEWEST_NEAR:
        return
    first, masses = frames[0], frames[0].get_masses()
    upper = np.stack(np.triu_indices(len(first), 1))
    some = np.median([_lengths(atoms, upper)[1] for atoms in frames[:FIRST_FRAMES]], axis=0)
    one, other = upper[:, some < BONDED * covalent_radii[first.numbers][upper].sum(axis=0)]
    reduced = masses[one] * masses[other] / (masses[one] + masses[other])
    lengths, pulls = np.empty((2, len(frames), len(one)))
    for place, atoms in enumerate(frames):
        apart, lengths[place] = _lengths(atoms, np.stack([one, other]))
        accelerations = atoms.get_forces() / masses[:, None]
        along = ((accelerations[other] - accelerations[one]) * apart).sum(axis=1) / lengths[place]
        pulls[place] = reduced * along
    for bond, (length, pull) in enumerate(zip(lengths.T, pulls.T, strict=True)):
        without = np.argsort(np.abs(pull))[: max(3, len(pull) // 5)]
        near = np.abs(length - np.median(length[without])) < NEAR_A
        both = 0 < (pull[near] > 0).sum() < near.sum()
        if near.sum() >= FEWEST_NEAR and length[near].std() > LEAST_SPREAD_A and both:
            pair = "–".join(sorted(first.symbols[[one[bond], other[bond]]]))
            yield pair, -float(np.polyfit(length[near], pull[near], 1)[0])


def _lengths(atoms: Atoms, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (pairs, 3) from first to second atoms, to the nearest image in a cell, and lengths."""
    apart = atoms.positions[pairs[1]] - atoms.positions[pairs[0]]
    if atoms.pbc.any():
        apart, _ = find_mic(apart, atoms.cell, atoms.pbc)
    return apart, np.linalg.norm(apart, axis=1)
