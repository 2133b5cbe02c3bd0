"""Displaced frames, farthest points and SOAP vectors."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from frazil.analysis.normal_modes import normal_modes
from frazil.data.structures import check_names
from frazil.errors import UserError
from frazil.experiments.infrared.initial import initial_frames
from frazil.seeds import rng
from frazil.systems.minima import Minimum
from frazil.systems.starts import canonical, too_close
from frazil.units import hbar, inverse_cm, kB

pytest.importorskip("featomic")

from frazil.experiments.infrared.descriptors import Plane, farthest_points, soap_vectors


def water() -> Minimum:
    """Water on springs between all atoms."""
    atoms = molecule("H2O")
    hessian = np.zeros((9, 9))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        unit = atoms.positions[i] - atoms.positions[j]
        row = np.zeros(9)
        row[3 * i : 3 * i + 3], row[3 * j : 3 * j + 3] = unit, -unit
        hessian += 20.0 * np.outer(row, row) / (unit @ unit)
    return Minimum(atoms, normal_modes(hessian, atoms.positions, atoms.get_masses()))


def test_frames_depend_on_the_seed_only_and_hold_no_overall_motion() -> None:
    frames = initial_frames([water()], ["W"], 12, (100.0, 800.0), 5)
    again = initial_frames([water()], ["W"], 12, (100.0, 800.0), 5)
    other = initial_frames([water()], ["W"], 12, (100.0, 800.0), 6)
    assert len(frames) == 13
    assert frames[0].info["source"] == "minimum"
    assert all((one.positions == two.positions).all() for one, two in zip(frames, again, strict=True))
    assert any((one.positions != two.positions).any() for one, two in zip(frames, other, strict=True))
    for frame in frames:
        assert frame.get_center_of_mass() == pytest.approx(water().atoms.get_center_of_mass(), abs=1e-9)
    assert len({frame.info["trajectory_id"] for frame in frames}) == 13


def test_soap_vectors_do_not_see_place_direction_or_order() -> None:
    atoms = molecule("CH3OH")
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3))
    turned.translate((3, 2, 1))
    mixed = turned[rng(1, "order").permutation(len(turned))]
    vectors = soap_vectors([atoms, mixed, molecule("C2H6")])
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-10)
    assert np.linalg.norm(vectors[0] - vectors[2]) > 0.01
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3))


def test_farthest_points_spread_and_avoid_what_is_known() -> None:
    line = np.array([0.0, 0.1, 0.2, 1.0, 0.95, 0.5])[:, None]
    assert list(farthest_points(line, 3)) == [0, 3, 5]
    assert list(farthest_points(line, 1, known=np.array([[1.0]]))) == [0]
    assert len(farthest_points(np.vstack([line, line[:2]]), 99)) == 6


def test_plane_of_points_on_a_line_is_that_line() -> None:
    rows = np.outer(np.arange(5.0), [3.0, 4.0, 0.0])
    plane = Plane.of(rows)
    assert plane.explained == pytest.approx([1.0, 0.0], abs=1e-12)
    assert np.abs(np.diff(plane.places(rows)[:, 0])) == pytest.approx([5.0] * 4)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="temperatures from 800 to 100 K"):
        initial_frames([water()], ["W"], 12, (800.0, 100.0), 5)
    with pytest.raises(UserError, match="1 frames of a structure; at least 2"):
        initial_frames([water()], ["W"], 1, (100.0, 800.0), 5)
    with pytest.raises(UserError, match="one name: H2O; give each its own"):
        check_names([molecule("H2O"), molecule("H2O")])
    odd = molecule("H2O")
    odd.info["name"] = "a/b"
    with pytest.raises(UserError, match="a structure named 'a/b'; give names of letters"):
        check_names([odd])
    assert too_close(Atoms("SiO", [[0, 0, 0], [0, 0, 0.9]]))
    assert not too_close(molecule("H2O"))


def test_starts_of_spectra_are_canonical() -> None:
    """Of each mode half the energy is potential, half kinetic, kT/2 each; starts differ by all their ids."""
    minimum = water()
    atoms, modes = minimum.atoms, minimum.modes
    drawn = [canonical(minimum, 5.0, 1, "infrared-production", 0, replica, 0) for replica in range(2000)]
    weights = np.einsum("max,a->max", modes.displacements, atoms.get_masses())
    stiff = modes.wavenumbers_cm1 * inverse_cm / hbar
    moved = np.array([positions - atoms.positions for positions, _ in drawn])
    potential = 0.5 * (stiff * np.einsum("max,nax->nm", weights, moved)) ** 2
    kinetic = 0.5 * np.einsum("max,nax->nm", weights, np.array([v for _, v in drawn])) ** 2
    for energy in (potential, kinetic):
        assert energy.mean(axis=0) / (0.5 * kB * 5.0) == pytest.approx(1.0, abs=0.12)
    for ids in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
        assert np.abs(canonical(minimum, 5.0, 1, "infrared-production", *ids)[0] - drawn[0][0]).max() > 0
    label = canonical(minimum, 5.0, 1, "infrared-production of the label", 0, 0, 0)
    assert np.abs(label[0] - drawn[0][0]).max() > 0
