"""Dipoles of any structure, and what an ion carried through a whole cell does to one and to the energy.

A cell's dipole has many values, e times a lattice vector apart (Jiang, Levchenko & Rappe, Phys. Rev. Lett.
108, 166403, 2012; Stocco, Carbogno & Rossi, arXiv:2502.02413). Along a path on which an ion goes through the
whole vector L to its image, all is as before, but for the dipole: that has changed by N L, N the ion's
oxidation number. A dipole of one value cannot do that, and one of charges that are no whole numbers does it
wrong.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from frazil.errors import UserError
from frazil.potentials.interface import jit
from frazil.potentials.neighbours import of_atoms
from frazil.potentials.registry import Source
from frazil.potentials.transform import FieldCoupling, NoDipole
from frazil.systems.molecules import Molecules

WHOLE_e = 1e-3
"""How far a carried ion's number may be from a whole one."""
RETURNED_eV = 1e-3
"""How far the energy may be from where it was, when all is as before."""
N_STEPS = 24
"""Steps of a path."""
ASIDE = (-0.5, -0.375, -0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)
"""Of the cell's other two vectors: how far to the side a path may swing, so that atoms do not meet."""
ROOM = 1.6

Unit = tuple[str, np.ndarray]
"""A name, and the atoms that go together: an ion, or a whole molecule."""


