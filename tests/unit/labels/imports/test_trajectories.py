"""Labelled trajectories: each format gives the same one, and what does not fit its frames is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from frazil.data.trajectories import LabelledTrajectory
from frazil.errors import UserError
from frazil.labels.imports.trajectories import read_trajectories, time_check
from frazil.md.frame_files import write_frames
from frazil.md.trajectory import Trajectory
from frazil.units import fs

from .written import vasp_outcar, vasp_xml

DT_fs = 0.5
PAIR = Atoms("CO", positions=[[1.0, 2.0, 3.0], [1.3, 2.0, 4.1]])
CELL_A = 14.0


def spring(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """A bond of 118 eV/Å² and 1.13 Å."""
    bond = positions[1] - positions[0]
    length = np.linalg.norm(bond)
    along = 118.0 * (length - 1.13) * bond / length
    return float(0.5 * 118.0 * (length - 1.13) ** 2), np.array([along, -along])


def rows(n: int = 40, drift: float = 0.03) -> dict[str, np.ndarray]:
    """Velocity Verlet of the spring, by hand; the pair drifts along x."""
    x, mass, dt = PAIR.positions.copy(), PAIR.get_masses()[:, None], DT_fs * fs
    v = np.array([[drift, 0, 0.01], [drift, 0.01, 0]])
    kept: dict[str, list[Any]] = {name: [] for name in ("positions", "velocities", "forces", "energy")}
    energy, f = spring(x)
    for _ in range(n):
        for name, value in (("positions", x), ("velocities", v), ("forces", f), ("energy", energy)):
            kept[name].append(np.array(value))
        v = v + 0.5 * dt * f / mass
        x = x + dt * v
        energy, f = spring(x)
        v = v + 0.5 * dt * f / mass
    return {"step": np.arange(n), **{name: np.array(values) for name, values in kept.items()}}


ROWS = rows()


def frames(kept: dict[str, np.ndarray] = ROWS, **info: Any) -> list[Atoms]:
    made = []
    for i in range(len(kept["energy"])):
        atoms = PAIR.copy()
        atoms.positions = kept["positions"][i]
        atoms.set_velocities(kept["velocities"][i])
        atoms.calc = SinglePointCalculator(atoms, energy=kept["energy"][i], forces=kept["forces"][i])
        atoms.info = {"time_fs": i * DT_fs, **info}
        made.append(atoms)
    return made


def extxyz(folder: Path, made: list[Atoms]) -> Path:
    ase.io.write(folder / "run.extxyz", made)
    return folder / "run.extxyz"


def h5md(folder: Path) -> Path:
    write_frames(folder / "run.h5", [Trajectory(3, 1, 39, ROWS)], PAIR, DT_fs)
    return folder / "run.h5"


def own_extxyz(folder: Path) -> Path:
    write_frames(folder / "run.extxyz", [Trajectory(3, 1, 39, ROWS)], PAIR, DT_fs)
    return folder / "run.extxyz"


def published(folder: Path) -> Path:
    """As deposited: frames of VASP in a skew cell, velocities in lattice vectors a POTIM, one atom a line."""
    cell = np.array([[9.0, 0, 0], [-4.5, 7.8, 0], [0, 0, 14.0]])
    made = frames()
    for atoms in made:
        atoms.set_cell(cell)
        atoms.pbc = True
        labels = atoms.calc.results
        atoms.wrap()
        atoms.calc = SinglePointCalculator(atoms, **labels)
        atoms.arrays.pop("momenta")
        atoms.info = {}
    ase.io.write(folder / "traj_12.traj", made)
    fractions = ROWS["velocities"] * fs * DT_fs @ np.linalg.inv(cell)
    np.savetxt(folder / "velall-12", fractions.reshape(-1, 3), fmt="%.10e")
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "own extxyz": own_extxyz, "h5md": h5md, "published": published,
    "extxyz": lambda folder: extxyz(folder, frames(trajectory_id="a", label_level="pbe/dz")),
}  # fmt: skip


@pytest.mark.parametrize("written", WRITERS)
def test_every_format_gives_the_trajectory(written: str, tmp_path: Path) -> None:
    (found,) = read_trajectories([WRITERS[written](tmp_path)], DT_fs)
    assert found.timestep_fs == DT_fs
    assert (found.breaks, found.derived) == ((), False)
    assert len(found) == 40
    moved = ROWS["positions"] - ROWS["positions"][0]
    np.testing.assert_allclose(found.positions - found.positions[0], moved, atol=1e-7)
    np.testing.assert_allclose(found.velocities, ROWS["velocities"], atol=1e-7)
    np.testing.assert_allclose(found.forces, ROWS["forces"], atol=1e-6)
    np.testing.assert_allclose(found.energies, ROWS["energy"], atol=1e-7)
    assert found.level == ("pbe/dz" if written == "extxyz" else "not stated")


@pytest.mark.parametrize("writer", [vasp_xml, vasp_outcar])
def test_vasps_velocities_are_derived_across_the_faces_of_its_box(
    writer: Callable[..., Path], tmp_path: Path
) -> None:
    """Velocity Verlet's are exact but for the rounding of the file; the time step is the file's POTIM."""
    kept = rows(drift=0.5)  # through a face
    made = frames(kept)
    more: dict[str, Any] = {} if writer is vasp_xml else {"learned": False}
    path = writer(tmp_path / "vasp", made, CELL_A, **more)
    said = '<i name="POTIM">0.5</i>' if writer is vasp_xml else "   POTIM  = 0.5000"
    text = path.read_text()
    with pytest.raises(UserError, match="vasp says no time step; give the time between its frames"):
        read_trajectories([path], velocities="derived")
    path.write_text(
        text.replace("<incar></incar>", f"<incar>{said}</incar>") if writer is vasp_xml else text + said
    )
    with pytest.raises(
        UserError, match=r"vasp has no velocities; give momenta .* or ask for velocities derived"
    ):
        read_trajectories([path])
    (found,) = read_trajectories([path], velocities="derived")
    assert found.derived
    np.testing.assert_allclose(found.velocities, kept["velocities"], atol=1e-5)
    assert np.ptp(found.positions[:, 0, 0]) == pytest.approx(np.ptp(kept["positions"][:, 0, 0]), abs=1e-6)
    assert time_check(found).half == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("side", "word", "half"), [(-0.5, "early", "1.0"), (0.5, "late", "0.0")])
def test_velocities_half_a_step_off(side: float, word: str, half: str, tmp_path: Path) -> None:
    """Leapfrog's: refused as they are, right when shifted."""
    kick = DT_fs * fs * ROWS["forces"] / PAIR.get_masses()[:, None]
    file = extxyz(tmp_path, frames({**ROWS, "velocities": ROWS["velocities"] + side * kick}))
    with pytest.raises(UserError, match=rf"half a step {word}: .* \+ -?{half}\d a dt² in place of 0.50"):
        read_trajectories([file])
    (found,) = read_trajectories([file], velocities="shifted")
    np.testing.assert_allclose(found.velocities, ROWS["velocities"], atol=1e-6)
    with pytest.raises(UserError, match="velocities are half a step"):
        read_trajectories([extxyz(tmp_path, frames())], velocities="shifted")


