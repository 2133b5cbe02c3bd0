"""Dense neighbour lists with a Verlet skin: built on the host, rebuilt on the device, never truncated.

A list holds every atom within cutoff + skin of a centre, so it stays right until an atom has moved by half
the skin. Too little room sets ``overflow``; whoever runs steps looks at it on the host and builds again with
more room. Importing this module switches JAX to float64.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.neighborlist import primitive_neighbor_list
from scipy.spatial import cKDTree

from frazil.data.cells import FLAT_A3, heights
from frazil.errors import UserError
from frazil.potentials.kernels import library
from frazil.pytrees import pytree

jax.config.update("jax_enable_x64", True)

CLOSEST_A = 0.1
"""Atoms nearer than this are taken for a broken structure."""
MOST_NEIGHBOURS = 2000
"""More neighbours per atom than any matter has within a cutoff of a few Å."""


@pytree
@dataclass(frozen=True)
class Neighbours:
    """Neighbours of natoms centres, K slots each; free slots hold the index natoms.

    index (natoms, K): neighbours, ascending in the real slots of a non-periodic list. reverse (natoms, K):
    the slot at which the neighbour lists this centre (free slots: their own). shift (natoms, K, 3): added
    to the neighbour's position, Å, or None (non-periodic). origin (natoms, 3): positions that the list was
    built for. cell (3, 3) or None. overflow (): some centre has more than K neighbours, the list must not
    be used. Lists of a ring of P beads have an axis P in front of every array: each bead has its own, and
    all are built together.
    """

    index: jax.Array
    reverse: jax.Array
    shift: jax.Array | None
    origin: jax.Array
    cell: jax.Array | None
    overflow: jax.Array
    cutoff_A: float = field(metadata={"static": True})
    skin_A: float = field(metadata={"static": True})
    rebuildable: bool = field(metadata={"static": True})
    """Whether ``update`` can rebuild on the device (non-periodic, or periodic in all directions)."""
    images: tuple[int, int, int] = field(default=(0, 0, 0), metadata={"static": True})
    """How many cells beyond the minimum image's an atom within reach may be in, along each vector: none where
    opposite faces are more than two cutoffs and skins apart."""


def collapsed(positions_A: np.ndarray) -> bool:
    """Return whether two atoms of a free structure (natoms, 3) are in one place (``CLOSEST_A``)."""
    return bool(cKDTree(positions_A).query_pairs(CLOSEST_A))


def allocate(
    positions_A: np.ndarray,
    cutoff_A: float,
    skin_A: float = 0.0,
    cell_A: np.ndarray | None = None,
    pbc: np.ndarray | tuple[bool, bool, bool] = (False, False, False),
    capacity: int | None = None,
    room: float = 1.15,
    n_beads: int | None = None,
) -> Neighbours:
    """Build a list on the host, for positions (natoms, 3), with ``capacity`` slots or ``room`` times the
    need.

    With ``n_beads`` the positions are those of a ring, bead by bead, and each bead gets its list.

    ``cell_A`` (3, 3) holds the cell's vectors in rows where any of ``pbc`` is set. Raises UserError for
    positions that are not finite, atoms on top of each other, a flat cell, and more neighbours than matter
    can have.
    """
    positions = np.asarray(positions_A, float)
    if n_beads is not None:
        beads = positions.reshape(n_beads, -1, 3)
        own = [allocate(bead, cutoff_A, skin_A, cell_A, pbc, capacity, room) for bead in beads]
        slots = max(lists.index.shape[1] for lists in own)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(widened(lists, slots) for lists in own))
    reach, n_atoms, periodic = cutoff_A + skin_A, len(positions), bool(np.any(pbc))
    broken = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(broken):
        raise UserError(
            f"atom {broken[0]} (of {len(broken)}) is at {positions[broken[0]]}; positions must be finite"
        )
    if periodic:
        centre, other, shift = _periodic_pairs(positions, reach, np.asarray(cell_A, float), np.asarray(pbc))
    else:
        pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
        centre, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        shift = np.zeros((len(centre), 3))
    vectors = positions[other] + shift - positions[centre]
    distances = np.sqrt((vectors**2).sum(axis=1))
    if len(distances) and distances.min() < CLOSEST_A:
        i = int(distances.argmin())
        raise UserError(
            f"atoms {centre[i]} and {other[i]} are {distances[i]:.3g} Å apart; "
            f"at least {CLOSEST_A} Å is needed: a file has doubled atoms, or dynamics fell into a hole of "
            "the potential"
        )
    counts = np.bincount(centre, minlength=n_atoms)
    most = int(counts.max(initial=0))
    if most > MOST_NEIGHBOURS:
        raise UserError(
            f"an atom has {most} neighbours within {reach:g} Å; more than {MOST_NEIGHBOURS}: check the units"
        )
    if capacity is None:
        needed = int(np.ceil(room * most) + 1)
        capacity = -(-(needed if periodic else min(needed, max(n_atoms - 1, 1))) // 8) * 8
    slots = capacity
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], other, centre))
    centre, other, shift = centre[order], other[order], shift[order]
    slot = np.arange(len(centre)) - (np.cumsum(counts) - counts)[centre]
    # The pair (j, i, −shift) is the reverse of (i, j, shift); both sort to the same place under these keys.
    ahead = np.lexsort((*np.round(shift.T[::-1], 6), other, centre))
    behind = np.lexsort((*np.round(-shift.T[::-1], 6), centre, other))
    reverse_of = np.empty(len(centre), int)
    reverse_of[ahead] = slot[behind]
    fits = slot < slots
    index = np.full((n_atoms, slots), n_atoms, np.int32)
    reverse = np.tile(np.arange(slots, dtype=np.int32), (n_atoms, 1))
    shifts = np.zeros((n_atoms, slots, 3))
    index[centre[fits], slot[fits]] = other[fits]
    reverse[centre[fits], slot[fits]] = reverse_of[fits]
    shifts[centre[fits], slot[fits]] = shift[fits]
    return Neighbours(
        index=jnp.asarray(index),
        reverse=jnp.asarray(reverse),
        shift=jnp.asarray(shifts) if periodic else None,
        origin=jnp.asarray(positions),
        cell=jnp.asarray(cell_A, float) if periodic else None,
        overflow=jnp.asarray(most > slots),
        cutoff_A=float(cutoff_A),
        skin_A=float(skin_A),
        rebuildable=not periodic or bool(np.all(pbc)),
        images=_beyond(np.asarray(cell_A, float), reach) if np.all(pbc) else (0, 0, 0),
    )


def _beyond(cell: np.ndarray, reach: float) -> tuple[int, int, int]:
    """Return ``Neighbours.images`` of a cell: at the minimum image an atom is half a vector away at most."""
    a, b, c = (int(n) for n in np.floor(reach / heights(cell) + 0.5))
    return a, b, c


def of_atoms(atoms: Atoms, cutoff_A: float, skin_A: float = 0.0, **options: Any) -> Neighbours:
    """Return the lists of ASE atoms (options: of ``allocate``)."""
    cell = atoms.cell.array if atoms.pbc.any() else None
    return allocate(atoms.positions, cutoff_A, skin_A, cell, atoms.pbc, **options)


def current(
    kept: Neighbours | None, atoms: Atoms, cutoff_A: float, skin_A: float, same: bool = True
) -> Neighbours:
    """Return lists that are right for ``atoms``: those kept, while no atom has moved by half the skin.

    New ones take the room of those kept if they fit, so that what was compiled for it can stay. ``same``:
    elements and cell are those that the kept lists were built for.
    """
    if kept is not None and same and kept.origin.shape == atoms.positions.shape:
        moved = ((atoms.positions - np.asarray(kept.origin)) ** 2).sum(axis=1)
        if (moved <= (0.5 * skin_A) ** 2).all():
            return kept
    built = of_atoms(atoms, cutoff_A, skin_A, capacity=None if kept is None else kept.index.shape[1])
    return of_atoms(atoms, cutoff_A, skin_A) if bool(built.overflow) else built


def stale(neighbours: Neighbours, positions: jax.Array) -> jax.Array:
    """Return whether an atom has moved by more than half the skin (or is not finite) since the list was
    built; of a ring, whether an atom of any bead has.
    """
    moved = jnp.sum((positions.reshape(neighbours.origin.shape) - neighbours.origin) ** 2, axis=-1)
    return ~jnp.all(moved <= (0.5 * neighbours.skin_A) ** 2)


def update(neighbours: Neighbours, positions: jax.Array) -> Neighbours:
    """Rebuild the list on the device for ``positions``, with the same room; sets ``overflow`` if that is
    too little.

    Raises ValueError for a list that is not ``rebuildable``.
    """
    if not neighbours.rebuildable:
        raise ValueError("periodic along some axes only: build such lists with allocate")
    if neighbours.index.ndim > 2:
        return jax.vmap(update)(neighbours, positions.reshape(neighbours.origin.shape))
    rebuilt = _by_images if any(neighbours.images) else _by_cells if library.chosen() else _by_pairs
    index, reverse, shift, most = rebuilt(neighbours, positions)
    return replace(
        neighbours,
        index=index,
        reverse=reverse,
        shift=shift,
        origin=positions,
        overflow=neighbours.overflow | (most > index.shape[1]),
    )


Rebuilt = tuple[jax.Array, jax.Array, jax.Array | None, jax.Array]


def _by_cells(neighbours: Neighbours, positions: jax.Array) -> Rebuilt:
    """Return index, reverse, shift and the most neighbours of an atom, by ``kernels/neighbours.cpp``."""
    kernels = library.chosen()
    assert kernels is not None
    n_atoms, slots = neighbours.index.shape
    cell = jnp.zeros(0)
    if neighbours.cell is not None:
        cell = jnp.stack([neighbours.cell, jnp.linalg.inv(neighbours.cell)])
    inputs = [
        positions.astype(jnp.float64),
        jnp.asarray(neighbours.cutoff_A + neighbours.skin_A),
        cell,
        jnp.zeros(slots, jnp.uint8),
    ]
    scratch_bytes = kernels.scratch_bytes("frazil_neighbours", [x.shape for x in inputs])
    results = (
        jax.ShapeDtypeStruct((n_atoms, slots), jnp.int32),
        jax.ShapeDtypeStruct((n_atoms, slots), jnp.int32),
        jax.ShapeDtypeStruct((0,) if neighbours.cell is None else (n_atoms, slots, 3), jnp.float64),
        jax.ShapeDtypeStruct((), jnp.int32),
        jax.ShapeDtypeStruct((scratch_bytes,), jnp.uint8),
    )
    call = jax.ffi.ffi_call(kernels.target("frazil_neighbours"), results, vmap_method="sequential")
    index, reverse, shift, most, _ = call(*inputs)
    return index, reverse, None if neighbours.cell is None else shift, most


def _by_pairs(neighbours: Neighbours, positions: jax.Array) -> Rebuilt:
    """Return the same by all pairs of atoms."""
    n_atoms, slots = neighbours.index.shape
    reach = neighbours.cutoff_A + neighbours.skin_A
    vectors = positions[None, :, :] - positions[:, None, :]
    if neighbours.cell is not None:
        images = _images(vectors, neighbours.cell)
        vectors = vectors + images @ neighbours.cell
    near = (jnp.sum(vectors**2, axis=-1) < reach**2) & ~jnp.eye(n_atoms, dtype=bool)
    counts = near.sum(axis=1)
    # The k-th neighbour is where the running count reaches k: a tenth of the time of sorting the pairs.
    rows = jnp.arange(n_atoms, dtype=jnp.int32)[:, None]
    wanted = jnp.arange(1, slots + 1, dtype=jnp.int32)[None, :]
    found = _find(jnp.cumsum(near, axis=1, dtype=jnp.int32), rows, wanted)
    index = jnp.where(wanted <= counts[:, None], found, n_atoms).astype(jnp.int32)
    real = index < n_atoms
    there = jnp.where(real, index, 0)
    reverse = jnp.where(real, _find(index, there, rows), jnp.arange(slots, dtype=jnp.int32))
    shift = None
    if neighbours.cell is not None:
        separation = positions[there] - positions[:, None, :]
        shift = jnp.where(real[..., None], _images(separation, neighbours.cell) @ neighbours.cell, 0.0)
    return index, reverse, shift, counts.max(initial=0)


def _by_images(neighbours: Neighbours, positions: jax.Array) -> Rebuilt:
    """Return the same by all pairs and all their images, of a cell that the minimum image is too few for.

    A pair's image is its minimum image and s more cells. That of the pair the other way round is −s more, so
    that places in the ascending lists of (neighbour, s) tell it.
    """
    assert neighbours.cell is not None
    n_atoms, slots = neighbours.index.shape
    reach = neighbours.cutoff_A + neighbours.skin_A
    more = np.array(list(np.ndindex(*(2 * n + 1 for n in neighbours.images)))) - np.array(neighbours.images)
    n_images = len(more)
    vectors = positions[None, :, :] - positions[:, None, :]
    nearest_image = _images(vectors, neighbours.cell)
    vectors = vectors + nearest_image @ neighbours.cell
    squared = ((vectors[:, :, None, :] + more @ neighbours.cell) ** 2).sum(axis=-1)
    itself = np.eye(n_atoms, dtype=bool)[:, :, None] & (more == 0).all(axis=1)
    near = ((squared < reach**2) & ~itself).reshape(n_atoms, n_atoms * n_images)
    counts = near.sum(axis=1)
    rows = jnp.arange(n_atoms, dtype=jnp.int32)[:, None]
    wanted = jnp.arange(1, slots + 1, dtype=jnp.int32)[None, :]
    real = wanted <= counts[:, None]
    places = jnp.where(real, _find(jnp.cumsum(near, axis=1, dtype=jnp.int32), rows, wanted), near.shape[1])
    index = (places // n_images).astype(jnp.int32)  # natoms of free slots
    there, image = jnp.where(real, index, 0), places % n_images
    back = _find(places, there, rows * n_images + n_images - 1 - image)
    reverse = jnp.where(real, back, jnp.arange(slots, dtype=jnp.int32))
    shift = (nearest_image[rows, there] + jnp.asarray(more)[image]) @ neighbours.cell
    return index, reverse, jnp.where(real[..., None], shift, 0.0), counts.max(initial=0)


def widened(neighbours: Neighbours, slots: int) -> Neighbours:
    """Return the lists (of one structure, or many with a leading axis) with free slots up to ``slots``."""
    index = neighbours.index
    added = slots - index.shape[-1]
    if not added:
        return neighbours
    ends = [(0, 0)] * (index.ndim - 1) + [(0, added)]
    own = jnp.broadcast_to(jnp.arange(slots - added, slots, dtype=jnp.int32), (*index.shape[:-1], added))
    shift = neighbours.shift
    return replace(
        neighbours,
        index=jnp.pad(index, ends, constant_values=index.shape[-2]),
        reverse=jnp.concatenate([neighbours.reverse, own], axis=-1),
        shift=None if shift is None else jnp.pad(shift, [*ends, (0, 0)]),
    )


def within(neighbours: Neighbours, atoms: np.ndarray) -> Neighbours:
    """Return the lists that some of the atoms (m,), ascending, have of each other, in as many slots."""
    n_atoms, slots = neighbours.index.shape
    chosen = np.asarray(atoms)
    number = np.full(n_atoms + 1, len(chosen), np.int32)
    number[chosen] = np.arange(len(chosen))
    index = jnp.asarray(number)[neighbours.index[chosen]]
    order = jnp.argsort(index, axis=1)
    index = jnp.take_along_axis(index, order, axis=1)
    real, own = index < len(chosen), jnp.arange(slots, dtype=jnp.int32)
    # Where a slot has gone; an atom may be there several times, as images, so that its index tells no slot.
    now = jnp.argsort(order, axis=1).astype(jnp.int32)
    before = jnp.take_along_axis(neighbours.reverse[chosen], order, axis=1)
    reverse = jnp.where(real, now[jnp.where(real, index, 0), before], own)
    shift = neighbours.shift
    if shift is not None:
        shift = jnp.take_along_axis(shift[chosen], order[..., None], axis=1)
    return replace(neighbours, index=index, reverse=reverse, shift=shift, origin=neighbours.origin[chosen])


def among(neighbours: Neighbours, atoms: np.ndarray) -> Neighbours:
    """Return lists of some of the atoms (m,), ascending, in which each has all others, and no image."""
    n_atoms = len(atoms)
    index = np.array([np.delete(np.arange(n_atoms), atom) for atom in range(n_atoms)]).reshape(n_atoms, -1)
    reverse = np.arange(n_atoms)[:, None] - (index < np.arange(n_atoms)[:, None])
    if not index.size:
        index, reverse = np.full((n_atoms, 1), n_atoms), np.zeros((n_atoms, 1), int)
    return replace(
        neighbours, index=jnp.asarray(index, jnp.int32), reverse=jnp.asarray(reverse, jnp.int32), shift=None,
        origin=neighbours.origin[np.asarray(atoms)], cell=None, rebuildable=False, images=(0, 0, 0),
    )  # fmt: skip


def _find(table: jax.Array, row: jax.Array, wanted: jax.Array) -> jax.Array:
    """Return where ``wanted`` first stands, or is exceeded, in the ascending rows ``row`` of a table."""
    slots = table.shape[1]
    flat = table.reshape(-1)
    low = jnp.zeros(jnp.broadcast_shapes(row.shape, wanted.shape), jnp.int32)
    step = 1 << max(slots - 1, 1).bit_length() - 1
    while step:
        middle = jnp.minimum(low + step, slots) - 1
        low = jnp.where(flat[row * slots + middle] < wanted, middle + 1, low)
        step //= 2
    return jnp.minimum(low, slots - 1)


def _images(vectors: jax.Array, cell: jax.Array) -> jax.Array:
    """Return the lattice vector (integers) that brings each vector to its minimum image."""
    return -jnp.round(vectors @ jnp.linalg.inv(cell))


def cell_of(potential: Any, atoms: Atoms) -> np.ndarray | None:
    """Return the cell (3, 3), Å, that the engine's lists take; None of free atoms, and of what knows its
    own.
    """
    return atoms.cell.array if atoms.pbc.all() and potential.cutoff_A is not None else None


def nearest(vectors: jax.Array, cell: jax.Array) -> jax.Array:
    """Return vectors (…, 3) at their minimum image; which one it is has no say in a derivative."""
    return vectors + jax.lax.stop_gradient(_images(vectors, cell)) @ cell


def _periodic_pairs(
    positions: np.ndarray, reach: float, cell: np.ndarray, pbc: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres, neighbours and shifts (Å) of all pairs within reach, self-images too."""
    if abs(np.linalg.det(cell)) < FLAT_A3:
        raise UserError(
            f"the cell {cell.tolist()} has no volume; a periodic structure needs three cell vectors"
        )
    centre, other, images = primitive_neighbor_list("ijS", pbc, cell, positions, reach)
    return centre, other, images @ cell
