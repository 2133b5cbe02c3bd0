"""The α-CO crystal: images, supercells, symmetry of its polarizability, its Raman-active modes."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from frazil.data.structures import read_structures
from frazil.errors import UserError
from frazil.potentials import calculator, polarizability
from frazil.potentials.analytic.co_crystal import alpha_co, of_crystal
from frazil.potentials.analytic.co_crystal import polarizability as of_bonds
from frazil.potentials.registry import load
from frazil.potentials.surface import analytic_curvature
from frazil.systems.minima import minimum_of

ASSETS = Path(__file__).parents[3] / "assets"
LINES_cm1 = {"E": (31.3, 61.2), "T": (42.6, 43.5, 73.7, 91.8, 2202.5), "A": (2198.9,)}
"""Raman-active lines (Lazzaroni, Sharma & Rossi's crystal under this field), by a calculation apart."""


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    (found,) = read_structures(ASSETS / "structures/alpha_co.extxyz", periodic=True)
    return found


@pytest.fixture(scope="module")
def moved(crystal: Atoms) -> Atoms:
    atoms = crystal.copy()
    atoms.positions += np.random.default_rng(1).normal(scale=0.03, size=atoms.positions.shape)
    return atoms


@jax.jit
def evaluated(potential: object, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.value_and_grad(potential.energy)(positions)  # type: ignore[attr-defined, no-any-return]


bonds = jax.jit(of_bonds)


def test_wrapping_any_atom_changes_nothing(moved: Atoms) -> None:
    potential, cell = of_crystal(moved), moved.cell.array
    images = np.random.default_rng(2).integers(-2, 3, size=moved.positions.shape)
    energy, slope = evaluated(potential, moved.positions)
    again, turned = evaluated(potential, moved.positions + images @ cell)
    assert float(again) == pytest.approx(float(energy), abs=1e-11)
    assert np.asarray(turned) == pytest.approx(np.asarray(slope), abs=1e-10)
    one, other = bonds(moved.positions, cell), bonds(moved.positions + images @ cell, cell)
    assert np.asarray(other) == pytest.approx(np.asarray(one), abs=1e-10)


def test_a_crystal_is_its_supercell(moved: Atoms) -> None:
    large = moved.repeat((1, 1, 2))
    (energy, slope), (twice, slopes) = (evaluated(of_crystal(a), a.positions) for a in (moved, large))
    assert float(twice) == pytest.approx(2 * float(energy), rel=1e-12)
    assert np.asarray(slopes) == pytest.approx(np.tile(slope, (2, 1)), abs=1e-11)
    one, two = (np.asarray(bonds(a.positions, a.cell.array)) for a in (moved, large))
    assert two == pytest.approx(2 * one, abs=1e-10)


def test_what_is_turned_has_a_turned_polarizability(moved: Atoms) -> None:
    turn = Rotation.random(random_state=4).as_matrix()
    positions, cell = moved.positions @ turn.T, moved.cell.array @ turn.T
    before, after = np.asarray(bonds(moved.positions, moved.cell.array)), np.asarray(bonds(positions, cell))
    assert after == pytest.approx(turn @ before @ turn.T, abs=1e-10)
    assert before == pytest.approx(before.T, abs=1e-12)
    energy, slope = evaluated(of_crystal(moved), moved.positions)
    turned = moved.copy()
    turned.cell, turned.positions = cell, positions
    again, slopes = evaluated(of_crystal(turned), positions)
    assert float(again) == pytest.approx(float(energy), abs=1e-11)
    assert np.asarray(slopes) == pytest.approx(np.asarray(slope) @ turn.T, abs=1e-10)


def test_forces_are_slopes_and_push_nothing_away(moved: Atoms) -> None:
    potential, direction = of_crystal(moved), np.random.default_rng(5).normal(size=moved.positions.shape)
    _, slope = evaluated(potential, moved.positions)
    ends = [float(evaluated(potential, moved.positions + s * 1e-5 * direction)[0]) for s in (1, -1)]
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float((np.asarray(slope) * direction).sum()), rel=1e-7)
    assert np.asarray(slope).sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-11)


def test_harmonic_lines_and_their_symmetries(crystal: Atoms) -> None:
    potential = of_crystal(crystal)

    def surface(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, slope = evaluated(potential, x)
        return float(energy), -np.asarray(slope)

    found = minimum_of(crystal, "alpha-CO", surface, analytic_curvature(potential.energy))
    modes = found.modes
    assert len(modes.wavenumbers_cm1) == 3 * 64 - 3
    source = polarizability.load(ASSETS / "polarizabilities/alpha-co")
    (tensors,) = polarizability.mode_tensors(
        source.function(crystal), found.atoms.positions, modes.displacements
    )
    xx, yy, zz = (tensors[:, i, i] for i in range(3))
    parts = {
        "A": (xx + yy + zz) ** 2 / 3,
        "E": (2 * zz - xx - yy) ** 2 / 6 + (xx - yy) ** 2 / 2,
        "T": 2 * (tensors[:, 0, 1] ** 2 + tensors[:, 0, 2] ** 2 + tensors[:, 1, 2] ** 2),
    }
    for name, part in parts.items():
        active = modes.wavenumbers_cm1[part > 1e-3]
        lines = np.unique(np.round(active, 2))
        assert lines == pytest.approx(np.array(LINES_cm1[name]), abs=2.0)
        assert len(active) == len(lines) * {"A": 1, "E": 2, "T": 3}[name]
        others = sum(parts.values()) - part
        assert np.abs(others[part > 1e-3]).max() < 1e-6 * part.max()


def test_in_ase_and_by_name(crystal: Atoms) -> None:
    crystal = crystal.copy()
    crystal.calc = calculator.load(ASSETS / "potentials/alpha-co")
    assert crystal.get_potential_energy() / 32 == pytest.approx(-0.0693354, abs=1e-6)
    assert np.abs(crystal.get_forces()).max() < 1e-3
    source = polarizability.load(ASSETS / "polarizabilities/alpha-co")
    frames = np.stack([crystal.positions] * 3)
    found = polarizability.along(source.function(crystal))(frames)
    assert found[2, 0] / 32 == pytest.approx(1.9533 * np.eye(3), abs=1e-3)


@pytest.mark.parametrize(
    ("atoms", "told"),
    [
        (alpha_co(1), r"faces 5.65 Å apart.*needs 11.2 Å or more: repeat the cell"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]), "not periodic in all three directions"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], pbc=True), "faces 0 Å apart"),
        (Atoms("OC", [[0, 0, 0], [0, 0, 1.1]], cell=[12] * 3, pbc=True), "must be ordered C, O"),
    ],
)
def test_what_is_no_crystal_of_co(atoms: Atoms, told: str) -> None:
    for made in (
        load("co-crystal").potential, polarizability.load(ASSETS / "polarizabilities/alpha-co").function
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            made(atoms)


def test_no_polarizability(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a 'co-crystal', no polarizability"):
        polarizability.load(ASSETS / "potentials/alpha-co")
