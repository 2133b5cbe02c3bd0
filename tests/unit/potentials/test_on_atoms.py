"""Potentials of some of the atoms: their lists are those that the atoms would have alone."""

import jax
import numpy as np
import pytest

from frazil.potentials.analytic.simple import LennardJones
from frazil.potentials.neighbours import allocate, within
from frazil.potentials.transform import OnAtoms, sum_of

CHOSEN = np.array([1, 4, 5, 9, 11])


@pytest.mark.parametrize("periodic", [False, True])
def test_lists_of_some_atoms_are_those_that_they_have_alone(periodic: bool) -> None:
    positions = np.random.default_rng(2).uniform(0, 8, size=(12, 3))
    cell = {"cell_A": np.eye(3) * 8.2, "pbc": (True,) * 3} if periodic else {}
    whole = allocate(positions, 3.5, 0.5, **cell)
    found = within(whole, CHOSEN)
    alone = allocate(positions[CHOSEN], 3.5, 0.5, capacity=whole.index.shape[1], **cell)
    assert 0 < (np.asarray(alone.index) < len(CHOSEN)).sum() < alone.index.size
    np.testing.assert_array_equal(found.index, alone.index)
    np.testing.assert_array_equal(found.reverse, alone.reverse)
    np.testing.assert_array_equal(found.origin, alone.origin)
    if periodic:
        real = np.asarray(alone.index) < len(CHOSEN)
        np.testing.assert_allclose(np.asarray(found.shift)[real], np.asarray(alone.shift)[real], atol=1e-12)
        assert np.asarray(alone.shift)[real].any()


def test_parts_do_not_feel_each_other() -> None:
    positions = np.random.default_rng(0).normal(scale=2.5, size=(3, 6, 3))
    field, rest = LennardJones(0.01, 2.0), (0, 2, 3)
    parts = sum_of([OnAtoms(field, rest), OnAtoms(field, (1, 4, 5))]).batched(3)
    energies, forces, _ = jax.jit(lambda x: parts.evaluate(parts.arrange(None), x))(positions)
    for atoms in (rest, (1, 4, 5)):
        alone = field.batched(3)
        own = alone.evaluate(alone.arrange(None), positions[:, atoms])
        energies = energies - own.energies
        np.testing.assert_allclose(forces[:, atoms], own.forces, rtol=1e-12)
    np.testing.assert_allclose(energies, 0, atol=1e-9 * np.abs(forces).max())
