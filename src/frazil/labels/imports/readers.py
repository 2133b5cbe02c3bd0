"""Labelled frames that other codes wrote, in our units and conventions: Å, eV, eV/Å, e Å, free molecules, or
crystals and liquids in their cells.

Readers are ASE's, dpdata's and cclib's. What is settled here: energies that belong to the forces (VASP's free
energy), one value of the Hartree, aggregates taken out of their box, unless they are said to be periodic,
tags of the excited molecule, and the level, which must be stated, of every frame.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.cells import check_boundaries, heights, problem_of_cell
from frazil.data.deepmd_npy import from_deepmd
from frazil.data.frames import load_frames
from frazil.data.trajectories import unwrapped
from frazil.errors import UserError
from frazil.labels.imports.arrays import read_database, read_hdf5, read_npz
from frazil.labels.imports.cp2k import is_log, read_cp2k
from frazil.labels.imports.gaussian import read_gaussian
from frazil.labels.imports.label_units import COLUMNS as UNIT_COLUMNS
from frazil.labels.imports.libraries import by_ase
from frazil.labels.imports.named import find_labels
from frazil.labels.imports.orca import read_engrad, read_orca
from frazil.labels.imports.other_codes import read_aims, read_espresso, read_nwchem, read_psi4
from frazil.labels.imports.quality import IN_BOX
from frazil.labels.imports.reading import Reading, are_independent
from frazil.labels.imports.sheet import LABEL_KEYS, Entry, read_sheet
from frazil.labels.imports.stated import check_stated
from frazil.labels.imports.vasp import read_outcar, read_vasprun

VACUUM_A = 6.0
"""A periodic frame is taken for a free aggregate if every direction holds at least this much vacuum."""
HEAD_BYTES = 20_000


@dataclass
class Imported:
    """The frames of one file, in its order."""

    entry: Entry
    format: str
    frames: list[Atoms] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


def read_dataset(
    path: Path | str,
    staged: Sequence[Path] = (),
    names: Sequence[str] = (),
    said: Mapping[str, str] | None = None,
) -> list[Imported]:
    """Return the frames of a samplesheet's files (CSV), or of one file or folder.

    ``staged`` says where the sheet's files lie now, in its order, if not where it says; ``names`` are then
    what the sheet calls them, which its patterns cannot find any more. ``said`` are names and units of labels
    (``energy_key``, …), and whether frames are ``periodic``, where an entry says none.

    Frames carry energy, forces and perhaps dipole in a SinglePointCalculator, and the info trajectory_id,
    source, label_level, label_code, label_version, perhaps time_fs. Labels are not checked here.
    Raises UserError for a sheet or a file that cannot be read, and for a level that contradicts the file's.
    """
    return [read_entry(entry, said) for entry in entries_as_staged(path, staged, names)]


def entries_as_staged(
    path: Path | str, staged: Sequence[Path] = (), names: Sequence[str] = ()
) -> list[Entry]:
    """Return the files of a samplesheet (CSV), or the one file or folder, where they lie now.

    ``staged`` and ``names`` as in ``read_dataset``.
    """
    path = Path(path)
    entries = read_sheet(path, names or None) if path.suffix == ".csv" else [Entry(path)]
    if not staged:
        return entries
    if len(staged) != len(entries):
        raise UserError(f"{path} names {len(entries)} files, {len(staged)} were given; give one for each")
    return [replace(entry, file=file) for entry, file in zip(entries, staged, strict=True)]


def read_as_is(entry: Entry, said: Mapping[str, str] | None = None) -> tuple[str, Reading]:
    """Return a file's format, and its frames with their boxes and momenta, labels in eV, eV/Å and e Å.

    ``said`` as in ``read_dataset``.
    """
    if not entry.file.exists():
        raise UserError(f"no file {entry.file}; files of a samplesheet are relative to its folder")
    name = entry.format or recognise(entry.file)
    try:
        reading = FORMATS[name](entry.file)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{entry.file} cannot be read as {name} "
            f"({type(error).__name__}: {' '.join(str(error).split())}); {_way_out(entry.file, name)}"
        ) from error
    if not reading.frames:
        raise UserError(f"{entry.file}, read as {name}, holds no frame; give the output of a finished run")
    own = [name for name in (*LABEL_KEYS, *UNIT_COLUMNS) if getattr(entry, name)]
    if name in NAMED:
        missing: dict[str, Any] = {
            k: v for k, v in (said or {}).items() if v and k not in own and k != "periodic"
        }
        entry = replace(entry, **missing)
        reading.frames, notes = find_labels(reading.frames, entry, must_say=name in ("npz", "hdf5"))
        reading.notes += notes
    elif own:
        raise UserError(
            f"{entry.name}: {', '.join(own)} of a file of {name}, which says its own names and units; leave "
            "them empty"
        )
    return name, reading


def read_entry(entry: Entry, said: Mapping[str, str] | None = None, in_time: bool = False) -> Imported:
    """Return the frames of one file, in our conventions; ``said`` as in ``read_dataset``.

    A periodic frame becomes a free aggregate by itself, or, ``in_time``, by following its atoms from the
    frame before (``followed``). By itself, one without enough vacuum is marked (``IN_BOX``) where others of
    its file have it; a file without any such frame is refused. Frames of a file that is said to be
    ``periodic`` keep their cells; their dipoles are known up to lattice vectors.
    """
    name, reading = read_as_is(entry, said)
    check_stated(reading.frames, entry)
    periodic = entry.periodic or (said or {}).get("periodic") or "no"
    if periodic != "no" and not in_time:
        free = _in_cells(reading, entry.name, periodic)
    else:
        free = followed(reading.frames, entry.name) if in_time else _each_free(reading.frames, entry.name)
    frames = [
        _ours(atoms, own, entry, number, reading)
        for number, (atoms, own) in enumerate(zip(reading.frames, free, strict=True))
    ]
    if in_time and entry.interval_fs is not None:
        _check_interval(entry.name, entry.interval_fs, reading.frames)
    if name in NAMED and not in_time and not entry.trajectory_id and entry.interval_fs is None:
        _part_independent(frames, reading.frames, folders=name == "deepmd")
    return Imported(entry, name, frames, reading.notes)


def _check_interval(name: str, interval_fs: float, frames: Sequence[Atoms]) -> None:
    """Raise UserError where a file's own times are not those of ``interval_fs``."""
    own_fs = [float(atoms.info["time_fs"]) for atoms in frames if "time_fs" in atoms.info]
    apart_fs = np.diff(own_fs)
    if len(own_fs) == len(frames) and (np.abs(apart_fs - interval_fs) > 1e-3).any():
        raise UserError(
            f"{name}: {np.median(apart_fs):g} fs between frames by their own times, "
            f"{interval_fs:g} fs by interval_fs; leave interval_fs out, or give the right one"
        )


