"""Crystals and liquids through training: images, supercells, wrapping, sets that mix cells and molecules."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError

pytest.importorskip("optax")

import frazil
from frazil.data.cells import check_boundaries
from frazil.data.frames import fingerprint, read_frames, write_frames
from frazil.data.split import prepare as divide
from frazil.learning import gmnn
from frazil.learning.batches import batches, prepare
from frazil.learning.egnn import EgnnNetwork
from frazil.learning.settings import AdsorbateTraining, GmnnArchitecture, GmnnTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, forces, frames
from frazil.potentials.egnn.architecture import Architecture as Egnn
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee, member
from frazil.potentials.gmnn.committee import Committee, write_folder
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.surface import slopes_of

SHAPE = GmnnArchitecture(cutoff_A=4.5, n_basis=3, n_radial=1, hidden=(4,))
NETWORK = Architecture(("Na", "Cl"), cutoff_A=4.5, n_basis=3, n_radial=1, hidden=(4,), precision="float64")
SETTINGS = GmnnTraining(n_members=2, n_epochs=1, batch_size=2)
CELL = np.array([[4.1, 0.0, 0.0], [0.3, 3.9, 0.0], [0.0, 0.2, 4.4]])
"""Smaller than two cutoffs, and than one: atoms see several images of others, and of themselves."""


def labelled(atoms: Atoms, seed: int = 0, **info: Any) -> Atoms:
    """The atoms with made-up labels: what is learned does not matter."""
    random = np.random.default_rng(seed)
    found = atoms.copy()
    energy_eV, slopes = -3.0 * len(atoms) + random.normal(), random.normal(size=(len(atoms), 3))
    found.calc = SinglePointCalculator(found, energy=energy_eV, forces=slopes - slopes.mean(axis=0))
    found.info |= {"label_level": "made up", **info}
    return found


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    places = [[0.1, 0.0, 0.0], [2.0, 2.1, 0.2], [0.2, 2.0, 2.1], [2.1, 0.1, 2.3]]
    return Atoms("NaClClNa", places, cell=CELL, pbc=True)


@pytest.fixture(scope="module")
def molecule() -> Atoms:
    return Atoms("NaClNa", [[0.0, 0, 0], [2.3, 0.4, 0], [4.2, 0, 0.5]])


def repeated(atoms: Atoms) -> Atoms:
    """Twice the cell, with its labels."""
    found = atoms.repeat((2, 1, 1))
    results = atoms.calc.results
    doubled = np.concatenate([results["forces"]] * 2)
    found.calc = SinglePointCalculator(found, energy=2 * results["energy"], forces=doubled)
    found.info |= atoms.info
    return found


def wrapped(atoms: Atoms) -> Atoms:
    """The same crystal, atoms written on other sides of its faces."""
    found = atoms.copy()
    found.positions += np.array([[1, 0, 0], [0, -2, 1], [0, 0, 0], [3, 1, -1]]) @ CELL
    found.calc = SinglePointCalculator(found, **atoms.calc.results)
    return found


def test_a_batch_of_cells_and_free_frames_is_what_each_is_alone(crystal: Atoms, molecule: Atoms) -> None:
    """All lie in one place: frames of a batch are no neighbours. Supercells and wrapping change nothing."""
    one = labelled(crystal)
    boxed = labelled(molecule, 1)
    boxed.set_cell([3.0, 3.0, 3.0])  # with pbc off it means nothing
    held = [one, repeated(one), wrapped(one), labelled(molecule, 1), boxed]
    ready = prepare(NETWORK, held)
    parameters = gmnn.start_parameters(NETWORK, SETTINGS, ready)
    (batch,) = batches(ready, np.arange(5), 5)
    network = member(parameters, 0)
    own, slopes = (np.asarray(x) for x in jax.jit(lambda p: gmnn.predict(NETWORK, p, batch)[:2])(network))
    n = np.cumsum([0, *map(len, held)])
    by_frame = [slopes[n[i] : n[i + 1]] for i in range(5)]
    assert own[1] == pytest.approx(2 * own[0], abs=1e-10)
    assert own[2] == pytest.approx(own[0], abs=1e-10)
    assert own[4] == pytest.approx(own[3], abs=1e-12)
    assert np.abs(by_frame[0]).max() > 0.01
    np.testing.assert_allclose(by_frame[1], np.concatenate([by_frame[0]] * 2), atol=1e-10)
    np.testing.assert_allclose(by_frame[2], by_frame[0], atol=1e-10)
    np.testing.assert_allclose(by_frame[4], by_frame[3], atol=1e-12)

    # The loss: a supercell of the same labels has twice a cell's energies' part, and the forces' part of it.
    energy, force = (np.asarray(part) for part in gmnn.residuals(batch, own, slopes))
    assert energy[1] ** 2 / len(held[1]) == pytest.approx(2 * energy[0] ** 2 / len(one), rel=1e-9)
    np.testing.assert_allclose(force[n[1] : n[1] + 4], force[: n[1]], atol=1e-10)

    # The pass that trains: its value is that of these, its gradient the value's slope.
    run = jax.jit(lambda p: gmnn.loss_and_gradient_of(NETWORK, SETTINGS, p, batch))
    value, gradient = run(network)
    weights = np.array([SETTINGS.energy_weight, SETTINGS.force_weight])
    expected = np.array([float(part) for part in gmnn.squared(batch, energy, force)]) @ weights / 5
    assert float(value) == pytest.approx(expected, rel=1e-10)
    random, step = np.random.default_rng(2), 1e-6
    trained = {name: network[name] for name in ("embedding", "layers", "scale", "shift")}
    way = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), trained)
    ends = [
        float(run({**network, **jax.tree.map(lambda p, w, s=s: p + s * step * w, trained, way)})[0])
        for s in (1, -1)
    ]
    along = jax.tree.map(lambda g, w: (g * w).sum(), {name: gradient[name] for name in trained}, way)
    slope = sum(float(part) for part in jax.tree.leaves(along))
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)

    # The path of committees and of ASE, one structure alone.
    (alone,) = Committee(Model(NETWORK, parameters, {})).predict([one])
    assert alone.energies_eV[0] == pytest.approx(own[0], abs=1e-9)
    np.testing.assert_allclose(alone.forces_eV_per_A[0], by_frame[0], atol=1e-9)


@pytest.fixture(scope="module")
def model(crystal: Atoms, molecule: Atoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee trained for an epoch on cells and a free frame, from files."""
    folder = tmp_path_factory.mktemp("periodic")
    random = np.random.default_rng(5)
    frames = [labelled(molecule, trajectory_id="free")]
    for seed in range(7):
        moved = crystal.copy()
        moved.positions += random.normal(scale=0.01, size=moved.positions.shape)
        frames.append(labelled(moved, seed, trajectory_id=f"crystal-{seed}"))
    write_frames(folder / "frames.extxyz", frames)
    divide([folder / "frames.extxyz"], folder / "data", "frame", molecules="any", periodic="mixed")
    gmnn.train(folder / "data", folder / "model", folder / "kept", SETTINGS, SHAPE)
    return folder / "model"


