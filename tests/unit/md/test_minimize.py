"""Minima of many replicas at once."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones as LJCalculator
from ase.optimize import LBFGS

from frazil.errors import UserError
from frazil.md.minimize import minimize
from frazil.potentials.analytic.simple import LennardJones, Springs
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree


def test_springs_go_home_but_frozen_ones_stay() -> None:
    starts = np.random.default_rng(1).normal(size=(3, 4, 3))
    found = minimize(Springs(2.0), starts, frozen=np.array([0, 0, 0, 1]), width=2)
    assert found.converged.all()
    assert np.abs(found.positions[:, :3]).max() < 0.001
    assert np.array_equal(found.positions[:, 3], starts[:, 3])


def test_clusters_end_where_ase_ends() -> None:
    generator = np.random.default_rng(4)
    corners = 3.6 * np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3)
    starts = corners[:7] + generator.normal(scale=0.1, size=(3, 7, 3))
    found = minimize(LennardJones(0.0103, 3.4), starts, max_force_eV_per_A=1e-5)
    assert found.converged.all()
    for start, energy in zip(starts, found.energies, strict=True):
        atoms = Atoms("Ar7", start, calculator=LJCalculator(epsilon=0.0103, sigma=3.4, rc=50.0))
        LBFGS(atoms, logfile=None).run(fmax=1e-5, steps=2000)
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


def test_neighbour_lists_follow_a_long_way() -> None:
    architecture = Architecture(("C", "O"), n_basis=4, n_radial=3, hidden=(8,), precision="float64")
    model = Model(architecture, initialize_committee(architecture, 3, 1), {})
    numbers = np.array([6, 8, 6, 8])
    potential = GMNN.of(model, numbers)
    starts = np.array([[[0, 0, 0], [1.4, 0, 0], [4.0, 0, 0], [5.3, 0.2, 0]]], float)
    found = minimize(potential, starts, max_steps=60, skin_A=0.05)
    again = minimize(potential, starts, max_steps=60, skin_A=2.0)
    assert np.allclose(found.positions, again.positions, atol=1e-3)


def test_what_does_not_converge_says_so() -> None:
    found = minimize(Springs(2.0), np.full((1, 2, 3), 5.0), max_steps=3)
    assert not found.converged[0]
    assert found.n_steps[0] == 3
    with pytest.raises(UserError, match="all must be positive"):
        minimize(Springs(2.0), np.zeros((1, 2, 3)), max_force_eV_per_A=0.0)
    with pytest.raises(UserError, match="give finite ones"):
        minimize(Springs(2.0), np.full((1, 2, 3), np.nan))


@pytree
@dataclass(frozen=True)
class Hole(Analytic):
    """Two atoms that attract each other down to one place, where they are near; with neighbour lists."""

    @property
    def cutoff_A(self) -> float:
        return 4.0

    def energy(self, positions_A: jax.Array) -> jax.Array:
        return -5.0 * jnp.exp(-((positions_A[1] - positions_A[0]) ** 2).sum())


def test_a_structure_that_falls_into_a_hole_is_given_up_alone() -> None:
    """Others of its batch go on; atoms that are in one place at the start are a broken file."""
    starts = np.array([[[0, 0, 0], [1.2, 0, 0]], [[0, 0, 0], [3.9, 0, 0]]], float)
    found = minimize(Hole(), starts, width=2)
    assert found.converged.tolist() == [False, True]
    assert found.max_forces[0] == np.inf
    assert np.isfinite(found.positions).all()
    with pytest.raises(UserError, match="a file has doubled atoms"):
        minimize(Hole(), np.zeros((1, 2, 3)))
