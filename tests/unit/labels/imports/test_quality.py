"""What is suspect is found, and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.labels.imports.quality import energy_zero, find_suspects, isolated, steps, unit_ratio

from .conftest import Trajectory


def relabelled(atoms: Atoms, energy_eV: float, forces: np.ndarray) -> None:
    atoms.calc = SinglePointCalculator(atoms, energy=energy_eV, forces=forces)


def test_a_good_trajectory_is_not_suspect(trajectory: Trajectory) -> None:
    frames = trajectory(60)
    assert find_suspects(frames) == []
    assert unit_ratio(steps(frames, range(60))) == pytest.approx(1.0, abs=0.02)


def test_one_wrong_label_in_a_trajectory(trajectory: Trajectory) -> None:
    frames = trajectory(60)
    relabelled(frames[20], frames[20].get_potential_energy() + 0.15, frames[20].get_forces())
    (suspect,) = find_suspects(frames)
    assert (suspect.frame, suspect.kind) == (20, "mismatch")
    assert "the forces' work is" in suspect.detail


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda energy, forces: (energy, -forces), "the forces have the sign of gradients"),
        (lambda energy, forces: (energy, forces / 51.4221), "the forces are in Hartree/Bohr"),
        (lambda energy, forces: (energy * 23.0605, forces), "the energies are in kcal/mol"),
        (lambda energy, forces: (energy, forces * 23.0605), "the forces are in kcal/mol/Å"),
    ],
)
def test_wrong_units_are_guessed(
    trajectory: Trajectory, change: Callable[..., tuple[float, np.ndarray]], hint: str
) -> None:
    frames = trajectory(60)
    for atoms in frames:
        relabelled(atoms, *change(atoms.get_potential_energy(), atoms.get_forces()))
    found = [suspect for suspect in find_suspects(frames) if suspect.kind == "mismatch"]
    assert len(found) > 30
    assert all(suspect.detail.endswith(hint) for suspect in found)


def test_doubles_contacts_and_labels(trajectory: Trajectory) -> None:
    frames = trajectory(8)
    frames[5] = frames[1].copy()
    relabelled(frames[5], frames[1].get_potential_energy(), frames[1].get_forces())
    frames[3].calc = None
    frames[3].info["REF_energy"] = -1.0
    frames[6].positions[3] = frames[6].positions[2] + [0.1, 0, 0]
    relabelled(frames[6], -3110.0, np.zeros((4, 3)))
    found = {suspect.frame: suspect for suspect in find_suspects(frames) if suspect.kind != "mismatch"}
    assert {frame: suspect.kind for frame, suspect in found.items()} == {
        3: "labels",
        5: "duplicate",
        6: "contact",
    }
    assert found[3].detail.startswith("unknown label names REF_energy")
    assert found[5].detail == "of frame 1, energies 0 eV apart"


def test_another_zero_of_energy(trajectory: Trajectory) -> None:
    frames = trajectory(20) + trajectory(3, zero_eV=-21.5)
    for number, atoms in enumerate(frames):
        atoms.info["trajectory_id"] = "vasp" if number >= 20 else "orca"
        atoms.positions += 0.01 * number
        relabelled(atoms, atoms.calc.results["energy"], atoms.calc.results["forces"])
    assert energy_zero(frames[0]) == "all electrons"
    assert energy_zero(frames[21]) == "other"
    assert {s.frame for s in find_suspects(frames) if s.kind == "energy zero"} == {20, 21, 22}


def test_a_lonely_energy(trajectory: Trajectory) -> None:
    frames = trajectory(60)
    for number, atoms in enumerate(frames):
        atoms.info["trajectory_id"] = str(number)
    relabelled(frames[7], -3050.0, frames[7].get_forces())
    (suspect,) = find_suspects(frames)
    assert (suspect.frame, suspect.kind) == (7, "energy outlier")
    assert suspect.detail.startswith("-3050 eV; the others lie from -3110")


def test_isolated_values() -> None:
    random = np.random.default_rng(0)
    assert not isolated(random.normal(size=1000)).any()
    assert not isolated(random.exponential(size=1000)).any()
    values = np.append(random.normal(size=99), 20.0)
    assert np.flatnonzero(isolated(values)).tolist() == [99]
    assert np.flatnonzero(isolated(-values)).tolist() == [99]
    assert not isolated(np.array([0.0, 0.0, 100.0])).any(), "too few to tell"
    assert not isolated(np.ones(100)).any()
