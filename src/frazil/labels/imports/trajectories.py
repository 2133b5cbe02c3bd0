"""Labelled trajectories of other codes, with velocities and a time step that fit their frames.

Formats: H5MD, whatever ``readers`` reads (extended XYZ, ASE's .traj, VASP), and folders in the layout that
was published with dynamic training: ``traj_1.traj``, … beside ``velall-1``, …, velocities in lattice vectors
per VASP's POTIM. What is settled here: units, frames across the faces of a box, gaps, and the time of the
velocities. Of positions x, velocities v and accelerations a, one time step dt apart,

    x(n + 1) − x(n) = s dt v(n) + c dt² a(n),

s is 1 if the time step is that of the frames, and c is ½; some codes write the velocities half a step early
(c = 1) or late (c = 0).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import ase.io
import h5py
import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from frazil.data.frames import label_problem
from frazil.data.trajectories import LabelledTrajectory, unwrapped
from frazil.errors import UserError
from frazil.labels.imports.quality import says_converged
from frazil.labels.imports.readers import read_as_is
from frazil.labels.imports.sheet import Entry
from frazil.labels.settings import VELOCITIES
from frazil.units import fs

LARGEST_SCALE_ERROR = 0.02
"""How far the time step may be from that of the frames, as a part."""
HALF_STEP = 0.2
"""How far c may be from ½."""
JUMP = 20.0
"""A step that velocities and forces explain so many times worse than the median one is a gap, …"""
JUMP_A = 1e-3
"""… if it is off by so much."""
TIME_fs = 1e-3
"""Times that differ by less are the same."""


@dataclass(frozen=True)
class TimeCheck:
    """What a trajectory's frames say: s and c of the module's docstring, and the steps that are gaps."""

    scale: float
    half: float
    jumps: tuple[int, ...]


def read_trajectories(
    paths: Sequence[Path | str],
    timestep_fs: float | None = None,
    velocities: str = "stated",
    level: str = "not stated",
) -> list[LabelledTrajectory]:
    """Return the labelled trajectories of files and folders, sorted by their names, each checked.

    A folder holds one run (DeePMD's, CP2K's), the published layout, or a file for each run.

    Args:
        timestep_fs: between frames, where the files do not say it (or say the same).
        velocities: one of ``VELOCITIES``. Derived ones are velocity Verlet's own, (x(n+1) − x(n−1))/2dt.
        level: of the labels, where the frames do not say it.

    Raises UserError for files without velocities, forces, energies or time step; a time step that disagrees
    with the frames; velocities that are half a step off and not said to be.
    """
    if velocities not in VELOCITIES:
        raise UserError(f"velocities {velocities!r}; allowed are {', '.join(VELOCITIES)}")
    found: list[LabelledTrajectory] = []
    for path in chain.from_iterable(map(_files_of, map(Path, paths))):
        if path.is_dir() and any(path.glob("traj_*.traj")):
            read = [_published(file, timestep_fs) for file in path.glob("traj_*.traj")]
        elif path.is_file() and _is_h5md(path):
            read = _h5md(path, timestep_fs)
        else:
            read = _frames(path, timestep_fs)
        for raw in read:
            found.append(_checked(raw, velocities, level))
    doubled = sorted({t.name for t in found if sum(t.name == other.name for other in found) > 1})
    if doubled:
        raise UserError(f"two trajectories are called {doubled[0]}; give each a name of its own")
    return sorted(found, key=lambda trajectory: _natural(trajectory.name))


@dataclass(frozen=True)
class _Raw:
    """A trajectory as a file has it; velocities Å per ASE time, or None; level "" where none is said."""

    name: str
    atoms: Atoms
    timestep_fs: float | None
    positions: np.ndarray
    velocities: np.ndarray | None
    forces: np.ndarray
    energies: np.ndarray
    times_fs: np.ndarray | None = None
    level: str = ""


def _files_of(path: Path) -> list[Path]:
    """Return the files of a folder of runs, or else the path itself."""
    if not path.exists():
        raise UserError(
            f"no trajectory {path}; give files, a folder of them, or one with traj_1.traj and velall-1"
        )
    if path.is_file() or any(any(path.rglob(own)) for own in ("type.raw", "*pos*.xyz", "traj_*.traj")):
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise UserError(f"no trajectory in the folder {path}; give files of labelled trajectories")
    return files


def time_check(
    trajectory: LabelledTrajectory,
) -> TimeCheck:
    """Return what a trajectory's frames say of its time step and of the time of its velocities."""
    dt = trajectory.timestep_fs * fs
    mobile = trajectory.mobile
    inverse = 1.0 / trajectory.atoms.get_masses()[mobile, None]
    moved = np.diff(trajectory.positions[:, mobile], axis=0)
    drift = dt * trajectory.velocities[:-1, mobile]
    kick = dt**2 * trajectory.forces[:-1, mobile] * inverse
    inside = np.ones(len(moved), bool)
    inside[[first - 1 for first in trajectory.breaks]] = False
    off = np.linalg.norm(moved - drift - 0.5 * kick, axis=2).max(axis=1)
    usual = float(np.median(off[inside])) if inside.any() else 0.0
    jump = inside & (off > JUMP * usual) & (off > JUMP_A)
    inside &= ~jump
    squares = float((drift[inside] ** 2).sum())
    scale = float((moved[inside] * drift[inside]).sum()) / squares if squares else np.nan
    kicks = float((kick[inside] ** 2).sum())
    half = float(((moved - drift)[inside] * kick[inside]).sum()) / kicks if kicks else np.nan
    return TimeCheck(scale, half, tuple(int(step) + 1 for step in np.flatnonzero(jump)))


