"""What is suspect is found, and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

from frazil.data.frames import load_frames
from frazil.labels.imports.named import FACTORS
from frazil.labels.imports.quality import (
    Step,
    energy_zero,
    find_suspects,
    isolated,
    other_unit,
    steps,
    unit_ratio,
    unit_slope,
)
from frazil.labels.imports.scale import too_low, too_stiff

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


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (
            lambda energy, forces, positions: (energy / 27.2114, forces / 51.4221, positions),
            "in atomic units",
        ),
        (
            lambda energy, forces, positions: (energy, forces, positions / 0.529177),
            "the positions are in Bohr",
        ),
        (lambda energy, forces, positions: (energy, -forces, positions), "the sign of gradients"),
    ],
)
def test_a_unit_that_every_step_hides_shows_over_all(
    trajectory: Trajectory, change: Callable[..., tuple[float, np.ndarray, np.ndarray]], hint: str
) -> None:
    """Near the minimum a step changes the energy by less than one step is allowed to be off."""
    frames = trajectory(60)
    at_rest = np.array([[0, 0, 0], [0, 0, 1.13], [3.5, 0, 0], [3.5, 0.74, 0]])
    for atoms in frames:
        energy, forces = 0.0004 * (atoms.get_potential_energy() + 3110.0), 0.02 * atoms.get_forces()
        positions = at_rest + 0.02 * (atoms.positions - at_rest)
        energy, forces, atoms.positions = change(energy - 3110.0, forces, positions)
        relabelled(atoms, energy, forces)
    assert all(step.agrees for step in steps(frames, range(60)))
    found = [suspect for suspect in find_suspects(frames) if suspect.kind == "mismatch"]
    assert len(found) == 60
    assert all(suspect.detail.endswith(hint) for suspect in found)
    assert "times the forces' work over 59 steps" in found[0].detail


def test_the_slope_of_energies_over_work_and_its_error() -> None:
    """Least squares through zero by hand: residuals −1/3, 2/3 and 1/3 at works 1, 1 and −1."""
    found = [Step(0, 1, 1.0, 1.0, 9.0), Step(1, 2, 2.0, 1.0, 9.0), Step(2, 3, -1.0, -1.0, 9.0)]
    assert unit_slope(found) == pytest.approx((4 / 3, 6 / 4, (2 / 3) ** 0.5 / 3))


@pytest.mark.parametrize(("scatter_eV", "refused"), [(3e-5, True), (3e-4, False)])
def test_a_slope_is_another_unit_only_beyond_its_error(
    trajectory: Trajectory, scatter_eV: float, refused: bool
) -> None:
    """Energies in atomic units with noise: ten errors off are told, one error is not."""
    frames = trajectory(60)
    at_rest = np.array([[0, 0, 0], [0, 0, 1.13], [3.5, 0, 0], [3.5, 0.74, 0]])
    random = np.random.default_rng(5)
    for atoms in frames:
        energy, forces = 0.0004 * (atoms.get_potential_energy() + 3110.0), 0.02 * atoms.get_forces()
        atoms.positions = at_rest + 0.02 * (atoms.positions - at_rest)
        relabelled(atoms, 2 * energy + scatter_eV * random.normal() - 3110.0, forces)
    slope, _, error = unit_slope(steps(frames, range(60)))
    assert (abs(slope - 1) > 5 * error) is refused
    assert abs(slope - 1) < 50 * error
    kinds = {suspect.kind for suspect in find_suspects(frames)}
    assert ("mismatch" in kinds) is refused


def test_work_that_errs_by_as_much_as_energies_change_accuses_nobody() -> None:
    """Frames of CO 50 fs apart: work scatters, and the slope of energies over it is a half, as in Bohr."""
    random = np.random.default_rng(7)
    differences = random.normal(scale=0.02, size=200)
    works = differences + random.normal(scale=0.02, size=200)
    found = [Step(i, i + 1, d, w, 1.0) for i, (d, w) in enumerate(zip(differences, works, strict=True))]
    slope, inverse, error = unit_slope(found)
    assert slope == pytest.approx(0.5, abs=0.1)
    assert inverse == pytest.approx(1.0, abs=0.15)
    assert (1 - slope) / error > 8
    assert other_unit(found) == ""
    in_bohr = [Step(s.first, s.second, s.difference_eV, s.work_eV / 0.529177, 1.0) for s in found]
    assert other_unit(in_bohr).endswith("the positions are in Bohr")


ASSETS = Path(__file__).parents[4] / "assets"
LABELLED = [
    f"datasets/{name}/labelled.extxyz" for name in ("co-aggregates-pbe-d3bj", "h2-co-bhlyp-d4", "mgsio3-pbe0")
]


@pytest.mark.parametrize("file", [*LABELLED, "potentials/mgsio3-pbe0/held_out.extxyz"])
def test_a_unit_of_energies_and_forces_alike(file: str) -> None:
    """It shows by energies below those of all electrons, or by the stiffness of bonds; eV show nothing."""
    frames = load_frames(ASSETS / file)
    labels = [(atoms.get_potential_energy(), atoms.get_forces()) for atoms in frames]
    assert not [atoms for atoms in frames if too_low(atoms)]
    assert too_stiff(frames) == ""
    for unit in ("kcal/mol", "kJ/mol"):
        for atoms, (energy, forces) in zip(frames, labels, strict=True):
            relabelled(atoms, energy / FACTORS[unit], forces / FACTORS[unit])
        assert {too_low(atoms).rpartition(": ")[2] for atoms in frames} == {
            f"in {unit}? say energy_unit and forces_unit"
        }
        stiff = r"bonds (C–O|H–H|O–Si) have \d+ eV/Å² where their force vanishes, N2 has 143: "
        assert re.match(stiff, too_stiff(frames))


def test_a_unit_that_both_labels_share_is_suspect() -> None:
    frames = load_frames(ASSETS / "datasets/mgsio3-pbe0/labelled.extxyz")
    assert [s for s in find_suspects(frames) if s.kind == "unit"] == []
    lowest = min(atoms.get_potential_energy() for atoms in frames)
    for zero, told in ((0.0, "an energy below that of all electrons"), (lowest, "bonds O–Si have ")):
        moved = [atoms.copy() for atoms in frames]
        for atoms, known in zip(moved, frames, strict=True):
            factor = FACTORS["kcal/mol"]
            relabelled(atoms, (known.get_potential_energy() - zero) / factor, known.get_forces() / factor)
        found = [suspect for suspect in find_suspects(moved) if suspect.kind == "unit"]
        assert [suspect.frame for suspect in found] == list(range(len(frames)))
        assert all(suspect.detail.startswith(told) for suspect in found)


def test_the_stiffest_bonds_are_no_unit() -> None:
    """N2 from 0.9 to 1.4 Å on a Morse curve, 100 of each of two; and where it is compressed alone."""
    depth_eV, per_A, rest_A = 9.9, 2.69, 1.098  # 143 eV/Å²

    def molecule(length: float, scale: float) -> Atoms:
        atoms = Atoms("N2", [[0, 0, 0], [0, 0, length]])
        decay = np.exp(-per_A * (length - rest_A))
        pull = 2 * depth_eV * per_A * (1 - decay) * decay
        forces = scale * np.array([[0, 0, pull], [0, 0, -pull]])
        atoms.calc = SinglePointCalculator(atoms, energy=scale * depth_eV * (1 - decay) ** 2, forces=forces)
        return atoms

    random = np.random.default_rng(1)
    wide = [molecule(length, 1.0) for length in random.uniform(0.9, 1.4, 100)]
    assert too_stiff(wide) == ""
    assert "N–N" in too_stiff([molecule(atoms.positions[1, 2], 23.06) for atoms in wide])
    pressed = [molecule(length, 1.0) for length in random.uniform(0.7, 0.8, 100)]
    assert too_stiff(pressed) == "", "its force never vanishes"
    assert too_stiff(wide[:9]) == "", "too few"
    assert too_stiff([Atoms("He", calculator=wide[0].calc)]) == ""


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
    suspect, nearest = find_suspects(frames)
    assert (suspect.frame, suspect.kind) == (7, "energy outlier")
    assert (nearest.frame, nearest.kind) == (7, "mismatch"), "to the nearest frame of its composition"
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


def alone(frames: list[Atoms]) -> list[Atoms]:
    """Return frames as independent ones, each turned at random."""
    turns = Rotation.random(len(frames), random_state=0).as_matrix()
    for number, (atoms, turn) in enumerate(zip(frames, turns, strict=True)):
        atoms.info["trajectory_id"] = str(number)
        forces = atoms.get_forces() @ turn.T
        atoms.positions = atoms.positions @ turn.T
        relabelled(atoms, atoms.calc.results["energy"], forces)
    return frames


def test_independent_frames_are_compared_with_their_nearest(trajectory: Trajectory) -> None:
    frames = alone(trajectory(60))
    assert find_suspects(frames) == []
    found = steps(frames, range(60))
    assert len(found) > 20
    assert unit_ratio(found) == pytest.approx(1, abs=0.02)
    for atoms in frames:
        relabelled(atoms, atoms.calc.results["energy"], -atoms.calc.results["forces"])
    mismatches = [s for s in find_suspects(frames) if s.kind == "mismatch"]
    assert len(mismatches) > 20
    assert mismatches[0].detail.endswith("the forces have the sign of gradients")


def test_frames_far_from_each_other_say_nothing_about_units(trajectory: Trajectory) -> None:
    frames = trajectory(2)
    frames[1].positions[2:] += 5.0
    relabelled(frames[1], -3110.0, np.ones((4, 3)))
    assert steps(frames, range(2)) == []
    assert np.isnan(unit_ratio([]))


def test_what_did_not_converge_and_what_is_exactly_zero(trajectory: Trajectory) -> None:
    frames = trajectory(8)
    frames[2].info["converged"] = False
    frames[3].info["converged"] = True
    relabelled(frames[5], frames[5].get_potential_energy(), np.zeros((4, 3)))
    found = {(s.frame, s.kind): s.detail for s in find_suspects(frames) if s.kind != "mismatch"}
    assert set(found) == {(2, "not converged"), (5, "zero forces")}
    assert found[2, "not converged"] == "SCF not converged, says the file"


def test_positions_that_are_no_numbers(trajectory: Trajectory) -> None:
    frames = trajectory(4)
    frames[1].positions[0, 0] = np.nan
    assert [(s.frame, s.kind) for s in find_suspects(frames)] == [(1, "labels")]


def test_the_last_frame_of_a_trajectory_is_blamed_alone(trajectory: Trajectory) -> None:
    frames = trajectory(20)
    relabelled(frames[-1], frames[-1].get_potential_energy() + 0.15, frames[-1].get_forces())
    assert [(s.frame, s.kind) for s in find_suspects(frames)] == [(19, "mismatch")]
