"""Frames of finished trajectories (observer ``frames``) as extended XYZ or H5MD, whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

import ase.io
import h5py
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import frazil
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.md.trajectory import Trajectory
from frazil.units import fs


def write_frames(
    path: Path | str, trajectories: Iterable[Trajectory], atoms: Atoms, timestep_fs: float
) -> None:
    """Write frames to a ``.extxyz`` or ``.h5`` (H5MD) file.

    ``atoms`` gives elements, masses and cell; the trajectories' rows hold ``positions`` and ``velocities``.
    With ``energy`` and ``forces`` (their observers) the frames are labelled ones.
    Raises UserError for another ending, or trajectories that were run without the observer.
    """
    kept = sorted(trajectories, key=lambda trajectory: trajectory.trajectory_id)
    writers = {".extxyz": _write_extxyz, ".h5": _write_h5md}
    target = Path(path)
    if target.suffix not in writers:
        raise UserError(f"{target.name}: frames are written as {' or '.join(writers)}; give one of these")
    if any(name not in trajectory.rows for trajectory in kept for name in ("positions", "velocities")):
        raise UserError(f"no frames for {target.name}; run the ensemble with the observer 'frames'")
    with write_atomic(target) as partial:
        writers[target.suffix](partial, kept, atoms, timestep_fs)


def _write_extxyz(path: Path, trajectories: list[Trajectory], atoms: Atoms, timestep_fs: float) -> None:
    frames = []
    for trajectory in trajectories:
        rows = trajectory.rows
        for row, step in enumerate(rows["step"]):
            frame = atoms.copy()
            frame.positions = rows["positions"][row]
            frame.set_velocities(rows["velocities"][row])
            frame.info = {"trajectory_id": trajectory.trajectory_id, "time_fs": int(step) * timestep_fs}
            if "energy" in rows:
                frame.info["potential_energy_eV"] = float(rows["energy"][row])
            if "energy" in rows and "forces" in rows:
                labels = {"energy": float(rows["energy"][row]), "forces": rows["forces"][row]}
                frame.calc = SinglePointCalculator(frame, **labels)
            frames.append(frame)
    ase.io.write(path, frames, format="extxyz")


def _write_h5md(path: Path, trajectories: list[Trajectory], atoms: Atoms, timestep_fs: float) -> None:
    """Write a group ``particles/trajectory_<id>`` and ``observables/trajectory_<id>`` each.

    H5MD 1.1: de Buyl et al., Comput. Phys. Commun. 185, 1546, 2014.
    """
    with h5py.File(path, "w", track_order=False) as file:
        header = file.create_group("h5md")
        header.attrs["version"] = np.array([1, 1])
        header.create_group("author").attrs["name"] = "frazil"
        creator = header.create_group("creator")
        creator.attrs["name"], creator.attrs["version"] = "frazil", frazil.__version__
        for trajectory in trajectories:
            name, rows = f"trajectory_{trajectory.trajectory_id:06d}", trajectory.rows
            particles = file.create_group(f"particles/{name}")
            particles["species"], particles["mass"] = atoms.numbers, atoms.get_masses()
            particles["mass"].attrs["unit"] = "u"
            box = particles.create_group("box")
            box.attrs["dimension"] = 3
            box.attrs["boundary"] = ["periodic" if periodic else "none" for periodic in atoms.pbc]
            if atoms.pbc.any():
                box["edges"] = atoms.cell.array
            elements = {
                "position": (rows["positions"], "Angstrom"),
                "velocity": (rows["velocities"] * fs, "Angstrom fs-1"),
            }
            if "forces" in rows:
                elements["force"] = (rows["forces"], "eV Angstrom-1")
            for element, (values, unit) in elements.items():
                _write_element(particles.create_group(element), values, unit, rows["step"], timestep_fs)
            for observable, values in rows.items():
                if observable not in ("step", "positions", "velocities", "forces"):
                    group = file.create_group(f"observables/{name}/{observable}")
                    unit = "eV" if observable == "energy" else ""
                    _write_element(group, values, unit, rows["step"], timestep_fs)


def _write_element(
    group: h5py.Group, values: np.ndarray, unit: str, steps: np.ndarray, timestep_fs: float
) -> None:
    group["step"], group["time"], group["value"] = steps, steps * timestep_fs, values
    group["time"].attrs["unit"] = "fs"
    if unit:
        group["value"].attrs["unit"] = unit
