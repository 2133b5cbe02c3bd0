"""The compiled kernel against the reference in float64, and what must not change its bits."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from compiled import CARRIED, RUNNABLE, call
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.md.trajectory import Trajectory
from frazil.potentials.gmnn import kernel, reference
from frazil.potentials.gmnn.architecture import Architecture, fold, initialize_committee, member
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Evaluation, jit
from frazil.potentials.kernels import library
from frazil.potentials.neighbours import Neighbours, allocate

ELEMENTS = ("H", "C", "O")
PLAIN = Architecture(ELEMENTS)
HEADS = Architecture(
    ELEMENTS, cutoff_A=4.0, n_basis=5, n_radial=2, hidden=(12, 6), heads=("energy", "charge"), n_heads=3,
    zbl_cutoff_A=1.8,
)  # fmt: skip
WIDE = Architecture(ELEMENTS, cutoff_A=5.0, basis_start_A=0.0, n_basis=9, n_radial=9, hidden=(7,))
N_NETWORKS = {PLAIN: 1, HEADS: 2, WIDE: 1}
BOX_A = 10.4 * np.eye(3)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiling is most of the time of these tests."""

pytestmark = pytest.mark.skipif(not RUNNABLE, reason="no kernel is carried for this processor")


def ice(n_molecules: int, seed: int = 0) -> Atoms:
    """CO molecules on a jittered grid, turned at random, and an H2."""
    rng = np.random.default_rng(seed)
    centres = 3.4 * np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[: n_molecules + 1]
    axes = rng.normal(size=centres.shape)
    axes *= 0.56 / np.linalg.norm(axes, axis=1)[:, None]
    axes[-1] *= 0.65
    positions = np.stack([centres - axes, centres + axes], 1).reshape(-1, 3)
    return Atoms("CO" * n_molecules + "H2", positions + rng.normal(scale=0.05, size=positions.shape))


@cache
def model_of(architecture: Architecture) -> Model:
    """Random networks with features, scales and shifts of every element's own."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: initialize_committee(architecture, 5, N_NETWORKS[architecture]))
    parameters = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)
    for name, low, high in (
        ("feature_mean", -1, 1),
        ("feature_scale", 0.5, 2),
        ("scale", 0.5, 2),
        ("shift", -1, 1),
    ):
        parameters[name] = jnp.asarray(rng.uniform(low, high, size=parameters[name].shape))
    return Model(architecture, parameters, {})


@cache
def constants_of(architecture: Architecture) -> list[np.ndarray]:
    """What the kernel is given of that model."""

    @partial(jax.jit, compiler_options=QUICKLY)
    def made(parameters: Any) -> list[jax.Array]:
        return kernel.constants(architecture, jax.vmap(partial(fold, architecture))(parameters))

    return [np.asarray(x) for x in made(model_of(architecture).parameters)]


@dataclass
class Found:
    """What the kernel returned; the axes of ``gmnn.cpp``."""

    energies: np.ndarray
    outputs: np.ndarray
    forces: np.ndarray

    def of(self, replica: int) -> list[bytes]:
        parts = (self.energies[..., replica], self.outputs[..., replica, :], self.forces[..., replica, :, :])
        return [np.ascontiguousarray(part).tobytes() for part in parts]


def inputs(
    architecture: Architecture,
    positions: np.ndarray,
    species: np.ndarray,
    lists: list[Neighbours],
    shares: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return the inputs of ``gmnn.cpp`` for positions (R, natoms, 3), species (R, natoms) and lists."""
    constants = constants_of(architecture)
    n_heads, n_replicas = architecture.n_heads, len(positions)
    if shares is None:
        shares = np.broadcast_to(
            np.eye(n_heads)[None, :, :, None], (N_NETWORKS[architecture], n_heads, n_heads, n_replicas)
        )
    slots = max(own.index.shape[1] for own in lists)
    index = [
        np.pad(own.index, ((0, 0), (0, slots - own.index.shape[1])), constant_values=len(own.index))
        for own in lists
    ]
    shift = np.zeros(0) if lists[0].shift is None else np.stack([np.asarray(own.shift) for own in lists])
    before, after = constants[:7], constants[7:]
    given = [
        positions,
        species.astype(np.int32),
        np.stack(index),
        shift,
        *before,
        shares.astype(np.float32),
        *after,
    ]
    return [np.array(x, order="C") for x in given]


