"""Whether a cluster is still one: no atoms on top of each other, none gone; whether molecules are whole.

A model run into a hole of its own need not become non-finite: atoms may collapse or fly off, and the run goes
on as another molecule. Such a frame is no sample of the cluster.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from scipy.sparse.csgraph import minimum_spanning_tree

from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Outcome
from frazil.potentials.neighbours import nearest
from frazil.systems.starts import CLOSEST

DETACHED_A = 3.5
"""Atoms, or groups of them, that have no other this near have left the cluster."""
LOOSE = 1.5
"""A cluster has come apart where a part is so many times farther from the rest than at rest."""
BONDED = 1.2
"""Atoms nearer than so many times their covalent radii's sum are bonded."""
BROKEN = Outcome.FIRST_OF_EXPERIMENT + 2
OUTCOMES = {
    int(Outcome.FINISHED): FINISHED,
    int(Outcome.NON_FINITE): "non-finite",
    int(Outcome.CROWDED): "crowded",
    int(BROKEN): "broken",
}
"""What tables call them. Broken: atoms collapsed, or the cluster came apart (``OneCluster``)."""
BROKEN_AT_START = "broken start"
"""What tables call a run whose start's equilibration broke."""


@dataclass(frozen=True)
class WholeMolecules:
    """Stop rule of the engine for crystals of molecules: ``BROKEN`` where a bond of the structure at rest is
    longer than ``longest_A`` says, or shorter than ``shortest_A``.

    pairs: bonded atoms. shifts_A: what is added to the second's position, where the two are in other cells.
    """

    pairs: tuple[tuple[int, int], ...]
    shifts_A: tuple[tuple[float, float, float], ...]
    longest_A: tuple[float, ...]
    shortest_A: tuple[float, ...]

    @classmethod
    def at_rest(cls, atoms: Atoms) -> "WholeMolecules":
        """Return the rule for a crystal at rest: bonds may grow ``LOOSE``-fold, and shrink as much."""
        reach = {
            (one, other): BONDED
            * (covalent_radii[atomic_numbers[one]] + covalent_radii[atomic_numbers[other]])
            for one in set(atoms.symbols)
            for other in set(atoms.symbols)
        }
        first, second, lengths, images = neighbor_list("ijdS", atoms, reach)
        shifts = images @ atoms.cell.array
        chosen = np.flatnonzero(first < second)
        return cls(
            tuple((int(first[i]), int(second[i])) for i in chosen),
            tuple((float(x), float(y), float(z)) for x, y, z in shifts[chosen]),
            tuple(float(length) for length in LOOSE * lengths[chosen]),
            tuple(float(length) for length in lengths[chosen] / LOOSE),
        )

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code of a broken frame, 0 of any other."""
        return jnp.where(self.holds(state.positions), 0, BROKEN)

    def holds(self, positions: jax.Array) -> jax.Array:
        """Return whether all bonds of positions (natoms, 3) are whole."""
        if not self.pairs:
            return jnp.ones((), bool)
        first, second = np.array(self.pairs).T
        apart = positions[second] + np.array(self.shifts_A) - positions[first]
        lengths = jnp.sqrt((apart**2).sum(axis=1))
        return ((lengths < np.array(self.longest_A)) & (lengths > np.array(self.shortest_A))).all()


@dataclass(frozen=True)
class Separate:
    """Stop rule of the engine for matter in a cell: ``BROKEN`` where two atoms are on top of each other.

    closest_A (natoms, natoms): of each pair, at the minimum image, by the centroids of ``n_beads``.
    """

    closest_A: tuple[tuple[float, ...], ...]
    cell_A: tuple[tuple[float, ...], ...]
    n_beads: int = 1

    @classmethod
    def of(cls, atoms: Atoms, n_beads: int = 1) -> "Separate":
        """Return the rule for the atoms of a cell."""
        radii = covalent_radii[atoms.numbers]
        closest = CLOSEST * (radii[:, None] + radii)
        np.fill_diagonal(closest, 0.0)
        return cls(_tuples(closest), _tuples(atoms.cell.array), n_beads)

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code of a broken frame, 0 of any other."""
        x = state.positions.reshape(self.n_beads, -1, 3).mean(axis=0)
        squared = (nearest(x[:, None] - x, jnp.array(self.cell_A)) ** 2).sum(axis=-1)
        return jnp.where((squared < np.array(self.closest_A) ** 2).any(), BROKEN, 0)


def _tuples(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


@dataclass(frozen=True)
class OneCluster:
    """Stop rule of the engine for clusters of atomic numbers, one row for each kind, 0 for atoms that are not
    there: ``BROKEN`` where a cluster is no longer one. Of a cluster whose parts are farther apart at rest,
    ``detached_A`` says how far is too far.
    """

    numbers: tuple[tuple[int, ...], ...]
    detached_A: float = DETACHED_A

    @classmethod
    def of(cls, *structures: Atoms) -> "OneCluster":
        """Return the rule for structures."""
        longest = max(map(len, structures))
        rows = [np.pad(atoms.numbers, (0, longest - len(atoms))) for atoms in structures]
        return cls(tuple(tuple(int(number) for number in row) for row in rows))

    @classmethod
    def at_rest(cls, atoms: Atoms, detached_A: float = DETACHED_A) -> "OneCluster":
        """Return the rule for a structure at rest whose parts may be ``LOOSE`` times as far apart, if that is
        more than ``detached_A``.
        """
        widest = float(minimum_spanning_tree(atoms.get_all_distances()).toarray().max())
        return replace(cls.of(atoms), detached_A=max(detached_A, LOOSE * widest))

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code of a broken frame, 0 of any other."""
        return jnp.where(self.holds(state.positions, state.kind), 0, BROKEN)

    def holds(self, positions: jax.Array, kind: jax.Array | int = 0) -> jax.Array:
        """Return whether positions (natoms, 3) are those of one cluster of that kind."""
        table = np.array(self.numbers)
        n_atoms, there = table.shape[1], jnp.asarray(table > 0)[kind]
        radii = jnp.asarray(covalent_radii[table])[kind]
        closest = CLOSEST * (radii[:, None] + radii)
        apart = positions[:, None] - positions
        squared = (apart**2).sum(axis=-1)
        overlap = ((squared < closest**2) & ~np.eye(n_atoms, dtype=bool)).any()
        reached = (squared < self.detached_A**2).astype(jnp.float32)
        for _ in range(max(n_atoms - 1, 1).bit_length()):  # paths of 1, 2, 4, … steps
            reached = (reached @ reached > 0).astype(jnp.float32)
        return ~overlap & ((reached[0] > 0) | ~there).all()


def broken(atoms: Atoms) -> WholeMolecules | OneCluster:
    """Return the rule that ends a run whose structure at rest broke: a crystal's bonds, or a cluster."""
    return WholeMolecules.at_rest(atoms) if atoms.pbc.any() else OneCluster.at_rest(atoms)
