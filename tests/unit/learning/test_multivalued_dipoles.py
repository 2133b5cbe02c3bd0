"""Dipoles of cells: labels on any branch, an ion carried to the next cell, wrong oxidation numbers found."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("optax")

import frazil
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.learning import gmnn
from frazil.learning.branches import check_branches, check_numbers, labels_of, numbers_of
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.interface import jit
from frazil.potentials.neighbours import of_atoms
from frazil.potentials.registry import load
from frazil.potentials.transform import InField

EDGE_A = 5.6
NUMBERS = {11: 1.0, 17: -1.0}
SHAPE = GmnnArchitecture(cutoff_A=4.0, n_basis=4, n_radial=1, hidden=(8,))


def environment(atoms: Atoms) -> np.ndarray:
    """A smooth part of a dipole that neighbours make, (3,), e Å: chlorine leans to the sodium around it."""
    lists = of_atoms(atoms, 4.0)
    index, shift = np.asarray(lists.index), np.asarray(lists.shift)
    total = np.zeros(3)
    for i, k in zip(*np.nonzero(index < len(atoms)), strict=True):
        apart = atoms.positions[index[i, k]] + shift[i, k] - atoms.positions[i]
        if atoms.numbers[i] == 17 and atoms.numbers[index[i, k]] == 11:
            r = np.linalg.norm(apart)
            total += 0.12 * (np.cos(np.pi * r / 4.0) + 1.0) * (1.3 - 0.1 * r) * apart
    return total


def salt(seed: int, branch: int = 0, **info: Any) -> Atoms:
    """Eight ions of rock salt, moved and written anywhere, with a dipole on some branch."""
    random = np.random.default_rng(seed)
    places = 0.5 * EDGE_A * np.array(list(np.ndindex(2, 2, 2)), float)
    kinds = ["Na" if sum(place) % 2 == 0 else "Cl" for place in np.ndindex(2, 2, 2)]
    atoms = Atoms(kinds, places, cell=EDGE_A * np.eye(3), pbc=True)
    atoms.positions += random.normal(scale=0.12, size=(8, 3))
    return labelled(atoms, random.integers(-branch, branch + 1, 3), **info)


def labelled(atoms: Atoms, branch: Any = 0, **info: Any) -> Atoms:
    """The atoms with the truth's dipole, on a branch; energy and forces are none."""
    numbers = np.array([NUMBERS[int(n)] for n in atoms.numbers])
    dipole = numbers @ atoms.positions + environment(atoms) + EDGE_A * np.broadcast_to(branch, 3)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), dipole=dipole)
    atoms.info |= {"label_level": "made up", **info}
    return atoms


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("salt")
    write_frames(folder / "train.extxyz", [salt(seed, branch=2) for seed in range(48)])
    write_frames(folder / "test.extxyz", [salt(seed, branch=2) for seed in range(100, 116)])
    settings = GmnnTraining(
        n_members=2,
        seed=1,
        n_epochs=120,
        batch_size=16,
        energy_weight=0.0,
        force_weight=0.0,
        dipole_weight=1.0,
    )
    gmnn.train(
        folder, folder / "model", folder / "kept", settings, SHAPE, oxidation_numbers=("Na:1", "Cl:-1")
    )
    return folder / "model"


def test_dipoles_on_any_branch_are_learnt(model: Path) -> None:
    calculator = frazil.load(model)
    errors, sizes = [], []
    for seed in range(200, 220):
        atoms = salt(seed)
        own = environment(atoms)
        numbers = np.array([NUMBERS[int(n)] for n in atoms.numbers])
        atoms.calc = calculator
        errors.append(atoms.get_dipole_moment() - numbers @ atoms.positions - own)
        sizes.append(own)
    assert np.sqrt(np.mean(np.square(errors))) < 0.05 * np.sqrt(np.mean(np.square(sizes)))