def test_a_time_step_that_disagrees_with_the_frames(tmp_path: Path) -> None:
    plain = frames()
    for atoms in plain:
        atoms.info.clear()
    file = extxyz(tmp_path, plain)
    with pytest.raises(UserError, match=r"run.extxyz says no time step"):
        read_trajectories([file])
    with pytest.raises(UserError, match=r"a time step of 1 fs disagrees .* 0\.(5|49)\d* times"):
        read_trajectories([file], 1.0)
    with pytest.raises(UserError, match=r"a time step of 1 fs disagrees with its frames, which say 0.5 fs"):
        read_trajectories([extxyz(tmp_path, frames())], 1.0)
    with pytest.raises(UserError, match="a time step of -1 fs; it must be positive"):
        read_trajectories([file], -1.0)


def test_gaps_are_found_by_the_times_and_without_them_by_the_frames(tmp_path: Path) -> None:
    """Frames 10 to 14 are missing."""
    held = frames()[:10] + frames()[15:]
    (found,) = read_trajectories([extxyz(tmp_path, held)])
    assert found.runs() == [(0, 10), (10, 35)]
    for atoms in held:
        atoms.info.clear()
    (found,) = read_trajectories([extxyz(tmp_path, held)], DT_fs)
    assert found.runs() == [(0, 10), (10, 35)]
    assert len(found.starts(10)) == 1 + 16