def _checked(raw: _Raw, velocities: str, level: str) -> LabelledTrajectory:
    """Return a trajectory whose velocities and time step fit its frames; UserError where they do not."""
    n = len(raw.positions)
    if n < 3:
        raise UserError(f"{raw.name} has {n} frames; a trajectory has at least 3")
    _check_arrays(raw)
    step_fs, breaks = _timestep(raw)
    positions = unwrapped(raw.positions, raw.atoms.cell, raw.atoms.pbc, breaks)
    stated = raw.velocities
    if velocities != "derived" and stated is None:
        raise UserError(
            f"{raw.name} has no velocities; give momenta (extended XYZ, .traj), velocities_A_per_fs or "
            "H5MD's velocity, or ask for velocities derived of the frames"
        )
    made = LabelledTrajectory(
        raw.name, raw.atoms, step_fs, positions, np.zeros_like(positions), raw.forces, raw.energies,
        breaks, velocities == "derived", raw.level or level,
    )  # fmt: skip
    if velocities == "derived":
        return _with_derived(made)
    assert stated is not None
    made = replace(made, velocities=stated)
    check = time_check(made)
    if velocities == "shifted":
        # Half a step early or late: which, the frames say.
        sign = 0.5 if check.half > 0.5 else -0.5
        kick = step_fs * fs * raw.forces / raw.atoms.get_masses()[:, None]
        made = replace(made, velocities=np.where(made.mobile[:, None], stated + sign * kick, stated))
        check = time_check(made)
    if abs(check.scale - 1) > LARGEST_SCALE_ERROR:
        raise UserError(
            f"{raw.name}: a time step of {step_fs:g} fs disagrees with its frames, which move by "
            f"{check.scale:.4g} times velocity × time step ({check.scale * step_fs:.4g} fs); give the time "
            "between frames, and velocities in Å/fs"
        )
    if abs(check.half - 0.5) > HALF_STEP:
        if min(abs(check.half), abs(check.half - 1)) > HALF_STEP:
            raise UserError(_unfit(raw.name, check.half))
        word = "early" if check.half > 0.5 else "late"
        raise UserError(
            f"{raw.name}: velocities are half a step {word}: frames move by v dt + {check.half:.2f} a dt² "
            "in place of 0.50; ask for velocities shifted or derived"
        )
    return replace(made, breaks=tuple(sorted({*breaks, *check.jumps})))


def _unfit(name: str, half: float) -> str:
    return (
        f"{name}: its frames move by v dt + {half:.2f} a dt² in place of 0.50; look at the time step, and at "
        "the units of forces (eV/Å), velocities (Å/fs) and masses"
    )


def _check_arrays(raw: _Raw) -> None:
    """Raise UserError for arrays that do not belong together, and numbers that are not finite."""
    n, each = len(raw.positions), (len(raw.atoms), 3)
    for name, values, shape in (
        ("positions", raw.positions, (n, *each)), ("forces", raw.forces, (n, *each)),
        ("velocities", raw.velocities, (n, *each)), ("energies", raw.energies, (n,)),
        ("times", raw.times_fs, (n,)),
    ):  # fmt: skip
        if values is None:
            continue
        if values.shape != shape:
            raise UserError(
                f"{raw.name}: {name} of shape {values.shape} beside {shape}; give all of all frames"
            )
        broken = ~np.isfinite(values.reshape(n, -1)).all(axis=1)
        if broken.any():
            raise UserError(
                f"{raw.name}: {name} of frame {int(broken.argmax())} are not finite; leave it out"
            )


def _with_derived(made: LabelledTrajectory) -> LabelledTrajectory:
    """Return a trajectory with velocities made of its frames, parted where these do not follow each other.

    Velocities at a gap are wrong on both sides of it, so gaps are taken one by one, the widest first.
    """
    while True:
        made = replace(made, velocities=_derived(made))
        if not made.mobile.any():
            return made
        check = time_check(made)
        if not check.jumps:
            break
        moved = np.linalg.norm(np.diff(made.positions[:, made.mobile], axis=0), axis=2).max(axis=1)
        widest = max(check.jumps, key=lambda frame: float(moved[frame - 1]))
        made = replace(made, breaks=tuple(sorted({*made.breaks, widest})))
    if abs(check.half - 0.5) > HALF_STEP:
        raise UserError(_unfit(made.name, check.half))
    return made


