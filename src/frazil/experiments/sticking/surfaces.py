"""Hemispheres of molecular ice: cut from a crystal or packed at random, and checked.

Atoms are ordered molecule by molecule, mobile molecules first, the outer fixed shell last (array ``fixed``).
The flat side is up: z is the surface normal, the origin the middle of the flat side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from scipy.spatial import ConvexHull, Voronoi

from frazil.errors import UserError
from frazil.systems.co import BOND_LENGTH_A, MOLECULE_MASSES_amu
from frazil.systems.crystals import Crystal
from frazil.systems.molecules import Molecules, molecule
from frazil.systems.packing import packed, shared_out
from frazil.units import G_PER_CM3

DEEP_A = 3.0
"""A molecule whose centre is this far inside the hull of all centres has a whole Voronoi cell: in α-CO (110)
layers are 1.99 Å apart, and the cells of the second one still bulge outwards.
"""
LOST_A = 5.0
"""A molecule that has come this far out of the hemisphere has left it."""
COLLAPSED_A = 0.8
"""Atoms of two molecules that are nearer have fallen into each other: in no ice or collision they are."""
MORE_FRAMES = (
    "train it on more frames (sticking.training_scale, sticking.n_placed, or your own by sticking.dataset) "
    "or for longer (gmnn.n_epochs); of diatomics interactions alone need fewer (sticking.interaction_only)"
)
"""What to do about a hole of a potential."""
MELTED_A = 1.5
"""Root mean square displacement at which a crystal has melted: 38 % of its nearest distance, 3.99 Å."""
DIAGONALS = np.array([[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]) / np.sqrt(3)
"""Axes of the four molecules of α-CO (P2_13), whose centres are on a face-centred lattice."""
SITES = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]])


def bulk(lattice_A: float, reach_A: float) -> Atoms:
    """Return α-CO (Vegard, Z. Phys. 61, 185, 1930: P2_13, 4 molecules) around the origin, without a cell.

    Every molecule's centre of mass is on a site of the face-centred lattice, which minimization then
    corrects.
    """
    n = int(np.ceil(reach_A / lattice_A)) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    centres = (cells + SITES).reshape(-1, 3) * lattice_A
    axes = np.tile(DIAGONALS, (len(cells), 1))
    weights = MOLECULE_MASSES_amu / MOLECULE_MASSES_amu.sum()
    carbon, oxygen = -weights[1] * BOND_LENGTH_A * axes, weights[0] * BOND_LENGTH_A * axes
    near = np.linalg.norm(centres, axis=1) <= reach_A
    molecules = np.stack([centres + carbon, centres + oxygen], axis=1)[near]
    return Atoms("CO" * len(molecules), positions=molecules.reshape(-1, 3))


def rotation_to(face: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) that turns a normal, of a cubic crystal its lattice face (h, k, l), to z."""
    normal = np.asarray(face, float)
    if normal.shape != (3,) or not normal.any():
        raise UserError(f"face {tuple(face)}; give three integers that are not all zero, e.g. 1,1,0")
    z = normal / np.linalg.norm(normal)
    x = np.cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [1.0, 0.0, 0.0])
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def crystalline(
    n_molecules: int, n_fixed: int, lattice_A: float = 5.64, face: Sequence[int] = (1, 1, 0),
    radius_A: float | None = None, shell_A: float = 0.0, crystal: Crystal | None = None,
) -> Atoms:  # fmt: skip
    """Return a hemisphere of a crystal, not relaxed: the molecules nearest to the middle of the flat side.

    Without a ``crystal`` it is α-CO of a lattice constant. ``radius_A`` takes all molecules within it in
    place of ``n_molecules``, and ``shell_A`` > 0 fixes those in its outermost part in place of ``n_fixed``.
    A crystal ends above the layer with the widest gap. Raises UserError where no molecule stays mobile.
    """
    if crystal is None:
        if not lattice_A > 3.0:
            raise UserError(f"a lattice constant of {lattice_A:g} Å; α-CO has 5.64 Å")
        wanted = radius_A or 1.2 * (1.5 * max(n_molecules, 1) / (np.pi * 4)) ** (1 / 3) * lattice_A
        atoms = bulk(lattice_A, wanted + lattice_A)
        turn = rotation_to(face)
    else:
        turn = rotation_to(crystal.normal(face) if any(face) else face)
        volume = abs(float(np.linalg.det(crystal.cell_A))) / len(crystal.molecules)
        wanted = radius_A or 1.2 * (1.5 * max(n_molecules, 1) * volume / np.pi) ** (1 / 3)
        atoms = crystal.around(crystal.surface_molecule(face), wanted + volume ** (1 / 3))
    atoms.positions = atoms.positions @ turn.T
    below = Molecules.of(atoms).centres(atoms.positions)[:, 2] < 1e-6
    return hemisphere(atoms, below, n_molecules, n_fixed, radius_A, shell_A)