def results_of(given: list[np.ndarray]) -> list[np.ndarray]:
    """Return arrays for energies, outputs and forces, full of a number that is none of them."""
    (n_replicas, n_atoms), (networks, seeds, heads) = given[0].shape[:2], given[11].shape[:3]
    outputs = (networks, given[9].shape[2], n_replicas, n_atoms)
    shapes = ((networks, heads, n_replicas), outputs, (networks, seeds, n_replicas, n_atoms, 3))
    return [np.full(shape, 7.0) for shape in shapes]


def evaluate(loaded: ctypes.CDLL, given: list[np.ndarray]) -> Found:
    """Call the kernel without XLA, with as much memory as it asks for."""
    return Found(*call(loaded, "frazil_gmnn", given, results_of(given)))


def batch(architecture: Architecture, structures: list[Atoms], periodic: bool = False) -> list[np.ndarray]:
    """Return the inputs for structures of one size."""
    positions = np.stack([atoms.positions for atoms in structures])
    species = np.stack([architecture.species(atoms.numbers) for atoms in structures])
    options: dict[str, Any] = {"cell_A": BOX_A, "pbc": [True] * 3} if periodic else {}
    lists = [
        allocate(x, architecture.cutoff_A, 0.4, capacity=130 if periodic else None, **options)
        for x in positions
    ]
    return inputs(architecture, positions, species, lists)