def test_a_trained_committee_runs_in_the_engine_as_in_ase(model: Path, crystal: Atoms) -> None:
    """The supercell that the engine takes has the cell's energy and forces; fixed atoms keep the energy."""
    calculator = frazil.load(model)
    small = crystal.copy()
    small.calc = calculator
    energy_eV, slopes = small.get_potential_energy(), small.get_forces()
    large = crystal.repeat(3)
    held = np.zeros(len(large), bool)
    held[:30] = True
    run = Ensemble(
        calculator_potential(model, large), VelocityVerlet(0.2), large.get_masses(), 40, 10, frozen=held,
        observers=(energies, forces), cell_A=large.cell.array, width=1, skin_A=0.3,
    )  # fmt: skip
    velocities = np.random.default_rng(1).normal(scale=0.01, size=(1, len(large), 3))
    # The first atoms leave the cell, others are written behind a face: nothing changes.
    start = large.positions + 2 * large.cell.array[0] * (np.arange(len(large)) % 2)[:, None]
    (ended,) = run.run(start[None], velocities)
    assert ended.rows["energy"][0] == pytest.approx(27 * energy_eV, rel=1e-6)
    np.testing.assert_allclose(ended.rows["forces"][0], np.tile(slopes, (27, 1)), atol=2e-5)
    total = ended.rows["energy"] + ended.rows["kinetic_energy"]
    exchanged = np.ptp(ended.rows["kinetic_energy"])
    assert exchanged > 0.01
    assert np.ptp(total) < 5e-3 * exchanged
    # The cell itself, smaller than a cutoff, moves as its supercell does; lists are built anew on the way.
    both = []
    for atoms in (crystal, crystal.repeat(3)):
        own = Ensemble(
            calculator_potential(model, atoms), VelocityVerlet(0.5), atoms.get_masses(), 60, 20,
            observers=(energies, frames), cell_A=atoms.cell.array, width=1, skin_A=0.1,
        )  # fmt: skip
        velocities = np.random.default_rng(2).normal(scale=0.05, size=(4, 3))
        (ended,) = own.run(atoms.positions[None], np.tile(velocities, (len(atoms) // 4, 1))[None])
        both.append(ended.rows)
    small_rows, large_rows = both
    assert np.abs(small_rows["positions"][-1] - crystal.positions).max() > 0.1
    np.testing.assert_allclose(large_rows["positions"][:, :4], small_rows["positions"], atol=1e-4)
    np.testing.assert_allclose(large_rows["energy"] / 27, small_rows["energy"], atol=1e-5)


def calculator_potential(model: Path, atoms: Atoms) -> Any:
    from frazil.potentials.registry import load

    return load(model).potential(atoms)


def test_stress_is_the_energys_slope_by_strain(crystal: Atoms, tmp_path: Path) -> None:
    metadata = {"label_level": "made up", "training_data_sha256": ""}
    write_folder(tmp_path, NETWORK, initialize_committee(NETWORK, 3, 2), metadata)
    atoms = crystal.copy()
    atoms.calc = frazil.load(tmp_path)
    atoms.get_potential_energy()
    assert "stress" not in atoms.calc.results
    stress = atoms.get_stress(voigt=False)
    assert np.abs(stress).max() > 1e-3
    step = 1e-5
    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            ends = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += 0.5 * sign * step
                strain[j, i] += 0.5 * sign * step
                moved = crystal.copy()
                moved.set_cell(crystal.cell.array @ strain, scale_atoms=True)
                moved.calc = atoms.calc
                ends.append(moved.get_potential_energy())
            expected[i, j] = (ends[0] - ends[1]) / (2 * step) / crystal.get_volume()
    np.testing.assert_allclose(stress, expected, atol=2e-7 + 1e-5 * np.abs(stress).max())
    free = crystal.copy()
    free.pbc = (True, True, False)
    free.calc = atoms.calc
    with pytest.raises(UserError, match="which is not periodic in all three directions; give a cell and pbc"):
        free.get_stress()


def test_an_egnn_in_training_takes_cells_too(crystal: Atoms) -> None:
    network = EgnnNetwork(
        Egnn(("Na", "Cl"), n_features=8, n_waves=8, n_layers=1, cutoff_A=4.5, precision="float64")
    )
    one = labelled(crystal)
    ready = prepare(network, [one, repeated(one), wrapped(one)])
    weights = network.fold(network.start(ready, 1))
    (batch,) = batches(ready, np.arange(3), 3)
    found = jax.jit(lambda w: network.values(w, batch, jax.numpy.asarray(batch.positions)))(weights)
    own, slopes = (np.asarray(part) for part in found)
    assert own[1:] == pytest.approx([2 * own[0], own[0]], abs=1e-10)
    assert np.abs(slopes[:4]).max() > 1e-3
    np.testing.assert_allclose(slopes[4:16], np.tile(slopes[:4], (3, 1)), atol=1e-10)


def test_second_derivatives_of_many_atoms_are_taken_in_parts() -> None:
    def first(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        return positions**2 * positions.sum(), positions.sum(axis=0) ** 3

    places = np.random.default_rng(0).normal(size=(5, 3))
    for one, other in zip(slopes_of(first, places, 15), slopes_of(first, places, 4), strict=True):
        assert one.shape[1] == 15
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_what_a_cell_cannot_teach_is_refused(crystal: Atoms, molecule: Atoms, tmp_path: Path) -> None:
    write_frames(tmp_path / "train.extxyz", [labelled(crystal), labelled(molecule)])
    write_frames(tmp_path / "test.extxyz", [labelled(molecule)])
    asked = (tmp_path, tmp_path / "model", tmp_path / "kept")
    with_dipoles = GmnnTraining(n_members=1, n_epochs=1, dipole_weight=1.0)
    with pytest.raises(
        UserError, match="1 of 3 frames are periodic, and the dipole of a cell has many values"
    ):
        gmnn.train(*asked, with_dipoles, SHAPE)
    with pytest.raises(
        UserError, match="1 of 3 frames are periodic; an adsorbate's network learns from free"
    ):
        gmnn.train(*asked, SETTINGS, SHAPE, adsorbate=AdsorbateTraining(adsorbate=("Cl",)))
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("change", "periodic", "message"),
    [
        ({}, "no", r"frame 1: the frame is periodic; only free aggregates, unwrapped, are allowed here"),
        ({"pbc": False}, "yes", r"frame 1: a cell whose pbc is off in a set that is said to be periodic"),
        ({"pbc": False, "cell": None}, "yes", r"frame 1: no cell in a set that is said to be periodic"),
        (
            {"pbc": False},
            "mixed",
            r"frame 1: no cell, where the same atoms of the same trajectory have one in .*0",
        ),
        ({"pbc": (True, True, False)}, "yes", r"frame 1: periodic along a, b only; allowed are all three"),
        ({"cell": [4, 4, 0]}, "mixed", r"frame 1: periodic, but its cell .* has no volume"),
        ({"cell": [4, 4, np.nan]}, "mixed", r"frame 1: periodic, but its cell .* has no volume"),
    ],
)
def test_boundaries_that_are_not_what_is_said(
    crystal: Atoms, change: dict[str, Any], periodic: str, message: str, tmp_path: Path
) -> None:
    first, second = labelled(crystal, 0), labelled(crystal, 1)
    if periodic == "no":
        first.pbc = False
    for name, value in change.items():
        setattr(second, name, value)
    with pytest.raises(UserError, match=message):
        check_boundaries([first, second], ["frame 0", "frame 1"], periodic)
    if "cell" not in change:
        write_frames(tmp_path / "a.extxyz", [first, second])
        with pytest.raises(UserError, match=message):
            read_frames([tmp_path / "a.extxyz"], periodic=periodic)


def test_a_cell_goes_through_files_and_its_doubles_are_found(crystal: Atoms, tmp_path: Path) -> None:
    one = labelled(crystal)
    write_frames(tmp_path / "a.extxyz", [one, wrapped(one), repeated(one)])
    back = read_frames([tmp_path / "a.extxyz"], periodic="yes")
    assert [atoms.pbc.all() for atoms in back] == [True] * 3
    np.testing.assert_allclose(back[0].cell.array, CELL, atol=1e-8)
    assert fingerprint(back[0]) == fingerprint(back[1]) != fingerprint(back[2])
    pressed = back[0].copy()
    pressed.set_cell(0.99 * CELL, scale_atoms=True)
    assert fingerprint(pressed) != fingerprint(back[0])
    summary = divide(
        [tmp_path / "a.extxyz"], tmp_path / "data", "frame", 0.5, 0.0, molecules="any", periodic="yes"
    )
    assert summary["n_duplicates_dropped"] == 1
    assert summary["molecules"] == {"1 cell of Cl2Na2": 1, "1 cell of Cl4Na4": 1}


def test_cells_count_for_a_trainings_identity(crystal: Atoms) -> None:
    one, other = labelled(crystal), labelled(crystal)
    other.set_cell(1.01 * CELL)
    prints = {gmnn.fingerprint_of(NETWORK, SETTINGS, [atoms], [one]) for atoms in (one, other)}
    assert len(prints) == 2
