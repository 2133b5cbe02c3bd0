"""The levels of theory against published numbers, and their forces against their energies."""

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

pytest.importorskip("pyscf", reason="needs the extra 'labels'")

from frazil.electronic_structure import ATTEMPTS, NotConverged, code_version, single_point

pytestmark = pytest.mark.filterwarnings("ignore")  # PySCF's own deprecations

KCAL_PER_MOL = ase.units.kcal / ase.units.mol


@pytest.fixture(autouse=True)
def _one_thread():
    """Two threads that wait for each other on a busy machine take many times as long as one."""
    from pyscf import lib

    lib.num_threads(1)


def carbon_monoxide(bond_A):
    return Atoms("CO", [[0, 0, 0], [0, 0, bond_A]])


def water(stretch_A=0.0):
    atoms = molecule("H2O")
    atoms.positions[1] += [0.0, stretch_A, 0.1 * stretch_A]
    return atoms


@pytest.mark.parametrize("level", ["pbe-d3bj/def2-svp", "bhlyp-d4/def2-svp"])
def test_forces_are_the_gradient_of_the_energy(level):
    atoms, step = water(0.08), 0.005
    direction = np.array([[0.0, 0.5, 0.6], [0.3, 0.4, -0.2], [0.1, -0.3, -0.1]])
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step * direction
        energies.append(single_point(moved, level).energy_eV)
    along = float((single_point(atoms, level).forces_eV_per_A * direction).sum())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(along, abs=6e-3)


@pytest.mark.slow
def test_bond_of_CO_is_that_of_PBE():
    """PBE: 1.136 Å and 2126 cm⁻¹ harmonic, against 1.1283 Å and 2169.81 cm⁻¹ measured."""
    bonds = np.array([1.10, 1.12, 1.14, 1.16])
    points = [single_point(carbon_monoxide(bond), "pbe/def2-tzvp") for bond in bonds]
    slope = np.polynomial.Polynomial.fit(bonds, [-point.forces_eV_per_A[1, 2] for point in points], 3)
    (bond,) = [root.real for root in slope.roots() if 1.1 < root.real < 1.16 and abs(root.imag) < 1e-9]
    assert bond == pytest.approx(1.136, abs=0.003)
    reduced_mass = 12.0 * 15.9949 / (12.0 + 15.9949)
    frequency = np.sqrt(slope.deriv()(bond) / reduced_mass) / (2 * np.pi) * ase.units.s
    assert frequency / (100 * ase.units._c) == pytest.approx(2126, abs=25)


@pytest.mark.slow
def test_reaction_energy_of_PBE():
    """CO + 3 H2 → CH4 + H2O releases 420 + 234 − 269 − 3·105 kcal/mol (Phys. Rev. Lett. 77, 3865)."""
    energies = {
        name: single_point(molecule(name), "pbe/def2-tzvp").energy_eV for name in ("CO", "H2", "CH4", "H2O")
    }
    released = energies["CO"] + 3 * energies["H2"] - energies["CH4"] - energies["H2O"]
    assert released / KCAL_PER_MOL == pytest.approx(70, abs=4)


def test_dipole_of_water():
    """Measured 1.855 D, from oxygen to the hydrogens; without diffuse functions it comes out too large."""
    atoms = water()
    dipole = single_point(atoms, "pbe0/def2-svp").dipole_eA
    assert np.linalg.norm(dipole) / ase.units.Debye == pytest.approx(1.855, rel=0.15)
    assert dipole @ (atoms.positions[1:].mean(axis=0) - atoms.positions[0]) > 0


def test_dipole_of_CO_points_from_carbon_to_oxygen():
    """Measured 0.11 D with carbon negative; PBE overestimates."""
    dipole = single_point(carbon_monoxide(1.128), "pbe/def2-tzvp").dipole_eA
    assert 0.1 < dipole[2] / ase.units.Debye < 0.35


def test_coupled_cluster_gives_an_energy_only():
    """H2 at 1.4 Bohr: two electrons, so CCSD is full CI, −1.17234 Hartree in cc-pVTZ."""
    point = single_point(Atoms("H2", [[0, 0, 0], [0, 0, 1.4 * ase.units.Bohr]]), "ccsd(t)/cc-pvtz")
    assert point.forces_eV_per_A is None
    assert point.dipole_eA is None
    assert point.energy_eV / ase.units.Hartree == pytest.approx(-1.17234, abs=2e-4)


@pytest.mark.slow
def test_all_ways_to_converge_agree(monkeypatch):
    atoms = carbon_monoxide(1.6)
    points = []
    for attempt in ATTEMPTS:
        monkeypatch.setattr("frazil.electronic_structure.ATTEMPTS", (attempt,))
        points.append(single_point(atoms, "pbe-d3bj/def2-svp"))
    assert [point.attempt for point in points] == ["default", "level-shift", "smeared-start", "second-order"]
    for point in points[1:]:
        assert point.energy_eV == pytest.approx(points[0].energy_eV, abs=1e-5)
        assert point.forces_eV_per_A == pytest.approx(points[0].forces_eV_per_A, abs=2e-3)


def test_no_convergence_is_reported(monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr("frazil.electronic_structure.ATTEMPTS", (replace(ATTEMPTS[0], max_cycles=1),))
    with pytest.raises(NotConverged, match="did not converge \\(tried default\\)"):
        single_point(carbon_monoxide(1.13), "pbe/def2-svp")


def test_version_names_the_dispersion_package():
    assert "pyscf-dispersion" in code_version()


def test_frames_are_labelled_with_their_provenance(tmp_path, capsys):
    from ase.io import read, write

    from frazil.labelling import label_file

    hydroxyl = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]])
    write(
        tmp_path / "frames.extxyz", [carbon_monoxide(1.14), hydroxyl, Atoms("H2", [[0, 0, 0], [0, 0, 0.75]])]
    )
    for _ in range(2):
        label_file(
            tmp_path / "frames.extxyz", tmp_path / "out.extxyz", "pbe-d3bj/def2-svp", tmp_path / "kept"
        )
    told = capsys.readouterr().err
    assert "1 H2 of 0.1 s" in told
    assert "pbe-d3bj/def2-svp: nothing left to label" in told
    first, second = read(tmp_path / "out.extxyz", ":")
    assert first.info["label_level"] == "pbe-d3bj/def2-svp"
    assert first.info["label_code"] == "pyscf"
    assert first.info["label_attempt"] == "default"
    assert first.get_forces()[1, 2] == pytest.approx(-first.get_forces()[0, 2], abs=1e-7)
    assert second.get_potential_energy() / ase.units.Hartree == pytest.approx(-1.16, abs=0.02)
    assert "1,,,frame HO has an odd number of electrons" in (tmp_path / "failed.csv").read_text()