def _timestep(raw: _Raw) -> tuple[float, tuple[int, ...]]:
    """Return the time between frames, fs, and the frames that do not follow on the one before.

    Raises UserError where it is not known, or said twice and not the same.
    """
    said = raw.timestep_fs
    breaks: tuple[int, ...] = ()
    if said is not None and not said > 0:
        raise UserError(f"{raw.name}: a time step of {said:g} fs; it must be positive")
    if raw.times_fs is not None:
        apart = np.diff(raw.times_fs)
        usual = float(np.median(apart))
        if usual > 0:
            gaps = np.flatnonzero(np.abs(apart - usual) > TIME_fs)
            breaks = tuple(int(step) + 1 for step in gaps)
            if said is not None and abs(said - usual) > TIME_fs:
                raise UserError(
                    f"{raw.name}: a time step of {said:g} fs disagrees with its frames, which say "
                    f"{usual:g} fs; give the time between frames"
                )
            said = usual
    if said is None:
        raise UserError(f"{raw.name} says no time step; give the time between its frames, timestep_fs")
    return float(said), breaks


def _derived(trajectory: LabelledTrajectory) -> np.ndarray:
    """Return velocity Verlet's own velocities of positions and forces (exact for NVE runs of its kind)."""
    dt, x = trajectory.timestep_fs * fs, trajectory.positions
    acceleration = trajectory.forces / trajectory.atoms.get_masses()[:, None] * trajectory.mobile[:, None]
    velocities = np.zeros_like(x)
    for first, end in trajectory.runs():
        if end - first < 2:
            continue
        run, own = x[first:end], acceleration[first:end]
        velocities[first] = (run[1] - run[0]) / dt - 0.5 * dt * own[0]
        velocities[first + 1 : end - 1] = (run[2:] - run[:-2]) / (2 * dt)
        velocities[end - 1] = (run[-1] - run[-2]) / dt + 0.5 * dt * own[-1]
    return velocities


def _collected(name: str, frames: Sequence[Atoms], timestep_fs: float | None) -> _Raw:
    """Return consecutive frames of one structure as arrays; UserError, naming the frame, for others."""
    first = frames[0]
    for number, atoms in enumerate(frames):
        problem = label_problem(atoms)
        if problem:
            raise UserError(f"{name}, frame {number}: {problem}")
        if not says_converged(atoms):
            raise UserError(f"{name}, frame {number}: SCF not converged, says the file; part the run there")
        if not np.array_equal(atoms.numbers, first.numbers):
            raise UserError(
                f"{name}, frame {number}: other atoms than in the first frame; part the trajectories"
            )
        if not np.allclose(atoms.cell.array, first.cell.array, atol=1e-6):
            raise UserError(
                f"{name}, frame {number}: another cell than in the first frame; give runs of one cell"
            )
    plain = Atoms(first.numbers, cell=first.cell, pbc=first.pbc, masses=first.get_masses())
    held = np.zeros(len(first), bool)
    for constraint in first.constraints:
        if not isinstance(constraint, FixAtoms):
            raise UserError(
                f"{name}: constraints of {type(constraint).__name__}; only atoms held whole are allowed"
            )
        held[constraint.index] = True
    if "fixed" in first.arrays:
        held |= np.asarray(first.arrays["fixed"], bool)
    if held.any():
        plain.set_array("fixed", held)
    times = None
    if all("time_fs" in atoms.info for atoms in frames):
        times = np.array([float(atoms.info["time_fs"]) for atoms in frames])
    velocities = None
    if all("velocities_A_per_fs" in atoms.arrays for atoms in frames):
        velocities = np.array([atoms.arrays["velocities_A_per_fs"] for atoms in frames]) / fs
    elif all("momenta" in atoms.arrays for atoms in frames):
        velocities = np.array([atoms.get_velocities() for atoms in frames])
    energy = "free_energy" if "free_energy" in first.calc.results else "energy"
    return _Raw(
        name, plain, timestep_fs,
        np.array([atoms.positions for atoms in frames], float), velocities,
        np.array([atoms.calc.results["forces"] for atoms in frames], float),
        np.array([atoms.calc.results[energy] for atoms in frames], float),
        times, str(first.info.get("label_level", "")),
    )  # fmt: skip


