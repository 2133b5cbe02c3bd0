"""Frames on request: what is read back is what was run."""

from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.md.frame_files import write_frames
from frazil.md.trajectory import Trajectory
from frazil.units import fs

ATOMS = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
RNG = np.random.default_rng(0)
TRAJECTORIES = [
    Trajectory(
        number, 1, 20,
        {
            "step": np.array([0, 10, 20]), "positions": RNG.normal(size=(3, 2, 3)),
            "velocities": RNG.normal(size=(3, 2, 3)), "energy": RNG.normal(size=3),
        },
    )
    for number in (7, 3)
]  # fmt: skip


def test_extended_xyz(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.extxyz", TRAJECTORIES, ATOMS, 0.5)
    frames = ase.io.read(tmp_path / "frames.extxyz", ":")
    assert [(a.info["trajectory_id"], a.info["time_fs"]) for a in frames] == [
        (i, t) for i in (3, 7) for t in (0.0, 5.0, 10.0)
    ]
    rows = TRAJECTORIES[0].rows
    np.testing.assert_allclose(frames[4].positions, rows["positions"][1], atol=1e-7)
    np.testing.assert_allclose(frames[4].get_velocities(), rows["velocities"][1], atol=1e-7)
    assert frames[4].info["potential_energy_eV"] == pytest.approx(rows["energy"][1], abs=1e-7)


def test_h5md(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.h5", TRAJECTORIES, ATOMS, 0.5)
    rows = TRAJECTORIES[1].rows
    with h5py.File(tmp_path / "frames.h5") as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert list(file["particles"]) == ["trajectory_000003", "trajectory_000007"]
        particles = file["particles/trajectory_000003"]
        assert particles["species"][()].tolist() == [6, 8]
        assert particles["box"].attrs["boundary"].tolist() == ["none"] * 3
        np.testing.assert_array_equal(particles["position/value"], rows["positions"])
        np.testing.assert_allclose(particles["velocity/value"], rows["velocities"] * fs)
        assert particles["position/time"][()].tolist() == [0, 5, 10]
        np.testing.assert_array_equal(file["observables/trajectory_000003/energy/value"], rows["energy"])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"frames\.pdb: frames are written as \.extxyz or \.h5"):
        write_frames(tmp_path / "frames.pdb", TRAJECTORIES, ATOMS, 0.5)
    with pytest.raises(UserError, match="run the ensemble with the observer 'frames'"):
        write_frames(tmp_path / "frames.h5", [Trajectory(0, 1, 0, {"step": np.zeros(1)})], ATOMS, 0.5)
