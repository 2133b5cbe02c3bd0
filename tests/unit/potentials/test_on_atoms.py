"""Potentials of some of the atoms: their lists are those that the atoms would have alone."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms

from frazil.potentials.analytic.simple import LennardJones
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.interface import Evaluation, jit
from frazil.potentials.neighbours import Neighbours, allocate, among, within
from frazil.potentials.registry import load
from frazil.potentials.rings import RingPolymer
from frazil.potentials.transform import OnAtoms, SameForAll, mixture_of, sum_of

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


def test_lists_in_a_cell_where_atoms_see_several_images_of_each_other() -> None:
    positions = np.random.default_rng(2).uniform(0, 4.5, size=(8, 3))
    cell = {"cell_A": np.eye(3) * 4.5, "pbc": (True,) * 3}
    found = within(allocate(positions, 3.5, 0.5, **cell), np.array([0, 3, 4, 7]))
    alone = allocate(positions[[0, 3, 4, 7]], 3.5, 0.5, **cell)
    index, reverse, shift = (np.asarray(own) for own in (found.index, found.reverse, found.shift))
    real = index < 4
    assert real.sum() == (np.asarray(alone.index) < 4).sum()
    centre, slot = np.nonzero(real)
    other, back = index[real], reverse[real]
    assert max(np.bincount(other[centre == 0], minlength=4)) > 1, "several images"
    np.testing.assert_array_equal(index[other, back], centre)
    np.testing.assert_array_equal(reverse[other, back], slot)
    np.testing.assert_allclose(shift[other, back], -shift[centre, slot], atol=1e-12)


def test_lists_of_a_molecule_that_is_in_no_cell() -> None:
    positions = np.random.default_rng(2).uniform(0, 3, size=(8, 3))
    whole = allocate(positions, 6.0, 0.5, cell_A=np.eye(3) * 4.5, pbc=(True,) * 3)
    chosen = np.array([1, 2, 6])
    found, alone = among(whole, chosen), allocate(positions[chosen], 6.0, 0.5, capacity=2)
    np.testing.assert_array_equal(found.index, alone.index)
    np.testing.assert_array_equal(found.reverse, alone.reverse)
    assert found.shift is None
    assert found.cell is None
    assert np.asarray(among(whole, chosen[:1]).index).tolist() == [[1]], "an atom alone has none"


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


def test_a_network_with_a_molecule_taken_out_of_every_bead(tmp_path: Path) -> None:
    """GM-NN with lists, as rings, whole and apart by kinds: far away the two are the same."""
    size = Architecture(("C", "O"), cutoff_A=3.5, n_basis=3, n_radial=2, hidden=(4,))
    metadata = {"label_level": "test", "training_data_sha256": ""}
    write_folder(tmp_path, size, initialize_committee(size, 3, 1), metadata)
    source, beads = load(tmp_path), 3
    atoms = Atoms("COCO", [[0, 0, 0], [0, 0, 1.13], [3.0, 0, 0], [3, 0.2, 1.1]])
    parts = sum_of([OnAtoms(source.potential(atoms[list(own)]), own) for own in ((0, 1), (2, 3))])
    shared = mixture_of(
        [SameForAll(source.potential(atoms)), SameForAll(parts)], [[1, 0], [0.3, 0.7], [0, 1]], by_kind=True
    )

    @jit
    def evaluated(ring: RingPolymer, lists: Neighbours, positions: jax.Array) -> Evaluation:
        ready = ring.mixed(np.arange(3))
        return ready.evaluate(ready.arrange(lists), positions)

    found = []
    for gap_A in (0.0, 50.0):
        shifted = atoms.positions + gap_A * np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
        ring = np.tile(shifted, (beads, 1)) + np.random.default_rng(0).normal(scale=0.05, size=(4 * beads, 3))
        lists = allocate(ring, 3.5, 0.5, n_beads=beads, capacity=8)
        found.append(evaluated(RingPolymer(shared, beads), jax.tree.map(lambda x: np.stack([x] * 3), lists),
                               np.stack([ring] * 3)))  # fmt: skip
    near, far = (np.asarray(one.info["part_energies_eV"]) for one in found)
    assert abs(near[0, 0] - near[0, 1]) > 1e-3
    assert far[:, 0] == pytest.approx(far[:, 1], abs=1e-7)
    assert near[:, 1] == pytest.approx(far[:, 1], abs=1e-7)
    weighed = beads * (np.array([1, 0.3, 0]) * near[:, 0] + np.array([0, 0.7, 1]) * near[:, 1])
    assert np.asarray(found[0].energies) == pytest.approx(weighed, abs=1e-12)
    np.testing.assert_allclose(np.asarray(found[0].forces).sum(axis=1), 0, atol=1e-5)
