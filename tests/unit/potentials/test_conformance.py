"""What every potential that the registry knows must keep, and those made of others."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from frazil.potentials.analytic.rock_salt import rock_salt
from frazil.potentials.egnn import architecture as egnn
from frazil.potentials.egnn.files import write_folder as write_egnn
from frazil.potentials.folder import FILES
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.interface import Evaluation, Potential, jit
from frazil.potentials.neighbours import allocate
from frazil.potentials.registry import COMBINED, NAMED, load
from frazil.potentials.transform import Bias, sum_of
from frazil.systems.co import set_excited

WIDTH = 8
CO = Atoms(
    "CO" * 3, positions=[[0, 0, 0], [0, 0.3, 1.3], [3.1, 0, 0.4], [3, 1.1, 0], [0.2, 3, 0], [1, 3.5, 0.6]]
)
"""Three molecules, the first of them stretched and tagged."""
set_excited(CO, 0)
WATER = Atoms(
    "OHH" * 2,
    positions=[
        [0, 0, 0],
        [0.95, 0.1, 0],
        [-0.2, 0.9, 0.1],
        [2.7, 0.2, 0.3],
        [3.1, 0.9, 0.8],
        [3.2, -0.6, 0.2],
    ],
)
WATER_CELL = Atoms(WATER.symbols, WATER.positions, cell=[6.1, 5.3, 5.8], pbc=True)
NITROGEN = Atoms("N6", [[0, 0, 0], [0, 0.3, 1.1], [3.3, 0, 0.4], [3.2, 1.0, 0], [0.2, 3.4, 0], [1, 3.9, 0.6]])
H2 = CO[2:] + Atoms("H2", positions=[[1.8, 1.2, 2.6], [1.5, 1.3, 3.3]])
CRYSTAL = Atoms(CO.symbols, CO.positions - np.array([0, 0, 0.5]), cell=[11.5] * 3, pbc=True)
CRYSTAL.wrap()
SALT = rock_salt(1, 1, 1)
SALT.positions += 0.3 * np.sin(np.arange(24.0)).reshape(8, 3)
CURVES = """molecule,bond_length_A,energy_eV,slope_eV_per_A
CO,1.0,0.9,-14
CO,1.13,0.0,0.1
CO,1.4,1.9,11
H2,0.6,0.5,-7
H2,0.74,0.0,0.0
H2,1.0,0.8,4
"""


@dataclass(frozen=True)
class Case:
    """A potential of CO, or of H2 on CO, and what it claims; ``tolerance``: of forces against differences,
    eV/Å.
    """

    make: Callable[[Path, Any], Potential]
    with_h2: bool = False
    atoms: Atoms | None = None
    moves: bool = True  # its energy does not change when all atoms move
    turns: bool = True  # nor when they turn
    permutes: str = "molecules"  # nor when what is alike changes places: "molecules", "atoms", "none"
    extensive: bool = True
    tolerance: float = 1e-6
    exact: float = 1e-9  # how far rounding (of its own convergence, its float32) changes forces and energies


def restraint(positions: jax.Array, parameters: Any) -> jax.Array:
    stiffness, length = parameters
    return 0.5 * stiffness * (jnp.linalg.norm(positions[4] - positions[0]) - length) ** 2


def named(name: str, **parameters: Any) -> Callable[[Path, Any], Potential]:
    return lambda folder, _: load(name, **parameters).potential(CO)


def described(description: dict[str, Any]) -> Callable[[Path, Any], Potential]:
    """Of a folder whose model.json says so, the GM-NN beside it."""

    def make(folder: Path, _: Any) -> Potential:
        own = folder / description["kind"]
        own.mkdir()
        (own / "model.json").write_text(json.dumps(description))
        return load(own).potential(CO)

    return make


def mapped(description: dict[str, Any]) -> Callable[[Path, Any], Potential]:
    return lambda *_: load(description).potential(CO)


def gmnn(name: str, member: int | None = None, atoms: Atoms = CO) -> Callable[[Path, Any], Potential]:
    return lambda folder, _: load(folder / name).potential(atoms, member)


def deepmd(fixture: str) -> Callable[[Path, Any], Potential]:
    def make(_: Path, request: Any) -> Potential:
        found = request.getfixturevalue(fixture)
        return load(found).potential(CO)

    return make


FIELD = {"coupling_eV": 2.0, "kind": "van-hemert"}
BONDS = {"kind": "harmonic", "stiffness_eV_per_A2": 118.0, "length_A": 1.13}
WALL = {"kind": "wall", "radius_A": 2.0, "stiffness_eV_per_A2": 0.3}
BOUND = {"moves": False, "extensive": False}
CASES = {
    "springs": Case(named("springs", stiffness_eV_per_A2=0.2), permutes="atoms", **BOUND),
    "wall": Case(named("wall", radius_A=2.0, stiffness_eV_per_A2=0.3), permutes="atoms", **BOUND),
    "harmonic": Case(named("harmonic", stiffness_eV_per_A2=118.0, length_A=1.13)),
    "morse": Case(named("morse", depth_eV=11.2, exponent_per_A=2.3, length_A=1.13)),
    "lennard-jones": Case(named("lennard-jones", epsilon_eV=0.01, sigma_A=1.4), permutes="atoms"),
    "q-tip4p-f": Case(
        lambda *_: load("q-tip4p-f").potential(WATER), atoms=WATER, permutes="none", extensive=False
    ),
    "q-tip4p-f in a cell": Case(
        lambda *_: load("q-tip4p-f").potential(WATER_CELL), atoms=WATER_CELL, turns=False, permutes="none",
        extensive=False,
    ),
    "rock-salt": Case(
        lambda *_: load("rock-salt").potential(SALT), atoms=SALT, turns=False, permutes="none",
        extensive=False,
    ),
    "co-crystal": Case(
        lambda *_: load("co-crystal").potential(CRYSTAL), atoms=CRYSTAL, turns=False, extensive=False
    ),
    "n2-trappe": Case(lambda *_: load("n2-trappe").potential(NITROGEN), atoms=NITROGEN),
    "van-hemert": Case(named("van-hemert", coupling_eV=2.0, with_dipole=True)),
    "h2-co-analytic": Case(lambda *_: load("h2-co-analytic").potential(H2), with_h2=True, permutes="none"),
    "gfn1-xtb": Case(named("gfn1-xtb"), extensive=False, tolerance=2e-5, exact=1e-4),
    "gfn2-xtb": Case(named("gfn2-xtb"), extensive=False, tolerance=2e-5, exact=1e-4),
    "gmnn mean": Case(gmnn("gmnn"), tolerance=2e-6),
    "gmnn member, float32": Case(gmnn("float32", 1), tolerance=2e-2, exact=2e-5),
    "gmnn of heads": Case(gmnn("heads"), tolerance=2e-6),
    "gmnn of heads, float32": Case(gmnn("heads-float32"), tolerance=2e-2, exact=2e-5),
    "gmnn of interactions": Case(
        gmnn("interaction", atoms=H2), with_h2=True, permutes="none", tolerance=2e-6
    ),
    "egnn": Case(gmnn("egnn"), tolerance=2e-6),
    "egnn as published": Case(gmnn("egnn-published"), extensive=False, tolerance=2e-6),
    "deepmd": Case(deepmd("tiny_model")),
    "deepmd residual": Case(deepmd("tiny_residual")),
    "ase": Case(
        named("ase:ase.calculators.lj.LennardJones", sigma=1.4, epsilon=0.01, rc=50.0),
        permutes="atoms",
    ),
    "committee": Case(mapped({"kind": "committee", "parts": [FIELD, {**FIELD, "coupling_eV": 1.0}]})),
    "sum": Case(mapped({"kind": "sum", "parts": [FIELD, WALL]}), **BOUND),
    "mixture": Case(
        mapped({"kind": "mixture", "weights": [0.3, 0.7], "parts": [FIELD, BONDS]})
    ),
    "field": Case(
        described({"kind": "field", "field_V_per_A": [0.1, -0.2, 0.3], "parts": ["../gmnn"]}),
        turns=False, extensive=False, tolerance=2e-6,  # charges add up to none over all atoms together
    ),
    "field on van-hemert": Case(
        mapped({"kind": "field", "field_V_per_A": [0, 0, 0.3], "parts": [{**FIELD, "with_dipole": 1}]}),
        turns=False,
    ),
    "bias": Case(
        lambda *_: sum_of([load("van-hemert", coupling_eV=2.0).potential(CO), Bias(restraint, (0.5, 3.0))]),
        permutes="none", extensive=False,
    ),
}  # fmt: skip


def test_every_kind_is_here() -> None:
    assert {*NAMED, *COMBINED, *FILES} <= {name.split()[0] for name in CASES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small GM-NN committees of two."""
    folder = tmp_path_factory.mktemp("potentials")
    for name, level, fields in (
        ("gmnn", "test", {"heads": ("energy", "charge"), "zbl_cutoff_A": 1.5, "precision": "float64"}),
        ("float32", "test", {}),
        ("interaction", "test interaction", {"precision": "float64"}),
        (
            "heads",
            "test",
            {"heads": ("energy", "charge"), "n_heads": 3, "zbl_cutoff_A": 1.5, "precision": "float64"},
        ),
        ("heads-float32", "test", {"heads": ("energy", "charge"), "n_heads": 3, "zbl_cutoff_A": 1.5}),
    ):
        architecture = Architecture(
            ("H", "C", "O"), cutoff_A=4.5, n_basis=4, n_radial=2, hidden=(8,), **fields
        )
        metadata = {"label_level": level, "training_data_sha256": ""}
        networks = 1 if name.startswith("heads") else 2
        write_folder(folder / name, architecture, initialize_committee(architecture, 3, networks), metadata)
    for name, form in (("egnn", "smooth"), ("egnn-published", "published")):
        size = egnn.Architecture(
            ("H", "C", "O"), form, cutoff_A=4.5, n_features=8, n_waves=6, n_layers=2, precision="float64"
        )
        write_egnn(folder / name, size, egnn.initialize(size, 3), {"label_level": "test"})
    (folder / "interaction/molecular_curves.csv").write_text(CURVES)
    return folder