@cache
def expected(architecture: Architecture, periodic: bool) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of every network and head of its own: energy, forces, outputs in float64."""
    exact = replace(architecture, precision="float64", n_heads=1)
    apart = model_of(architecture).apart()
    atoms = ice(13)
    options: dict[str, Any] = {"cell_A": BOX_A, "pbc": [True] * 3} if periodic else {}
    lists = allocate(atoms.positions, architecture.cutoff_A, 0.0, **options)
    run = jax.jit(partial(reference.energy_and_forces, exact), compiler_options=QUICKLY)
    fold_one = jax.jit(partial(fold, exact), compiler_options=QUICKLY)
    species, positions = jnp.asarray(exact.species(atoms.numbers)), jnp.asarray(atoms.positions)
    found = []
    for i in range(apart.n_members):
        energy, forces, outputs = run(fold_one(member(apart.parameters, i)), species, lists, positions)
        found.append((np.asarray(energy), np.asarray(forces), np.asarray(outputs)))
    return found


@pytest.mark.parametrize(("architecture", "periodic"), [(PLAIN, False), (WIDE, False), (HEADS, True)])
def test_it_is_the_reference(loaded: ctypes.CDLL, architecture: Architecture, periodic: bool) -> None:
    found = evaluate(loaded, batch(architecture, [ice(13)], periodic))
    n_heads = architecture.n_heads
    for i, (energy, forces, outputs) in enumerate(expected(architecture, periodic)):
        network, head = divmod(i, n_heads)
        assert np.abs(forces).max() > 0.05
        np.testing.assert_allclose(found.energies[network, head, 0], energy, rtol=0, atol=2e-5)
        np.testing.assert_allclose(found.forces[network, head, 0], forces, rtol=0, atol=2e-5)
        np.testing.assert_allclose(found.outputs[network, head::n_heads, 0], outputs.T, rtol=0, atol=5e-6)
        assert (found.forces[network, head, 0].sum(axis=0) == 0).all()


def test_a_share_of_every_head(loaded: ctypes.CDLL) -> None:
    """Forces of the heads' mean cost one way back; a replica has shares of its own."""
    each = evaluate(loaded, batch(HEADS, [ice(13)] * 2))
    given = batch(HEADS, [ice(13)] * 2)
    shares = np.random.default_rng(3).dirichlet(np.ones(6), size=2).T.reshape(2, 1, 3, 2)
    given[11] = np.ascontiguousarray(shares, np.float32)
    found = evaluate(loaded, given)
    mean = np.einsum("mshr,mhria->msria", shares, each.forces)
    np.testing.assert_allclose(found.forces, mean, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(found.energies, each.energies)


@pytest.mark.parametrize("architecture", [PLAIN, HEADS])
def test_bits_know_nothing_of_the_batch(loaded: ctypes.CDLL, architecture: Architecture) -> None:
    """In any slot, in batches of any size, beside broken ones and in more turns than one."""
    structures = [ice(13, seed) for seed in range(5)]
    alone = [evaluate(loaded, batch(architecture, [atoms])).of(0) for atoms in structures]
    assert len({found[0] for found in alone}) == 5
    for order in ([0, 1, 2, 3, 4], [3, 1], [4, 0, 0, 2], [2] * 90 + [1]):
        given = batch(architecture, structures)
        given = [x[order] for x in given[:3]] + given[3:]
        given[11] = np.repeat(given[11][..., :1], len(order), axis=-1)
        found = evaluate(loaded, given)
        assert all(found.of(slot) == alone[which] for slot, which in enumerate(order))
        for broken in (np.nan, np.inf):
            given[0][0, 5, 1] = broken
            found = evaluate(loaded, given)
            assert np.isnan(found.energies[..., 0]).all()
            assert np.isnan(found.forces[..., 0, :, :]).all()
            assert all(found.of(slot) == alone[order[slot]] for slot in range(1, len(order)))


def test_atoms_that_are_not_there(loaded: ctypes.CDLL) -> None:
    """A smaller structure that is filled up has the same bits, and zeros where nothing is."""
    small = ice(4)
    given = batch(HEADS, [small])
    alone = evaluate(loaded, given)
    n_atoms, more = len(small), len(small) + 7
    padded = [*given]
    padded[0] = np.concatenate([given[0], np.full((1, 7, 3), 90.0)], axis=1)
    padded[1] = np.pad(given[1], ((0, 0), (0, 7)), constant_values=-1)
    index = np.where(given[2] == n_atoms, more, given[2])
    padded[2] = np.pad(index, ((0, 0), (0, 7), (0, 3)), constant_values=more)
    found = evaluate(loaded, padded)
    np.testing.assert_array_equal(found.energies, alone.energies)
    np.testing.assert_array_equal(found.forces[..., :n_atoms, :], alone.forces)
    assert (found.forces[..., n_atoms:, :] == 0).all()
    assert (found.outputs[..., n_atoms:] == 0).all()


def test_free_slots_may_stand_anywhere(loaded: ctypes.CDLL) -> None:
    given = batch(HEADS, [ice(13)])
    first = evaluate(loaded, given)
    given[2] = np.insert(given[2], [0, 3], 28, axis=2)
    found = evaluate(loaded, given)
    assert found.of(0) == first.of(0)


def test_alone_and_too_close(loaded: ctypes.CDLL) -> None:
    """An atom without neighbours has the energy of no features; atoms at one place are still finite."""
    far = Atoms("CO", positions=[[0, 0, 0], [0, 0, 3.9999]])
    alone = evaluate(loaded, batch(HEADS, [Atoms("CO", positions=[[0, 0, 0], [0, 0, 9.0]])]))
    near = evaluate(loaded, batch(HEADS, [far]))
    assert (alone.forces == 0).all()
    assert np.isfinite(alone.energies).all()
    np.testing.assert_allclose(near.energies, alone.energies, rtol=0, atol=1e-5)
    given = batch(HEADS, [ice(13)])
    given[0][0, 1] = given[0][0, 0] + [0, 0, 0.11]
    close = evaluate(loaded, given)
    assert np.isfinite(close.forces).all()
    assert np.abs(close.forces).max() > 1000
    given[0][0, 1] = given[0][0, 0]
    assert np.isfinite(evaluate(loaded, given).energies).all()


def test_a_network_that_is_not_finite_says_so(loaded: ctypes.CDLL) -> None:
    given = batch(HEADS, [ice(4)])
    whole = evaluate(loaded, given)
    given[13][1] = np.nan
    found = evaluate(loaded, given)
    assert np.isnan(found.energies[1]).all()
    assert np.isnan(found.forces[1]).all()
    np.testing.assert_array_equal(found.forces[0], whole.forces[0])


def test_levels_agree() -> None:
    """To the last bit: whether a machine has AVX2 or AVX-512 changes no number of these files."""
    if len(RUNNABLE) < 2:
        pytest.skip("this processor runs one level")
    best, other = (evaluate(library.load(CARRIED[level]), batch(PLAIN, [ice(13)])) for level in RUNNABLE)
    assert best.of(0) == other.of(0)


@pytest.mark.usefixtures("needs_compiler")
def test_carried_files_are_what_the_source_compiles_to(tmp_path: Path) -> None:
    level = RUNNABLE[-1]
    made = library.load(library.build(tmp_path / "made.so", level))
    ours, carried = (evaluate(one, batch(HEADS, [ice(13)])) for one in (made, library.load(CARRIED[level])))
    np.testing.assert_allclose(ours.forces, carried.forces, rtol=0, atol=2e-6)
    np.testing.assert_allclose(ours.energies, carried.energies, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("needs_compiler")
def test_it_stays_within_its_arrays(within_arrays: Callable[[list[Any]], None]) -> None:
    cases = [batch(HEADS, [ice(13), ice(13, 1)]), batch(WIDE, [ice(4)]), batch(HEADS, [ice(13)], True)]
    cases[0][0][1, 3] = np.nan
    whole: list[Any] = [("frazil_gmnn", given, results_of(given)) for given in cases]
    for cell, slots in ((np.zeros(0), 24), (np.stack([BOX_A, np.linalg.inv(BOX_A)]), 3)):
        shapes = [(28, slots)] * 2, (28, slots, 3) if len(cell) else (0,)
        results = [
            *(np.empty(shape, np.int32) for shape in shapes[0]),
            np.empty(shapes[1]),
            np.empty((), np.int32),
        ]
        given = [ice(13).positions, np.array(4.4), cell, np.zeros(slots, np.uint8)]
        whole.append(("frazil_neighbours", given, results))
    within_arrays(whole)


def test_what_it_serves(afresh: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert afresh("") is not None
    assert kernel.serves(PLAIN)
    assert not kernel.serves(replace(PLAIN, precision="float64"))
    assert "GM-NN in float64: JAX, the compiled kernel is in float32\n" in capsys.readouterr().err
    assert not kernel.serves(replace(PLAIN, hidden=(4,) * 12))
    assert afresh("off") is None
    assert not kernel.serves(PLAIN)


def test_the_potential_makes_means_spreads_and_dipoles_of_it(afresh: Callable[[str], Any]) -> None:
    """Of two structures in one batch, each driven by members of its own."""
    assert afresh("") is not None
    structures = [ice(4), ice(2)]
    kinds, drive = np.array([1, 0]), np.random.default_rng(4).dirichlet(np.ones(6), size=2)
    padded = np.full((2, 10, 3), 50.0) + 20.0 * np.arange(10)[:, None]
    for place, kind in enumerate(kinds):
        padded[place, : len(structures[kind])] = structures[kind].positions
    built = [allocate(x, HEADS.cutoff_A, 0.5, capacity=16) for x in padded]
    lists = jax.tree.map(lambda *leaves: np.stack(leaves), *built)
    several = GMNN.of_several(model_of(HEADS), [atoms.numbers for atoms in structures])

    @jit
    def run(lists: Neighbours, positions: jax.Array) -> Evaluation:
        ready = replace(several, drive=drive).mixed(jnp.asarray(kinds))
        return ready.evaluate(ready.arrange(lists), positions)

    found = jax.tree.map(np.asarray, run(lists, padded))
    loaded = library.load(CARRIED[RUNNABLE[0]])
    for place, kind in enumerate(kinds):
        atoms = structures[kind]
        own = evaluate(loaded, batch(HEADS, [atoms]))
        energies, forces = own.energies[..., 0].ravel(), own.forces[:, :, 0].reshape(6, len(atoms), 3)
        np.testing.assert_allclose(found.energies[place], drive[kind] @ energies, rtol=1e-12)
        expected = np.tensordot(drive[kind], forces, 1)
        np.testing.assert_allclose(found.forces[place, : len(atoms)], expected, rtol=0, atol=1e-5)
        spread = found.info["energy_spread_eV"][place]
        np.testing.assert_allclose(spread, energies.std(ddof=1), rtol=1e-9)
        charges = own.outputs[:, 3:, 0].mean(axis=(0, 1))
        dipole = reference.dipole_of_charges(charges, atoms.positions, atoms.get_masses())
        np.testing.assert_allclose(found.info["dipole_e_A"][place], dipole, rtol=0, atol=1e-9)


def test_trajectories_know_nothing_of_the_batch(afresh: Callable[[str], Any]) -> None:
    """The same bytes in batches of one and three."""
    assert afresh("") is not None
    small = replace(HEADS, heads=("energy",))
    N_NETWORKS[small] = 1
    atoms = ice(3)
    velocities = 0.02 * np.random.default_rng(2).normal(size=(3, len(atoms), 3))

    def run(which: list[int], width: int) -> list[Trajectory]:
        ensemble = Ensemble(
            GMNN.of(model_of(small), atoms.numbers), VelocityVerlet(0.5), atoms.get_masses(),
            n_steps=40, observe_every=20, observers=(energies, frames), width=width, skin_A=0.1,
        )  # fmt: skip
        ended = ensemble.run(np.repeat(atoms.positions[None], len(which), axis=0), velocities[which], which)
        return sorted(ended, key=lambda trajectory: trajectory.trajectory_id)

    together, (alone,) = run([0, 1, 2], 3), run([1], 1)
    assert np.abs(alone.rows["positions"][-1] - alone.rows["positions"][0]).max() > 0.1
    for name, rows in alone.rows.items():
        np.testing.assert_array_equal(rows, together[1].rows[name], err_msg=name)
