"""Hemispheres of CO ice: geometry, checks and bad input."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from frazil.errors import UserError
from frazil.experiments.sticking.binding import energies_of
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.preparation import Preparation, prepare, read_surfaces
from frazil.experiments.sticking.surfaces import (
    amorphous,
    bulk,
    check_whole,
    crystalline,
    density_of,
    height_A,
    rotation_to,
    structure,
)
from frazil.systems.co import bond_lengths, closest_contact, molecular_centres
from frazil.systems.molecules import Molecules

LATTICE_A = 5.64


def test_the_paper_s_crystalline_hemisphere() -> None:
    atoms = crystalline(488, 172)
    centres = molecular_centres(atoms.positions)
    fixed = atoms.arrays["fixed"][::2].astype(bool)
    assert len(atoms) == 976
    assert fixed.sum() == 172
    assert centres[:, 2].max() < 1e-6
    distance = np.linalg.norm(centres, axis=1)
    assert distance[~fixed].max() <= distance[fixed].min() + 1e-6
    assert atoms.info["radius_A"] == pytest.approx(21.5, abs=0.7)
    assert structure(Molecules.of(atoms), atoms.positions).density_g_per_cm3 == pytest.approx(
        1.037, abs=0.001
    )
    assert np.allclose(bond_lengths(atoms.positions), 1.128)
    assert closest_contact(atoms.positions) > 3.0


@pytest.mark.parametrize("n_molecules", [60, 120])
def test_small_crystals_have_a_density_too(n_molecules: int) -> None:
    atoms = crystalline(n_molecules, n_molecules // 2)
    found = structure(Molecules.of(atoms), atoms.positions)
    assert found.n_deep > 0
    assert found.density_g_per_cm3 == pytest.approx(1.037, abs=0.001)
    assert density_of([found, structure(Molecules.of(atoms[:4]), atoms.positions[:4])]) == pytest.approx(
        found.density_g_per_cm3
    )
    assert np.isnan(density_of([]))


def test_the_bulk_has_the_symmetry_of_the_crystal() -> None:
    """P2_13: a third of a turn about a body diagonal, and a screw along x, map the crystal on itself."""
    atoms = bulk(LATTICE_A, 12.0)
    inner = atoms.positions[np.linalg.norm(atoms.positions, axis=1) < 7.0]
    turned = inner[:, [2, 0, 1]]
    screwed = inner * [1, -1, -1] + LATTICE_A * np.array([0.5, 0.5, 0.0])
    for image in (turned, screwed):
        apart = np.linalg.norm(image[:, None] - atoms.positions[None], axis=2).min(axis=1)
        assert apart.max() < 1e-6
    centres = molecular_centres(bulk(LATTICE_A, 12.0).positions)
    near = np.linalg.norm(centres, axis=1)
    assert (np.abs(near - LATTICE_A / np.sqrt(2)) < 1e-6).sum() == 12


@pytest.mark.parametrize("face", [(1, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_any_face_and_radius(face: tuple[int, int, int]) -> None:
    turn = rotation_to(face)
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.allclose(turn @ np.array(face) / np.linalg.norm(face), [0, 0, 1])
    atoms = crystalline(0, 0, face=face, radius_A=11.0, shell_A=3.0)
    distance = np.linalg.norm(molecular_centres(atoms.positions), axis=1)
    assert distance.max() <= 11.0
    assert ((atoms.arrays["fixed"][::2] == 1) == (distance > distance.max() - 3.0)).all()


def test_amorphous_ice_is_below_and_dense() -> None:
    atoms = amorphous(60, 20, 1.0, 3)
    centres = molecular_centres(atoms.positions)
    assert centres[:, 2].max() < 0.1
    assert atoms.arrays["fixed"].sum() == 40
    assert closest_contact(atoms.positions) > 2.3
    radius_A = (3 * 60 * 28.01 * 1.660539 / (2 * np.pi * 1.0)) ** (1 / 3)  # of half a sphere of 1 g/cm³
    assert 0.9 * radius_A < atoms.info["radius_A"] < 1.02 * radius_A
    assert np.array_equal(atoms.positions, amorphous(60, 20, 1.0, 3).positions)
    assert not np.array_equal(atoms.positions, amorphous(60, 20, 1.0, 4).positions)


def test_hemispheres_without_mobile_molecules_are_refused() -> None:
    with pytest.raises(UserError, match="12 molecules, 12 of them fixed; at least one must be mobile"):
        crystalline(12, 12)
    with pytest.raises(UserError, match="at least one must be mobile"):
        crystalline(0, 0, radius_A=8.0, shell_A=9.0)
    with pytest.raises(UserError, match=r"both must be positive, the paper has 477 at 1\.07"):
        amorphous(10, 2, 0.0, 1)
    with pytest.raises(UserError, match=r"do not fit .* a lower density"):
        amorphous(20, 2, 40.0, 1)
    with pytest.raises(UserError, match="three integers that are not all zero"):
        crystalline(20, 2, face=(0, 0, 0))
    with pytest.raises(UserError, match="lattice constant of 1 Å"):
        crystalline(20, 2, lattice_A=1.0)


def test_height_needs_atoms() -> None:
    assert height_A(np.array([[0.0, 0.0, 1.0], [9.0, 0.0, 5.0]]), 3.0) == 1.0
    with pytest.raises(UserError, match="no atom within 3 Å"):
        height_A(np.array([[9.0, 0.0, 5.0]]), 3.0)


def test_melted_lost_and_broken_surfaces_stop() -> None:
    atoms = crystalline(40, 12)
    start, whole = atoms.positions, Molecules.of(atoms)
    radius = 9.5
    check_whole(whole, start[None], start, radius, "crystalline", 20.0)
    shaken = start + np.repeat(np.random.default_rng(1).normal(scale=1.2, size=(40, 3)), 2, axis=0)
    with pytest.raises(UserError, match="crystalline surface at 20 K melted"):
        check_whole(whole, shaken[None], start, radius, "crystalline", 20.0)
    check_whole(whole, shaken[None], start, radius, "amorphous", 20.0)
    gone = start.copy()
    gone[6:8] += [0.0, 0.0, 30.0]
    with pytest.raises(UserError, match=r"lost 1 of 40 molecules \(first: 3\)"):
        check_whole(whole, gone[None], start, radius, "amorphous", 75.0)
    broken = start.copy()
    broken[2] += 3.0
    with pytest.raises(UserError, match="broke molecule 1"):
        check_whole(whole, broken[None], start, radius, "amorphous", 75.0)
    inside = start.copy()
    inside[4:6] = inside[2:4]
    inside[4:6, 2] += 0.3
    with pytest.raises(UserError, match=r"collapsed, .* 0\.30 Å apart: a hole of the potential; train it on"):
        check_whole(whole, inside[None], start, radius, "amorphous", 75.0)
    with pytest.raises(UserError, match="became not finite: a hole of the potential"):
        check_whole(whole, np.full_like(start, np.nan)[None], start, radius, "amorphous", 75.0)


SETTINGS = Preparation(
    phase="crystalline", n_crystalline=16, n_crystalline_fixed=9, lattice_A=5.64, face=(1, 1, 0),
    radius_A=0.0, shell_A=0.0,
    density_g_per_cm3=0.9, surface_temperatures_K=(10.0,), n_snapshots=2, thermalization_fs=40.0,
    anneal_temperature_K=40.0, anneal_fs=40.0, surface_timestep_fs=1.0, damping_fs=50.0,
    surface_max_force_eV_per_A=0.02,
    campaign_seed=1,
)  # fmt: skip


def test_surfaces_are_written_with_their_checks(tmp_path: object) -> None:
    prepare(SETTINGS, "analytic", f"{tmp_path}/crystal")
    surfaces = read_surfaces(f"{tmp_path}/crystal")
    assert [s.info["surface_id"] for s in surfaces] == [0, 1]
    assert all(s.info["surface_temperature_K"] == 10.0 for s in surfaces)
    fixed = surfaces[0].arrays["fixed"].astype(bool)
    assert np.array_equal(surfaces[0].positions[fixed], surfaces[1].positions[fixed])
    assert np.abs(surfaces[0].get_velocities()[fixed]).max() == 0.0
    assert np.abs(surfaces[0].get_velocities()[~fixed]).max() > 0.0
    with pytest.raises(UserError, match="no potential"):
        prepare(SETTINGS, f"{tmp_path}/no.h5", f"{tmp_path}/x")
    with pytest.raises(UserError, match="has no snapshots"):
        read_surfaces(f"{tmp_path}")


def test_atoms_are_ordered_by_molecule() -> None:
    atoms: Atoms = crystalline(12, 3)
    assert atoms.get_chemical_symbols() == ["C", "O"] * 12
    assert atoms.arrays["fixed"].tolist() == [0] * 18 + [1] * 6


def test_any_ase_calculator_drives_the_experiment() -> None:
    source = driver("ase:ase.calculators.emt.EMT")
    assert (source.name(), source.n_members) == ("ase-mean", 1)
    atoms = Atoms("COCOH2", [[0, 0, 0], [0, 0, 1.2], [3, 0, 0], [3, 0, 1.2], [1, 3, 0], [1, 3, 0.8]])
    atoms.calc = EMT()
    [energy] = energies_of(source.potential(atoms), atoms.positions[None])
    assert energy == pytest.approx(atoms.get_potential_energy())
    with pytest.raises(UserError, match=r"ase:no\.such\.thing: No module named 'no'"):
        driver("ase:no.such.thing")