def _way_out(path: Path, name: str) -> str:
    """Return what to do about a file that a reader fails on."""
    try:
        is_it = recognise(path) == name
    except UserError:
        is_it = False
    if is_it:
        return "it is a file of this format, but cut, damaged or of a kind that the reader does not know"
    return f"give the right format, one of {', '.join(FORMATS)}"


def _part_independent(frames: Sequence[Atoms], as_read: Sequence[Atoms], folders: bool) -> None:
    """Give each frame a trajectory of its own where neighbours in the file are no nearer than others.

    Frames that the file itself ties to a trajectory or a time stay; with ``folders`` a trajectory's name is
    only a folder's. Near copies must stay together: else a split by trajectory tests on what was trained on.
    """
    runs: dict[str, list[int]] = {}
    for i, (atoms, read) in enumerate(zip(frames, as_read, strict=True)):
        if "time_fs" not in read.info and (folders or "trajectory_id" not in read.info):
            runs.setdefault(str(atoms.info["trajectory_id"]), []).append(i)
    for name, members in runs.items():
        if are_independent([frames[i] for i in members]):
            for number, i in enumerate(members):
                frames[i].info["trajectory_id"] = f"{name}#{number}"


def recognise(path: Path) -> str:
    """Return the format of a file or folder, by its name and its first lines."""
    if path.is_dir():
        return "cp2k" if list(path.glob("*pos*.xyz")) else "deepmd"
    with path.open("rb") as file:
        start = file.read(HEAD_BYTES)
    head = start.decode("utf-8", errors="replace")
    signs = {
        "db": start.startswith(b"SQLite format 3"),
        "npz": start.startswith(b"PK") and path.suffix == ".npz",
        "hdf5": start.startswith(b"\x89HDF"),
        "traj": head.startswith("- of Ulm"),
        "vasp-xml": "<modeling>" in head,
        "vasp-outcar": bool(re.match(r"\s*vasp\.\d", head)),
        "orca": "* O   R   C   A *" in head,
        "engrad": "# Number of atoms" in head and "gradient in Eh/bohr" in head,
        "gaussian": "Entering Gaussian System" in head,
        "cp2k": is_log(path),
        "espresso": "Program PWSCF" in head,
        "aims": "Invoking FHI-aims" in head,
        "nwchem": "Northwest Computational Chemistry Package" in head,
        "psi4": "Psi4: An Open-Source" in head,
        "turbomole": head.lstrip().startswith("$grad"),
        "extxyz": path.suffix in (".xyz", ".extxyz") or "Properties=" in head,
    }
    found = [name for name, there in signs.items() if there]
    if not found:
        raise UserError(
            f"{path}: the format is not recognised; write one of {', '.join(FORMATS)} into the column format"
        )
    return found[0]


