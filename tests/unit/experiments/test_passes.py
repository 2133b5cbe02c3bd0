"""What passes through windows share: which count, in which order, and what their gates ask."""

import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.passes import (
    WholeParts,
    arranged,
    check_connected,
    finished_by_all,
    kinetic_eV,
    kinetic_gate,
    mean_of,
    outcome_of,
    overlap_gate,
)
from frazil.md.state import State


def test_a_pass_counts_where_every_member_finished_it() -> None:
    outcomes = ["finished", "finished", "finished", "broken", "finished", "finished"]
    table = pandas.DataFrame({"outcome": outcomes, "x": [np.full(2, i) for i in range(6)]})
    counts = finished_by_all(table, (3, 2))
    assert counts.tolist() == [True, False, True]
    found = arranged(table, "x", (3, 2), np.flatnonzero(counts))
    assert found.tolist() == [[[0, 0], [4, 4]], [[1, 1], [5, 5]]], "members lead, then passes that count"
    assert outcome_of(["finished", "broken", "not_finite"]) == {"outcome": "broken", "lost_windows": 2}
    assert outcome_of(["finished"]) == {"outcome": "finished", "lost_windows": 0}


def test_a_mean_is_of_what_is_finite() -> None:
    assert mean_of(np.array([1.0, np.nan, 4.0, np.inf])) == 2.5
    assert np.isnan(mean_of(np.array([np.nan])))


def test_the_kinetic_energies_of_rings_agree_within_three_per_cent() -> None:
    rows = {"kinetic_virial": np.array([1.0, 3.0]), "kinetic_primitive": np.array([2.0, 2.1])}
    assert kinetic_eV(rows) == [2.0, pytest.approx(2.05)]
    pair = np.array([[[kinetic_eV(rows), [np.nan, np.nan]]]])
    gate = kinetic_gate("8 beads", pair)
    assert gate.passed
    assert gate.value == pytest.approx(1.025), "it is the primitive over the virial one"
    assert not kinetic_gate("8 beads", pair * [1.0, 1.01]).passed


def test_the_least_overlap_is_named() -> None:
    names = ("a and b", "b and c")
    gate = overlap_gate("classical", np.array([0.2, 0.02]), names.__getitem__, ("why", "what to do"))
    assert not gate.passed
    assert (gate.value, gate.comment) == (0.02, "b and c")
    assert overlap_gate("classical", np.array([0.2, 0.03]), names.__getitem__, ("", "")).passed
    check_connected(np.array([0.2, 0.02]), names.__getitem__, "classical nuclei", "take more")
    with pytest.raises(UserError, match=r"windows b and c do not overlap \(1e-05, 8 beads\); take more"):
        check_connected(np.array([0.2, 1e-5]), names.__getitem__, "8 beads", "take more")


def test_every_part_stays_whole() -> None:
    """Two molecules may part; one that falls apart is told by the centroids of its beads."""
    atoms = Atoms("COCO", [[0, 0, 0], [1.1, 0, 0], [4, 0, 0], [5.1, 0, 0]])
    rule = WholeParts.at_rest(atoms, [np.array([0, 1]), np.array([2, 3])], 2)

    def code(shift: list[list[float]]) -> int:
        beads = np.concatenate([atoms.positions, atoms.positions + 0.1]) + np.tile(shift, (2, 1))
        rest = dict.fromkeys(State.__dataclass_fields__)
        return int(rule(State(**(rest | {"positions": jnp.array(beads)})), None))  # type: ignore[arg-type]

    assert code([[0, 0, 0]] * 4) == 0
    assert code([[0, 0, 0], [0, 0, 0], [30, 0, 0], [30, 0, 0]]) == 0
    assert code([[0, 0, 0], [0, 0, 0], [0, 0, 0], [30, 0, 0]]) != 0
