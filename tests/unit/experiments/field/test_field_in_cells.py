"""Fields on crystals and liquids: rock salt is exact where it is harmonic, water the same where wrapped."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

import frazil
import shards
from frazil.analysis.normal_modes import normal_modes
from frazil.data.structures import read_structures
from frazil.errors import UserError
from frazil.experiments.dipoles import Dipoles, check_branches, pieces_of
from frazil.experiments.field import results, subject
from frazil.experiments.field.diffusion import diffusion_A2_per_ps
from frazil.experiments.field.settings import Field
from frazil.potentials.analytic.co_crystal import alpha_co
from frazil.potentials.analytic.rock_salt import rock_salt
from frazil.potentials.polarizability import PolarizabilitySource
from frazil.potentials.registry import load
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.systems.liquid import edge_A, pack
from frazil.systems.minima import differences
from frazil.systems.molecules import molecule
from shards import run_in_shards

COLD_K, FIELD = 5.0, 0.01
SMALL: dict[str, Any] = {
    "n_trajectories": 4, "shard_size": 4, "temperature_K": COLD_K, "fields_V_per_A": [0.0, FIELD],
    "n_beads": [1], "duration_fs": 6000, "equilibration_fs": 3000, "timestep_fs": 4.0, "observe_every_fs": 20,
    "drive_V_per_A": 0.1, "drive_THz": 5.0, "drive_centre_fs": 600, "drive_width_fs": 200,
    "drive_duration_fs": 1200, "drive_timestep_fs": 2.0, "drive_every_fs": 20,
    "oxidation_numbers": ["Na:1", "Cl:-1"],
}  # fmt: skip
WATER = 0.95 * np.array([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])


given = partial(shards.given, file="cell.extxyz")


def four_waters() -> Atoms:
    shifts = 3.1 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    turned = [WATER, WATER[:, [1, 2, 0]], -WATER, WATER[:, [2, 0, 1]]]
    return Atoms("OHH" * 4, np.concatenate([x + s for x, s in zip(turned, shifts, strict=True)]),
                 cell=6.2 * np.eye(3), pbc=True)  # fmt: skip


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("salt")
    return run_in_shards("field", folder, SMALL | given(folder, {"kind": "rock-salt"}, rock_salt(1, 1, 1)))


def skewed() -> Atoms:
    """Return 16 ions of the same crystal, in a cell of its shortest vectors: 60° between any two."""
    half = 0.5 * rock_salt(1, 1, 1).cell.array
    cell = half[[1, 0, 0]] + half[[2, 2, 1]]
    return Atoms("NaCl", [np.zeros(3), half[0]], cell=cell, pbc=True).repeat(2)


@cache
def harmonic(make: Callable[[], Atoms] = lambda: rock_salt(1, 1, 1)) -> tuple[float, float]:
    """Return ∂μ_z/∂E, e²Å²/eV, by Born charges over force constants, and the mode that has it, cm⁻¹."""
    atoms, source = make(), load("rock-salt")
    atoms.calc = frazil.load("rock-salt")

    def surface(positions: np.ndarray) -> tuple[float, np.ndarray]:
        atoms.positions = positions
        return atoms.get_potential_energy(), atoms.get_forces()

    hessian, _ = differences(surface)(make().positions)
    slope = Dipoles(source, atoms).born_charges(make().positions)[:, 2].ravel()
    response = float(slope @ np.linalg.pinv(hessian, rcond=1e-6) @ slope)
    modes = normal_modes(hessian, make().positions, atoms.get_masses(), None, periodic=True)
    return response, float(modes.wavenumbers_cm1.max())


def test_polarization_is_that_of_born_charges_on_springs(salt: Path) -> None:
    table = pandas.read_csv(salt / "response.csv").set_index(["quantity", "field_V_per_A"])
    expected = harmonic()[0] * FIELD
    row = table.loc[("polarization", FIELD)]
    error = (row["high_95"] - row["low_95"]) / (2 * 3.18)  # Student's t of four starts
    assert error < 0.05 * expected
    assert abs(row["value"] - expected) < 4 * error + 0.03 * expected, "anharmonic: some percent"
    assert table.loc[("polarization per volume", FIELD), "value"] == pytest.approx(row["value"] / 5.64**3)
    assert abs(table.loc[("diffusion", 0.0), "value"]) < 1e-3, "a crystal's ions stay"
    assert table.loc[("neighbour distance", 0.0), "value"] == pytest.approx(2.78, abs=0.06)
    linear = pandas.read_csv(salt / "linear_response.csv").set_index("by")
    found = linear.loc["slope"]
    assert found["permittivity"] == pytest.approx(
        1 + 4 * np.pi * 14.3996 * found["value_e2_A2_per_eV"] / 5.64**3, rel=1e-5
    )
    both = linear.loc["fluctuations, three directions"]
    error = (both["high_95"] - both["low_95"]) / (2 * 3.18)
    assert error < 0.3 * harmonic()[0]
    assert abs(both["value_e2_A2_per_eV"] - harmonic()[0]) < 4 * error


def test_a_skewed_cell_of_the_crystal_polarizes_as_the_cube_does() -> None:
    """Twice as many ions are polarized twice as much; the fastest modes of both are those of all cells."""
    atoms = skewed()
    assert atoms.cell.angles() == pytest.approx(60.0)
    atoms.calc, cube = frazil.load("rock-salt"), rock_salt(1, 1, 1)
    cube.calc = atoms.calc
    assert atoms.get_potential_energy() == pytest.approx(2 * cube.get_potential_energy())
    assert harmonic(skewed)[0] == pytest.approx(2 * harmonic()[0], rel=1e-5)


def test_books_carried_ions_and_charges_pass_their_gates(salt: Path) -> None:
    section = Section.read(salt)
    gates = {gate.name: gate for gate in section.gates}
    for name in (
        "runs that broke",
        "energy gained less work, of the usual work, median",
        "change of the dipole by what is carried through the cell, less its oxidation number (e)",
        "energy when it has been carried through the cell, less that before (eV)",
        "sum of the Born charges, largest component (e)",
        "scatter of energy less work at twice the time step, of that at one",
    ):
        assert gates[name].passed, name
    books = pandas.read_csv(salt / "energy_books.csv")
    assert (books["difference_meV"] != 0).all()
    assert books["energy_std_doubled_meV"].div(books["energy_std_meV"]).between(3, 5.5).all()
    carried = pandas.read_csv(salt / "carried.csv")
    ends = carried[carried["fraction"] == 1].set_index(["carried", "along"])["change_e"]
    assert ends.loc["Na"].to_numpy() == pytest.approx(1.0, abs=1e-9)
    assert ends.loc["Cl"].to_numpy() == pytest.approx(-1.0, abs=1e-9)
    assert carried["energy_eV"].between(1, 30).any(), "on the way it meets others"
    assert len(pandas.read_csv(salt / "born_charges.csv")) == 8
    assert {figure.file for figure in section.figures} >= {"carried_through.svg", "polarization.svg"}
    assert any("Positions are never wrapped" in text for text in section.text)


def test_wrong_numbers_fail_the_gate(salt: Path, tmp_path: Path) -> None:
    wrong = {**SMALL, "oxidation_numbers": ["Na:2", "Cl:-2"]}
    found = subject.subject_of(
        load_settings(Field, wrong | given(tmp_path, {"kind": "rock-salt"}, rock_salt(1, 1, 1)))
    )
    tables = {
        name: pandas.read_csv(salt / f"{name}.csv") for name in ("carried", "born_charges", "energy_books")
    }
    (gate,) = [
        g for g in results._gates_of_cell(found, tables) if "carried through the cell, less its" in g.name
    ]
    assert gate.passed is False
    assert gate.value == pytest.approx(1.0)
    unknown = results._gates_of_cell(replace(found, numbers_e={}), tables)
    assert all(g.passed for g in unknown), "without numbers told a whole one will do"


def test_a_potential_without_a_dipole_in_a_cell_is_refused(tmp_path: Path) -> None:
    """As a network of charges is, which has a dipole of free atoms alone."""
    asked = given(tmp_path, {"kind": "co-crystal"}, alpha_co())
    with pytest.raises(UserError, match=r"which has no dipole there: .* has one branch. Train a GM-NN with"):
        subject.subject_of(load_settings(Field, SMALL | asked | {"oxidation_numbers": []}))


def test_a_dipole_of_one_branch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charges of ± 0.9 at the minimum image of their positions, or as they are, are no oxidation numbers."""
    from frazil.experiments import dipoles

    atoms, charges = rock_salt(1, 1, 1), np.tile([0.9, -0.9], 4)
    for told, dipole, energy in (
        ("changes the dipole of test by 0.900 e times it", lambda x: charges[:1] @ x[:1], lambda x: 0.0),
        (
            "changes the energy by 5.64 eV under test, which is not",
            lambda x: np.zeros(3),
            lambda x: x[0].sum(),
        ),
    ):
        fake = SimpleNamespace(with_energy=lambda x, d=dipole, e=energy: (d(x), e(x)))
        monkeypatch.setattr(dipoles, "Dipoles", lambda *_, fake=fake: fake)
        with pytest.raises(UserError, match=told):
            check_branches(SimpleNamespace(kind="test"), atoms, "salt", [("Na", np.array([0]))])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "change", "atoms", "message"),
    [
        (
            "rock-salt", {}, lambda a: a.info.update(charge=1),
            r"cell has a charge of \+1 e; .* give a neutral cell",
        ),
        ("rock-salt", {}, lambda a: a.set_pbc([1, 1, 0]), "periodic along a, b only"),
        ("rock-salt", {"oxidation_numbers": ["Na:1"]}, None, "numbers of Na; the frames hold Cl, Na"),
        ("rock-salt", {"timestep_fs": 5.0}, None, None),
        ("rock-salt", {"drive_timestep_fs": 5.0}, None, "5 fs for cell, whose fastest mode has .* 28 steps"),
        ("rock-salt", {"oxidation_numbers": []}, lambda a: a.set_pbc(False), "a cell with pbc T T T"),
        ("van-hemert", {}, lambda a: a.set_chemical_symbols(["C", "O"] * 4), "is for free atoms; give"),
    ],
)  # fmt: skip
def test_bad_input_of_a_cell(
    tmp_path: Path,
    model: str,
    change: dict[str, Any],
    atoms: Callable[[Atoms], None] | None,
    message: str | None,
) -> None:
    crystal = rock_salt(1, 1, 1)
    if atoms is not None:
        atoms(crystal)
    described = {"kind": model, **({"coupling_eV": 2.0} if model == "van-hemert" else {})}
    settings = load_settings(Field, {**SMALL, **given(tmp_path, described, crystal), **change})
    if message is None:
        assert subject.subject_of(settings).fastest_cm1 == pytest.approx(harmonic()[1], rel=1e-3)
        return
    with pytest.raises(UserError, match=message):
        subject.subject_of(settings)