def _each_free(frames: Sequence[Atoms], name: str) -> list[Atoms]:
    """Return each frame free of its box; one that cannot be is marked, unless none of the file can."""
    free: list[Atoms] = []
    problems: list[UserError] = []
    for number, atoms in enumerate(frames):
        try:
            free.append(free_aggregate(atoms, f"{name}, frame {number}"))
        except NoVacuum as problem:
            problems.append(problem)
            free.append(_without_box(atoms))
            free[-1].info[IN_BOX] = str(problem)
    if len(problems) == len(frames):
        raise problems[0]
    return free


def _in_cells(reading: Reading, name: str, periodic: str) -> list[Atoms]:
    """Return the frames with their cells, as ``check_boundaries`` has them.

    Raises UserError for a frame whose boundaries are not those that are said.
    """
    places = [f"{name}, frame {number}" for number in range(len(reading.frames))]
    if periodic == "yes":
        check_boundaries(reading.frames, places, periodic)
    for atoms, place in zip(reading.frames, places, strict=True):
        if problem := problem_of_cell(atoms):  # which free frame has lost its cell, trajectories will tell
            raise UserError(f"{place}: {problem}")
    kept = []
    for atoms in reading.frames:
        kept.append(_without_box(atoms))
        if atoms.pbc.any():
            kept[-1].set_cell(atoms.cell)
            kept[-1].pbc = True
    return kept


def _ours(atoms: Atoms, ours: Atoms, entry: Entry, number: int, reading: Reading) -> Atoms:
    """Return ``ours``, a frame with its boundaries settled, with our info and labels under ASE's names."""
    where = f"{entry.name}, frame {number}"
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    if "free_energy" in results:  # what the forces are the gradient of, where orbitals are smeared
        results["energy"] = results["free_energy"]
    kept = {name: results[name] for name in ("energy", "forces", "dipole") if results.get(name) is not None}
    if kept:
        ours.calc = SinglePointCalculator(ours, **kept)
    stated = str(atoms.info.get("label_level", ""))
    if stated and entry.level and stated != entry.level:
        raise UserError(
            f"{where}: level {stated} in the file, {entry.level} in the samplesheet; say the same"
        )
    ours.info |= {
        **{name: value for name, value in atoms.info.items() if not isinstance(value, dict)},
        "label_level": stated or entry.level or "not stated",
        "label_code": str(atoms.info.get("label_code", entry.code or reading.code)),
        "label_version": str(atoms.info.get("label_version", reading.version)),
    }
    ours.info.setdefault("source", "import")
    if entry.trajectory_id or "trajectory_id" not in ours.info:
        ours.info["trajectory_id"] = entry.trajectory_id or entry.name
    if entry.interval_fs is not None:
        ours.info["time_fs"] = number * entry.interval_fs
    if entry.excited_atoms:
        if max(entry.excited_atoms) >= len(ours) or min(entry.excited_atoms) < 0:
            raise UserError(
                f"{where}: excited_atoms {' '.join(map(str, entry.excited_atoms))} of {len(ours)} atoms; "
                "they count from 0"
            )
        tags = np.zeros(len(ours), int)
        tags[list(entry.excited_atoms)] = 1
        ours.set_array("excited", tags, int)
    return ours


class NoVacuum(UserError):
    """A periodic frame whose images are too near for a free aggregate."""


def _without_box(atoms: Atoms) -> Atoms:
    """Return the atoms with their tags, as they lie, without a cell."""
    free = Atoms(atoms.numbers, atoms.positions)
    if "excited" in atoms.arrays:
        free.set_array("excited", np.asarray(atoms.arrays["excited"], int), int)
    return free


