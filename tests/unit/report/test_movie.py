"""What the page holds of a trajectory: few frames, whole molecules, rounded positions, pictures."""

import base64
import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

from frazil.errors import UserError
from frazil.report.movie import MARKED, MOST_ATOMS, MOST_FRAMES, draw, read, thinned


def flight(n: int, n_frames: int) -> list[Atoms]:
    """n CO on a square grid; the last one leaves along x and z and is marked."""
    places = 4.0 * np.array([(i % 20, i // 20, 0) for i in range(n)], float)
    start = np.repeat(places, 2, axis=0)
    start[1::2, 2] += 1.13
    frames = []
    for number in range(n_frames):
        atoms = Atoms("CO" * n, start.copy(), info={"time_fs": 10.0 * number})
        atoms.positions[-2:] += number * np.array([0.3, 0.0, 0.4])
        atoms.set_array(MARKED, np.arange(2 * n) >= 2 * n - 2)
        frames.append(atoms)
    return frames


def test_positions_times_and_radii_are_those_of_the_frames() -> None:
    frames = flight(3, 5)
    made = draw(frames, "a flight")
    data = json.loads(made.data)
    packed = np.frombuffer(base64.b64decode(data["positions"]), "<i2").reshape(5, 6, 3) * data["unit_A"]
    shift = packed[0, 0] - frames[0].positions[0]
    for found, frame in zip(packed, frames, strict=True):
        np.testing.assert_allclose(found - shift, frame.positions, atol=0.011)
    assert data["times_fs"] == [0, 10, 20, 30, 40]
    assert data["marked"] == [4, 5]
    assert [data["kinds"][kind][0] for kind in data["kind"]] == ["C", "O"] * 3
    assert [kind[2] for kind in data["kinds"]] == [covalent_radii[6], covalent_radii[8]]
    right, up, towards = data["view"]
    np.testing.assert_allclose([*right, *up, *towards], [1, 0, 0, 0, 0, 1, 0, -1, 0], atol=1e-12)
    assert len(made.pictures) == 4
    assert made.pictures[0].count("<circle") == 6
    assert made.pictures[0].count('class="marked"') == 2
    assert 'aria-label="a flight, 0 fs"' in made.pictures[0]


def test_what_is_behind_is_drawn_first() -> None:
    atoms = Atoms("OC", [[0, 0, 0], [0, 3, 0]], info={"time_fs": 0.0})  # the eye is at negative y
    (picture,) = draw([atoms], "two").pictures
    radii = [float(r) for r in re.findall(r' r="([\d.]+)"', picture)]
    assert radii == [covalent_radii[6], covalent_radii[8]]


def test_long_and_large_ones_are_thinned_to_whole_molecules() -> None:
    frames = flight(200, 201)
    made = draw(frames, "many")
    data = json.loads(made.data)
    assert (made.n_atoms, made.n_all) == (MOST_ATOMS, 400)
    assert len(data["times_fs"]) == MOST_FRAMES
    assert data["times_fs"][0] == 0
    assert data["times_fs"][-1] == 2000
    kinds = [data["kinds"][kind][0] for kind in data["kind"]]
    assert kinds == ["C", "O"] * (MOST_ATOMS // 2)
    assert data["marked"] == [MOST_ATOMS - 2, MOST_ATOMS - 1]
    assert len(made.data) < 300_000
    assert thinned(range(3), 10) == [0, 1, 2]


def test_what_is_no_trajectory_is_refused(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", [Atoms("CO"), Atoms("CO")])
    with pytest.raises(UserError, match="give frames of one, each with time_fs"):
        read(tmp_path / "a.extxyz")
    ase.io.write(tmp_path / "b.extxyz", [Atoms(e, info={"time_fs": 0.0}) for e in ("CO", "CS")])
    with pytest.raises(UserError, match="give frames of the same elements"):
        read(tmp_path / "b.extxyz")
