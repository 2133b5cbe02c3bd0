"""Paths between two minima: sought by a nudged elastic band, or given as frames.

A path's structures are turned onto each other, and its length is that of mass-weighted positions. ASE has the
band: improved tangents and a climbing image (Henkelman & Jónsson, J. Chem. Phys. 113, 9978, 2000; Henkelman,
Uberuaga & Jónsson, ibid. 9901), its first guess by distances (IDPP; Smidstrup et al., J. Chem. Phys. 140,
214106, 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.mep import NEB
from ase.optimize import FIRE
from scipy.interpolate import CubicSpline

from frazil.data.structures import read_structures
from frazil.errors import UserError
from frazil.experiments.reaction.coordinate import Coordinate
from frazil.systems.minima import Surface, aligned, moved_A, relaxed
from frazil.units import meV

SAME_A = 0.1
"""Minima that differ by less, in any atom, are one."""
CLOSEST_sqrt_amu_A = 1e-3
"""Structures of a path that are nearer to the one before are the same; a spline through both would loop."""
LEAST_BARRIER_eV = 1e-3
ROUGH_eV_per_A, FINE_eV_per_A = 0.3, 0.03
"""Largest force on the band where its highest image begins to climb, and where it is found."""
MOST_STEPS = 1000
PLACES = 2001
"""Places at which a path is looked at between its structures."""


@dataclass(frozen=True)
class ReactionPath:
    """Structures from one minimum to another, each turned onto the one before.

    atoms: elements and the first positions. positions_A (n, natoms, 3). energies_eV (n,). label_energies_eV
    (n,): what the frames of a file say of themselves, None where not all do.
    """

    name: str
    atoms: Atoms
    positions_A: np.ndarray
    energies_eV: np.ndarray
    label_energies_eV: np.ndarray | None = None

    @cached_property
    def lengths(self) -> np.ndarray:
        """Mass-weighted length from the first structure to each (n,), √amu Å."""
        weights = np.sqrt(self.atoms.get_masses())[:, None]
        steps = np.linalg.norm(
            (np.diff(self.positions_A, axis=0) * weights).reshape(-1, weights.size * 3), axis=1
        )
        return np.concatenate([[0.0], np.cumsum(steps)])

    @cached_property
    def spline(self) -> CubicSpline:
        """Positions (…, natoms, 3), Å, of lengths (…)."""
        return CubicSpline(self.lengths, self.positions_A)

    @cached_property
    def places(self) -> np.ndarray:
        """Lengths at which a continuous path is looked at (``PLACES``,)."""
        return np.linspace(0.0, self.lengths[-1], PLACES)

    @property
    def barrier_eV(self) -> float:
        """Of the top above the left minimum."""
        return float(self.energies_eV[self.saddle] - self.energies_eV[self.basin])

    @property
    def basin(self) -> int:
        """The number of the structure at the left minimum."""
        return basin_and_top(self.energies_eV)[0]

    @property
    def beyond(self) -> int:
        """The number of the structure at the right minimum."""
        return int(self.saddle + self.energies_eV[self.saddle :].argmin())

    @property
    def saddle(self) -> int:
        """The number of the structure at the top between the minima."""
        return basin_and_top(self.energies_eV)[1]

    def nearest(self, coordinate: Coordinate, wanted_A: float) -> np.ndarray:
        """Return the positions (natoms, 3) on the path whose coordinate is nearest to one."""
        every = self.spline(self.places)
        values = np.asarray(coordinate(every))
        return np.asarray(every[np.abs(values - wanted_A).argmin()])

    def rows(self, coordinate: Coordinate) -> list[dict[str, Any]]:
        """Return the rows of the table of paths."""
        values, labels = np.asarray(coordinate(self.positions_A)), self.label_energies_eV
        return [
            {
                "image": number, "arc_sqrt_amu_A": self.lengths[number], "coordinate_A": values[number],
                "energy_meV": (energy - self.energies_eV[self.basin]) / meV,
                "label_energy_meV": np.nan if labels is None else (labels[number] - labels[self.basin]) / meV,
            }
            for number, energy in enumerate(self.energies_eV)
        ]  # fmt: skip


class OfSurface(Calculator):
    """An ASE calculator of a function of positions."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self._surface = surface

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Fill ``results``."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        energy, forces = self._surface(self.atoms.positions)
        self.results = {"energy": energy, "forces": forces}