def _frames(path: Path, timestep_fs: float | None) -> list[_Raw]:
    """Return the trajectories of a file that ``readers`` reads; VASP's says its time step."""
    kind, reading = read_as_is(Entry(path))
    if kind.startswith("vasp"):
        potim = re.search(r'\bPOTIM(?:"\s*>|\s*=)\s*([\d.Ee+-]+)', path.read_text(errors="replace"))
        if potim and timestep_fs is None:
            timestep_fs = float(potim[1])
    groups: dict[str, list[Atoms]] = {}
    for atoms in reading.frames:
        groups.setdefault(str(atoms.info.get("trajectory_id", "")), []).append(atoms)
    return [
        _collected(f"{path.name}/{name}" if name else path.name, frames, timestep_fs)
        for name, frames in groups.items()
    ]


def _published(file: Path, timestep_fs: float | None) -> _Raw:
    """Return a trajectory of the published layout: its velocities lie beside it."""
    if timestep_fs is None:
        raise UserError(
            f"{file} says no time step; give VASP's POTIM of the run, timestep_fs (0.5 as published)"
        )
    beside = file.with_name(file.stem.replace("traj_", "velall-"))
    if not beside.is_file():
        raise UserError(f"{file} has no {beside.name} beside it with its velocities")
    raw = _collected(file.stem, list(ase.io.read(file, index=":")), timestep_fs)
    try:
        fractions = np.loadtxt(beside).reshape(raw.positions.shape)
    except ValueError as error:
        raise UserError(
            f"{beside}: {error}; needed are three numbers a line for each atom of each of the "
            f"{len(raw.positions)} frames"
        ) from error
    return replace(raw, velocities=fractions @ raw.atoms.cell.array / (timestep_fs * fs))


def _is_h5md(path: Path) -> bool:
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        return "h5md" in file and "particles" in file


UNITS = {
    "position": "Angstrom", "velocity": "Angstrom fs-1", "force": "eV Angstrom-1", "time": "fs",
    "energy": "eV",
}  # fmt: skip
"""H5MD's elements that are read, and the units that they are read in."""


def _h5md(path: Path, timestep_fs: float | None) -> list[_Raw]:
    """Return the trajectories of an H5MD file: a group of ``particles`` each, energies in ``observables``.

    de Buyl et al., Comput. Phys. Commun. 185, 1546, 2014.
    """
    found = []
    with h5py.File(path) as file:
        for name, particles in file["particles"].items():
            where = f"{path.name}/{name}"
            missing = [key for key in ("species", "position", "force") if key not in particles]
            energy = file.get(f"observables/{name}/energy") or file.get(
                f"observables/{name}/potential_energy"
            )
            if missing or energy is None:
                lacking = [*missing, *(["energy"] if energy is None else [])]
                raise UserError(
                    f"{where} has no {', '.join(lacking)}; needed are species, position, force, velocity, "
                    "and the observable energy"
                )
            arrays = {}
            for key in ("position", "velocity", "force"):
                if key in particles:
                    _check_unit(particles[key]["value"], key, where)
                    arrays[key] = np.asarray(particles[key]["value"], float)
            _check_unit(energy["value"], "energy", where)
            numbers = np.asarray(particles["species"], int)
            if numbers.ndim != 1 or not ((numbers >= 1) & (numbers <= 118)).all():
                raise UserError(
                    f"{where}: species {numbers.tolist()}; one atomic number for each atom is needed"
                )
            box = particles.get("box")
            if box is not None and isinstance(box.get("edges"), h5py.Group):
                raise UserError(f"{where}: a box that changes in time; give runs of one cell")
            boundary = [] if box is None else [str(_text(b)) for b in box.attrs.get("boundary", [])]
            atoms = Atoms(numbers, pbc=[b == "periodic" for b in boundary] or False)
            if box is not None and "edges" in box:
                atoms.set_cell(np.asarray(box["edges"], float))
            if "mass" in particles:
                atoms.set_masses(np.asarray(particles["mass"], float))
            if "fixed" in particles:
                atoms.set_array("fixed", np.asarray(particles["fixed"], bool))
            times = particles["position"].get("time")
            if times is not None:
                _check_unit(times, "time", where)
                times = np.asarray(times, float)
                if times.ndim == 0:  # the interval of all frames
                    times = times * np.arange(len(arrays["position"]))
            velocity = arrays.get("velocity")
            level = str(_text(particles.attrs.get("label_level", "")))
            found.append(
                _Raw(
                    where,
                    atoms,
                    timestep_fs,
                    arrays["position"],
                    None if velocity is None else velocity / fs,
                    arrays["force"],
                    np.asarray(energy["value"], float),
                    times,
                    level,
                )
            )
    return found


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _check_unit(values: h5py.Dataset, key: str, where: str) -> None:
    said = str(_text(values.attrs.get("unit", "")))
    if said != UNITS[key]:
        raise UserError(f"{where}: {key} in {said or 'no unit'}; it is read in {UNITS[key]}")


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by: numbers in them count as numbers."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