def test_an_ion_that_goes_to_the_next_cell_changes_it_by_its_number(model: Path) -> None:
    """In ASE and in the engine; charges as derivatives add up to none, and are the oxidation number's."""
    atoms = salt(7)
    atoms.calc = frazil.load(model)
    first = atoms.get_dipole_moment()
    atoms.positions[3, 1] += EDGE_A  # a sodium ion
    assert atoms.numbers[3] == 11
    np.testing.assert_allclose(atoms.get_dipole_moment() - first, [0, EDGE_A, 0], atol=1e-6)

    potential = load(model).potential(atoms)
    ready = potential.batched(1)
    lists = jax.tree.map(lambda leaf: leaf[None], of_atoms(atoms, 4.0, 0.3))

    def dipole(positions: jax.Array) -> jax.Array:
        return ready.evaluate(ready.arrange(lists), positions[None]).info["dipole_e_A"][0]

    charges = np.asarray(jit(jax.jacfwd(dipole))(jnp.asarray(atoms.positions)))  # (3, natoms, 3)
    np.testing.assert_allclose(charges.sum(axis=1), 0.0, atol=2e-6)
    step = np.zeros((8, 3))
    step[2, 0] = 1e-3
    truth = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step
        truth.append(labelled(moved).calc.results["dipole"])
    slope = (truth[0] - truth[1]) / 2e-3
    np.testing.assert_allclose(charges[:, 2, 0], slope, atol=0.05)

    # A field acts by these charges.
    field = np.array([0.02, -0.01, 0.03])
    found = []
    for one in (potential, InField(potential, field)):
        run = one.batched(1)
        pull = jit(lambda x, run=run: run.evaluate(run.arrange(lists), x[None]))
        found.append(pull(jnp.asarray(atoms.positions)))
    pulled = np.asarray(found[1].forces[0] - found[0].forces[0])
    np.testing.assert_allclose(pulled, np.einsum("x,xlk->lk", field, charges), atol=1e-6)
    np.testing.assert_allclose(found[0].info["dipole_e_A"][0], atoms.get_dipole_moment(), atol=2e-6)


def test_wrong_numbers_are_found_by_an_ion_that_travels() -> None:
    """An ion goes through a face in twenty steps; the right numbers come back, others leave a cell behind."""
    random = np.random.default_rng(3)
    frames = []
    for step in range(21):
        atoms = salt(1, trajectory_id="one", time_fs=float(step))
        atoms.positions[0, 2] += EDGE_A * step / 20
        atoms.wrap()  # as some codes write it
        frames.append(labelled(atoms, random.integers(-2, 3, 3)))
    assert check_numbers(frames, labels_of(frames, NUMBERS)) == 21
    wrong = {11: 2.0, 17: -2.0}
    with pytest.raises(UserError, match=r"oxidation numbers are wrong: along trajectory 'one', from 0 to"):
        check_numbers(frames, labels_of(frames, wrong))
    with pytest.raises(UserError, match=r"frame 0 \(.*\): oxidation numbers add up to \+4 e"):
        labels_of(frames, {11: 2.0, 17: -1.0})


def test_a_label_between_two_branches_is_refused() -> None:
    near, between = salt(1), salt(2, branch=1)
    check_branches([near, between], labels_of([near, between], NUMBERS))
    between.calc.results["dipole"] += np.array([0.4 * EDGE_A, 0, 0])
    with pytest.raises(
        UserError, match=r"frame 1 .* is 0\.[34]. lattice vectors from its branch; beyond 0\.35"
    ):
        check_branches([near, between], labels_of([near, between], NUMBERS))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (("Na:1",), "oxidation numbers of Na; the frames hold Na, Cl: give one for each element"),
        (("Na:one", "Cl:-1"), "oxidation number 'Na:one'; give ELEMENT:NUMBER, a whole number of e"),
        (("Na", "Cl:-1"), "oxidation number 'Na'; give ELEMENT:NUMBER"),
    ],
)
def test_numbers_are_told_for_every_element(told: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        numbers_of(told, ("Na", "Cl"))
    assert numbers_of((), ("Na", "Cl")) == ()
    assert numbers_of(("Cl:-1", "Na:1"), ("Na", "Cl")) == (1.0, -1.0)