def amorphous(
    n_molecules: int, n_fixed: int, density_g_per_cm3: float, campaign_seed: int, surface_id: int = 0,
    packing_distance_A: float = 2.6, shell_A: float = 0.0,
    kinds: Sequence[Atoms] | None = None, parts: Sequence[float] = (),
) -> Atoms:  # fmt: skip
    """Return molecules packed at random into a hemisphere of a density, by Packmol; not relaxed.

    ``kinds`` of molecules (CO without), and of each the part of all molecules, in any unit (equal without).
    Raises UserError where they do not fit, for a density that is not positive, and where no molecule stays
    mobile.
    """
    if n_molecules < 1 or not density_g_per_cm3 > 0:
        raise UserError(
            f"{n_molecules} molecules at {density_g_per_cm3:g} g/cm³; both must be positive, the paper has "
            "477 at 1.07"
        )
    kinds = kinds or [molecule("CO")]
    counts = shared_out(n_molecules, parts or [1.0] * len(kinds))
    mass = sum(n * masses_of(atoms).sum() for atoms, n in zip(kinds, counts, strict=True))
    volume = mass * G_PER_CM3 / density_g_per_cm3
    radius = (1.5 * volume / np.pi) ** (1 / 3)
    region = f"inside sphere 0. 0. 0. {radius:.4f}\n  below plane 0. 0. 1. 0."
    wanted = [(atoms, n) for atoms, n in zip(kinds, counts, strict=True) if n]
    atoms = packed(wanted, region, packing_distance_A, campaign_seed, "packmol-hemisphere", surface_id)
    return hemisphere(atoms, np.ones(n_molecules, bool), n_molecules, n_fixed, None, shell_A)


def hemisphere(
    atoms: Atoms, below: np.ndarray, n_molecules: int, n_fixed: int, radius_A: float | None, shell_A: float
) -> Atoms:
    """Return the molecules ``below`` that are nearest to the origin, the outermost fixed, by distance."""
    molecules = Molecules.of(atoms)
    if len(below) != len(molecules):
        raise UserError(
            f"{len(below)} molecules that were packed are {len(molecules)} by their bonds: they touch; give "
            "a larger distance of packing, or a lower density"
        )
    centres = molecules.centres(atoms.positions)
    distance = np.round(np.linalg.norm(centres, axis=1), 6)
    order = np.lexsort((*np.round(centres.T, 6), distance))
    order = order[below[order]]
    chosen = order[distance[order] <= radius_A] if radius_A else order[:n_molecules]
    if shell_A > 0 and len(chosen):
        n_fixed = int((distance[chosen] > distance[chosen[-1]] - shell_A).sum())
    if not 0 <= n_fixed < len(chosen) or (not radius_A and len(chosen) < n_molecules):
        raise UserError(
            f"a hemisphere of {len(chosen)} molecules, {n_fixed} of them fixed; at least one must be mobile: "
            "give more molecules or fix fewer"
        )
    own = [molecules.members[number] for number in chosen]
    cut = atoms[np.concatenate(own)]
    held = np.arange(len(chosen)) >= len(chosen) - n_fixed
    fixed = np.repeat(held, [len(members) for members in own]).astype(int)
    found = Atoms(cut.symbols, positions=cut.positions)
    found.set_array("fixed", fixed, int)
    found.info["radius_A"] = float(distance[chosen[-1]])
    return found


def height_A(positions_A: np.ndarray, lateral_A: float) -> float:
    """Return the highest z of atoms (natoms, 3) within a distance of the axis."""
    near = np.hypot(positions_A[:, 0], positions_A[:, 1]) <= lateral_A
    if not near.any():
        raise UserError(
            f"no atom within {lateral_A:g} Å of the middle of the surface; give a larger hemisphere"
        )
    return float(positions_A[near, 2].max())


@dataclass(frozen=True)
class Structure:
    """What a surface is checked by: density of deep molecules, and pair distances from them."""

    density_g_per_cm3: float
    n_deep: int
    distances_A: np.ndarray
    g: np.ndarray


