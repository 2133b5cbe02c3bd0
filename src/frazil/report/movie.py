"""A trajectory to look at: pictures for everybody, and what a small script needs to turn and play it.

Atoms are drawn as spheres of ASE's covalent radii in Jmol's colours. The z axis points up; the view is turned
about it so that what moves farthest moves in the plane of the picture. Without scripts, and in print, four
pictures show the course.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from frazil.data.frames import read_extxyz
from frazil.errors import UserError

T = TypeVar("T")
MARKED = "marked"
"""Array of a frame's atoms: true for those that the trajectory is about; a ring is drawn round them."""
MOST_FRAMES, MOST_ATOMS = 100, 300
"""Frames and atoms that the page holds; the file beside it has all."""
UNIT_A = 0.01
"""Positions are rounded to this."""
N_PICTURES = 4
WIDEST = 2.0
"""Extent of the view over that of the start: what flies farther leaves the picture."""
SIZE_px = 160


@dataclass(frozen=True)
class Drawn:
    """The pictures (SVG), the data of the script (JSON), and how many atoms of all are shown."""

    pictures: list[str]
    data: str
    n_atoms: int
    n_all: int


def read(path: Path | str) -> list[Atoms]:
    """Return a movie's frames, each with ``time_fs``. Raises UserError for a file that holds no movie."""
    frames = read_extxyz(path)
    if not frames or any("time_fs" not in f.info or len(f) != len(frames[0]) for f in frames):
        raise UserError(
            f"{path} is no trajectory; give frames of one, each with time_fs, of equally many atoms"
        )
    if any((f.numbers != frames[0].numbers).any() or not np.isfinite(f.positions).all() for f in frames):
        raise UserError(f"{path} is no trajectory; give frames of the same elements at finite positions")
    return frames


def thinned(frames: Sequence[T], most: int) -> list[T]:
    """Return at most so many of them at about equal steps, the first and the last among them."""
    places = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    return [frames[place] for place in places]


def draw(frames: list[Atoms], alt: str) -> Drawn:
    """Return a movie of frames; ``alt`` is escaped text that says what is seen."""
    shown = thinned(frames, MOST_FRAMES)
    first = shown[0]
    marked = first.arrays.get(MARKED, np.zeros(len(first))).astype(bool)
    atoms = _nearest_molecules(shown, marked)
    positions = np.array([frame.positions[atoms] for frame in shown])
    numbers, marked = first.numbers[atoms], marked[atoms]
    radii = covalent_radii[numbers]
    middle = (positions[0].min(axis=0) + positions[0].max(axis=0)) / 2
    positions = positions - middle
    outermost = np.linalg.norm(positions, axis=-1) + radii
    half_A = float(min(outermost.max(), WIDEST * outermost[0].max()))
    view = _view(positions, marked)
    times_fs = [float(frame.info["time_fs"]) for frame in shown]
    packed = np.clip((positions / UNIT_A).round(), -32767, 32767)  # the view ends long before 327 Å
    elements = sorted(set(numbers.tolist()))
    data: dict[str, Any] = {
        "times_fs": times_fs, "half_A": round(half_A, 2), "view": view.round(4).tolist(), "unit_A": UNIT_A,
        "kinds": [[chemical_symbols[z], _colour(z), round(float(covalent_radii[z]), 2)] for z in elements],
        "kind": [elements.index(z) for z in numbers.tolist()], "marked": np.flatnonzero(marked).tolist(),
        "positions": base64.b64encode(packed.astype("<i2").tobytes()).decode(),
    }  # fmt: skip
    pictures = [
        _picture(positions[i] @ view.T, numbers, marked, half_A, f"{times_fs[i]:g} fs", alt)
        for i in thinned(range(len(shown)), N_PICTURES)
    ]
    return Drawn(pictures, json.dumps(data, separators=(",", ":")), len(atoms), len(first))


def _nearest_molecules(frames: list[Atoms], marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the atoms that are shown: all, or whole molecules nearest to those marked or to the middle."""
    first = frames[0]
    if len(first) <= MOST_ATOMS:
        return np.arange(len(first))
    neighbours = build_neighbor_list(first, natural_cutoffs(first), self_interaction=False)
    _, molecule = connected_components(neighbours.get_connectivity_matrix())
    near = np.full(len(first), np.inf)
    for frame in thinned(frames, 10):
        targets = frame.positions[marked] if marked.any() else frame.positions.mean(axis=0)[None]
        near = np.minimum(near, np.linalg.norm(frame.positions[:, None] - targets, axis=-1).min(axis=1))
    kept = np.zeros(len(first), bool)
    for own in sorted(set(molecule), key=lambda m: near[molecule == m].min()):
        if kept.sum() + (molecule == own).sum() > MOST_ATOMS:
            break
        kept |= molecule == own
    return np.flatnonzero(kept if kept.any() else near.argsort().argsort() < MOST_ATOMS)


def _view(positions: NDArray[np.float64], marked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the axes of the picture (3, 3): to the right, upwards (z), and towards the eye."""
    moved = positions[-1] - positions[0]
    travel = moved[marked].mean(axis=0) if marked.any() else moved[np.linalg.norm(moved, axis=1).argmax()]
    right = np.array([travel[0], travel[1], 0.0])
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 0.1 else np.array([1.0, 0.0, 0.0])
    up = np.array([0.0, 0.0, 1.0])
    return np.array([right, up, np.cross(right, up)])


def _colour(number: int) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in jmol_colors[number])


def _picture(
    seen: NDArray[np.float64], numbers: NDArray[np.int64], marked: NDArray[np.bool_], half_A: float,
    time: str, alt: str,
) -> str:  # fmt: skip
    """Return an SVG of atoms at ``seen`` (natoms, 3): right, up, towards the eye; the nearest come last."""
    parts = []
    for i in np.argsort(seen[:, 2], kind="stable"):
        x, y, r = seen[i, 0], -seen[i, 1], covalent_radii[numbers[i]]
        if max(abs(x), abs(y)) - r < half_A:
            ring = ' class="marked"' if marked[i] else ""
            colour = _colour(numbers[i])
            parts.append(f'<circle{ring} cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="{colour}"/>')
    corner, size = f'x="{-0.95 * half_A:.2f}" y="{0.93 * half_A:.2f}"', f"{0.13 * half_A:.2f}px"
    parts.append(f'<text {corner} style="font-size: {size}; fill: var(--text)">{time}</text>')
    box = f"{-half_A:.2f} {-half_A:.2f} {2 * half_A:.2f} {2 * half_A:.2f}"
    return (
        f'<svg role="img" aria-label="{alt}, {time}" viewBox="{box}" width="{SIZE_px}">{"".join(parts)}</svg>'
    )
