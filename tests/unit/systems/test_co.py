"""Molecules, tags, packing, excitation, and LAMMPS data files."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError
from frazil.systems import co as structures
from frazil.systems import excite, molecules, packing
from frazil.systems.co import TYPE_MAP, MOLECULE_MASSES_amu
from frazil.systems.diatomic import BondCurve, REDUCED_MASS_CO_amu


def chain(n: int) -> Atoms:
    positions = [[4.0 * m, 0.1 * m, z] for m in range(n) for z in (0.0, 1.13)]
    return Atoms("CO" * n, positions=positions)


def test_tags_and_types() -> None:
    atoms = chain(3)
    assert structures.excited_molecule(atoms) == -1
    structures.set_excited(atoms, 1)
    assert structures.excited_molecule(atoms) == 1
    assert [TYPE_MAP[kind] for kind in structures.deepmd_types(atoms)] == ["C", "O", "X1", "X2", "C", "O"]
    assert structures.deepmd_types(atoms, excited_types=False).tolist() == [0, 1, 0, 1, 0, 1]
    back = structures.from_deepmd_types(structures.deepmd_types(atoms), atoms.positions)
    assert back.arrays["excited"].tolist() == atoms.arrays["excited"].tolist()
    structures.set_excited(atoms, -1)
    assert structures.excited_molecules(atoms) == []
    with pytest.raises(UserError, match="molecule 3 of 3; count from 0"):
        structures.set_excited(atoms, 3)
    atoms.arrays["excited"][[0, 1, 4, 5]] = 1
    with pytest.raises(UserError, match="2 molecules are tagged"):
        structures.excited_molecule(atoms)


def test_geometry_of_molecules() -> None:
    atoms = chain(2)
    centres = structures.molecular_centres(atoms.positions)
    assert centres[1] == pytest.approx(atoms[2:].get_center_of_mass())
    assert structures.molecular_centres(np.stack([atoms.positions] * 5)).shape == (5, 2, 3)
    assert structures.bond_lengths(atoms.positions) == pytest.approx([1.13, 1.13])
    assert structures.closest_contact(atoms.positions) == pytest.approx(np.hypot(4.0, 0.1))
    assert structures.closest_contact(chain(1).positions) == np.inf


def test_ordering_by_distance_takes_labels_and_tags_along() -> None:
    atoms = chain(3)
    structures.set_excited(atoms, 2)
    forces = np.arange(18.0).reshape(6, 3)
    shuffled = atoms[[0, 2, 4, 3, 5, 1]]
    shuffled.calc = SinglePointCalculator(shuffled, energy=1.5, forces=forces[[0, 2, 4, 3, 5, 1]])
    ordered = structures.order_by_molecule(shuffled)
    assert ordered.positions == pytest.approx(atoms.positions)
    assert structures.excited_molecule(ordered) == 2
    assert ordered.get_forces() == pytest.approx(forces)
    assert ordered.get_potential_energy() == 1.5


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("COO", positions=np.arange(9).reshape(3, 3)), "is not made of CO molecules"),
        (Atoms("COC", positions=np.arange(9).reshape(3, 3)), "is not made of CO molecules"),
        (Atoms("CO", positions=[[0, 0, 0], [0, 0, 2.5]]), "a C without an O within 2.2 Å"),
    ],
)
def test_what_is_no_molecule(atoms: Atoms, message: str) -> None:
    with pytest.raises(UserError, match=message):
        structures.order_by_molecule(atoms)


def test_packing_depends_on_seed_and_number_only() -> None:
    one = packing.random_aggregate(8, 4.5, 1, 0)
    assert one.positions == pytest.approx(packing.random_aggregate(8, 4.5, 1, 0).positions)
    assert not np.allclose(one.positions, packing.random_aggregate(8, 4.5, 1, 1).positions)
    assert structures.bond_lengths(one.positions) == pytest.approx(np.full(8, 1.128), abs=1e-4)
    assert structures.closest_contact(one.positions) > packing.PACKING_DISTANCE_A - 0.05
    assert structures.molecular_centres(one.positions).mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_packing_that_cannot_be() -> None:
    with pytest.raises(UserError, match=r"9 CO do not fit inside sphere.*larger aggregate radius"):
        packing.random_aggregate(9, 2.0, 1, 0)
    with pytest.raises(UserError, match="both must be positive"):
        packing.random_aggregate(8, 0.0, 1, 0)


def test_relaxing() -> None:
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.2]])
    relaxed = packing.relax(atoms, LennardJones(sigma=1.0, epsilon=1.0, rc=10.0))
    assert structures.bond_lengths(relaxed.positions)[0] == pytest.approx(2 ** (1 / 6), abs=1e-3)
    assert relaxed.calc is None
    with pytest.raises(UserError, match="did not relax below"):
        packing.relax(atoms, LennardJones(rc=10.0), max_steps=1)


def test_rotations_are_uniform_and_proper() -> None:
    rng = np.random.default_rng(0)
    matrices = np.array([molecules.random_rotation(rng) for _ in range(4000)])
    assert matrices @ matrices.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (4000, 3, 3)))
    assert np.linalg.det(matrices) == pytest.approx(np.ones(4000))
    assert np.abs(matrices.mean(axis=0)).max() < 4 / np.sqrt(3 * 4000)


@pytest.fixture(scope="module")
def curve() -> BondCurve:
    radii = np.linspace(0.7, 3.2, 251)
    return BondCurve(radii, 11.23 * (1 - np.exp(-2.3281 * (radii - 1.12821))) ** 2)


@pytest.mark.parametrize("sign", [-1, 1])
def test_internal_energy(curve: BondCurve, sign: int) -> None:
    atoms = chain(3)
    velocities = np.random.default_rng(0).normal(size=(6, 3)) * 0.01
    changed = excite.set_internal_energy(
        atoms.positions, velocities, (2, 3), atoms.get_masses(), 8.26, curve, sign
    )
    assert np.array_equal(changed[[0, 1, 4, 5]], velocities[[0, 1, 4, 5]])
    centre = structures.molecular_centres
    assert centre(changed)[1] == pytest.approx(centre(velocities)[1], abs=1e-15)
    relative, before = changed[3] - changed[2], velocities[3] - velocities[2]
    assert relative[:2] == pytest.approx(before[:2], abs=1e-15)
    assert np.sign(relative[2]) == sign
    radial = 0.5 * REDUCED_MASS_CO_amu * relative[2] ** 2
    assert radial + curve.energy(1.13) == pytest.approx(8.26, abs=1e-12)
    masses = MOLECULE_MASSES_amu[:, None]
    internal = 0.5 * (masses * (changed[2:4] - centre(changed)[1]) ** 2).sum()
    assert internal == pytest.approx(radial + 0.5 * REDUCED_MASS_CO_amu * (before[:2] ** 2).sum())


def test_internal_energy_below_the_bond_s_own(curve: BondCurve) -> None:
    positions = np.array([[0, 0, 0], [0, 0, 1.6]])
    with pytest.raises(
        UserError, match=r"internal energy of 1 eV cannot be given at a bond length of 1\.600 Å"
    ):
        excite.set_internal_energy(positions, np.zeros((2, 3)), (0, 1), MOLECULE_MASSES_amu, 1.0, curve, 1)
    with pytest.raises(UserError, match="cannot be given"):
        excite.set_internal_energy(
            3 * positions, np.zeros((2, 3)), (0, 1), MOLECULE_MASSES_amu, 8.0, curve, 1
        )


def test_lammps_data(tmp_path: Path) -> None:
    atoms = chain(3)
    atoms.positions += np.random.default_rng(1).normal(size=(6, 3))
    structures.set_excited(atoms, 2)
    atoms.set_velocities(np.random.default_rng(2).normal(size=(6, 3)))
    structures.write_lammps_data(tmp_path / "aggregate.data", atoms)
    back = structures.read_lammps_data(tmp_path / "aggregate.data")
    assert structures.excited_molecule(back) == 2
    assert back.positions == pytest.approx(atoms.positions, abs=1e-12)
    assert back.get_velocities() == pytest.approx(atoms.get_velocities(), rel=1e-9)
    assert not back.pbc.any()
    with pytest.raises(UserError, match="no LAMMPS data file"):
        structures.read_lammps_data(tmp_path / "none.data")
