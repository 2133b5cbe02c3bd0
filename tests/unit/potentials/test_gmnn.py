from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.potentials.gmnn import fast, reference
from frazil.potentials.gmnn.apax import from_apax
from frazil.potentials.gmnn.architecture import (
    Architecture,
    Weights,
    fold,
    initialize,
    initialize_committee,
    member,
)
from frazil.potentials.gmnn.calculator import GMNNCalculator
from frazil.potentials.gmnn.committee import Committee, neighbours_of, self_check
from frazil.potentials.gmnn.contractions import COMPONENTS, contract, feature_order
from frazil.potentials.gmnn.files import Model, read_model, write_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Evaluation, jit
from frazil.potentials.neighbours import Neighbours, allocate, stale, update

HERE = Path(__file__).parent
METADATA = {"label_level": "test", "training_data_sha256": "0"}


def molecules(n: int, seed: int = 0) -> Atoms:
    """CO molecules on a jittered grid, oriented at random."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:n] * 3.4
    axis = rng.normal(size=(n, 3))
    axis *= 0.56 / np.linalg.norm(axis, axis=1)[:, None]
    positions = np.stack([grid - axis, grid + axis], 1).reshape(-1, 3) + rng.normal(
        scale=0.05, size=(2 * n, 3)
    )
    return Atoms(["C", "O"] * n, positions=positions)


def small_model(
    n_members: int = 1, heads: tuple[str, ...] = ("energy",), precision: str = "float64", n_heads: int = 1
) -> Model:
    architecture = Architecture(
        ("C", "O"), n_basis=5, n_radial=2, hidden=(12, 6), heads=heads, precision=precision, n_heads=n_heads
    )
    parameters = initialize_committee(architecture, 5, n_members)
    rng = np.random.default_rng(1)
    parameters["feature_mean"] = jnp.asarray(rng.normal(size=parameters["feature_mean"].shape))
    parameters["feature_scale"] = jnp.asarray(rng.uniform(0.5, 2.0, size=parameters["feature_scale"].shape))
    return Model(architecture, parameters, METADATA)


@pytest.fixture(scope="module")
def apax_model() -> Model:
    return read_model(HERE / "gmnn_apax.h5")


def test_apax_parity(apax_model: Model) -> None:
    """Energies and forces of apax 0.14 (float64) for the same parameters; made by benchmarks/apax_side.py."""
    expected = np.load(HERE / "gmnn_apax.npz")
    ends = np.cumsum(expected["n_atoms"])
    frames = [
        Atoms(numbers, positions=positions)
        for numbers, positions in zip(
            np.split(expected["numbers"], ends[:-1]),
            np.split(expected["positions_A"], ends[:-1]),
            strict=True,
        )
    ]
    predictions = Committee(apax_model).predict(frames)
    energies = [prediction.energy_eV for prediction in predictions]
    forces = np.concatenate([prediction.forces_mean_eV_per_A for prediction in predictions])
    np.testing.assert_allclose(energies, expected["energies_eV"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(forces, expected["forces_eV_per_A"], rtol=0, atol=1e-8)


def test_apax_refuses_what_it_cannot_read() -> None:
    config = {"basis": {"name": "bessel", "r_max": 5.0}, "n_radial": 5, "nn": [8], "use_ntk": True}
    with pytest.raises(UserError, match=r"basis = .*bessel"):
        from_apax(config, {}, ["C", "O"])


@pytest.mark.parametrize("zbl_cutoff_A", [0.0, 1.8])
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-11), ("float32", 5e-6)])
def test_fast_is_reference(zbl_cutoff_A: float, precision: str, tolerance: float) -> None:
    model = small_model(precision=precision)
    architecture = replace(model.architecture, zbl_cutoff_A=zbl_cutoff_A)
    weights = fold(architecture, member(model.parameters, 0))
    atoms = molecules(5)
    species = jnp.asarray(architecture.species(atoms.numbers))
    lists = neighbours_of(architecture, atoms, skin_A=0.4)
    positions = jnp.asarray(atoms.positions)
    single = jax.jit(partial(reference.energy_and_forces, architecture))
    energy, forces, per_atom = single(weights, species, lists, positions)

    def together(weights: Weights, species: jax.Array, lists: Neighbours, positions: jax.Array) -> Any:
        spread, arranged = (
            fast.spread(architecture, weights, species),
            fast.arrange(architecture, species, lists),
        )
        return fast.evaluate(architecture, spread, species, arranged, positions)

    outputs, fast_forces = jit(together)(weights, species, lists, positions)
    scale = max(1.0, float(jnp.abs(forces).max()))
    np.testing.assert_allclose(outputs[0].sum(), energy, rtol=tolerance, atol=10 * tolerance)
    np.testing.assert_allclose(fast_forces, forces, rtol=0, atol=tolerance * scale)
    assert per_atom.shape == (10, 1)


def test_contractions_and_their_adjoint() -> None:
    rng = np.random.default_rng(2)
    moments = jnp.asarray(rng.normal(size=(len(COMPONENTS), 5, 3)))

    def full(moments: jax.Array) -> jax.Array:
        def tensor(rank: int) -> jax.Array:
            grid = [COMPONENTS.index(tuple(sorted(c))) for c in np.ndindex(*[3] * rank)]
            return jnp.moveaxis(moments[jnp.array(grid)].reshape(*[3] * rank, 5, 3), (-1, -2), (0, 1))

        return reference.invariants((tensor(0), tensor(1), tensor(2), tensor(3))).T[feature_order(5)]

    def both(function: Any, adjoint: jax.Array) -> Any:
        values, pull = jax.vjp(function, moments)
        return values, pull(adjoint)[0]

    n_values = jax.eval_shape(contract, moments).shape
    adjoint = jnp.asarray(rng.normal(size=n_values))
    values, pulled = jax.jit(partial(both, contract))(adjoint)
    expected, expected_pulled = jax.jit(partial(both, full))(adjoint)
    np.testing.assert_allclose(values, expected, atol=1e-11)
    np.testing.assert_allclose(pulled, expected_pulled, atol=1e-11)


@pytest.mark.parametrize("periodic", [False, True])
def test_device_lists_are_host_lists(periodic: bool) -> None:
    rng = np.random.default_rng(3)
    cell = np.array([[9.0, 0, 0], [1.0, 8.5, 0], [0, 0.5, 9.5]]) if periodic else None
    pbc = (periodic,) * 3
    start = rng.uniform(0, 9, size=(30, 3))
    moved = start + rng.normal(scale=0.3, size=start.shape)
    built = allocate(start, 3.5, 0.5, cell, pbc, capacity=24)
    assert bool(stale(built, jnp.asarray(moved)))
    assert not bool(stale(built, jnp.asarray(start + 0.1)))
    expected, got = (
        allocate(moved, 3.5, 0.5, cell, pbc, capacity=24),
        jax.jit(update)(built, jnp.asarray(moved)),
    )
    np.testing.assert_array_equal(got.index, expected.index)
    np.testing.assert_array_equal(got.reverse, expected.reverse)
    if periodic:
        np.testing.assert_allclose(got.shift, expected.shift, atol=1e-12)
    assert not bool(got.overflow)


def test_reverse_leads_back_in_a_small_cell() -> None:
    atoms = Atoms("CO", positions=[[0, 0, 0], [0.7, 0.6, 0.5]], cell=np.diag([2.1, 2.4, 2.6]), pbc=True)
    lists = allocate(atoms.positions, 4.0, 0.0, atoms.cell.array, atoms.pbc)
    check_reverse(lists)
    slab = allocate(atoms.positions, 4.0, 0.0, atoms.cell.array, (True, True, False))
    with pytest.raises(ValueError, match="periodic along some axes only"):
        update(slab, jnp.asarray(atoms.positions))


def check_reverse(lists: Neighbours) -> None:
    """Assert that every pair is told by both its atoms, in the slots that they say."""
    index, reverse, shift = map(np.asarray, (lists.index, lists.reverse, lists.shift))
    for i, k in zip(*np.nonzero(index < len(index)), strict=True):
        j, back = index[i, k], reverse[i, k]
        assert index[j, back] == i
        np.testing.assert_allclose(shift[j, back], -shift[i, k], atol=1e-12)


@pytest.mark.parametrize("edge_A", [2.6, 5.3, 7.7])
def test_device_lists_of_small_cells_are_host_lists(edge_A: float) -> None:
    """Several images of one atom, of itself too, in a skewed cell; atoms wander through its faces."""
    rng = np.random.default_rng(4)
    n_atoms = 2 if edge_A < 3 else 9
    cell = edge_A * np.array([[1.0, 0, 0], [0.2, 1.1, 0], [0.1, -0.3, 1.2]])
    start = rng.uniform(size=(n_atoms, 3)) @ cell
    moved = start + rng.normal(scale=0.2, size=start.shape) + rng.integers(-2, 3, start.shape) @ cell
    built = allocate(start, 3.5, 0.5, cell, (True,) * 3, room=2.0)
    assert any(built.images)
    found = jax.jit(update)(built, jnp.asarray(moved))
    expected = allocate(moved, 3.5, 0.5, cell, (True,) * 3, capacity=found.index.shape[1])
    assert not bool(found.overflow)
    check_reverse(found)
    for i in range(n_atoms):
        own, other = (
            sorted((int(j), *np.round(x, 6)) for j, x in zip(lists.index[i], lists.shift[i], strict=True)
                   if j < n_atoms)
            for lists in (found, expected)
        )  # fmt: skip
        np.testing.assert_allclose(own, other, atol=1e-5)
    crowded = allocate(start, 3.5, 0.5, cell, (True,) * 3, capacity=4)
    assert bool(jax.jit(update)(crowded, jnp.asarray(moved)).overflow)


def test_too_little_room_is_flagged_on_host_and_device() -> None:
    positions = molecules(8).positions
    lists = allocate(positions, 6.0, 0.5, capacity=4)
    assert bool(lists.overflow)
    thin = allocate(positions * 3, 6.0, 0.5, capacity=4)
    assert not bool(thin.overflow)
    assert bool(update(thin, jnp.asarray(positions)).overflow)


def test_model_file_round_trip(tmp_path: Path) -> None:
    model = small_model(2, ("energy", "charge"), "float32")
    path = tmp_path / "model.h5"
    write_model(path, model.architecture, model.parameters, METADATA)
    read = read_model(path)
    assert read.architecture == model.architecture
    assert read.n_members == 2
    assert read.metadata["label_level"] == "test"
    assert "jax" in read.metadata["versions"]
    for got, expected in zip(
        jax.tree.leaves(read.parameters), jax.tree.leaves(model.parameters), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def rewritten(path: Path, attributes: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Change a file, with a right digest; None takes out."""
    known, found = hdf5.read(path, "train_gmnn.py")
    changed = ({**known, **attributes}, {**found, **arrays})
    hdf5.write(path, *({name: v for name, v in part.items() if v is not None} for part in changed))


