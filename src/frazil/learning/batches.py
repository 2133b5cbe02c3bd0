"""Labelled frames as padded batches of lanes for GM-NN training: few shapes, so that few compilations serve
all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.learning.branches import labels_of
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.gmnn.committee import bucket
from frazil.potentials.neighbours import Neighbours, of_atoms
from frazil.pytrees import pytree

PAIR = "pair"
"""In ``info``: the name that two frames share, one of which is the other with more atoms."""


@pytree
@dataclass(frozen=True)
class Batch:
    """B structures on N lanes with K neighbour slots; free lanes belong to no structure (owner B), free
    places have 0 atoms.

    index, reverse (N, K): as in ``Neighbours``, free slots N. centred (N, 3): positions from the centre of
    mass, Å. energies (B,) eV, forces (N, 3) eV/Å, dipoles (B, 3) e Å (0 where unlabelled), charges (B,) e.
    weights (B,): of a frame's loss, ``info["weight"]``, 1 where there is none. partner (B,): the place of the
    frame that has less of the same (``PAIR``), a frame's own place where there is none. arms (N, S, 3): of a
    model that knows oxidation numbers (``reference.arms``), whose dipoles here are less Σ N R.
    """

    species: np.ndarray
    positions: np.ndarray
    centred: np.ndarray
    index: np.ndarray
    reverse: np.ndarray
    shift: np.ndarray | None
    owner: np.ndarray
    n_atoms: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    dipoles: np.ndarray
    charges: np.ndarray
    weights: np.ndarray
    partner: np.ndarray
    n_structures: int = field(metadata={"static": True})
    arms: np.ndarray | None = None


@dataclass(frozen=True)
class Frames:
    """Frames ready to be batched: neighbour lists and positions from the centre of mass are made once.

    kinds: of each frame, its atoms or neighbours as a power of two, of a pair
    those of the larger. rooms: of each kind, from the smallest,
    slots and atoms that hold any frame up to it. pairs: of each frame, the name of its pair, or "". arms,
    dipoles: of each frame, for a model that knows oxidation numbers only.
    """

    atoms: Sequence[Atoms]
    species: list[np.ndarray]
    centred: list[np.ndarray]
    lists: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    periodic: bool
    kinds: list[int]
    rooms: dict[int, tuple[int, int]]
    pairs: list[str]
    arms: list[np.ndarray] = field(default_factory=list)
    dipoles: list[np.ndarray] = field(default_factory=list)


class Sized(Protocol):
    """What lists are made for: an architecture with its elements and its cutoff."""

    @property
    def cutoff_A(self) -> float:
        """How far neighbours matter."""

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into the elements (natoms,) of atomic numbers."""


def prepare(architecture: Sized, atoms: Sequence[Atoms], skin_A: float = 0.0) -> Frames:
    """Build every frame's lists, to the cutoff and ``skin_A`` beyond.

    Raises UserError, naming the frame, for one that the model cannot take.
    """
    species, lists, near = [], [], []
    for number, frame in enumerate(atoms):
        try:
            species.append(architecture.species(frame.numbers))
            built = of_atoms(frame, architecture.cutoff_A, skin_A, room=1.0)
        except UserError as error:
            raise UserError(f"frame {number}: {error}") from error
        shift = None if built.shift is None else np.asarray(built.shift)
        lists.append((np.asarray(built.index), np.asarray(built.reverse), shift))
        near.append(built)
    centred = [frame.positions - frame.get_center_of_mass() for frame in atoms]
    periodic = any(shift is not None for _, _, shift in lists)
    sizes = [(index.shape[1], len(frame)) for (index, _, _), frame in zip(lists, atoms, strict=True)]
    pairs = [str(frame.info.get(PAIR, "")) for frame in atoms]
    kinds = [(max(*size, 17) - 1).bit_length() for size in sizes]
    largest: dict[str, int] = {}
    for pair, kind in zip(pairs, kinds, strict=True):
        largest[pair] = max(kind, largest.get(pair, 0))
    kinds = [largest[pair] if pair else kind for pair, kind in zip(pairs, kinds, strict=True)]
    rooms = {}
    for kind in sorted(set(kinds)):
        slots, most = zip(*(size for own, size in zip(kinds, sizes, strict=True) if own <= kind), strict=True)
        rooms[kind] = max(slots), max(most)
    made = Frames(atoms, species, centred, lists, periodic, kinds, rooms, pairs)
    if isinstance(architecture, Architecture) and architecture.oxidation:
        by_element = dict(zip(architecture.atomic_numbers.tolist(), architecture.oxidation, strict=True))
        compiled = jax.jit(partial(reference.arms, architecture))
        for own, built, frame in zip(species, near, atoms, strict=True):
            made.arms.append(np.asarray(compiled(own, built, frame.positions)))
        made.dipoles.extend(labels_of(atoms, by_element))
    return made