@jit
def compiled(potential: Potential, lists: Any, positions: jax.Array) -> Evaluation:
    ready = potential.batched(positions.shape[0])
    return ready.evaluate(ready.arrange(lists), positions)


class Subject:
    """A case's potential, evaluated in batches of one width."""

    def __init__(self, case: Case, potential: Potential) -> None:
        self.case, self.potential = case, potential
        self.start = (case.atoms or (H2 if case.with_h2 else CO)).positions.copy()
        rng = np.random.default_rng(4)
        self.frames = self.start + rng.normal(scale=0.03, size=(WIDTH, *self.start.shape))

    def batch(self, positions: np.ndarray) -> Evaluation:
        """Evaluate positions (R, natoms, 3) as one batch."""
        lists = None
        if self.potential.cutoff_A is not None:
            # What is not finite has lists from before it broke.
            whole = [x if np.isfinite(x).all() else self.start for x in positions]
            built = [allocate(x, self.potential.cutoff_A, 0.5, capacity=8) for x in whole]
            lists = jax.tree.map(lambda *leaves: np.stack(leaves), *built)
        return jax.tree.map(np.asarray, compiled(self.potential, lists, positions))

    def energies(self, positions: np.ndarray) -> np.ndarray:
        """Return energies (n,) of any number of frames, in batches of ``WIDTH``."""
        rest = -len(positions) % WIDTH
        padded = np.concatenate([positions, np.repeat(positions[:1], rest, axis=0)])
        found = [self.batch(part).energies for part in padded.reshape(-1, WIDTH, *positions.shape[1:])]
        return np.concatenate(found)[: len(positions)]