@pytest.mark.parametrize(
    ("attributes", "arrays", "message"),
    [
        ({}, {"scale": np.ones((1, 3, 1))}, r"does not fit its own architecture \(in scale\)"),
        ({}, {"scale": None}, r"does not fit its own architecture \(in scale\)"),
        ({}, {"scale": np.float64(1)}, r"does not fit its own architecture \(in scale\)"),
        ({"format_version": 9}, {}, "has version 9, readable is 1"),
        ({"format_version": None}, {}, "has version None, readable is 1"),
        ({"format": "something"}, {}, "no GM-NN model file"),
        ({"architecture": None}, {}, "does not say what it is"),
        ({"architecture": "{"}, {}, "does not say what it is"),
        ({"metadata": "{}"}, {}, "lacks label_level, training_data_sha256"),
        ({"units": '{"length": "nm"}'}, {}, "is in units .*nm.*; allowed are"),
    ],
)
def test_model_file_errors(
    tmp_path: Path, attributes: dict[str, Any], arrays: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.h5"
    with pytest.raises(UserError, match=r"model\.h5 does not exist; train_gmnn\.py makes it"):
        read_model(path)
    model = small_model()
    write_model(path, model.architecture, model.parameters, METADATA)
    rewritten(path, attributes, arrays)
    with pytest.raises(UserError, match=message):
        read_model(path)
    with pytest.raises(ValueError, match="training_data_sha256"):
        write_model(path, model.architecture, model.parameters, {"label_level": "x"})


def test_no_flipped_bit_of_a_model_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    model = small_model()
    write_model(path, model.architecture, model.parameters, METADATA)
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 60).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"model\.h5 (is damaged|is no HDF5)"):
            read_model(path)


