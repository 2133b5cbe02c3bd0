"""Limits, images and charges that every GM-NN must keep, whatever its parameters."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.distance import pdist

from frazil.potentials.gmnn import fast
from frazil.potentials.gmnn.architecture import Architecture, fold, initialize_committee, member
from frazil.potentials.gmnn.committee import Committee, Prediction, neighbours_of
from frazil.potentials.gmnn.files import Model
from frazil.potentials.interface import jit

ARCHITECTURE = Architecture(
    ("H", "C", "O"),
    cutoff_A=4.0,
    n_radial=2,
    hidden=(12, 6),
    heads=("energy", "charge"),
    zbl_cutoff_A=1.5,
    precision="float64",
)
MODEL = Model(ARCHITECTURE, initialize_committee(ARCHITECTURE, 3, 2), {})
COMMITTEE = Committee(MODEL)
N_ATOMS = 6


def predict(atoms: Atoms) -> Prediction:
    return COMMITTEE.predict([atoms])[0]


def structure(seed: int, spread_A: float = 1.8) -> Atoms:
    """Six atoms at random, no two nearer than 0.7 Å."""
    rng = np.random.default_rng(seed)
    while True:
        positions = rng.normal(scale=spread_A, size=(N_ATOMS, 3))
        if pdist(positions).min() > 0.7:
            return Atoms("HCOHCO", positions=positions)


def test_smooth_at_the_cutoff() -> None:
    """Energy and force of an atom that leaves the sphere go to zero without a step."""
    alone = predict(Atoms("CO", positions=[[0, 0, 0], [0, 0, 50.0]])).energies_eV
    distances = ARCHITECTURE.cutoff_A + np.array([-2e-3, -1e-3, -1e-6, 1e-6, 1e-3])
    pairs = [Atoms("CO", positions=[[0, 0, 0], [0, 0, d]]) for d in distances]
    predictions = COMMITTEE.predict(pairs)
    energies = np.array([p.energies_eV - alone for p in predictions])
    forces = np.array([p.forces_eV_per_A[:, 1, 2] for p in predictions])
    assert np.abs(energies[2:]).max() < 1e-9
    assert np.abs(forces[2:]).max() < 1e-5
    # Quadratic in the distance to the cutoff: half the distance, a quarter of the energy, half the force.
    np.testing.assert_allclose(energies[1] / energies[0], 0.25, atol=0.02)
    np.testing.assert_allclose(forces[1] / forces[0], 0.5, atol=0.02)


@pytest.mark.parametrize(
    "cell", [np.diag([6.5, 7.0, 7.5]), np.array([[3.2, 0, 0], [0.8, 3.4, 0], [0.2, -0.5, 3.6]])]
)
def test_periodic_is_the_middle_of_many_images(cell: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    atoms = Atoms("COH", positions=[[0.1, 0, 0], [1.2, 0.3, 0.1], [0.2, 1.5, 1.4]], cell=cell, pbc=True)
    atoms.positions += rng.normal(scale=0.02, size=(3, 3))
    periodic = predict(atoms)
    images = [np.array([i, j, k]) @ cell for i in range(-2, 3) for j in range(-2, 3) for k in range(-2, 3)]
    cluster = Atoms(
        list(atoms.symbols) * len(images),
        positions=np.concatenate([atoms.positions + image for image in images]),
    )
    middle = 3 * (len(images) // 2)
    weights = fold(ARCHITECTURE, member(MODEL.parameters, 0))
    lists, species = neighbours_of(ARCHITECTURE, cluster), jnp.asarray(ARCHITECTURE.species(cluster.numbers))
    outputs, _ = jit(partial(fast.evaluate, ARCHITECTURE))(
        fast.spread(ARCHITECTURE, weights, species),
        species,
        fast.arrange(ARCHITECTURE, species, lists),
        jnp.asarray(cluster.positions),
    )
    np.testing.assert_allclose(periodic.energies_eV[0], outputs[0, middle : middle + 3].sum(), rtol=1e-10)
    supercell = atoms.repeat((2, 1, 1))
    doubled = predict(supercell)
    np.testing.assert_allclose(doubled.energies_eV, 2 * periodic.energies_eV, rtol=1e-10)
    np.testing.assert_allclose(doubled.forces_eV_per_A[:, :3], periodic.forces_eV_per_A, atol=1e-9)
    np.testing.assert_allclose(doubled.forces_eV_per_A[:, 3:], periodic.forces_eV_per_A, atol=1e-9)


def test_dipole_charges_sum_to_the_total_charge() -> None:
    """Of a neutral structure the dipole does not depend on the origin; of an ion it is taken from the centre
    of mass.
    """
    atoms = structure(11)
    moved = atoms.copy()
    moved.positions += [3.0, -2.0, 5.0]
    for charge in (0.0, 1.0):
        here, there = (COMMITTEE.predict([a], [charge])[0].dipoles_e_A for a in (atoms, moved))
        np.testing.assert_allclose(here, there, atol=1e-9)
    # A charge added to every atom alike is what the total charge takes away again.
    shift = MODEL.parameters["shift"].at[:, :, 1].add(0.7)
    shifted = Committee(Model(ARCHITECTURE, {**MODEL.parameters, "shift": shift}, {}))
    np.testing.assert_allclose(shifted.predict([atoms])[0].dipoles_e_A, predict(atoms).dipoles_e_A, atol=1e-9)
