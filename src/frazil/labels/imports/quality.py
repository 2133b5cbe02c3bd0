"""What is suspect about labelled frames, found before a model learns it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from ase import Atoms
from scipy.spatial.distance import cdist, pdist

from frazil.data.cells import boundary_key, moved, same_cell
from frazil.data.frames import fingerprint, label_problem, max_force
from frazil.labels.imports.reading import turned_onto
from frazil.labels.imports.scale import ALL_ELECTRONS, of_all_electrons, too_low, too_stiff

SHORTEST_DISTANCE_A = 0.4
"""Nuclei nearer than this are a broken frame."""
FEWEST_FRAMES = 30
"""Outliers are looked for among at least so many frames of one composition."""
TAIL_FRACTION = 0.02
"""An outlier has at most this part of the frames on its side of the gap."""
LONGEST_STEP_A = 0.15
"""Forces are compared with energy differences where no atom moves farther between two frames."""
STEP_TOLERANCE_eV = 0.003
STEP_TOLERANCE = 0.5
"""Part of the difference between left and right sums of force times step that the trapezoid may be off by."""
MOST_COMPARED = 500
"""Of the frames of one composition that stand alone, at most so many are compared with their nearest."""
MOST_MISMATCHED = 0.2
"""Where more of a file's compared frames do not fit, its pairs, axes or units are wrong, not some frames."""
NEAREST_TOLERANCE = 0.3
"""Part of the work that it may be off by besides, between frames that are no neighbours of a trajectory."""
SHORTEST_WORK_eV = 0.01
"""Steps of less work and less energy difference say nothing about units."""
FEWEST_STEPS = 10
UNIT_TOLERANCE, UNIT_SIGMAS = 0.25, 5.0
"""Of so many steps that each fit within their tolerance, the slope of energy differences over work may be off
1 by this much, and by so many of its standard errors: small steps hide a unit that all of them show. Of the
two slopes between which the true one lies, the nearer to 1 counts.
"""
UNIT_HINTS = {
    -1.0: "the forces have the sign of gradients",
    51.4221: "the forces are in Hartree/Bohr",
    27.2114: "the forces are in Hartree/Å",
    1.88973: "energies and forces are in atomic units",
    0.529177: "the positions are in Bohr",
    1 / 27.2114: "the energies are in Hartree",
    23.0605: "the energies are in kcal/mol",
    1 / 23.0605: "the forces are in kcal/mol/Å",
}
"""Ratio of energy difference to work of the forces, and what it looks like."""

IN_BOX = "in_box"
"""Info of a frame that is not free of its periodic images: why."""

FATAL = ("labels", "contact", "box")
"""Kinds that no choice can keep."""


@dataclass(frozen=True)
class Suspect:
    """A frame (its number among those given) and what is suspect about it."""

    frame: int
    kind: str
    detail: str


def says_converged(atoms: Atoms) -> bool:
    """Return whether a frame does not say that its self-consistent field has not converged."""
    return atoms.info.get("converged") not in (False, 0, "F", "False")


def energy_zero(atoms: Atoms) -> str:
    """Return what a labelled frame's energy is counted from: all electrons, or something else."""
    low, high = ALL_ELECTRONS
    return "all electrons" if low < of_all_electrons(atoms) < high else "other"


def find_suspects(frames: Sequence[Atoms]) -> list[Suspect]:
    """Return what is suspect, by frame.

    Kinds: labels (missing, unknown names, not finite), box (periodic images too near), contact (nuclei on top
    of each other), not converged
    (electrons, by the file's word), zero forces (all exactly 0), duplicate, energy zero (unlike most),
    energy outlier and force outlier (alone beyond a gap as wide as all the rest, among frames of one
    composition), mismatch (forces against energy differences along a trajectory or between nearest frames),
    unit (of energies and forces alike: energies or bonds that are impossible in eV).
    """
    found = [
        Suspect(i, "box" if IN_BOX in atoms.info else "labels", problem)
        for i, atoms in enumerate(frames)
        if (problem := unusable(atoms))
    ]
    good = sorted(set(range(len(frames))) - {suspect.frame for suspect in found})
    found += _contacts(frames, good)
    good = sorted(set(good) - {suspect.frame for suspect in found})
    found += _unfinished(frames, good) + _duplicates(frames, good) + _zeros(frames, good)
    found += _outliers(frames, good)
    mismatches = _mismatches(frames, good)
    if len({suspect.frame for suspect in mismatches}) <= MOST_MISMATCHED * len(good):
        found += _units(frames, good)
    found += mismatches
    return sorted(found, key=lambda suspect: (suspect.frame, suspect.kind))