def structure(
    molecules: Molecules, positions_A: np.ndarray, most_A: float = 9.0, bins: int = 90
) -> Structure:
    """Return density (from Voronoi cells) and g(r) of molecular centres, seen from the deep molecules.

    Deep are those ``DEEP_A`` inside the convex hull of all centres, so that small hemispheres have some too.
    g(r) is normalized by the density; at large distances it falls below 1 because the hemisphere ends.
    """
    centres = molecules.centres(positions_A)
    edges = np.linspace(0.0, most_A, bins + 1)
    middles = 0.5 * (edges[1:] + edges[:-1])
    none = Structure(float("nan"), 0, middles, np.full(bins, np.nan))
    if len(centres) < 5:
        return none
    faces = ConvexHull(centres).equations
    deep = (faces[:, :3] @ centres.T + faces[:, 3:]).max(axis=0) <= -DEEP_A
    cells = Voronoi(centres)
    volumes = [
        ConvexHull(cells.vertices[region]).volume
        for region in (cells.regions[cells.point_region[i]] for i in np.flatnonzero(deep))
        if region and -1 not in region
    ]
    if not volumes:
        return none
    number = len(volumes) / sum(volumes)
    separations = np.linalg.norm(centres[deep][:, None] - centres[None], axis=-1)
    counts, _ = np.histogram(separations[separations > 1e-9], edges)
    g = counts / (deep.sum() * number * 4 * np.pi * middles**2 * np.diff(edges))
    # Kinds one by one: of one kind this is its mass to the last bit.
    kinds, counts = np.unique(molecules.masses_amu[deep], return_counts=True)
    density = number * float((counts / counts.sum() * kinds).sum()) * G_PER_CM3
    return Structure(float(density), len(volumes), middles, np.asarray(g))


def density_of(shapes: Sequence[Structure]) -> float:
    """Return the density over all deep molecules of several surfaces, g/cm³; not a number without any."""
    found = [shape for shape in shapes if shape.n_deep]
    volumes = [shape.n_deep / shape.density_g_per_cm3 for shape in found]
    return sum(shape.n_deep for shape in found) / sum(volumes) if found else float("nan")


def check_whole(
    molecules: Molecules, frames_A: np.ndarray, start_A: np.ndarray, radius_A: float, phase: str,
    temperature_K: float,
) -> None:  # fmt: skip
    """Raise UserError if a surface has collapsed, broken, lost molecules or melted in frames (n, natoms, 3).

    ``start_A`` (natoms, 3): where it was; a crystal has melted when its last frame is, in the root mean
    square, 1.5 Å from there.
    """
    what = f"the {phase} surface at {temperature_K:g} K"
    if not np.isfinite(frames_A).all():
        raise UserError(f"{what} became not finite: a hole of the potential; {MORE_FRAMES}")
    nearest_A = min(float(molecules.closest_contact(frame)) for frame in frames_A)
    if nearest_A < COLLAPSED_A:
        raise UserError(
            f"{what} collapsed, atoms of two molecules are {nearest_A:.2f} Å apart: a hole of the potential; "
            f"{MORE_FRAMES}"
        )
    broken = molecules.broken(frames_A)
    if broken:
        raise UserError(
            f"{what} broke molecule {broken[0]} (bond {broken[1]:.2f} Å), most likely in a hole of the "
            f"potential; {MORE_FRAMES}"
        )
    centres, before = molecules.centres(frames_A[-1]), molecules.centres(start_A)
    top = before[:, 2].max()
    out = (np.linalg.norm(centres, axis=1) > radius_A + LOST_A) | (centres[:, 2] > top + LOST_A)
    if out.any():
        raise UserError(
            f"{what} lost {int(out.sum())} of {len(centres)} molecules (first: "
            f"{int(np.flatnonzero(out)[0])}); "
            "thermalize at a lower temperature, or train the potential on more frames"
        )
    moved = float(np.sqrt(((centres - before) ** 2).sum(axis=1).mean()))
    if phase == "crystalline" and moved > MELTED_A:
        raise UserError(
            f"{what} melted: its molecules are {moved:.2f} Å from where they were (limit {MELTED_A:g} Å); "
            "thermalize at a lower temperature"
        )


def masses_of(atoms: Atoms) -> np.ndarray:
    """Return the standard masses (natoms,), amu."""
    return np.asarray(atomic_masses[atoms.numbers])