def followed(frames: Sequence[Atoms], name: str = "the trajectory") -> list[Atoms]:
    """Return the frames of one trajectory without their cell, each atom followed from frame to frame.

    The first frame is made free by itself; after that an atom moves by its minimum image, so that one that
    leaves through a face of the box goes on outside. Momenta stay. Raises UserError for a first frame without
    vacuum and for frames of other atoms than the first.
    """
    found: list[Atoms] = []
    for number, atoms in enumerate(frames):
        where = f"{name}, frame {number}"
        if not found:
            free = free_aggregate(atoms, where)
        elif not np.array_equal(atoms.numbers, frames[0].numbers):
            raise UserError(
                f"{where}: {atoms.symbols}, the first frame is {frames[0].symbols}; a trajectory keeps its "
                "atoms and their order"
            )
        else:
            free = _without_box(atoms)
            if atoms.pbc.any():
                pair = np.stack([frames[number - 1].positions, atoms.positions])
                pair = unwrapped(pair, atoms.cell, atoms.pbc)
                free.positions = found[-1].positions + pair[1] - pair[0]
        if atoms.has("momenta"):
            free.set_momenta(atoms.get_momenta())
        found.append(free)
    return found


def free_aggregate(atoms: Atoms, where: str = "the frame") -> Atoms:
    """Return the atoms without their cell: a molecule or aggregate is put together across the box's faces.

    Along each periodic direction the widest gap between atoms is found and everything is cut there. Raises
    NoVacuum where that gap is below VACUUM_A: then the frame is a solid or a liquid, or a molecule that left
    is as near to the next image.
    """
    free = _without_box(atoms)
    if not atoms.pbc.any():
        return free
    if any(not np.linalg.norm(atoms.cell[axis]) for axis in np.flatnonzero(atoms.pbc)):
        raise UserError(f"{where}: periodic along an axis without a vector; give the box, or no periodicity")
    cell = np.asarray(atoms.cell.complete())  # slabs and chains may lack their other vectors
    scaled, apart_A = np.linalg.solve(cell.T, atoms.positions.T).T, heights(cell)
    for axis in np.flatnonzero(atoms.pbc):
        scaled[:, axis] %= 1.0
        order = np.sort(scaled[:, axis])
        gaps = np.diff(order, append=order[0] + 1)
        widest = int(gaps.argmax())
        if gaps[widest] * apart_A[axis] < VACUUM_A:
            raise NoVacuum(
                f"{where}: periodic, with {gaps[widest] * apart_A[axis]:.1f} Å of vacuum along axis {axis}; "
                f"free aggregates with at least {VACUUM_A:g} Å around them are allowed"
            )
        scaled[:, axis] = (scaled[:, axis] - order[(widest + 1) % len(order)] + 1e-9) % 1.0
    positions = scaled @ cell
    free.positions = positions - positions.mean(axis=0)
    return free


def _extxyz(path: Path) -> Reading:
    return Reading(load_frames(path))


def _deepmd(path: Path) -> Reading:
    return Reading(from_deepmd(path))


def _by_ase(kind: str, code: str) -> Callable[[Path], Reading]:
    return lambda path: Reading(by_ase(path, kind), code)


FORMATS: dict[str, Callable[[Path], Reading]] = {
    "extxyz": _extxyz,
    "deepmd": _deepmd,
    "traj": _by_ase("traj", "not stated"),
    "db": read_database,
    "npz": read_npz,
    "hdf5": read_hdf5,
    "vasp-outcar": read_outcar,
    "vasp-xml": read_vasprun,
    "orca": read_orca,
    "engrad": read_engrad,
    "turbomole": _by_ase("turbomole-gradient", "turbomole"),
    "gaussian": read_gaussian,
    "cp2k": read_cp2k,
    "espresso": read_espresso,
    "aims": read_aims,
    "nwchem": read_nwchem,
    "psi4": read_psi4,
}
NAMED = ("extxyz", "deepmd", "traj", "db", "npz", "hdf5")
"""Formats whose labels lie under names, in units that the file does not settle."""
"""Formats by name: each reads a file or folder into frames and says which code and version wrote it."""


def all_frames(files: Sequence[Imported]) -> list[Atoms]:
    """Return the frames of all files, in order."""
    return [atoms for imported in files for atoms in imported.frames]