@pytest.fixture(scope="module", params=CASES)
def subject(request: pytest.FixtureRequest, folder: Path) -> Subject:
    case = CASES[request.param]
    return Subject(case, case.make(folder, request))


def bytes_of(found: Evaluation, slot: int) -> list[bytes]:
    return [np.asarray(leaf)[slot].tobytes() for leaf in jax.tree.leaves(found)]


def test_shapes_and_types(subject: Subject) -> None:
    found = subject.batch(subject.frames)
    n_atoms = len(subject.start)
    assert found.energies.shape == (WIDTH,)
    assert found.forces.shape == (WIDTH, n_atoms, 3)
    assert {leaf.dtype for leaf in (found.energies, found.forces)} == {np.dtype("float64")}
    assert all(np.isfinite(leaf).all() and len(leaf) == WIDTH for leaf in jax.tree.leaves(found))
    assert subject.potential.n_atoms in (None, n_atoms)
    assert np.ptp(found.energies) > 0


def test_forces_are_the_energys_slope(subject: Subject) -> None:
    forces = subject.batch(subject.frames).forces[0]
    step = 1e-2 if subject.case.tolerance > 1e-3 else 1e-4
    moves = step * np.eye(forces.size).reshape(-1, *forces.shape)
    plus, minus = (subject.energies(subject.frames[0] + sign * moves) for sign in (1, -1))
    scale = max(1.0, np.abs(forces).max())
    np.testing.assert_allclose(
        forces.ravel(), (minus - plus) / (2 * step), rtol=0, atol=subject.case.tolerance * scale
    )