def test_settings_that_are_not_for_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PolarizabilitySource("test", "test", lambda atoms: lambda x: np.eye(3)[None])
    monkeypatch.setattr(subject, "polarizability_of", lambda folder: source)
    found = given(tmp_path, {"kind": "rock-salt"}, rock_salt(1, 1, 1))
    with pytest.raises(UserError, match=r"a polarizability for cell, a cell; .* leave it out"):
        subject.subject_of(load_settings(Field, {**SMALL, **found, "polarizability": found["model"]}))
    Atoms("OHH", WATER).write(tmp_path / "water.extxyz")
    (tmp_path / "model/model.json").write_text(json.dumps({"kind": "q-tip4p-f"}))
    with pytest.raises(UserError, match="oxidation numbers for water, which is free"):
        subject.subject_of(
            load_settings(
                Field, {**SMALL, "structure": str(tmp_path / "water.extxyz"), "model": found["model"]}
            )
        )


def test_water_is_the_same_wherever_its_atoms_are_written(tmp_path: Path) -> None:
    atoms, one = four_waters(), frazil.load("q-tip4p-f")
    written = atoms.copy()
    written.positions[[1, 5, 6]] += written.cell.array[[0, 2, 1]]
    written.wrap()
    values = []
    for frame in (atoms, written):
        frame.calc = one
        values.append((frame.get_potential_energy(), frame.get_dipole_moment(), frame.get_forces()))
    for first, second in zip(*values, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-9)
    atoms.calc = written.calc = None
    found = subject.subject_of(
        load_settings(
            Field,
            {**SMALL, "timestep_fs": 0.5, "drive_timestep_fs": 0.25, "oxidation_numbers": [],
             **given(tmp_path, {"kind": "q-tip4p-f"}, written)},
        )
    )  # fmt: skip
    assert len(found.molecules) == 4
    assert set(found.bonds) == {"O–H bond"}
    assert not found.is_ionic
    lengths = found.molecules.bond_lengths(found.atoms.positions)
    assert lengths == pytest.approx(0.95, abs=1e-6), "molecules are in one piece"
    seen = subject.Samples.of(found, 1)(
        SimpleNamespace(positions=found.atoms.positions, info={"dipole_e_A": np.zeros(3)}),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
    )
    assert float(seen["samples"][3]) == pytest.approx(0.95)
    masses = found.molecules.masses_amu
    np.testing.assert_allclose(masses @ np.asarray(seen["centres"]), 0.0, atol=1e-9)


