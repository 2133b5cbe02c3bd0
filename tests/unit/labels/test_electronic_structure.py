import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from frazil.errors import UserError
from frazil.labels.electronic_structure import (
    LEVELS,
    check,
    level,
    single_point,
    without_net_force_and_torque,
)


def test_levels_have_the_names_of_method_and_basis():
    assert level("pbe-d3bj/def2-svp").method.dispersion == "d3bj"
    assert level("bhlyp-d4/def2-tzvp").method.functional == "bhandhlyp"
    assert not level("ccsd(t)/def2-tzvp").has_forces
    assert all(name == wanted.name for name, wanted in LEVELS.items())


def test_an_unknown_level_names_the_known_ones():
    with pytest.raises(UserError, match=r"level 'pbe/sto-3g' is not known; use METHOD/BASIS"):
        level("pbe/sto-3g")


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "without atoms"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[9, 9, 9], pbc=True), "frame CO is periodic"),
        (Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]), "frame HO has an odd number of electrons"),
        (Atoms("CO", [[0, 0, 0], [0, 0, np.nan]]), "not finite numbers"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 0.2]]), "two nuclei 0.20 Å apart"),
    ],
)
def test_frames_that_cannot_be_labelled_are_refused(atoms, message):
    with pytest.raises(UserError, match=message):
        check(atoms)


def test_elements_whose_basis_needs_a_core_potential_are_refused():
    pytest.importorskip("pyscf")
    with pytest.raises(UserError, match="describes elements up to Kr, not I, whose basis is made for a core"):
        single_point(Atoms("HI", [[0, 0, 0], [0, 0, 1.6]]), "pbe/def2-svp")


def test_net_force_and_torque_are_removed_and_the_rest_is_kept():
    random = np.random.default_rng(0)
    positions = random.normal(size=(7, 3))
    forces = random.normal(size=(7, 3))
    once, net_force, net_torque = without_net_force_and_torque(positions, forces)
    centred = positions - positions.mean(axis=0)
    assert net_force == pytest.approx(np.linalg.norm(forces.sum(axis=0)))
    assert net_torque == pytest.approx(np.linalg.norm(np.cross(centred, forces).sum(axis=0)))
    assert once.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    assert np.cross(positions, once).sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    twice, net_force, net_torque = without_net_force_and_torque(positions, once)
    assert twice == pytest.approx(once, abs=1e-12)
    assert net_force < 1e-12
    assert net_torque < 1e-12


def test_a_linear_molecule_keeps_its_stretching_force():
    atoms = molecule("CO")
    along = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    kept, _, _ = without_net_force_and_torque(
        atoms.positions, along + np.array([[0.1, 0.02, 0.3], [0.1, -0.02, 0.3]])
    )
    assert kept == pytest.approx(along, abs=1e-12)
