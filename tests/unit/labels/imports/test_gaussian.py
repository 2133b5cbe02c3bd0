"""Gaussian's output: which energy the forces belong to, whose axes, what stands together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, Hartree
from scipy.spatial.transform import Rotation

from frazil.errors import UserError
from frazil.labels.imports.readers import Entry, read_entry

from .conftest import Trajectory, same
from .written import (
    gaussian_dipole,
    gaussian_forces,
    gaussian_head,
    gaussian_log,
    gaussian_orientation,
    gaussian_scf,
)

TURN = Rotation.from_euler("xyz", [35, 80, -120], degrees=True).as_matrix()
"""From the input axes to the standard ones."""


def step(atoms: Atoms, energies: list[str], before: list[str] | None = None) -> list[str]:
    """Return a step's lines: geometry, what may follow, energies, forces."""
    geometry = gaussian_orientation(atoms.numbers, atoms.positions)
    return [*geometry, *(before or []), *energies, *gaussian_forces(atoms.numbers, atoms.get_forces())]


def read(path: Path, lines: list[str], **entry: object) -> list[Atoms]:
    path.write_text("\n".join([*lines, ""]))
    return read_entry(Entry(path, level="made-up", **entry)).frames  # type: ignore[arg-type]


def test_logs(trajectory: Trajectory, tmp_path: Path) -> None:
    imported = read_entry(Entry(gaussian_log(tmp_path / "run.log", trajectory(4)), level="made-up"))
    assert imported.format == "gaussian"
    same(imported.frames, trajectory(4))
    assert imported.frames[0].info["label_version"] == "16"


def counterpoise(energy_eV: float) -> list[str]:
    return [
        *gaussian_scf(energy_eV - 0.05),
        " Counterpoise: doing DCBS calculation for fragment   1",
        *gaussian_orientation(np.array([6, 8]), np.zeros((2, 3)), "Standard"),
        *gaussian_scf(-3000.0),
        " Counterpoise: doing MCBS calculation for fragment   2",
        *gaussian_scf(-31.07),
        f" Counterpoise: corrected energy =   {energy_eV / Hartree:.12f}",
        " Counterpoise: BSSE energy =       0.001837465000",
    ]


def oniom(energy_eV: float) -> list[str]:
    return [
        " ONIOM: generating point  3 -- low level on real system.",
        *gaussian_scf(5.0, "RPM6"),
        " ONIOM: generating point  2 -- high level on model system.",
        *gaussian_scf(-31.0),
        f" ONIOM: extrapolated energy =    {energy_eV / Hartree:.12f}",
    ]


def mp2(energy_eV: float) -> list[str]:
    hartree = f"{energy_eV / Hartree / 1000:.14f}D+03"
    return [*gaussian_scf(energy_eV + 8, "RHF"), f" E2 =    -0.3000000000D+00 EUMP2 =    {hartree}"]


def double_hybrid(energy_eV: float) -> list[str]:
    hartree = f"{energy_eV / Hartree / 1000:.14f}D+03"
    return [*gaussian_scf(energy_eV + 3, "RB2PLYP"), f" E2(B2PLYP) =    -0.1D+00 E(B2PLYP) =    {hartree}"]


@pytest.mark.parametrize("kind", [counterpoise, oniom, mp2, double_hybrid])
def test_the_energy_is_that_of_the_gradient(
    trajectory: Trajectory, tmp_path: Path, kind: Callable[[float], list[str]]
) -> None:
    lines = gaussian_head(route="test")
    for atoms in trajectory(3):
        lines += step(atoms, kind(atoms.get_potential_energy()))
    same(read(tmp_path / "a.log", lines), trajectory(3), 1e-5)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (" Excited State   1:      Singlet-A      3.2001 eV  387.43 nm  f=0.0001", "an excited state"),
        (" E3=       -0.5D-02 EUMP3=     -0.7600D+02", "MP3, CI or coupled cluster"),
        (" DE(CI)=    -0.13D+00        E(CI)=    -0.7600D+02", "MP3, CI or coupled cluster"),
        (" DE(Corr)= -0.1374 E(CORR)= -76.12", "MP3, CI or coupled cluster"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    trajectory: Trajectory, tmp_path: Path, line: str, name: str
) -> None:
    (atoms,) = trajectory(1)
    lines = [*gaussian_head(), *step(atoms, [*gaussian_scf(atoms.get_potential_energy()), line])]
    with pytest.raises(UserError, match=f"forces of {name}, whose energy is not read"):
        read(tmp_path / "a.log", lines)


