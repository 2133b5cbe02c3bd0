"""A surface by one potential, and what an adsorbate adds to the energy by another.

E(surface and adsorbate) = E(surface) + share, where the share is a GM-NN of which only the adsorbate's own
atoms count (``Architecture.adsorbate``). Errors of many surface atoms, each small, do not add up in it.
Importing this module switches JAX to float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.potentials.dispersion import Dispersion
from frazil.potentials.gmnn.committee import Committee, Prediction
from frazil.potentials.gmnn.files import Model
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree

TAIL = "dispersion_eV_A6"
"""In the metadata of an adsorbate's network: C6 by pairs of elements, where its labels had a tail."""


@pytree
@dataclass(frozen=True)
class OnSurface:
    """A potential of the first ``n_surface`` atoms, and one of all that gives the share of the others.

    surface: None where there are no such atoms. alone: what the adsorbate's molecules do by themselves
    (``WithMolecules``), or None. tail: its ``Dispersion``, or None.
    """

    surface: Any
    share: Any
    alone: Any
    tail: Any
    n_surface: int = field(metadata={"static": True})

    @property
    def cutoff_A(self) -> float | None:
        """The larger of both cutoffs."""
        parts = (self.surface, self.share)
        return max((part.cutoff_A for part in parts if part is not None and part.cutoff_A), default=None)

    @property
    def n_atoms(self) -> int | None:
        """The number of all atoms."""
        found: int | None = self.share.n_atoms
        return found

    def batched(self, n_replicas: int) -> Batched:
        """Return both parts' functions, added up."""
        share, n = self.share.batched(n_replicas), self.n_surface
        below = self.surface.batched(n_replicas) if n else None

        def arrange(neighbours: Neighbours | None) -> Any:
            own = below.arrange(None if neighbours is None else first_of(neighbours, n)) if below else None
            return own, share.arrange(neighbours)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            added = share.evaluate(lists[1], positions)
            energies, forces = added.energies, added.forces
            if below:
                surface = below.evaluate(lists[0], positions[:, :n])
                energies, forces = energies + surface.energies, forces.at[:, :n].add(surface.forces)
            if self.tail is not None:
                far = self.tail.evaluate(positions)
                energies, forces = energies + far.energies, forces + far.forces
            if self.alone is not None:
                own_energies, own_forces = jax.vmap(self.alone.alone)(positions[:, n:])
                energies, forces = energies + own_energies, forces.at[:, n:].add(own_forces)
            return Evaluation(energies, forces, {})

        return Batched(arrange, evaluate)


def first_of(neighbours: Neighbours, n: int) -> Neighbours:
    """Return the lists (R, natoms, slots) of the first n atoms, among themselves."""
    index = neighbours.index[:, :n]
    shift = neighbours.shift
    return replace(
        neighbours,
        index=jnp.where(index < n, index, n),
        reverse=neighbours.reverse[:, :n],
        shift=None if shift is None else shift[:, :n],
        origin=neighbours.origin[:, :n],
    )


def n_below(atoms: Atoms, adsorbate: Sequence[str]) -> int:
    """Return how many atoms come before those of an adsorbate. Raises UserError where it is not the last."""
    own = np.isin(atoms.get_chemical_symbols(), adsorbate)
    n = int((~own).sum())
    if own[:n].any():
        raise UserError(
            f"atoms {atoms.symbols}, of which {' '.join(adsorbate)} is the adsorbate; put its atoms last"
        )
    return n


class AdsorptionCommittee:
    """What ``Committee`` predicts, of a surface's model and its adsorbate's, member by member."""

    def __init__(self, surface: Model, share: Model) -> None:
        self._surface, self._share = Committee(surface), Committee(share)
        self._adsorbate = share.architecture.adsorbate
        self._c6_eV_A6 = share.metadata.get(TAIL, {})

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Return predictions of structures of any size, without dipoles."""
        own = [np.isin(atoms.get_chemical_symbols(), self._adsorbate) for atoms in structures]
        below = [i for i, mask in enumerate(own) if not mask.all()]
        on = [i for i, mask in enumerate(own) if mask.any()]
        bare = [structures[i][~own[i]] for i in below]
        of_surface = dict(zip(below, self._surface.predict(bare) if bare else [], strict=True))
        covered = [structures[i] for i in on]
        of_share = dict(zip(on, self._share.predict(covered) if covered else [], strict=True))
        if self._c6_eV_A6:
            of_share = {i: self._with_tail(structures[i], own[i], known) for i, known in of_share.items()}
        made = []
        for i, mask in enumerate(own):
            if i not in of_surface:
                made.append(of_share[i])
                continue
            found = of_surface[i]
            forces = np.zeros((len(found.energies_eV), len(mask), 3))
            forces[:, ~mask] = found.forces_eV_per_A
            energies = found.energies_eV
            if i in of_share:
                energies = energies + of_share[i].energies_eV
                forces = forces + of_share[i].forces_eV_per_A
            made.append(Prediction(energies, forces, None))
        return made

    def _with_tail(self, atoms: Atoms, own: np.ndarray, known: Prediction) -> Prediction:
        """Return a prediction of the share with the adsorbate's dispersion."""
        tail = Dispersion.of(self._c6_eV_A6, atoms.numbers[own], atoms.numbers[~own])
        forces = np.zeros((len(atoms), 3))
        energy_eV, forces[own], forces[~own] = tail.between(atoms.positions[own], atoms.positions[~own])
        return Prediction(known.energies_eV + energy_eV, known.forces_eV_per_A + forces, known.dipoles_e_A)


Members = Committee | AdsorptionCommittee
"""What predicts many structures, member by member."""


def committee_of(surface: Model, adsorbate: Model | None) -> Members:
    """Return what predicts many structures, by a committee's members and its adsorbate's if there is one."""
    return Committee(surface) if adsorbate is None else AdsorptionCommittee(surface, adsorbate)
