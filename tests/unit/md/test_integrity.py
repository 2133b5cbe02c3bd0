"""How far the parts of a cluster may be from each other before it is no longer one."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from frazil.md.integrity import BROKEN, OneCluster, WholeMolecules


@pytest.mark.parametrize(("apart_A", "allowed_A"), [(1.5, 3.5), (2.2, 3.5), (3.0, 4.5), (4.0, 6.0)])
def test_a_structure_may_open_by_half_of_its_widest_gap(apart_A: float, allowed_A: float) -> None:
    """Three atoms in a row, the last one farther off: 3.5 Å, or 1.5 times as far as at rest."""
    places = np.zeros((3, 3))
    places[1:, 0] = 1.2, 1.2 + apart_A
    rule = OneCluster.at_rest(Atoms("CON", places))
    assert rule.detached_A == pytest.approx(allowed_A)
    for factor, holds in ((0.99, True), (1.01, False)):
        places[2, 0] = 1.2 + factor * allowed_A
        assert bool(rule.holds(jnp.asarray(places))) is holds
    assert OneCluster.at_rest(Atoms("CON", places), 20.0).detached_A == 20.0


@pytest.mark.parametrize(("length_A", "whole"), [(0.76, True), (0.74, False), (1.68, True), (1.70, False)])
def test_a_bond_of_a_crystal_may_be_half_as_long_again_or_as_much_shorter(
    length_A: float, whole: bool
) -> None:
    """Two molecules of 1.13 Å, the second across a face of the cell: 0.753 to 1.695 Å."""
    atoms = Atoms("CO" * 2, [[0, 0, 0], [1.13, 0, 0], [0, 4, 0.5], [0, 4, 7.37]], cell=[6, 8, 8], pbc=True)
    rule = WholeMolecules.at_rest(atoms)
    assert rule.pairs == ((0, 1), (2, 3))
    atoms.positions[3, 2] = 8.5 - length_A
    state = SimpleNamespace(positions=jnp.asarray(atoms.positions))
    assert int(rule(state, None)) == (0 if whole else BROKEN)  # type: ignore[arg-type]
