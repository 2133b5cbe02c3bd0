"""Any potential on one structure: energy, forces, second derivatives, a bond's curve, of each member."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.potentials.calculator import PotentialCalculator
from frazil.potentials.registry import Source
from frazil.systems.diatomic import BondCurve
from frazil.systems.minima import Curvature, Members, differences


def analytic_curvature(
    energy: Callable[[jax.Array], jax.Array], dipole: Callable[[jax.Array], jax.Array] | None = None
) -> Curvature:
    """Return the derivatives of functions of positions (natoms, 3): energy (), eV, and dipole (3,), e Å."""

    @jax.jit
    def derivatives(positions: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        hessian = jax.hessian(energy)(positions).reshape(positions.size, positions.size)
        return hessian, None if dipole is None else jax.jacrev(dipole)(positions).reshape(3, positions.size)

    return lambda positions: tuple(  # type: ignore[return-value]
        None if value is None else np.asarray(value) for value in derivatives(jnp.asarray(positions))
    )


def members_of(source: Source, atoms: Atoms) -> Members:
    """Return the members of a source on atoms: a GM-NN in float64, differentiated; others by differences."""
    if source.is_one_network:
        from frazil.potentials.gmnn.surface import ModelSurface

        return ModelSurface(source.model, atoms)
    return _Called(source, atoms)


CURVE = (0.55, 2.6)
"""Ends of a bond's curve, in units of its length at rest."""
N_CURVE = 200


def bond_curve_of(
    source: Source, atoms: Atoms, bond: tuple[int, int], member: int | None = None
) -> BondCurve:
    """Return the curve of a bond of one molecule at rest, its two atoms moved along it about their centre.

    All other atoms stay, so that the energy is what the two have along their bond at once. Beyond its highest
    points on the ways in and out a curve is none of a bond; it ends there. Raises UserError where the
    potential has no minimum along the bond.
    """
    one, two = bond
    masses = atoms.get_masses()[[one, two]]
    weights = masses / masses.sum()
    rest_A = float(atoms.get_distance(one, two))
    along = (atoms.positions[two] - atoms.positions[one]) / rest_A
    centre = weights @ atoms.positions[[one, two]]
    alone, lengths = members_of(source, atoms), np.linspace(*CURVE, N_CURVE) * rest_A
    energies = np.empty(N_CURVE)
    for number, length in enumerate(lengths):
        positions = atoms.positions.copy()
        positions[one], positions[two] = (
            centre - weights[1] * length * along,
            centre + weights[0] * length * along,
        )
        energies[number] = alone.surface(positions, member)[0]
    rest = int(np.argmin(np.abs(lengths - rest_A)))
    known = np.isfinite(energies)
    if not known[rest]:
        raise UserError(f"{atoms.symbols} at rest has no finite energy under {source.kind}; give another one")
    first = rest - int(np.argmin(np.append(known[rest::-1], False))) + 1
    last = rest + int(np.argmin(np.append(known[rest:], False)))
    first += int(np.argmax(energies[first : rest + 1]))
    last = rest + int(np.argmax(energies[rest:last])) + 1
    reduced_amu = float(masses.prod() / masses.sum())
    return BondCurve(lengths[first:last], energies[first:last], reduced_amu)


class _Called:
    """A source called as it is, one structure at a time; second derivatives by differences of forces."""

    def __init__(self, source: Source, atoms: Atoms) -> None:
        self._source, self._atoms = source, atoms
        self._calculators: dict[int | None, PotentialCalculator] = {}

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        """Return energy and forces."""
        if member not in self._calculators:
            self._calculators[member] = PotentialCalculator(self._source, member)
        atoms = self._atoms.copy()
        atoms.positions = positions
        atoms.calc = self._calculators[member]
        return atoms.get_potential_energy(), atoms.get_forces()

    def curvature(self, positions: np.ndarray, member: int | None = None) -> tuple[np.ndarray, None]:
        """Return the Hessian."""
        found, _ = differences(lambda x: self.surface(x, member))(positions)
        return found, None