class Dipoles:
    """Dipole, energy and Born charges of a source's mean, or of a member, on structures like one."""

    def __init__(self, source: Source, atoms: Atoms, member: int | None = None) -> None:
        self._atoms = atoms
        self._source, self._potential = source, source.potential(atoms, member)
        self._slots: int | None = None

    def __call__(self, positions_A: np.ndarray) -> np.ndarray:
        """Return the dipole (3,), e Å, of positions (natoms, 3)."""
        return self.with_slope(positions_A, np.array([0.0, 0.0, 1.0]))[0]

    def with_slope(self, positions_A: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the dipole (3,), and the slope (natoms, 3), e, of its part along a direction (3,)."""
        info = self._evaluated(positions_A, direction).info
        return np.asarray(info["dipole_e_A"][0]), np.asarray(info["coupling_slope_e"][0])

    def with_energy(self, positions_A: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the dipole (3,), e Å, and the energy, eV."""
        found = self._evaluated(positions_A, np.array([0.0, 0.0, 1.0]))
        return np.asarray(found.info["dipole_e_A"][0]), float(found.energies[0])

    def born_charges(self, positions_A: np.ndarray) -> np.ndarray:
        """Return ∂μ/∂r (natoms, 3, 3), e: of each atom, the dipole's component by the atom's."""
        return np.stack([self.with_slope(positions_A, axis)[1] for axis in np.eye(3)], axis=1)

    def _evaluated(self, positions_A: np.ndarray, direction: np.ndarray) -> Any:
        lists, cutoff_A = None, self._potential.cutoff_A
        if cutoff_A is not None:
            atoms = self._atoms.copy()
            atoms.positions = positions_A
            found = of_atoms(atoms, cutoff_A, capacity=self._slots, room=ROOM)
            if bool(found.overflow):
                found = of_atoms(atoms, cutoff_A, room=ROOM)
            self._slots = int(found.index.shape[1])
            lists = jax.tree.map(lambda leaf: leaf[None], found)
        try:
            return _coupled(self._potential, lists, jnp.asarray(positions_A)[None], jnp.asarray(direction))
        except NoDipole as error:
            if self._atoms.pbc.any():
                raise UserError(
                    f"a field on a cell under a potential of kind {self._source.kind}, which has no dipole "
                    "there: one of charges and positions alone has one branch. Train a GM-NN with oxidation "
                    "numbers (train-gmnn --dipole-weight … --oxidation-numbers Na:1,Cl:-1), or give "
                    "rock-salt or q-tip4p-f"
                ) from error
            raise


@jit
def _coupled(potential: Any, lists: Any, positions: Any, direction: Any) -> Any:
    ready = FieldCoupling(potential, direction).batched(1)
    return ready.evaluate(ready.arrange(lists), positions)


def carried_units(atoms: Atoms, molecules: Molecules) -> list[Unit]:
    """Return what may be carried through a cell: the first ion of each element, or molecule of each kind."""
    found: dict[str, np.ndarray] = {}
    for formula, own in zip(molecules.formulas, molecules.members, strict=True):
        found.setdefault(formula, own)
    return list(found.items())


def check_branches(source: Source, atoms: Atoms, name: str, units: Sequence[Unit]) -> None:
    """Raise UserError for a potential whose energy or dipole is not that of a cell.

    What is carried through a whole lattice vector leaves the energy as it was and changes the dipole by a
    whole number of them.
    """
    dipoles = Dipoles(source, atoms)
    before, energy_eV = dipoles.with_energy(atoms.positions)
    for unit, own in units:
        for axis in range(3):
            positions = atoms.positions.copy()
            positions[own] += atoms.cell.array[axis]
            after, then_eV = dipoles.with_energy(positions)
            changed = atoms.cell.scaled_positions(after - before)
            if abs(then_eV - energy_eV) > RETURNED_eV:
                raise UserError(
                    f"{name}: {unit} carried through the cell's vector {'abc'[axis]} changes the energy by "
                    f"{then_eV - energy_eV:.3g} eV under {source.kind}, which is not periodic; give another "
                    "potential"
                )
            if np.abs(changed - np.round(changed)).max() > WHOLE_e:
                raise UserError(
                    f"{name}: {unit} carried through the cell's vector {'abc'[axis]} changes the dipole of "
                    f"{source.kind} by {changed[axis]:.3f} e times it, which is no whole number: this dipole "
                    "has one branch only. Train a GM-NN with oxidation numbers (train-gmnn --dipole-weight … "
                    "--oxidation-numbers Na:1,Cl:-1)"
                )


def paths(source: Source, atoms: Atoms, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """Return rows of ``tables.CARRIED``: each unit along the three lattice vectors, under the mean."""
    dipoles, rows = Dipoles(source, atoms), []
    for unit, own in units:
        for axis in range(3):
            before, energy_eV = dipoles.with_energy(atoms.positions)
            for fraction, places in _path(atoms, own, axis):
                positions = atoms.positions.copy()
                positions[own] = places
                dipole, now_eV = dipoles.with_energy(positions)
                changed = atoms.cell.scaled_positions(dipole - before)
                others = np.delete(changed, axis)
                rows.append(
                    {
                        "carried": unit, "along": "abc"[axis], "fraction": fraction,
                        "change_e": changed[axis], "change_across_e": others[np.abs(others).argmax()],
                        "energy_eV": now_eV - energy_eV,
                    }
                )  # fmt: skip
    return rows


def _path(atoms: Atoms, own: np.ndarray, axis: int) -> list[tuple[float, np.ndarray]]:
    """Return fractions and places (n, 3) of atoms that go through a lattice vector, on the widest path.

    It swings to the side by a sine's arch; the side is the one on which others stay farthest.
    """
    cell, rest = atoms.cell.array, np.delete(np.arange(len(atoms)), own)
    fractions = np.linspace(0.0, 1.0, N_STEPS + 1)
    one, two = (cell[(axis + n) % 3] for n in (1, 2))
    best: tuple[float, np.ndarray] = (-1.0, np.zeros((0, 3)))
    for first, second in product(ASIDE, repeat=2):
        shifts = np.outer(fractions, cell[axis]) + np.outer(
            np.sin(np.pi * fractions), first * one + second * two
        )
        places = atoms.positions[own][None] + shifts[:, None]
        _, apart = get_distances(places.reshape(-1, 3), atoms.positions[rest], cell=cell, pbc=True)
        closest = float(apart.min())
        if closest > best[0] + 1e-9:
            best = closest, places
    return list(zip(fractions.tolist(), best[1], strict=True))