def baseline(frames: Frames, n_species: int) -> tuple[np.ndarray, float]:
    """Return what a network starts from: shifts (S,) eV, least squares of the energies over the composition,
    and the scale, the root mean square force × 1 Å, eV.
    """
    counts = np.array([np.bincount(s, minlength=n_species) for s in frames.species])
    energies = np.array([atoms.calc.results["energy"] for atoms in frames.atoms])
    forces = np.concatenate([atoms.calc.results["forces"] for atoms in frames.atoms])
    return np.linalg.lstsq(counts, energies, rcond=None)[0], max(float(np.sqrt((forces**2).mean())), 1e-3)


def residuals(batch: Batch, energies: jax.Array, forces: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return what energies (B,), eV, and forces (N, 3), eV/Å, are off by; 0 at free places."""
    energy = jnp.where(batch.n_atoms > 0, energies - batch.energies, 0.0)
    inside = (batch.owner < batch.n_structures)[:, None]
    return energy, jnp.where(inside, forces - batch.forces, 0.0)


def squared(batch: Batch, energy: jax.Array, force: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return sums of ``residuals`` over a batch, each times the frame's weight: ΔE²/N, eV², and Σ|ΔF|²/(3N),
    eV²/Å².

    Where a frame's partner is in the batch (``PAIR``), (ΔE − ΔE_partner)²/(N − N_partner) is added: what the
    atoms that it has more add to the energy, which errors of a hundred others would hide.
    """
    atoms, weights = jnp.maximum(batch.n_atoms, 1.0), jnp.asarray(batch.weights)
    own = jnp.append(weights / (3.0 * atoms), 0.0)[batch.owner]
    partner = jnp.asarray(batch.partner)
    more = jnp.maximum(batch.n_atoms - jnp.asarray(batch.n_atoms)[partner], 1.0)
    shares = (energy - energy[partner]) ** 2 / more
    return (weights * (energy**2 / atoms + shares)).sum(), ((force**2).sum(axis=1) * own).sum()


def lists_of(batch: Batch, cutoff_A: float) -> Neighbours:
    """Return a batch's lists as a potential takes them; they are not rebuilt."""
    return Neighbours(
        index=jnp.asarray(batch.index),
        reverse=jnp.asarray(batch.reverse),
        shift=batch.shift,
        origin=batch.positions,
        cell=None,
        overflow=jnp.asarray(False),
        cutoff_A=cutoff_A,
        skin_A=0.0,
        rebuildable=False,
    )


def assemble(
    frames: Frames, chosen: Sequence[int] | np.ndarray, n_structures: int, slots: int, least_lanes: int = 0
) -> Batch:
    """Return a batch of the chosen frames, padded to ``n_structures`` places, ``slots`` and a bucket of
    lanes, at least ``least_lanes``.
    """
    sizes = [len(frames.atoms[i]) for i in chosen]
    n_lanes = max(bucket(sum(sizes)), least_lanes)
    own = np.arange(slots, dtype=np.int32)
    batch = Batch(
        species=np.zeros(n_lanes, np.int32),
        positions=np.zeros((n_lanes, 3)),
        centred=np.zeros((n_lanes, 3)),
        index=np.full((n_lanes, slots), n_lanes, np.int32),
        reverse=np.tile(own, (n_lanes, 1)),
        shift=np.zeros((n_lanes, slots, 3)) if frames.periodic else None,
        owner=np.full(n_lanes, n_structures, np.int32),
        n_atoms=np.zeros(n_structures),
        energies=np.zeros(n_structures),
        forces=np.zeros((n_lanes, 3)),
        dipoles=np.zeros((n_structures, 3)),
        charges=np.zeros(n_structures),
        weights=np.zeros(n_structures),
        partner=np.arange(n_structures, dtype=np.int32),
        n_structures=n_structures,
        arms=np.zeros((n_lanes, *frames.arms[0].shape[1:])) if frames.arms else None,
    )
    fewest: dict[str, int] = {}
    for place, i in enumerate(chosen):
        name = frames.pairs[i]
        if name and sizes[place] < sizes[fewest.setdefault(name, place)]:
            fewest[name] = place
    start = 0
    for place, i in enumerate(chosen):
        atoms, (index, reverse, shift) = frames.atoms[i], frames.lists[i]
        here, n, wide = slice(start, start + len(atoms)), len(atoms), index.shape[1]
        batch.species[here] = frames.species[i]
        batch.positions[here] = atoms.positions
        batch.centred[here] = frames.centred[i]
        batch.index[here, :wide] = np.where(index < n, index + start, n_lanes)
        batch.reverse[here, :wide] = np.where(index < n, reverse, own[:wide])
        if shift is not None and batch.shift is not None:
            batch.shift[here, :wide] = shift
        batch.owner[here] = place
        batch.n_atoms[place] = n
        results = atoms.calc.results
        batch.energies[place] = results["energy"]
        batch.forces[here] = results["forces"]
        batch.dipoles[place] = frames.dipoles[i] if frames.dipoles else results.get("dipole", 0.0)
        if batch.arms is not None:
            batch.arms[here] = frames.arms[i]
        batch.charges[place] = atoms.info.get("charge", 0.0)
        batch.weights[place] = atoms.info.get("weight", 1.0)
        batch.partner[place] = fewest.get(frames.pairs[i], place)
        start += n
    return batch


def batches(frames: Frames, order: Sequence[int] | np.ndarray, batch_size: int) -> list[Batch]:
    """Return all frames in ``order`` as batches, those of like size (within a factor of two) together.

    Small clusters are not padded to the slots of large ones that way. What is left over of a class goes with
    the next larger one, so that only the last batch is short. All batches of a class have the lanes of its
    largest frames, since each shape is compiled. Batches come in the order of their first frames.
    """
    first: dict[str, int] = {}
    for k, i in enumerate(order):
        first.setdefault(frames.pairs[i], k)
    place = {
        int(i): (first[frames.pairs[i]] if frames.pairs[i] else k, k) for k, i in enumerate(order)
    }  # frames of a pair follow each other
    made: list[tuple[tuple[int, int], Batch]] = []
    rest: list[int] = []
    for kind, (slots, n_atoms) in frames.rooms.items():
        members = sorted(rest + [i for i in place if frames.kinds[i] == kind], key=place.__getitem__)
        full = len(members) if kind == max(frames.rooms) else len(members) - len(members) % batch_size
        rest = members[full:]
        for k in range(0, full, batch_size):
            chosen = members[k : k + batch_size]
            batch = assemble(frames, chosen, batch_size, slots, bucket(batch_size * n_atoms))
            made.append((place[chosen[0]], batch))
    return [batch for _, batch in sorted(made, key=itemgetter(0))]


def groups(batches: Sequence[Batch], room: int) -> Iterator[tuple[Batch, int]]:
    """Yield consecutive batches of one shape stacked, up to ``room``, and how many; the rest repeats the last
    one.
    """
    group: list[Batch] = []
    for batch in (*batches, None):
        if group and (batch is None or len(group) == room or batch.index.shape != group[0].index.shape):
            padded = group + group[-1:] * (room - len(group))
            yield jax.tree.map(lambda *parts: np.stack(parts), *padded), len(group)
            group = []
        if batch is not None:
            group.append(batch)
