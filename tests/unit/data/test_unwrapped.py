"""Trajectories across the faces of a box."""

import numpy as np
from ase.cell import Cell

from frazil.data.trajectories import unwrapped


def test_positions_go_on_across_the_faces_of_a_skew_box_and_begin_anew_at_a_gap() -> None:
    cell = Cell([[9.0, 0, 0], [-4.5, 7.8, 0], [0, 0, 14.0]])
    way = np.array([0.5, 1.0, 13.0]) + np.arange(40)[:, None] * np.array([-1.1, 0.9, 0.7])
    fractions = cell.scaled_positions(way)
    pbc = np.array([True, True, False])
    wrapped = cell.cartesian_positions(np.where(pbc, fractions % 1.0, fractions))
    start = wrapped[0] - way[0]
    found = unwrapped(wrapped[:, None], cell, pbc)[:, 0]
    np.testing.assert_allclose(found, way + start, atol=1e-9)

    parted = unwrapped(wrapped[:, None], cell, pbc, breaks=(20,))[:, 0]
    np.testing.assert_allclose(parted[:20], way[:20] + start, atol=1e-9)
    np.testing.assert_allclose(np.diff(parted[20:], axis=0), np.diff(way[20:], axis=0), atol=1e-9)
    assert np.array_equal(unwrapped(wrapped[:, None], cell, np.zeros(3, bool))[:, 0], wrapped)
