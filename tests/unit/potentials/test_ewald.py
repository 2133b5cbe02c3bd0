"""Charges in cells: Madelung's constant, sums that do not depend on how they are split, water in a cell."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.units import kcal, mol

import frazil
from frazil.errors import UserError
from frazil.potentials.analytic import ewald
from frazil.potentials.analytic.ewald import Ewald
from frazil.potentials.registry import load
from frazil.systems.ice import ice
from frazil.units import COULOMB_eV_A

NONE = np.zeros((0, 2), int)


def pairs(n: int) -> np.ndarray:
    return np.stack(np.triu_indices(n, 1), axis=1)


def test_madelungs_constant_of_rock_salt() -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    charges = np.where(salt.numbers == 11, 1.0, -1.0)
    energy = Ewald.of(salt.cell.array).energy(jnp.asarray(salt.positions), charges, pairs(8), NONE)
    assert -float(energy) / 4 * 2.82 / COULOMB_eV_A == pytest.approx(1.7475646, abs=2e-5)


def test_a_skewed_cell_and_the_split_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    cell = np.array([[8.0, 0.3, 0.1], [2.5, 7.5, -0.4], [-1.0, 1.5, 9.0]])
    places, charges = random.uniform(0, 8, (6, 3)), np.array([1.0, -0.4, -0.6, 0.7, 0.3, -1.0])
    apart = np.array([[0, 3], [0, 4], [0, 5], [1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5]])
    together = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]])

    def energy(of: np.ndarray) -> float:
        return float(Ewald.of(of).energy(jnp.asarray(places), charges, apart, together))

    rough = energy(cell)
    monkeypatch.setattr(ewald, "ACCURACY", 5.0)
    exact = energy(cell)
    assert rough == pytest.approx(exact, abs=3e-4)
    other = cell + np.array(
        [np.zeros(3), cell[0], np.zeros(3)]
    )  # the same lattice by other vectors, split otherwise
    assert energy(other) == pytest.approx(exact, abs=1e-7)


def test_water_in_a_cell_is_as_in_two_and_wherever_it_is_wrapped() -> None:
    atoms = ice((1, 1, 1), 4.518, 7.356, 1)
    one = load("q-tip4p-f").potential(atoms)
    energy = float(one.energy(atoms.positions))
    assert energy / 8 == pytest.approx(-0.62, abs=0.02)
    wrapped = atoms.copy()
    wrapped.wrap()
    assert float(one.energy(wrapped.positions)) == pytest.approx(energy, abs=1e-9)
    double = atoms.repeat((2, 1, 1))
    assert float(load("q-tip4p-f").potential(double).energy(double.positions)) == pytest.approx(
        2 * energy, abs=2e-3
    )


def test_water_in_a_wide_cell_is_free() -> None:
    """Dipoles that cancel, in 40 Å: what images add is that of quadrupoles, and the constant of r⁻⁶."""
    one = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    pair = Atoms("OH2OH2", np.concatenate([one, -one + [0.4, -3.0, 0.5]]))
    free = load("q-tip4p-f").potential(pair)
    pair.set_cell([40.0] * 3)
    pair.pbc = True
    held = load("q-tip4p-f").potential(pair)
    found = [jax.jit(jax.value_and_grad(own.energy))(pair.positions) for own in (free, held)]
    (energy, slopes), (in_cell, slopes_in_cell) = found
    assert float(in_cell) == pytest.approx(float(energy), abs=1.5e-3)
    assert np.abs(np.asarray(slopes_in_cell - slopes)).max() < 2e-3


def test_the_shipped_dimer_is_at_rest() -> None:
    dimer = read(Path(frazil.__file__).parents[2] / "assets/structures/water_dimer.extxyz")
    energy, slopes = jax.value_and_grad(load("q-tip4p-f").potential(dimer).energy)(dimer.positions)
    assert float(energy) / (kcal / mol) == pytest.approx(-6.55, abs=0.01)
    assert np.abs(np.asarray(slopes)).max() < 0.01
    assert dimer.get_distance(0, 3) == pytest.approx(2.772, abs=1e-3)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ([9.0, 9.0, 3.5], r"opposite faces 3.5 Å apart; q-tip4p-f needs 4 Å or more: repeat the cell"),
        ([0.0, 0.0, 0.0], r"has no volume"),
    ],
)
def test_cells_that_water_does_not_take(cell: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("q-tip4p-f").potential(Atoms("OH2", np.eye(3), cell=cell, pbc=True))