def test_salt_takes_cells_of_some_size_and_of_equal_numbers() -> None:
    with pytest.raises(UserError, match="3 Å apart for rock-salt; it needs 4 Å"):
        load("rock-salt").potential(Atoms("NaCl", [[0, 0, 0], [1.5, 1.5, 1.5]], cell=[3] * 3, pbc=True))
    with pytest.raises(UserError, match="as many Na as Cl"):
        load("rock-salt").potential(rock_salt(1, 1, 1)[1:])


def test_diffusion_of_walks_and_of_springs() -> None:
    random = np.random.default_rng(2)
    steps = np.sqrt(2 * 0.3 * 0.02) * random.normal(size=(4000, 400, 3))  # D 0.3 Å²/ps, steps of 20 fs
    assert diffusion_A2_per_ps(np.cumsum(steps, axis=0), 20.0) == pytest.approx(0.3, rel=0.1)
    assert abs(diffusion_A2_per_ps(random.normal(size=(4000, 60, 3)), 20.0)) < 1e-3


def test_a_box_of_a_liquid_is_packed_at_its_density(tmp_path: Path) -> None:
    told = pack("H2O", 8, 0.9, "q-tip4p-f", 200.0, 50.0, 0.5, 5, tmp_path / "box.extxyz")
    atoms = read_structures(tmp_path / "box.extxyz", periodic=True)[0]
    assert told.startswith("8 H2O in a cube of 6.4")
    assert atoms.pbc.all()
    assert len(atoms) == 24
    assert atoms.get_masses().sum() / atoms.get_volume() / 0.602214 == pytest.approx(0.9, rel=1e-3)
    found = pieces_of(atoms, "box")[1]
    assert [len(own) for own in found.members] == [3] * 8
    assert edge_A(molecule("H2O"), 32, 0.997) == pytest.approx(9.865, abs=1e-3)
    with pytest.raises(UserError, match="gfn2-xtb of kind gfn2-xtb is for free atoms"):
        pack("H2O", 8, 0.9, "gfn2-xtb", 200.0, 50.0, 0.5, 5, tmp_path / "other.extxyz")