def unusable(atoms: Atoms) -> str:
    """Return why a frame cannot be trained on: its box, positions or labels; empty if it can."""
    if IN_BOX in atoms.info:
        return str(atoms.info[IN_BOX])
    if not np.isfinite(atoms.positions).all():
        return "a position is not a finite number; remove the frame"
    return label_problem(atoms)


def _unfinished(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    found = []
    # Symmetry makes the forces of a perfect crystal 0; those of all crystals are not.
    moving = any(frames[i].get_forces().any() for i in good if frames[i].pbc.any())
    for i in good:
        if not says_converged(frames[i]):
            found.append(Suspect(i, "not converged", "SCF not converged, says the file"))
        if len(frames[i]) > 1 and not frames[i].get_forces().any() and not (moving and frames[i].pbc.any()):
            found.append(
                Suspect(i, "zero forces", "all forces are exactly 0: not computed, or a placeholder")
            )
    return found


def _contacts(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    found = []
    for i in good:
        if len(frames[i]) > 1:
            apart = frames[i].get_all_distances(mic=bool(frames[i].pbc.any()))
            shortest = apart[np.triu_indices(len(frames[i]), 1)].min()
            if shortest < SHORTEST_DISTANCE_A:
                found.append(Suspect(i, "contact", f"two nuclei {shortest:.2f} Å apart"))
    return found


def _duplicates(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    first: dict[bytes, int] = {}
    found = []
    for i in good:
        earlier = first.setdefault(fingerprint(frames[i]), i)
        if earlier != i:
            apart = frames[i].get_potential_energy() - frames[earlier].get_potential_energy()
            found.append(Suspect(i, "duplicate", f"of frame {earlier}, energies {apart:.2g} eV apart"))
    return found


def _zeros(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    zeros = {i: energy_zero(frames[i]) for i in good}
    n_all = sum(zero == "all electrons" for zero in zeros.values())
    usual = "all electrons" if 2 * n_all >= len(good) else "other"
    return [
        Suspect(i, "energy zero", f"energy counted from: {zero}; most frames: {usual}")
        for i, zero in zeros.items()
        if zero != usual
    ]


def _units(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    """Return frames whose energies and forces agree with each other in a unit that is not eV.

    Every frame whose energy is too low, or all where bonds are too stiff.
    """
    low = [Suspect(i, "unit", told) for i in good if (told := too_low(frames[i]))]
    if low or not (told := too_stiff([frames[i] for i in good])):
        return low
    return [Suspect(i, "unit", told) for i in good]


def _outliers(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    groups: dict[str, list[int]] = {}
    for i in good:
        groups.setdefault(frames[i].get_chemical_formula(), []).append(i)
    found = []
    for members in groups.values():
        for kind, unit, values in (
            ("energy outlier", "eV", [frames[i].get_potential_energy() for i in members]),
            ("force outlier", "eV/Å", [max_force(frames[i]) for i in members]),
        ):
            alone = isolated(np.array(values))
            if alone.any():
                low, high = np.array(values)[~alone].min(), np.array(values)[~alone].max()
                found += [
                    Suspect(i, kind, f"{value:.6g} {unit}; the others lie from {low:.6g} to {high:.6g}")
                    for i, value, is_alone in zip(members, values, alone, strict=True)
                    if is_alone
                ]
    return found


def isolated(values: np.ndarray) -> np.ndarray:
    """Return which values (n,) lie beyond a gap at least as wide as the range of all the rest."""
    alone = np.zeros(len(values), bool)
    if len(values) < FEWEST_FRAMES:
        return alone
    most = max(1, int(TAIL_FRACTION * len(values)))
    order = np.argsort(values)
    ordered = values[order]
    for n in range(1, most + 1):
        if ordered[-n] - ordered[-n - 1] > ordered[-n - 1] - ordered[most] > 0:
            alone[order[-n:]] = True
        if ordered[n] - ordered[n - 1] > ordered[-most - 1] - ordered[n] > 0:
            alone[order[:n]] = True
    return alone


@dataclass(frozen=True)
class Step:
    """Two neighbouring frames of a trajectory: energy difference and work of the forces (trapezoid), eV."""

    first: int
    second: int
    difference_eV: float
    work_eV: float
    tolerance_eV: float

    @property
    def agrees(self) -> bool:
        """Whether the forces explain the energy difference."""
        return abs(self.difference_eV - self.work_eV) <= self.tolerance_eV


def steps(frames: Sequence[Atoms], good: Sequence[int]) -> list[Step]:
    """Return the steps between frames near enough to compare.

    They are neighbours of a trajectory; a frame without such a neighbour is compared with the nearest one of
    its composition, turned onto it.
    """
    along = _along_trajectories(frames, good)
    touched = {i for step in along for i in (step.first, step.second)}
    return along + _to_nearest(frames, [i for i in good if i not in touched])


def _to_nearest(frames: Sequence[Atoms], alone: Sequence[int]) -> list[Step]:
    groups: dict[bytes, list[int]] = {}
    for i in alone:
        key = frames[i].numbers.tobytes() + boundary_key(frames[i], digits=3).encode()
        groups.setdefault(key, []).append(i)
    found: dict[tuple[int, int], Step] = {}
    for members in groups.values():
        if len(frames[members[0]]) < 2:
            continue
        members = members[:: -(-len(members) // MOST_COMPARED)]
        apart = _how_far([frames[i] for i in members])
        np.fill_diagonal(apart, np.inf)
        for place, nearest in enumerate(apart.argmin(axis=1)):
            first, second = sorted((members[place], members[int(nearest)]))
            a, b = frames[first], frames[second]
            if a.pbc.any():
                turn, to_other = np.eye(3), moved(a, b)
            else:
                turn, _ = turned_onto(b.positions, a.positions)
                to_other = _about_mean(b.positions) @ turn.T - _about_mean(a.positions)
            turned = b.get_forces() @ turn.T
            step = _step(first, second, a, b, to_other, turned) if same_cell(a, b) else None
            if first != second and step is not None:
                # In any direction, not along a path of slow change: cubic terms stand beside the others.
                works = [np.abs((forces * to_other).sum(axis=1)).sum() for forces in (a.get_forces(), turned)]
                changes = np.abs(((a.get_forces() - turned) * to_other).sum(axis=1)).sum()
                tolerance = STEP_TOLERANCE_eV + STEP_TOLERANCE * changes + NEAREST_TOLERANCE * max(works)
                found[first, second] = replace(step, tolerance_eV=float(tolerance))
    return list(found.values())


def _how_far(frames: Sequence[Atoms]) -> np.ndarray:
    """Return how far frames of like atoms are from each other (n, n), Å; turned ones are the same.

    In a cell it is the root of the summed squares of what atoms move, so that wrapping does not count.
    """
    if not frames[0].pbc.any():
        distances = np.array([pdist(atoms.positions) for atoms in frames])
        return np.asarray(cdist(distances, distances))
    cell = frames[0].cell.array
    fractions = np.array([atoms.cell.scaled_positions(atoms.positions) for atoms in frames])
    fractions -= fractions[:, :1]
    found = []
    for own in fractions:
        steps = fractions - own
        steps = (steps - np.round(steps)) @ cell
        found.append(np.sqrt(((steps - steps.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))))
    return np.array(found)


def _about_mean(positions: np.ndarray) -> np.ndarray:
    return positions - positions.mean(axis=0)


def _step(
    first: int, second: int, a: Atoms, b: Atoms, moved_A: np.ndarray, forces_b: np.ndarray
) -> Step | None:
    """Return the step of an atom-wise movement (n, 3) from a to b, None for one too long or of nothing."""
    if not 1e-9 < np.linalg.norm(moved_A, axis=1).max() < LONGEST_STEP_A:
        return None
    left, right = (-float((forces * moved_A).sum()) for forces in (a.get_forces(), forces_b))
    difference = b.get_potential_energy() - a.get_potential_energy()
    tolerance = STEP_TOLERANCE_eV + STEP_TOLERANCE * abs(left - right)
    return Step(first, second, difference, (left + right) / 2, tolerance)


def _along_trajectories(frames: Sequence[Atoms], good: Sequence[int]) -> list[Step]:
    trajectories: dict[str, list[int]] = {}
    for i in good:
        trajectories.setdefault(str(frames[i].info.get("trajectory_id", "")), []).append(i)
    found = []
    for members in trajectories.values():
        if all("time_fs" in frames[i].info for i in members):
            members = sorted(members, key=lambda i: float(frames[i].info["time_fs"]))
        for first, second in pairwise(members):
            a, b = frames[first], frames[second]
            if len(a) != len(b) or (a.numbers != b.numbers).any() or not same_cell(a, b):
                continue
            step = _step(first, second, a, b, moved(a, b), b.get_forces())
            found += [step] if step is not None else []
    return found


def unit_ratio(steps_: Sequence[Step]) -> float:
    """Return the median of energy difference over work, 1 where units fit; not a number without work."""
    ratios = [
        step.difference_eV / step.work_eV
        for step in steps_
        if max(abs(step.work_eV), abs(step.difference_eV)) > SHORTEST_WORK_eV and step.work_eV
    ]
    return float(np.median(ratios)) if ratios else float("nan")


def unit_slope(steps_: Sequence[Step]) -> tuple[float, float, float]:
    """Return the slope of energy differences over work through zero, the inverse of that of work over energy
    differences, and the first one's standard error.

    Work by the forces at two ends has errors of its own where frames are far apart in time, which draw the
    first slope towards 0 and not the second: the true one lies between both (Frisch, Statistical Confluence
    Analysis, 1934). The error holds steps of unequal scatter (White, Econometrica 48, 817 (1980)). Not
    numbers without work.
    """
    work = np.array([step.work_eV for step in steps_])
    difference = np.array([step.difference_eV for step in steps_])
    if not work @ difference:
        return float("nan"), float("nan"), float("nan")
    slope = float(work @ difference / (work @ work))
    error = float(np.linalg.norm((difference - slope * work) * work) / (work @ work))
    return slope, float(difference @ difference / (work @ difference)), error


def other_unit(steps_: Sequence[Step]) -> str:
    """Return in words that steps which fit one by one show another unit together, with a guess at it."""
    slope, inverse, error = unit_slope(steps_)
    low, high = sorted((slope, inverse))
    off = max(low - 1, 1 - high)
    if len(steps_) < FEWEST_STEPS or not off > max(UNIT_TOLERANCE, UNIT_SIGMAS * error):
        return ""
    hints = [
        text
        for value, text in UNIT_HINTS.items()
        if max(low - value, value - high) < max(0.1 * abs(value), 3 * error)
    ]
    told = f"energies change by {slope:.2f} ± {error:.2f} times the forces' work over {len(steps_)} steps"
    return told + (f": {hints[0]}" if hints else "")


def misfits(suspects: Sequence[Suspect], compared: Sequence[Step], numbers: Sequence[int]) -> tuple[int, int]:
    """Return how many of a file's frames do not fit their neighbours, and how many were compared."""
    own = set(numbers)
    touched = own & {i for step in compared for i in (step.first, step.second)}
    return len(own & {s.frame for s in suspects if s.kind == "mismatch"}), len(touched)


def _mismatches(frames: Sequence[Atoms], good: Sequence[int]) -> list[Suspect]:
    """Return frames all of whose steps disagree, with a guess at the unit where most of a trajectory's do.

    Where most agree, those may still show together that a unit is another one: all their frames are suspect.
    """
    of_trajectory: dict[str, list[Step]] = {}
    for step in steps(frames, good):
        names = {str(frames[i].info.get("trajectory_id", "")) for i in (step.first, step.second)}
        name = names.pop() if len(names) == 1 else f"alone {frames[step.first].symbols}"
        of_trajectory.setdefault(name, []).append(step)
    found = []
    for members in of_trajectory.values():
        wrong = [step for step in members if not step.agrees]
        if 2 * len(wrong) <= len(members) and (told := other_unit([s for s in members if s.agrees])):
            touched = sorted({i for step in members for i in (step.first, step.second)})
            found += [Suspect(i, "mismatch", told) for i in touched]
            continue
        if not wrong:
            continue
        ratio, hint = unit_ratio(members), ""
        if 2 * len(wrong) > len(members) and np.isfinite(ratio):
            hints = [text for value, text in UNIT_HINTS.items() if abs(ratio / value - 1) < 0.1]
            hint = f"; over the trajectory {ratio:.3g} times the work" + (f": {hints[0]}" if hints else "")
        touching: dict[int, list[Step]] = {}
        for step in members:
            touching.setdefault(step.first, []).append(step)
            touching.setdefault(step.second, []).append(step)
        blamed = {i for i, own in touching.items() if len(own) > 1 and not any(s.agrees for s in own)}
        for step in wrong:
            ends = {step.first, step.second}
            if not ends & blamed:
                fitting = {i for i in ends if any(s.agrees for s in touching[i])}
                blamed |= ends - fitting or ends
        for i in sorted(blamed):
            worst = max(touching[i], key=lambda s: abs(s.difference_eV - s.work_eV))
            found.append(
                Suspect(
                    i,
                    "mismatch",
                    f"energy changes by {worst.difference_eV:.4f} eV, the forces' work is "
                    f"{worst.work_eV:.4f} eV{hint}",
                )
            )
    return found