@pytest.mark.parametrize("field", ["shift", "embedding"])
def test_model_file_with_nan(tmp_path: Path, field: str) -> None:
    model = small_model()
    broken = {**model.parameters, field: model.parameters[field] * jnp.nan}
    write_model(tmp_path / "m.h5", model.architecture, broken, METADATA)
    with pytest.raises(UserError, match=f"not finite in {field}"):
        read_model(tmp_path / "m.h5")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"elements": ("O", "C")}, "in order of atomic number"),
        ({"elements": ("C", "Xx")}, "chemical symbols such as"),
        ({"cutoff_A": 0.1}, "must exceed the first Gaussian"),
        ({"heads": ("charge",)}, "allowed are"),
        ({"precision": "float16"}, "allowed are 'float32' and 'float64'"),
        ({"zbl_cutoff_A": 7.0}, "repulsion up to 7.0 Å"),
        ({"hidden": (0,)}, "all ≥ 1"),
        ({"n_heads": 0}, "0 heads on a network; from 1"),
        ({"n_heads": 65}, "65 heads on a network; from 1"),
    ],
)
def test_architecture_errors(fields: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Architecture(**{"elements": ("C", "O"), **fields})


def test_published_size() -> None:
    architecture = Architecture(("H", "C", "O"))
    assert architecture.n_features == 360
    parameters = initialize(architecture, jax.random.key(0))
    assert [layer["w"].shape for layer in parameters["layers"]] == [(360, 256), (256, 128), (128, 1)]
    with pytest.raises(UserError, match="architecture with"):
        Architecture.from_json({"elements": ["C"]})
    assert Architecture.from_json(architecture.to_json()) == architecture


def test_committee_is_its_members_one_at_a_time() -> None:
    model = small_model(3)
    structures = [molecules(3, 1), molecules(5, 2), molecules(4, 3)]
    together = Committee(model).predict(structures)
    assert self_check(Committee(model), structures) < 1e-12
    for m in range(3):
        alone = Committee(model.select([m]))
        for i, atoms in enumerate(structures):
            single = alone.predict([atoms])[0]
            np.testing.assert_allclose(together[i].energies_eV[m], single.energy_eV, rtol=1e-12)
            np.testing.assert_allclose(
                together[i].forces_eV_per_A[m], single.forces_mean_eV_per_A, atol=1e-12
            )
    assert together[0].energy_spread_eV > 0
    assert together[0].forces_spread_eV_per_A.shape == (6,)
    with pytest.raises(UserError, match="members \\[3\\] of a committee of 3"):
        model.select([3])
    with pytest.raises(UserError, match="no structures"):
        Committee(model).predict([])


def shallow_model() -> Model:
    """Two networks of three heads, no two of which are alike."""
    model = small_model(2, ("energy", "charge"), n_heads=3)
    rng = np.random.default_rng(7)
    for name in ("scale", "shift"):
        model.parameters[name] = jnp.asarray(rng.uniform(0.5, 2.0, size=model.parameters[name].shape))
    architecture = replace(model.architecture, zbl_cutoff_A=1.8)
    return Model(architecture, model.parameters, METADATA)


def test_heads_are_members() -> None:
    """Head k drives as member k does alone, the mean as their mean; spreads are those of all members."""
    model, structures = shallow_model(), [molecules(2, 1), molecules(3, 2)]
    assert model.n_members == 6
    committee = Committee(model)
    assert (
        self_check(committee, structures) < 1e-12
    )  # each head against the reference of a network of its own
    own, deep = model.select([4]), model.apart()
    assert (own.n_members, deep.n_members, deep.architecture.n_heads) == (1, 6, 1)
    for leaf, every in zip(jax.tree.leaves(own.parameters), jax.tree.leaves(deep.parameters), strict=True):
        np.testing.assert_array_equal(leaf, every[4:5])
    with pytest.raises(UserError, match="members \\[6\\] of a committee of 6"):
        model.select([6])

    kinds = np.array([1, 0])
    padded = np.full((2, 6, 3), 50.0) + 20.0 * np.arange(6)[:, None]
    for place, kind in enumerate(kinds):
        padded[place, : len(structures[kind])] = structures[kind].positions
    built = [allocate(x, model.architecture.cutoff_A, 0.5, capacity=8) for x in padded]
    lists = jax.tree.map(lambda *leaves: np.stack(leaves), *built)
    several = GMNN.of_several(model, [atoms.numbers for atoms in structures])

    @jit
    def run(drive: jax.Array, lists: Neighbours, positions: jax.Array) -> Evaluation:
        ready = replace(several, drive=drive).mixed(jnp.asarray(kinds))
        return ready.evaluate(ready.arrange(lists), positions)

    expected = committee.predict(structures)
    for drive in (np.eye(6)[[4, 2]], np.full((2, 6), 1 / 6)):
        found = run(drive, lists, padded)
        for place, kind in enumerate(kinds):
            said, weights = expected[kind], drive[kind]
            forces = found.forces[place, : len(structures[kind])]
            np.testing.assert_allclose(found.energies[place], weights @ said.energies_eV, atol=1e-10)
            np.testing.assert_allclose(forces, np.tensordot(weights, said.forces_eV_per_A, 1), atol=1e-10)
            spread = found.info["energy_spread_eV"][place]
            np.testing.assert_allclose(spread, said.energy_spread_eV, atol=1e-10)
            assert said.dipoles_e_A is not None
            dipole = found.info["dipole_e_A"][place]
            np.testing.assert_allclose(dipole, said.dipoles_e_A.mean(axis=0), atol=1e-10)


def test_one_head_is_the_model_of_before(tmp_path: Path) -> None:
    """Neither its parameters, its file nor what it is made of know of heads."""
    model = small_model(2, ("energy", "charge"))
    assert "n_heads" not in model.architecture.to_json()
    assert model.apart().parameters is model.parameters
    single = initialize_committee(model.architecture, 5, 2)
    assert [layer["w"].shape for layer in single["layers"]] == [
        (2, model.architecture.n_features, 12),
        (2, 12, 6),
        (2, 6, 2),
    ]
    shared = replace(model.architecture, n_heads=4)
    assert shared.to_json()["n_heads"] == 4
    assert Architecture.from_json(shared.to_json()) == shared
    path = tmp_path / "model.h5"
    write_model(path, shared, initialize_committee(shared, 5, 2), METADATA)
    read = read_model(path)
    assert (read.architecture, read.n_members) == (shared, 8)
    write_model(path, shared, single, METADATA)
    with pytest.raises(UserError, match="does not fit its own architecture"):
        read_model(path)


def test_many_frames_and_members() -> None:
    """Three members on 200 frames at once: the size at which nested vmap has gone wrong elsewhere."""
    model = small_model(3, precision="float32")
    frames = [molecules(2, seed) for seed in range(200)]
    committee = Committee(model)
    assert self_check(committee, frames) < 2e-5
    together = committee.predict(frames)
    fewer = committee.predict(frames[:47])
    for a, b in zip(together, fewer, strict=False):
        np.testing.assert_allclose(a.forces_eV_per_A, b.forces_eV_per_A, atol=1e-5)


def test_self_check_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    committee = Committee(small_model(2))
    right = committee.lanes
    monkeypatch.setattr(
        committee, "lanes", lambda *a: (right(*a)[0], right(*a)[1] * jnp.array([1.0, 1.1])[:, None, None])
    )
    with pytest.raises(RuntimeError, match="batched and single forces differ"):
        self_check(committee, [molecules(2)])


def test_calculator() -> None:
    model = small_model(2, ("energy", "charge"))
    atoms = molecules(4)
    atoms.calc = GMNNCalculator(model)
    expected = Committee(model).predict([atoms])[0]
    np.testing.assert_allclose(atoms.get_potential_energy(), expected.energy_eV)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces_mean_eV_per_A, atol=1e-12)
    assert expected.dipoles_e_A is not None
    np.testing.assert_allclose(atoms.get_dipole_moment(), expected.dipoles_e_A.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(atoms.calc.results["energy_spread"], expected.energy_spread_eV)
    atoms.positions[:] = molecules(4, 9).positions
    np.testing.assert_allclose(atoms.get_potential_energy(), Committee(model).predict([atoms])[0].energy_eV)
    atoms.positions[0] += 100.0
    np.testing.assert_allclose(atoms.get_potential_energy(), Committee(model).predict([atoms])[0].energy_eV)
    assert "dipole" not in GMNNCalculator(small_model()).implemented_properties


def test_structures_that_no_model_can_take() -> None:
    committee = Committee(small_model())
    with pytest.raises(UserError, match="the structure has H Si, the model knows C O"):
        committee.predict([Atoms("SiH", positions=[[0, 0, 0], [0, 0, 1.5]])])
    broken = molecules(2)
    broken.positions[1, 1] = np.nan
    with pytest.raises(UserError, match=r"atom 1 \(of 1\) is at .*must be finite"):
        committee.predict([broken])
    doubled = molecules(2)
    doubled.positions[2] = doubled.positions[0]
    with pytest.raises(UserError, match="atoms 0 and 2 are 0 Å apart"):
        committee.predict([doubled])
    rng = np.random.default_rng(0)
    dense = Atoms(
        "C2200",
        positions=rng.normal(size=(2200, 3)) * 0 + np.indices((13, 13, 14)).reshape(3, -1).T[:2200] * 0.2,
    )
    with pytest.raises(UserError, match="check the units"):
        committee.predict([dense])
    flat = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]], pbc=True)
    with pytest.raises(UserError, match="has no volume"):
        committee.predict([flat])