def test_dipoles_are_turned_into_the_axes_of_the_positions(trajectory: Trajectory, tmp_path: Path) -> None:
    dipole = np.array([-0.256, -0.01, 0.1])
    lines = gaussian_head()
    for atoms in trajectory(2):
        turned = gaussian_orientation(atoms.numbers, atoms.positions @ TURN.T + 0.7, "Standard")
        energies = [*gaussian_scf(atoms.get_potential_energy()), *gaussian_dipole(TURN @ dipole)]
        lines += step(atoms, energies, turned)
    for atoms in read(tmp_path / "a.log", lines):
        assert atoms.calc.results["dipole"] == pytest.approx(dipole, abs=5e-5)


def test_dipoles_without_symmetry_stand_in_the_input_axes(trajectory: Trajectory, tmp_path: Path) -> None:
    (atoms,) = trajectory(1)
    dipole = np.array([-0.256, -0.01, 0.1])
    energies = [*gaussian_scf(atoms.get_potential_energy()), *gaussian_dipole(dipole)]
    (found,) = read(tmp_path / "a.log", [*gaussian_head(), *step(atoms, energies)])
    assert found.calc.results["dipole"] == pytest.approx(dipole, abs=5e-5)


def test_dipoles_that_cannot_be_turned_or_are_anothers_are_left_out_and_said(
    trajectory: Trajectory, tmp_path: Path
) -> None:
    (atoms,) = trajectory(1)
    other = atoms.positions @ TURN.T
    other[1] += 0.1
    dipole = [*gaussian_scf(atoms.get_potential_energy()), *gaussian_dipole(np.ones(3))]
    cases = {
        "different geometries": (
            0, step(atoms, dipole, gaussian_orientation(atoms.numbers, other, "Standard"))
        ),
        "that of an ion depends on the origin": (1, step(atoms, dipole)),
        "of the SCF density, energies of mp2": (
            0, step(atoms, [*mp2(atoms.get_potential_energy()), *gaussian_dipole(np.ones(3))])
        ),
    }  # fmt: skip
    for why, (charge, lines) in cases.items():
        path = tmp_path / "a.log"
        path.write_text("\n".join([*gaussian_head(charge), *lines, ""]))
        imported = read_entry(Entry(path, level="made-up", charge=charge))
        assert "dipole" not in imported.frames[0].calc.results
        assert why in imported.notes[0]


def test_standard_orientation_alone_is_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    (atoms,) = trajectory(1)
    lines = gaussian_head() + gaussian_orientation(atoms.numbers, atoms.positions, "Standard")
    lines += gaussian_scf(atoms.get_potential_energy()) + gaussian_forces(atoms.numbers, atoms.get_forces())
    with pytest.raises(
        UserError, match=r"forces in the input orientation, .* not print; .* Geom=PrintInputOrient"
    ):
        read(tmp_path / "a.log", lines)


def test_frames_are_read_in_order(trajectory: Trajectory, tmp_path: Path) -> None:
    """A step without forces, forces without an energy or a geometry: none of them moves what follows."""
    frames = trajectory(5)
    lines = gaussian_head() + step(frames[0], gaussian_scf(frames[0].get_potential_energy()))
    lines += gaussian_orientation(frames[1].numbers, frames[1].positions) + gaussian_scf(-3111.0)
    lines += step(frames[2], [])
    lines += step(frames[3], gaussian_scf(frames[3].get_potential_energy()))
    lines += gaussian_scf(-3112.0) + gaussian_forces(frames[4].numbers, frames[4].get_forces())
    lines += gaussian_orientation(frames[4].numbers, frames[4].positions) + gaussian_scf(-3112.0)
    lines += ["Forces in standard orientation:", *gaussian_forces(frames[4].numbers, np.ones((4, 3)))]
    same(read(tmp_path / "a.log", lines), [frames[0], frames[3]])