def test_place_direction_mirror_and_order(subject: Subject) -> None:
    case = subject.case
    rng = np.random.default_rng(1)
    turn = -Rotation.random(random_state=2).as_matrix() if case.turns else np.eye(3)
    shift = rng.normal(size=3) * 20 if case.moves else 0.0
    here, there = subject.batch(subject.frames), subject.batch(subject.frames @ turn.T + shift)
    scale = case.exact * max(1.0, np.abs(here.forces).max())
    np.testing.assert_allclose(there.energies, here.energies, rtol=0, atol=scale)
    np.testing.assert_allclose(there.forces, here.forces @ turn.T, rtol=0, atol=scale)
    if "dipole_e_A" in here.info:
        np.testing.assert_allclose(
            there.info["dipole_e_A"], here.info["dipole_e_A"] @ turn.T, rtol=0, atol=10 * case.exact
        )
    if case.permutes != "none":
        # The first molecule may be tagged.
        order = [0, 1, 4, 5, 2, 3] if case.permutes == "molecules" else [4, 3, 0, 5, 2, 1]
        moved = subject.batch(subject.frames[:, order])
        np.testing.assert_allclose(moved.energies, here.energies, rtol=0, atol=scale)
        np.testing.assert_allclose(moved.forces, here.forces[:, order], rtol=0, atol=scale)


def test_far_parts_do_not_know_of_each_other(subject: Subject) -> None:
    """Of A and B far apart E(A, B) + E(A', B') = E(A, B') + E(A', B)."""
    if not subject.case.extensive:
        pytest.skip("it holds everything together")
    apart = np.where(np.arange(len(subject.start)) < len(subject.start) - 2, 0.0, 2000.0)[:, None]
    a, b = subject.frames[0] + apart, subject.frames[1] + apart
    b[-1] += 0.2
    ab, ba = a.copy(), b.copy()
    ab[-2:], ba[-2:] = b[-2:], a[-2:]
    energies = subject.energies(np.stack([a, b, ab, ba]))
    exact = 10 * subject.case.exact
    assert energies[0] + energies[1] == pytest.approx(energies[2] + energies[3], abs=exact)
    assert abs(energies[0] - energies[2]) > 10 * exact


def test_a_replica_is_the_same_in_any_slot_beside_any_other(subject: Subject) -> None:
    together = subject.batch(subject.frames)
    for turned in range(1, WIDTH):
        rolled = subject.batch(np.roll(subject.frames, turned, axis=0))
        for slot in range(WIDTH):
            assert bytes_of(rolled, (slot + turned) % WIDTH) == bytes_of(together, slot)
    alone = subject.batch(np.repeat(subject.frames[3:4], WIDTH, axis=0))
    assert all(bytes_of(alone, slot) == bytes_of(together, 3) for slot in range(WIDTH))


def test_another_width_is_the_same_to_rounding(subject: Subject) -> None:
    together, one = subject.batch(subject.frames), subject.batch(subject.frames[5:6])
    exact = 1e-5 if subject.case.tolerance > 1e-3 else 1e-11
    for many, single in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(single[0], many[5], rtol=exact, atol=exact)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_replica_breaks_alone(subject: Subject, broken: float) -> None:
    together = subject.batch(subject.frames)
    frames = subject.frames.copy()
    frames[2, 1, 0] = broken
    found = subject.batch(frames)
    assert not (np.isfinite(found.energies[2]) and np.isfinite(found.forces[2]).all())
    assert all(bytes_of(found, slot) == bytes_of(together, slot) for slot in range(WIDTH) if slot != 2)
