"""Dipoles of any structure, their slopes, and whether a cell's is one of many values.

A cell's dipole has many values, e times a lattice vector apart (Jiang, Levchenko & Rappe, Phys. Rev. Lett.
108, 166403, 2012; Stocco, Carbogno & Rossi, arXiv:2502.02413). Along a path on which an ion goes through the
whole vector L to its image, all is as before, but for the dipole: that has changed by N L, N the ion's
oxidation number. A dipole of one value cannot do that, and one of charges that are no whole numbers does it
wrong.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.potentials.interface import jit
from frazil.potentials.neighbours import of_atoms
from frazil.potentials.registry import Source
from frazil.potentials.transform import CalledBack, FieldCoupling, NoDipole
from frazil.systems.crystals import NoMolecules, whole_molecules
from frazil.systems.molecules import Molecules

WHOLE_e = 1e-3
"""How far a carried ion's number may be from a whole one."""
RETURNED_eV = 1e-3
"""How far the energy may be from where it was, when all is as before."""
ROOM = 1.6
STEP_A = 0.01
"""Of differences of a dipole that is called back."""

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

    def by_differences(self, positions_A: np.ndarray) -> np.ndarray:
        """Return the same for dipoles that cannot be differentiated: differences over ± ``STEP_A``."""
        moves = STEP_A * np.eye(positions_A.size).reshape(-1, *positions_A.shape)
        rows = [self._plain(positions_A + move) - self._plain(positions_A - move) for move in moves]
        slopes = np.array(rows) / (2 * STEP_A)
        return slopes.reshape(*positions_A.shape, 3).swapaxes(1, 2)

    def _plain(self, positions_A: np.ndarray) -> np.ndarray:
        found = _uncoupled(self._potential, self._lists(positions_A), jnp.asarray(positions_A)[None])
        return np.asarray(found.info["dipole_e_A"][0])

    def _lists(self, positions_A: np.ndarray) -> Any:
        if (cutoff_A := self._potential.cutoff_A) is None:
            return None
        atoms = self._atoms.copy()
        atoms.positions = positions_A
        found = of_atoms(atoms, cutoff_A, capacity=self._slots, room=ROOM)
        if bool(found.overflow):
            found = of_atoms(atoms, cutoff_A, room=ROOM)
        self._slots = int(found.index.shape[1])
        return jax.tree.map(lambda leaf: leaf[None], found)

    def _evaluated(self, positions_A: np.ndarray, direction: np.ndarray) -> Any:
        lists = self._lists(positions_A)
        try:
            return _coupled(self._potential, lists, jnp.asarray(positions_A)[None], jnp.asarray(direction))
        except NoDipole as error:
            if self._atoms.pbc.any():
                raise UserError(
                    f"a cell under a potential of kind {self._source.kind}, which has no dipole there: one "
                    "of charges and positions alone has one branch. Train a GM-NN with oxidation numbers "
                    "(train-gmnn --dipole-weight … --oxidation-numbers Na:1,Cl:-1), or give rock-salt or "
                    "q-tip4p-f"
                ) from error
            raise


@jit
def _coupled(potential: Any, lists: Any, positions: Any, direction: Any) -> Any:
    ready = FieldCoupling(potential, direction).batched(1)
    return ready.evaluate(ready.arrange(lists), positions)


@jit
def _uncoupled(potential: Any, lists: Any, positions: Any) -> Any:
    ready = potential.batched(1)
    return ready.evaluate(ready.arrange(lists), positions)


def pieces_of(given: Atoms, name: str) -> tuple[Atoms, Molecules]:
    """Return a cell's atoms with each molecule in one piece, and the molecules; each ion is one."""
    atoms = Atoms(given.numbers, given.positions, cell=given.cell, pbc=True)
    try:
        atoms.positions, members = whole_molecules(given, name)
    except NoMolecules:
        alone = tuple(np.array([i]) for i in range(len(atoms)))
        return atoms, Molecules(atoms.numbers.copy(), alone, np.zeros((0, 2), int))
    found = Molecules.of(Atoms(atoms.numbers, atoms.positions))
    if [list(own) for own in found.members] != [list(own) for own in members]:
        raise UserError(f"{name}: molecules of its cell overlap; give a structure without overlaps")
    return atoms, found


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


def slopes_of(source: Source, atoms: Atoms, name: str) -> tuple[np.ndarray | None, str]:
    """Return ∂μ/∂r (natoms, 3, 3), e, of the mean as ``Dipoles.born_charges``, or None and why there are
    none.

    In a cell a dipole counts that is one of many values (``check_branches``). That of a program that is
    called back is taken by differences.
    """
    try:
        if atoms.pbc.any():
            check_branches(source, atoms, name, carried_units(*pieces_of(atoms, name)))
        return Dipoles(source, atoms).born_charges(atoms.positions), ""
    except NoDipole:
        return None, f"{name} under {source.kind} has no dipole"
    except CalledBack:
        if atoms.pbc.any():
            return None, f"the dipole of {source.kind} in a cell is called back, and has one branch"
        return Dipoles(source, atoms).by_differences(atoms.positions), ""
    except UserError as error:
        return None, str(error)
