"""``frazil.load``: any potential is an ASE calculator, whose forces are its energy's slope."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

import frazil
from frazil.errors import UserError
from frazil.potentials.deepmd.model import DeepPotential
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.neighbours import current
from frazil.systems.co import deepmd_types, set_excited

CURVES = """molecule,bond_length_A,energy_eV,slope_eV_per_A
CO,1.0,0.9,-14
CO,1.13,0.0,0.1
CO,1.4,1.9,11
"""
LJ = {"kind": "lennard-jones", "epsilon_eV": 0.01, "sigma_A": 2.6}


@pytest.fixture
def atoms() -> Atoms:
    found = Atoms(
        "CO" * 3,
        positions=[[0, 0, 0], [0, 0.3, 1.1], [3.4, 0, 0.4], [3.2, 1.2, 0], [0, 3.5, 0], [0.2, 4.6, 0.3]],
    )
    set_excited(found, 1)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small committees of two: with charges, and of interactions."""
    folder = tmp_path_factory.mktemp("models")
    for name, level, heads in (
        ("gmnn", "test", ("energy", "charge")),
        ("apart", "test interaction", ("energy",)),
    ):
        shape = Architecture(
            ("C", "O"), cutoff_A=4.0, n_basis=3, n_radial=1, hidden=(4,), heads=heads, precision="float64"
        )
        metadata = {"label_level": level, "training_data_sha256": ""}
        write_folder(folder / name, shape, initialize_committee(shape, 3, 2), metadata)
    (folder / "apart/molecular_curves.csv").write_text(CURVES)
    return folder


def check_slope(atoms: Atoms, step_A: float = 1e-4) -> None:
    """Assert that the forces are the energy's slope along a random direction."""
    forces, start = atoms.get_forces(), atoms.positions.copy()
    direction = np.random.default_rng(3).normal(size=start.shape)
    ends = []
    for sign in (1, -1):
        atoms.positions = start + sign * step_A * direction
        ends.append(atoms.get_potential_energy())
    atoms.positions = start
    slope = (ends[0] - ends[1]) / (2 * step_A)
    assert slope == pytest.approx(-(forces * direction).sum(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("what", "parameters", "known"),
    [
        ("gmnn", {}, {"dipole", "energy_spread", "forces_spread"}),
        ("gmnn/model.h5", {"member": 1}, {"dipole"}),
        ("apart", {}, {"energy_spread", "forces_spread"}),
        ("van-hemert", {"coupling_eV": 2.0, "with_dipole": True}, {"dipole"}),
        ("ase:ase.calculators.emt.EMT", {}, set()),
        ({"kind": "committee", "parts": [LJ, {**LJ, "sigma_A": 3.0}]}, {}, {"energy_spread"}),
    ],
)  # fmt: skip
def test_any_potential_is_a_calculator(
    what: Any, parameters: dict[str, Any], known: set[str], folder: Path, atoms: Atoms
) -> None:
    place = folder / what if isinstance(what, str) and (folder / what).exists() else what
    atoms.calc = frazil.load(place, **parameters)
    check_slope(atoms)
    assert known <= set(atoms.calc.results)
    if "dipole" in known:
        assert atoms.get_dipole_moment().shape == (3,)
    if "energy_spread" in known:
        assert atoms.calc.results["energy_spread"] > 0


def test_members_make_the_mean(folder: Path, atoms: Atoms) -> None:
    for name in ("gmnn", "apart"):
        energies = []
        for member in (0, 1, None):
            atoms.calc = frazil.load(folder / name, member=member)
            energies.append(atoms.get_potential_energy())
        assert energies[2] == pytest.approx(np.mean(energies[:2]))
        assert atoms.calc.results["energy_spread"] == pytest.approx(np.std(energies[:2], ddof=1))
    with pytest.raises(UserError, match=r"members \[2\] of a committee of 2"):
        frazil.load(folder / "gmnn", member=2)


def test_deepmd_folders_and_files_are_what_deepmd_computes(
    tiny_model: Path, tiny_residual: Path, atoms: Atoms
) -> None:
    residual, plain = tiny_residual / "without_bonds_frozen.network", tiny_model / "frozen.pb"
    for place, file in ((tiny_residual, residual), (residual, residual), (plain, plain)):
        types = deepmd_types(atoms)
        [energy], [forces] = DeepPotential(file).evaluate(atoms.positions[None], types)
        atoms.calc = frazil.load(place)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)
        assert np.allclose(atoms.get_forces(), forces, atol=1e-8)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([0, 2, 1, 3], "put the two of"),
        ([1, 0, 3, 2], "C, O, C, O"),
        ([0, 1, 2], "3 atoms"),
    ],
)
def test_bonds_of_a_residual_model_are_those_of_molecules(
    tiny_residual: Path, atoms: Atoms, order: list[int], told: str
) -> None:
    other = atoms[order]
    other.calc = frazil.load(tiny_residual)
    with pytest.raises(UserError, match=told):
        other.get_potential_energy()


def test_a_tag_that_moves_changes_the_energy(tiny_residual: Path, atoms: Atoms) -> None:
    atoms.calc = frazil.load(tiny_residual)
    before = atoms.get_potential_energy()
    set_excited(atoms, 2)
    after = atoms.get_potential_energy()
    assert after != before
    atoms.calc = frazil.load(tiny_residual)
    assert atoms.get_potential_energy() == after


def test_lists_are_kept_until_an_atom_has_moved_by_half_the_skin(atoms: Atoms) -> None:
    kept = current(None, atoms, 4.0, 0.5)
    atoms.positions[1] += [0.0, 0.24, 0.0]
    assert current(kept, atoms, 4.0, 0.5) is kept
    assert current(kept, atoms, 4.0, 0.5, same=False) is not kept
    atoms.positions[1] += [0.0, 0.02, 0.0]
    assert current(kept, atoms, 4.0, 0.5) is not kept


def test_lists_follow_the_atoms(folder: Path, atoms: Atoms) -> None:
    atoms.calc = frazil.load(folder / "apart")
    atoms.get_potential_energy()
    for shift in (0.1, 0.2, 0.9, -2.0):
        atoms.positions[2:4] += [shift, 0, 0]
        found = atoms.get_potential_energy()
        fresh = atoms.copy()
        fresh.calc = frazil.load(folder / "apart")
        assert found == pytest.approx(fresh.get_potential_energy(), abs=1e-10)


def test_periodic_atoms_take_a_gmnn(folder: Path, atoms: Atoms) -> None:
    atoms.set_cell([9, 9, 9])
    atoms.pbc = True
    atoms.calc = frazil.load(folder / "gmnn")
    check_slope(atoms)
    atoms.calc = frazil.load("van-hemert", coupling_eV=2.0)
    with pytest.raises(
        UserError, match=r"with periodic boundaries under van-hemert, which is for free atoms"
    ):
        atoms.get_potential_energy()


def test_what_is_no_potential_is_refused() -> None:
    with pytest.raises(UserError, match=r"no potential nowhere; give a model folder that training wrote"):
        frazil.load("nowhere")


def test_the_package_shows_its_names() -> None:
    for name in frazil.__all__:
        assert getattr(frazil, name) is not None
        assert name in dir(frazil)
    with pytest.raises(AttributeError, match=r"module 'frazil' has no attribute 'lode'; it has Ensemble"):
        frazil.lode  # noqa: B018
    package = Path(frazil.__file__).parent
    assert (package / "py.typed").exists()
    stub = (package / "__init__.pyi").read_text()
    assert all(f'"{name}"' in stub for name in frazil.__all__)
