"""A molecule out of a crystal: what its windows sample, its restraint and its release."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

pytest.importorskip("jax")

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.hydrogen_bond import physics, results
from frazil.experiments.hydrogen_bond.settings import HydrogenBond
from frazil.experiments.hydrogen_bond.windows import (
    Held,
    Restraint,
    WALL_eV_per_A2,
    Window,
    path_of,
    potential_of,
    release_eV,
    subject_of,
)
from frazil.md.integrity import OUTCOMES
from frazil.potentials.registry import load
from frazil.settings import load as load_settings
from frazil.systems.ice import ice
from frazil.units import kB

TINY: dict[str, Any] = {
    "n_trajectories": 4, "shard_size": 4, "temperature_K": 100.0, "n_beads": [1], "duration_fs": 20.0,
    "equilibration_fs": 5.0, "timestep_fs": 0.5, "observe_every_fs": 1.0, "n_restraint_windows": 3,
    "n_coupling_windows": 4, "restraint_eV_per_A2": 1.0, "molecule_atoms": [3, 4, 5],
}  # fmt: skip


def water(folder: Path, wrapped: bool = False) -> dict[str, str]:
    """Write ice of 8 molecules, and the folder of its potential."""
    atoms = ice((1, 1, 1), 4.518, 7.356, 1)
    if wrapped:
        atoms.wrap()
    write_frames(folder / "ice.extxyz", [atoms])
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/model.json").write_text(json.dumps({"kind": "q-tip4p-f"}))
    return {"structure": str(folder / "ice.extxyz"), "model": str(folder / "model")}


def test_the_restraint_holds_the_place_and_lets_the_crystal_drift() -> None:
    arm = np.array([0.25, 0.75, -0.5, -0.5])
    places = np.random.default_rng(1).normal(size=(4, 3))
    restraint = Restraint(2.0, Held(arm, arm @ places))
    moved = places + np.array([[0.0, 0.3, 0.4]] * 2 + [[0, 0, 0]] * 2)
    assert float(restraint.energy(moved)) == pytest.approx(0.5 * 2.0 * 0.25)
    assert float(restraint.energy(moved + 7.0)) == pytest.approx(0.25)
    assert float(restraint.held.stretch_A(moved)) == pytest.approx(0.5)
    assert np.isfinite(jax.grad(restraint.energy)(places)).all()


def test_the_atoms_are_held_about_the_centre_wherever_that_is(tmp_path: Path) -> None:
    subject = subject_of(load_settings(HydrogenBond, {**TINY, **water(tmp_path)}))
    about, places = subject.about, subject.atoms.positions
    assert about is not None
    own = places[subject.molecule]
    masses = subject.atoms.get_masses()[subject.molecule]
    centre = masses @ own / masses.sum()
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5])
    turned = places.copy()
    turned[subject.molecule] = turn.apply(own - centre) + centre + [0.2, 0.1, -0.4]
    expected = ((turn.apply(own - centre) - (own - centre)) ** 2).sum()
    assert float(about.square_A2(turned)) == pytest.approx(expected)
    held = Restraint(0.7, about)
    assert float(held.energy(turned)) == pytest.approx(0.35 * expected)
    push = np.asarray(-jax.grad(held.energy)(turned))[subject.molecule]
    assert push.sum(axis=0) == pytest.approx(0, abs=1e-12), "the centre is not pushed"


def test_steps_of_a_molecule_that_is_held_are_exact(tmp_path: Path) -> None:
    """A rigid molecule in a harmonic well: every window is drawn from its own distribution."""
    values = {"n_coupling_windows": 8, "n_restraint_windows": 5, "n_turn_windows": 10, "temperature_K": 240.0}
    settings = load_settings(HydrogenBond, {**TINY, **water(tmp_path), **values})
    subject, thermal, rng = subject_of(settings), kB * 240.0, np.random.default_rng(5)
    assert subject.about is not None
    rest = np.asarray(subject.about.rest_A)
    turns = Rotation.random(400_000, random_state=rng).as_matrix()
    squares = ((np.einsum("kij,aj->kai", turns, rest) - rest) ** 2).sum(axis=(1, 2))
    well = 4.0

    def weights(held: float) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * held * settings.orientation_eV_per_A2 * squares / thermal))

    samples = []
    for window in path_of(settings, True):
        stiffness = window.coupling * well + window.restraint * settings.restraint_eV_per_A2
        square = (rng.normal(scale=np.sqrt(thermal / stiffness), size=(4000, 3)) ** 2).sum(axis=1)
        odds = weights(window.orientation)
        turned = squares[rng.choice(len(squares), 4000, p=odds / odds.sum())]
        samples.append(np.stack([0.5 * well * square, 0 * square, np.sqrt(square), np.sqrt(turned)], axis=1))
    found, slopes, _ = results.free_energies(settings, subject, np.array(samples))
    assert [len(own) for own in slopes.values()] == [5, 9, 11]
    let_turn = thermal * np.log(weights(1.0).mean())
    held = settings.restraint_eV_per_A2
    exact = {
        "restrain": 1.5 * thermal * np.log((well + held) / well) - let_turn,
        "decouple": 1.5 * thermal * np.log(held / (well + held)),
        "turn": let_turn,
    }
    for step, value in exact.items():
        assert found[step][1] == pytest.approx(1e3 * value, abs=1.5), step
    assert found["turn"][0] == pytest.approx(1e3 * let_turn, abs=3.0)
    assert found["decouple"][0] == pytest.approx(1e3 * exact["decouple"], abs=1.5)
    assert found["total"][1] == pytest.approx(sum(found[step][1] for step in (*exact, "release")))


def atoms_turned(positions: np.ndarray, molecule: list[int], angle_deg: float) -> np.ndarray:
    """Return positions with a molecule turned about its centre of mass."""
    turned, masses = positions.copy(), np.array([15.999, 1.008, 1.008])
    centre = masses @ positions[molecule] / masses.sum()
    turn = Rotation.from_rotvec(np.radians(angle_deg) * np.array([1.0, 2.0, 2.0]) / 3)
    turned[molecule] = centre + turn.apply(positions[molecule] - centre)
    return turned


def test_windows_of_a_wrapped_crystal_sample_it_whole_and_apart(tmp_path: Path) -> None:
    values = {**TINY, **water(tmp_path, wrapped=True)}
    subject = subject_of(load_settings(HydrogenBond, values))
    assert subject.periodic
    assert np.ptp(subject.atoms.positions[[3, 4, 5]], axis=0).max() < 1.7, "in one piece"
    width = 2 * np.pi * kB * 100.0 / 1.0
    settings = load_settings(HydrogenBond, {**values, "volume_A3": float(width**1.5)})
    assert release_eV(subject, settings) == pytest.approx(0.0, abs=1e-12)

    windows = [Window(1.0, 0.0), Window(0.25, 1.0, 1.0), Window(0.0, 1.0, 0.5)]
    walk = physics._Walk(subject, settings, 1, 0, 0, 1, windows, lambda: None, False)
    at_rest = subject.atoms.positions, np.zeros((24, 3))
    ended = walk._run(dict.fromkeys(range(3), at_rest), 10.0, "sample")
    assert [OUTCOMES[one.outcome] for one in ended] == ["finished"] * 3
    whole, apart, stretch, turned, away = np.stack([one.rows["samples"] for one in ended])[:, 0].T
    assert away == pytest.approx(0, abs=1e-5)
    alone = Atoms("OH2", subject.atoms.positions[[3, 4, 5]])
    expected = [
        float(load("q-tip4p-f").potential(atoms).energy(atoms.positions))
        for atoms in (subject.atoms, subject.atoms[subject.rest], alone)
    ]
    assert whole == pytest.approx(expected[0], abs=1e-9)
    assert apart == pytest.approx(expected[1] + expected[2], abs=1e-9)
    assert stretch == pytest.approx(0, abs=1e-9)
    assert turned == pytest.approx(0, abs=1e-9)
    for column in (2, 3):
        moved = np.stack([one.rows["samples"] for one in ended])[:, -1, column]
        assert ((moved > 1e-3) & (moved < 1)).all()
    assert "restraint holds the molecule at its place" in " ".join(
        results._text(settings, subject, [], "H2O", "H14O7")
    )

    # Turned by 20°, a molecule that is apart swings back where its orientation is held, and there alone.
    turned_about = atoms_turned(subject.atoms.positions, [3, 4, 5], 20.0)
    windows = [Window(0.0, 1.0, 0.0), Window(0.0, 0.0, 1.0)]
    walk = physics._Walk(subject, settings, 1, 0, 0, 1, windows, lambda: None, False)
    ended = walk._run(dict.fromkeys(range(2), (turned_about, np.zeros((24, 3)))), 10.0, "sample")
    free, held = (one.rows["samples"][-1, 3] / one.rows["samples"][0, 3] for one in ended)
    assert free == pytest.approx(1.0, abs=0.15)
    assert held < 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"molecule_atoms": [0, 1]}, r"atoms 0,1 of ice \(.*\) are no whole molecule beside others"),
        ({"timestep_fs": 1.0}, "a time step of 1 fs for ice"),
    ],
)
def test_bad_input_of_a_crystal(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        subject_of(load_settings(HydrogenBond, {**TINY, **water(tmp_path), **change}))


def test_a_potential_of_free_atoms_takes_no_crystal(tmp_path: Path) -> None:
    given = water(tmp_path)
    (tmp_path / "model/model.json").write_text(json.dumps({"kind": "gfn2-xtb"}))
    with pytest.raises(UserError, match=r"ice is a crystal, and .* is for free atoms"):
        subject_of(load_settings(HydrogenBond, {**TINY, **given}))


def test_other_molecules_meet_a_wall_half_way_to_the_next_place(tmp_path: Path) -> None:
    subject = subject_of(load_settings(HydrogenBond, {**TINY, **water(tmp_path)}))
    places, at_rest = subject.places, subject.atoms.positions
    assert places is not None
    assert np.asarray(places.away_A(at_rest)) == pytest.approx(0, abs=1e-5)
    assert places.arms.shape == (7, 24), "all but the one that is taken out"
    assert 1.3 < places.reach_A < 1.45, "half of 2.76 Å"
    wall = Restraint(WALL_eV_per_A2, places)
    assert float(wall.energy(at_rest + 3.0)) == 0, "the crystal may drift"
    moved = at_rest.copy()
    moved[subject.molecule] += [2.0, 0, 0]
    assert float(wall.energy(moved)) == 0, "the molecule is held by its own restraint"
    for far_A, energy_eV in ((1.0, 0.0), (places.reach_A + 0.4, 0.5 * WALL_eV_per_A2 * 0.4**2)):
        moved = at_rest.copy()
        moved[:3] += [0, far_A * 7 / 6, 0]  # the centre of the seven goes by a seventh of it
        assert float(places.away_A(moved)[0]) == pytest.approx(far_A)
        assert float(wall.energy(moved)) == pytest.approx(energy_eV, abs=1e-9)
    assert np.isfinite(jax.grad(wall.energy)(at_rest)).all()


def test_what_all_windows_share_changes_no_difference(tmp_path: Path) -> None:
    settings = load_settings(HydrogenBond, {**TINY, **water(tmp_path)})
    subject = subject_of(settings)
    path = path_of(settings, subject.periodic)
    potential = potential_of(subject, settings, path, 1, None)
    batched = potential.mixed(np.arange(len(path)))
    moved = subject.atoms.positions.copy()
    moved[:3] += [0, 2.5, 0]
    found = batched.evaluate(batched.arrange(None), np.stack([moved] * len(path)))
    parts = np.asarray(found.info["part_energies_eV"])
    mixed = np.array([w.coupling * whole + (1 - w.coupling) * apart
                      for w, (whole, apart) in zip(path, parts, strict=True)])  # fmt: skip
    held = settings.restraint_eV_per_A2 * float(subject.held.square_A2(moved))  # the centre of the rest moved
    left = np.asarray(found.energies) - mixed - 0.5 * held * np.array([w.restraint for w in path])
    assert left == pytest.approx(left[0]), "nothing but the wall, in each window"
    assert left[0] > 0.5


def test_the_whole_crystal_at_its_wall_is_counted_and_that_with_a_gap_is_not() -> None:
    path = [Window(1.0, 0.0), Window(1.0, 1.0, 1.0), Window(0.2, 1.0, 1.0), Window(0.0, 1.0, 0.5)]
    samples = np.zeros((1, 2, 4, 5, 5))
    samples[..., 3] = 9.0  # the molecule's own atoms do not matter
    samples[:, :, 2:, :, 4] = 1.6
    assert results.left_of(samples, path, 1.4) == 0
    samples[0, 1, 0, :3, 4] = 1.5
    assert results.left_of(samples, path, 1.4) == pytest.approx(3 / 20)
