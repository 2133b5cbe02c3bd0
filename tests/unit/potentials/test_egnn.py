"""The graph network of dynamic training: its published size, what its published form lacks, its files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.md.verlet import VelocityVerlet as AseVerlet

from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import frames
from frazil.potentials.calculator import PotentialCalculator
from frazil.potentials.egnn.architecture import Architecture, initialize, n_trained
from frazil.potentials.egnn.files import read_model, write_folder
from frazil.potentials.registry import load
from frazil.units import fs

SMOOTH = Architecture(("C", "O"), n_features=8, n_waves=8, n_layers=1, precision="float64")
FORMS = {"smooth": SMOOTH, "published": replace(SMOOTH, form="published")}
CO = Atoms("CO" * 2, positions=[[0, 0, 0], [0.2, 0, 1.15], [3.2, 0.4, 0.3], [3.4, 1.4, 0]])


@pytest.fixture(scope="module")
def calculators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PotentialCalculator]:
    made = {}
    for name, architecture in FORMS.items():
        folder = tmp_path_factory.mktemp(name)
        write_folder(folder, architecture, initialize(architecture, 3), {"label_level": "test"})
        made[name] = PotentialCalculator(load(folder))
    return made


def energy(calculator: PotentialCalculator, atoms: Atoms) -> float:
    atoms = atoms.copy()
    atoms.calc = calculator
    return float(atoms.get_potential_energy())


@pytest.mark.parametrize("form", FORMS)
def test_it_has_the_published_number_of_parameters(form: str) -> None:
    """Of H, C and Pd: an embedding of 512, three layers of 165,376, a head of 16,641."""
    parameters = initialize(Architecture(("H", "C", "Pd"), form), 1)
    assert n_trained(parameters) == 513_281
    assert n_trained(parameters["embedding"]) == 512
    assert [n_trained(layer) for layer in parameters["layers"]] == [165_376] * 3
    assert parameters["layers"][0]["waves"].std() == pytest.approx(4 / np.sqrt(2), rel=0.1)


def test_the_published_form_jumps_at_the_cutoff_and_the_smooth_one_does_not(
    calculators: dict[str, PotentialCalculator],
) -> None:
    def step(form: str) -> float:
        there = [CO.copy(), CO.copy()]
        for atoms, past in zip(there, (-1e-6, 1e-6), strict=True):
            atoms.positions[2:] += [5.0 + past - CO.get_distance(1, 2), 0, 0]
            atoms.positions[2] = atoms.positions[1] + [5.0 + past, 0, 0]
            atoms.positions[3] = atoms.positions[2] + [0.9, 0.6, 0.2]
        return abs(energy(calculators[form], there[1]) - energy(calculators[form], there[0]))

    assert step("published") > 1e-3
    assert step("smooth") < 1e-9


def test_the_published_sum_is_not_extensive_and_the_smooth_one_is(
    calculators: dict[str, PotentialCalculator],
) -> None:
    """Of parts too far apart to know of each other E(A, B) + E(A', B') = E(A, B') + E(A', B)."""
    other = CO.copy()
    other.positions[1] += [2.0, 0, 0.1]
    other.positions[3] += [0.3, 2.0, 0]

    def excess(form: str) -> float:
        total = 0.0
        for a, b, sign in ((CO, CO, 1), (other, other, 1), (CO, other, -1), (other, CO, -1)):
            atoms = a[:2] + b[2:]
            atoms.positions[2:] += 100.0
            total += sign * energy(calculators[form], atoms)
        return abs(total)

    assert excess("published") > 1e-2
    assert excess("smooth") < 1e-10


def test_ase_and_the_engine_run_the_same_trajectory(calculators: dict[str, PotentialCalculator]) -> None:
    atoms = CO.copy()
    atoms.calc = calculators["smooth"]
    velocities = np.random.default_rng(0).normal(scale=0.02, size=(4, 3))
    atoms.set_velocities(velocities)
    AseVerlet(atoms, 0.5 * fs).run(10)
    ensemble = Ensemble(
        atoms.calc.source.potential(CO), VelocityVerlet(0.5), CO.get_masses(), 10, 10,
        observers=(frames,), width=1,
    )  # fmt: skip
    (ran,) = ensemble.run(CO.positions[None], velocities[None])
    np.testing.assert_allclose(ran.rows["positions"][-1], atoms.positions, atol=1e-10)


def test_a_periodic_structure_is_its_own_copies(calculators: dict[str, PotentialCalculator]) -> None:
    """A cell and twice the cell: the smooth form's energy doubles; an atom may sit beside its own image."""
    one = Atoms("CO", positions=[[0, 0, 0], [0.3, 0.2, 1.2]], cell=[4.0, 4.4, 4.9], pbc=True)
    two = one.repeat((2, 1, 1))
    assert energy(calculators["smooth"], two) == pytest.approx(
        2 * energy(calculators["smooth"], one), abs=1e-10
    )


def test_bad_files_and_architectures(tmp_path: Path) -> None:
    write_folder(tmp_path, SMOOTH, initialize(SMOOTH, 1), {"label_level": "test"})
    model = read_model(tmp_path / "egnn.h5")
    assert model.architecture == SMOOTH
    source = load(tmp_path)
    assert (source.kind, source.level) == ("egnn", "test")
    with pytest.raises(UserError, match="the structure has H, the model knows C O"):
        source.potential(Atoms("H"))
    file = tmp_path / "egnn.h5"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path)
    with pytest.raises(UserError, match="form 'rough'; allowed are smooth, published"):
        replace(SMOOTH, form="rough")
    with pytest.raises(UserError, match="0 features"):
        replace(SMOOTH, n_features=0)