def read_path(file: Path) -> tuple[list[Atoms], str]:
    """Return the frames of a path's file and its name. Raises UserError for one alone and for unlike ones."""
    frames = read_structures(file)
    if len(frames) < 2:
        raise UserError(f"{file} holds one structure; give the two ends of the path, or all of it in order")
    for number, atoms in enumerate(frames):
        if not np.array_equal(atoms.numbers, frames[0].numbers):
            raise UserError(
                f"frame {number} of {file} is {atoms.symbols}, the first {frames[0].symbols}; a path's "
                "frames have the same atoms in the same order"
            )
    return frames, str(frames[0].info.get("path", file.stem))


def path_of(frames: Sequence[Atoms], name: str, surface: Surface, n_images: int) -> ReactionPath:
    """Return the path of frames: between the minima of two, or through all of more, as they are.

    Raises UserError for two that relax to one minimum, for a path without a barrier between its ends, and
    where the band does not settle.
    """
    atoms = Atoms(frames[0].numbers, frames[0].positions)
    masses = atoms.get_masses()
    if len(frames) > 2:
        given = _turned([frame.positions for frame in frames], masses)
        kept = _apart(given, masses)
        labels = None
        if all(frame.calc is not None and "energy" in frame.calc.results for frame in frames):
            labels = np.array([frame.get_potential_energy() for frame in frames])[kept]
        energies = np.array([surface(x)[0] for x in given[kept]])
        return _checked(ReactionPath(name, atoms, given[kept], energies, labels))
    ends = []
    for number, frame in enumerate(frames):
        end = atoms.copy()
        end.positions = relaxed(frame.positions, surface, f"frame {number} of {name}")
        ends.append(end)
    if (moved := moved_A(*ends)) < SAME_A:
        raise UserError(
            f"both frames of {name} relax to one minimum ({moved:.2g} Å apart); a path has two: give frames "
            "of the basins on either side"
        )
    ends[1].positions = aligned(ends[1].positions, ends[0].positions, masses)
    return _checked(_band(name, ends, surface, n_images))


def _band(name: str, ends: list[Atoms], surface: Surface, n_images: int) -> ReactionPath:
    """Return the path of a nudged elastic band whose highest image climbs."""
    images = [ends[0].copy() for _ in range(n_images - 1)] + [ends[1].copy()]
    for image in images:
        image.calc = OfSurface(surface)
    band = NEB(images, k=0.5, method="improvedtangent", remove_rotation_and_translation=True)
    band.interpolate(method="idpp")
    for climbs, limit in ((False, ROUGH_eV_per_A), (True, FINE_eV_per_A)):
        band.climb = climbs
        if not FIRE(band, logfile=None).run(fmax=limit, steps=MOST_STEPS):
            raise UserError(
                f"the path of {name} did not settle in {MOST_STEPS} steps; give more of its structures, in "
                "order, or fewer images (n_images)"
            )
    masses = ends[0].get_masses()
    turned = _turned([image.positions for image in images], masses)
    kept = _apart(turned, masses)
    energies = np.array([image.get_potential_energy() for image in images])
    return ReactionPath(name, ends[0].copy(), turned[kept], energies[kept])


def _turned(positions: Sequence[np.ndarray], masses: np.ndarray) -> np.ndarray:
    found = [np.asarray(positions[0], float)]
    for x in positions[1:]:
        found.append(aligned(x, found[-1], masses))
    return np.array(found)


def _apart(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return the numbers of structures (n, natoms, 3) that are not those before them."""
    kept = [0]
    for number in range(1, len(positions)):
        step = (positions[number] - positions[kept[-1]]) * np.sqrt(masses)[:, None]
        if np.linalg.norm(step) > CLOSEST_sqrt_amu_A:
            kept.append(number)
    return np.array(kept)


def basin_and_top(values: np.ndarray) -> tuple[int, int]:
    """Return the places of the left minimum and of the top of values (n,) along a way with two minima, or
    one.

    The top is the highest above the higher of the lowest points on either side of it. Where there is
    none it is the minimum itself, whose barrier is 0.
    """
    left, right = np.minimum.accumulate(values), np.minimum.accumulate(values[::-1])[::-1]
    top = int((values - np.maximum(left, right)).argmax())
    basin = int(values[: top + 1].argmin())
    return basin, top


def _checked(path: ReactionPath) -> ReactionPath:
    """Return a path. Raises UserError where nothing on it is between two minima."""
    lower = path.energies_eV[[path.basin, path.beyond]]
    if path.energies_eV[path.saddle] - lower.max() < LEAST_BARRIER_eV:
        raise UserError(
            f"the path of {path.name} has one minimum: none of its {len(path.energies_eV)} structures is "
            "above others on both sides of it; give a path from one minimum to another"
        )
    return path
