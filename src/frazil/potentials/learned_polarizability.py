"""A committee's polarizability, linear in products of Gaussian moments: of each atom a scalar and a tensor.

The moments are those of a Gaussian-moment network (Zaverkin & Kästner, J. Chem. Theory Comput. 16, 5410,
2020, eq. 4), with fixed Gaussians for radial functions and one channel for each element of a neighbour: M0,
M1, M2 (natoms, channels, 3, …), M2 without its trace. Of rank 0 are M0, M0 M0', M1·M1' and M2:M2', of rank 2
M2, M1 ⊗ M1', M0 M2' and M2 M2', symmetric and without trace. Each element has weights of its own, so that
α = Σ_i (a + w⁰·f⁰(i)) 1 + w²·f²(i) is extensive, turns with the atoms, and takes atoms in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.data.cells import heights
from frazil.errors import UserError
from frazil.potentials.neighbours import nearest

FIRST_A = 1.0
"""Centre of the first Gaussian; the last is at 0.88 of the cutoff."""
LAST = 0.88


@dataclass(frozen=True)
class Moments:
    """What the moments are made of: elements in order of atomic number, cutoff, Gaussians."""

    elements: tuple[int, ...]
    cutoff_A: float
    n_radial: int

    @property
    def n_channels(self) -> int:
        """One for each Gaussian and element of a neighbour."""
        return self.n_radial * len(self.elements)

    @property
    def n_weights(self) -> int:
        """Of each rank, of one element."""
        return self.n_channels * (1 + 3 * self.n_channels)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into the elements (natoms,). Raises UserError for a foreign one."""
        foreign = sorted(set(map(int, numbers)) - set(self.elements))
        if foreign:
            raise UserError(
                f"atoms of atomic number {foreign} for a polarizability that learnt {list(self.elements)}"
            )
        return np.searchsorted(self.elements, numbers)

    def check_cell(self, atoms: Atoms) -> None:
        """Raise UserError for a cell whose faces are nearer than two cutoffs, or one that is periodic in
        part.
        """
        if not atoms.pbc.any():
            return
        if not atoms.pbc.all():
            raise UserError(
                f"{atoms.symbols} is periodic along some axes only; give a crystal, or free atoms"
            )
        height = float(heights(atoms.cell.array).min())
        if height < 2 * self.cutoff_A:
            raise UserError(
                f"a cell with opposite faces {height:.4g} Å apart for a polarizability that reaches "
                f"{self.cutoff_A:g} Å, which needs {2 * self.cutoff_A:g} Å or more: repeat the cell"
            )

    def of(
        self, species: jax.Array, positions_A: jax.Array, cell_A: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return M0 (natoms, c), M1 (natoms, c, 3) and M2 (natoms, c, 3, 3)."""
        n_atoms = positions_A.shape[0]
        apart = positions_A[None] - positions_A[:, None]
        if cell_A is not None:
            apart = nearest(apart, cell_A)
        own = jnp.eye(n_atoms)
        distance = jnp.sqrt((apart**2).sum(axis=-1) + own)
        unit = apart / distance[..., None]
        cut = 0.5 * (jnp.cos(np.pi * jnp.minimum(distance / self.cutoff_A, 1.0)) + 1.0) * (1.0 - own)
        centres = np.linspace(FIRST_A, LAST * self.cutoff_A, self.n_radial)
        width = (centres[1] - centres[0]) * 0.9 if self.n_radial > 1 else 1.0
        radial = jnp.exp(-(((distance[..., None] - centres) / width) ** 2)) * cut[..., None]
        of_element = jnp.asarray(np.arange(len(self.elements)))[None] == species[:, None]
        channels = (radial[:, :, None, :] * of_element[None, :, :, None]).reshape(n_atoms, n_atoms, -1)
        m0 = channels.sum(axis=1)
        m1 = jnp.einsum("ijc,ija->ica", channels, unit)
        m2 = jnp.einsum("ijc,ija,ijb->icab", channels, unit, unit) - m0[..., None, None] * jnp.eye(3) / 3
        return m0, m1, m2


def features(
    moments: Moments, species: jax.Array, positions_A: jax.Array, cell_A: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Return the sums over atoms of each element: rank 0 (elements · n_weights,), rank 2 (…, 3, 3)."""
    m0, m1, m2 = moments.of(species, positions_A, cell_A)
    n = len(m0)
    scalars = [
        m0, jnp.einsum("ic,id->icd", m0, m0), jnp.einsum("ica,ida->icd", m1, m1),
        jnp.einsum("icab,idab->icd", m2, m2),
    ]  # fmt: skip
    tensors = [
        m2, jnp.einsum("ica,idb->icdab", m1, m1), jnp.einsum("ic,idab->icdab", m0, m2),
        jnp.einsum("icae,ideb->icdab", m2, m2),
    ]  # fmt: skip
    element = jnp.asarray(np.arange(len(moments.elements)))[None] == species[:, None]
    rank0 = jnp.concatenate([part.reshape(n, -1) for part in scalars], axis=1)
    rank2 = jnp.concatenate([part.reshape(n, -1, 3, 3) for part in tensors], axis=1)
    sums = jnp.einsum("is,if->sf", element, rank0).reshape(-1)
    return sums, traceless(jnp.einsum("is,ifab->sfab", element, rank2).reshape(-1, 3, 3))


def traceless(tensors: jax.Array) -> jax.Array:
    """Return the symmetric parts of tensors (…, 3, 3), without their traces."""
    symmetric = 0.5 * (tensors + jnp.swapaxes(tensors, -1, -2))
    trace = jnp.trace(symmetric, axis1=-2, axis2=-1) / 3
    return symmetric - trace[..., None, None] * jnp.eye(3)


def polarizabilities(
    positions_A: jax.Array, moments: Moments, weights: tuple[Any, Any, Any], species: np.ndarray, cell_A: Any
) -> jax.Array:
    """Return α (members, 3, 3), Å³, of positions (natoms, 3), by forms of the moments: no feature is made.

    weights: a (members,) Å³ per atom; of both ranks (members, elements, n_weights).
    """
    constant, scalar, tensor = weights
    m0, m1, m2 = moments.of(jnp.asarray(species), positions_A, cell_A)
    c = moments.n_channels
    total0 = constant * positions_A.shape[0]
    total2: Any = 0.0
    for element in range(len(moments.elements)):
        chosen = np.flatnonzero(species == element)
        if not len(chosen):
            continue
        a, b, d = m0[chosen], m1[chosen], m2[chosen]
        single, pairs = _split(scalar[:, element], c)
        sums = [
            jnp.einsum("ic,id->cd", a, a), jnp.einsum("icx,idx->cd", b, b), jnp.einsum("icxy,idxy->cd", d, d)
        ]  # fmt: skip
        total0 = total0 + single @ a.sum(axis=0)
        total0 = total0 + sum(jnp.einsum("mcd,cd->m", w, s) for w, s in zip(pairs, sums, strict=True))
        single, pairs = _split(tensor[:, element], c)
        products = [
            jnp.einsum("ica,idb->cdab", b, b), jnp.einsum("ic,idab->cdab", a, d),
            jnp.einsum("icae,ideb->cdab", d, d),
        ]  # fmt: skip
        total2 = total2 + jnp.einsum("mc,cab->mab", single, d.sum(axis=0))
        total2 = total2 + sum(jnp.einsum("mcd,cdab->mab", w, p) for w, p in zip(pairs, products, strict=True))
    return total0[:, None, None] * jnp.eye(3) + traceless(total2)


def _split(weights: Any, c: int) -> tuple[Any, list[Any]]:
    """Return the weights (members, c) of single moments, and three (members, c, c) of pairs."""
    pairs = weights[:, c:].reshape(len(weights), 3, c, c)
    return weights[:, :c], [pairs[:, place] for place in range(3)]


@dataclass(frozen=True)
class Learned:
    """A committee: its moments, and its weights as ``polarizabilities`` takes them."""

    moments: Moments
    constant: np.ndarray
    scalar: np.ndarray
    tensor: np.ndarray

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.constant)

    def function(self, atoms: Atoms) -> Callable[[jax.Array], jax.Array]:
        """Return α (members, 3, 3) of positions of these atoms. Raises UserError for foreign ones."""
        self.moments.check_cell(atoms)
        species = self.moments.species(atoms.numbers)
        cell = jnp.asarray(atoms.cell.array) if atoms.pbc.any() else None
        weights = tuple(jnp.asarray(part) for part in (self.constant, self.scalar, self.tensor))
        return partial(polarizabilities, moments=self.moments, weights=weights, species=species, cell_A=cell)