def test_what_is_no_labelled_trajectory(tmp_path: Path) -> None:
    def without(number: int, change: Callable[[Atoms], Any]) -> list[Atoms]:
        made = frames()
        change(made[number])
        return made

    cases: list[tuple[list[Atoms], str]] = [
        (without(4, lambda a: setattr(a, "calc", None)), "frame 4: no energy and no forces"),
        (without(5, lambda a: a.info.update(converged=False)), "frame 5: SCF not converged"),
        (without(4, lambda a: a.set_atomic_numbers([6, 7])), "frame 4: other atoms than in the first"),
        (without(4, lambda a: a.set_cell([1, 2, 3])), "frame 4: another cell than in the first"),
        (frames()[:2], "has 2 frames; a trajectory has at least 3"),
    ]
    for made, message in cases:
        with pytest.raises(UserError, match=message):
            read_trajectories([extxyz(tmp_path, made)])
    with pytest.raises(UserError, match=r"no trajectory .*nowhere; give files"):
        read_trajectories([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="velocities 'guessed'; allowed are stated, derived, shifted"):
        read_trajectories([], velocities="guessed")
    file = extxyz(tmp_path, frames())
    with pytest.raises(UserError, match=r"two trajectories are called run\.extxyz"):
        read_trajectories([file, file])


@pytest.mark.parametrize(
    "where", ["observables/trajectory_000003/energy", "particles/trajectory_000003/force"]
)
def test_numbers_of_h5md_are_finite_and_all_there(where: str, tmp_path: Path) -> None:
    import h5py

    file = h5md(tmp_path)
    with h5py.File(file, "r+") as opened:
        values = opened[f"{where}/value"][...]
        opened[f"{where}/value"][7] = np.nan
    with pytest.raises(UserError, match=r"of frame 7 are not finite"):
        read_trajectories([file])
    with h5py.File(file, "r+") as opened:
        attributes = dict(opened[f"{where}/value"].attrs)
        del opened[f"{where}/value"]
        opened[f"{where}/value"] = values[:-5]
        opened[f"{where}/value"].attrs.update(attributes)
    with pytest.raises(UserError, match=r"of shape \(35.* beside \(40"):
        read_trajectories([file])


def test_derived_velocities_are_checked_and_know_gaps(tmp_path: Path) -> None:
    made = frames()
    for atoms in made:
        del atoms.info["time_fs"]
    (whole,) = read_trajectories([extxyz(tmp_path, made)], DT_fs, "derived")
    np.testing.assert_allclose(whole.velocities[1:-1], ROWS["velocities"][1:-1], atol=1e-6)
    with pytest.raises(UserError, match=r"in place of 0.50; look at the time step"):
        read_trajectories([tmp_path / "run.extxyz"], 4 * DT_fs, "derived")
    (parted,) = read_trajectories([extxyz(tmp_path, made[:15] + made[26:])], DT_fs, "derived")
    assert parted.breaks == (15,)
    known = np.delete(ROWS["velocities"], range(15, 26), axis=0)
    np.testing.assert_allclose(parted.velocities, known, atol=2e-3)


def test_a_folder_holds_a_file_for_each_run(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"no trajectory in the folder .*runs; give files"):
        read_trajectories([tmp_path / "runs"])
    for name in ("run10", "run2"):
        ase.io.write(tmp_path / f"runs/{name}.extxyz", frames())
    assert [found.name for found in read_trajectories([tmp_path / "runs"])] == ["run2.extxyz", "run10.extxyz"]


def test_what_is_not_the_published_layout(tmp_path: Path) -> None:
    published(tmp_path)
    with pytest.raises(UserError, match=r"traj_12\.traj says no time step; give VASP's POTIM"):
        read_trajectories([tmp_path])
    lines = (tmp_path / "velall-12").read_text().splitlines(keepends=True)
    (tmp_path / "velall-12").write_text("".join(lines[:-1]))
    with pytest.raises(
        UserError, match=r"velall-12: .* three numbers a line for each atom of each of the 40"
    ):
        read_trajectories([tmp_path], DT_fs)
    (tmp_path / "velall-12").unlink()
    with pytest.raises(UserError, match="has no velall-12 beside it"):
        read_trajectories([tmp_path], DT_fs)


def test_held_atoms_and_units(tmp_path: Path) -> None:
    """Atoms that a file holds are known as such; H5MD in other units is refused."""
    import h5py

    made = frames(
        {**ROWS, "velocities": ROWS["velocities"] * 0, "positions": np.tile(PAIR.positions, (40, 1, 1))}
    )
    for atoms in made:
        atoms.set_constraint(FixAtoms([0, 1]))
    ase.io.write(tmp_path / "held.traj", made)
    (found,) = read_trajectories([tmp_path / "held.traj"], velocities="derived")
    assert not found.mobile.any()
    file = h5md(tmp_path)
    with h5py.File(file, "r+") as opened:
        opened["observables/trajectory_000003/energy/value"].attrs["unit"] = "Hartree"
    with pytest.raises(UserError, match="energy in Hartree; it is read in eV"):
        read_trajectories([file])
    with h5py.File(file, "r+") as opened:
        opened["observables/trajectory_000003/energy/value"].attrs["unit"] = "eV"
        opened["particles/trajectory_000003/velocity/value"].attrs["unit"] = "nm ps-1"
    with pytest.raises(UserError, match="velocity in nm ps-1; it is read in Angstrom fs-1"):
        read_trajectories([file])
    with h5py.File(file, "r+") as opened:
        del opened["particles/trajectory_000003/force"]
    with pytest.raises(UserError, match="trajectory_000003 has no force; needed are"):
        read_trajectories([file])


def test_a_trajectory_is_checked_by_its_own_numbers() -> None:
    made = LabelledTrajectory(
        "made", PAIR, DT_fs, ROWS["positions"], ROWS["velocities"], ROWS["forces"], ROWS["energy"]
    )
    found = time_check(made)
    assert found.scale == pytest.approx(1.0, abs=5e-3)
    assert found.half == pytest.approx(0.5, abs=1e-9)
    assert time_check(replace(made, timestep_fs=0.25)).scale == pytest.approx(2.0, abs=0.02)