def test_a_frequency_job_after_an_optimisation_repeats_nothing(
    trajectory: Trajectory, tmp_path: Path
) -> None:
    frames = trajectory(3)
    lines = gaussian_log(tmp_path / "a.log", frames).read_text().splitlines()
    last = frames[-1]
    again = [*gaussian_scf(last.get_potential_energy() + 5e-6), *gaussian_dipole(np.ones(3))]
    lines += [*gaussian_head(route="N Geom=AllCheck RPBE1PBE/def2SVP Freq"), *step(last, again)]
    found = read(tmp_path / "a.log", lines)
    same(found, frames, 2e-5)
    assert "dipole" in found[-1].calc.results


def test_jobs_of_two_levels_in_a_file_are_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    first, second = trajectory(2)
    lines = gaussian_head() + step(first, gaussian_scf(-3110.0))
    lines += gaussian_head(route="RB3LYP/def2SVP Force") + step(second, gaussian_scf(-3111.0, "RB3LYP"))
    with pytest.raises(UserError, match="frame 1: method b3lyp, but pbe0 in frame 0; one level only"):
        read(tmp_path / "a.log", lines)


def test_steps_whose_scf_did_not_converge_are_marked(trajectory: Trajectory, tmp_path: Path) -> None:
    first, second = trajectory(2)
    lines = gaussian_head() + step(first, gaussian_scf(first.get_potential_energy()))
    energies = [" >>>>>>>>>> Convergence criterion not met.", *gaussian_scf(second.get_potential_energy())]
    found = read(tmp_path / "a.log", lines + step(second, energies))
    assert [atoms.info.get("converged") for atoms in found] == [None, False]


def test_charge_and_level_are_compared_with_the_sheet(trajectory: Trajectory, tmp_path: Path) -> None:
    (atoms,) = trajectory(1)
    path = tmp_path / "a.log"
    path.write_text("\n".join([*gaussian_head(-1), *step(atoms, gaussian_scf(-3110.0)), ""]))
    with pytest.raises(UserError, match="charge -1 in the file, 0 where the samplesheet says nothing"):
        read_entry(Entry(path, level="made-up"))
    with pytest.raises(UserError, match="charge -1 in the file, 1 in the samplesheet"):
        read_entry(Entry(path, level="made-up", charge=1))
    with pytest.raises(UserError, match="multiplicity 1 in the file, 2 in the samplesheet"):
        read_entry(Entry(path, level="made-up", charge=-1, multiplicity=2))
    with pytest.raises(UserError, match="states the method pbe0, the samplesheet the level b3lyp/def2-svp"):
        read_entry(Entry(path, level="b3lyp/def2-svp", charge=-1))
    with pytest.raises(UserError, match="states the basis def2svp, the samplesheet the level pbe0/def2-tzvp"):
        read_entry(Entry(path, level="pbe0/def2-tzvp", charge=-1))
    assert read_entry(Entry(path, level="PBE0-D3BJ/def2-SVP", charge=-1)).frames[0].info["charge"] == -1


def test_numbers_that_touch_and_vectors_of_a_periodic_system(tmp_path: Path) -> None:
    """A box of vacuum is taken off; without that much of it the frame is refused."""
    numbers, positions = np.array([6, 8]), np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 1.43]])

    def lines(edge_A: float) -> list[str]:
        box = edge_A * np.eye(3)
        geometry = gaussian_orientation(np.r_[numbers, [-2] * 3], np.vstack([positions, box]))
        forces = gaussian_forces(numbers, np.zeros((2, 3)))
        forces[4:6] = [
            "      1        6     1219.870882556-1030.493229556   -0.100000000",
            "      2        8    -1219.870882556 1030.493229556    0.100000000",
        ]
        forces.insert(6, "                -2          -0.000000162   -0.000000016    0.000000000")
        return [*gaussian_head(), *geometry, *gaussian_scf(-3000.0), *forces]

    (found,) = read(tmp_path / "a.log", lines(20.0))
    assert not found.pbc.any()
    assert found.get_distance(0, 1) == pytest.approx(1.13)
    wanted = np.array([1219.870882556, -1030.493229556, -0.1]) * Hartree / Bohr
    assert found.get_forces() == pytest.approx(np.array([wanted, -wanted]))
    with pytest.raises(UserError, match=r"periodic, with 4\.0 Å of vacuum"):
        read(tmp_path / "a.log", lines(4.0))
