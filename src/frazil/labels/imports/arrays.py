"""Files of arrays: ASE's databases, npz (MD17, rMD17) and HDF5 with a group for each molecule (SPICE, ANI).

Nothing is unpickled. Labels go into a frame's info and arrays under the file's names, and what it says of
units beside them, for ``named.find_labels``.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from frazil.errors import UserError
from frazil.labels.imports.reading import Reading

NUMBERS = ("z", "nuclear_charges", "atomic_numbers", "numbers", "species")
POSITIONS = ("r", "coords", "coordinates", "positions", "pos", "xyz", "conformations", "geometry")
SHORT = {"e": "energy", "f": "forces", "d": "dipole"}
"""Names of sGDML's files."""
UNIT_NAMES = {"e_unit": "energy_unit", "r_unit": "length_unit"}
LARGEST_BYTES = 64 * 2**30


def read_database(path: Path) -> Reading:
    """Return the rows of an ASE database (SQLite or JSON); labels of its calculators, or of its data."""
    import ase.db

    if path.read_bytes()[:15] != b"SQLite format 3":
        raise UserError(f"{path} is no SQLite database; give ASE's .db")
    frames = []
    try:
        with ase.db.connect(path, type="db") as database:
            stated = _stated_units(database.metadata)
            for row in database.select():
                atoms = row.toatoms()
                values = {name: np.asarray(value) for name, value in dict(row.data).items()}
                _put(atoms, {name: array.squeeze() for name, array in values.items()})
                atoms.info |= dict(row.key_value_pairs) | stated
                frames.append(atoms)
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path} is no whole SQLite database ({error}); write it again") from error
    return Reading(frames)


def _stated_units(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the units that SchNetPack keeps with a database."""
    by_property = metadata.get("_property_unit_dict") or {}
    names = {"energy": "energy", "forces": "forces", "dipole": "dipole", "dipole_moment": "dipole"}
    found = {f"{names[name]}_unit": str(unit) for name, unit in by_property.items() if name in names}
    if metadata.get("_distance_unit"):
        found["length_unit"] = str(metadata["_distance_unit"])
    return found


def read_npz(path: Path) -> Reading:
    """Return the frames of an npz of one molecule, or of several filled up with atoms of number 0."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    stated = {
        unit: str(arrays[name])
        for name, unit in UNIT_NAMES.items()
        if name in arrays and arrays[name].ndim == 0
    }
    if "old_indices" in arrays and "old_energies" in arrays:  # rMD17's own mark
        stated = {"energy_unit": "kcal/mol", "length_unit": "Angstrom"}
        arrays = {name: array for name, array in arrays.items() if not name.startswith("old_")}
    return Reading(list(_frames(path, arrays, stated)))


def read_hdf5(path: Path) -> Reading:
    """Return the conformers of every group; those of one molecule are one trajectory."""
    import h5py

    frames: list[Atoms] = []
    with h5py.File(path, "r") as file:
        groups: list[tuple[str, Any]] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group) and _find(item, NUMBERS) and _find(item, POSITIONS):
                groups.append((name, item))

        visit("", file)
        file.visititems(visit)
        if not groups:
            raise UserError(
                f"{path}: no group holds atomic numbers ({', '.join(NUMBERS)}) and positions "
                f"({', '.join(POSITIONS)}); give a group for each molecule"
            )
        for name, group in groups:
            arrays, stated = {}, {}
            for key, item in group.items():
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiuSO":
                    if item.nbytes > LARGEST_BYTES:
                        raise UserError(
                            f"{path}: {name}/{key} says {item.nbytes / 2**30:.0f} GiB; cut the file"
                        )
                    arrays[key] = item[()]
                    if "units" in item.attrs:
                        stated[_unit_name(key)] = str(item.attrs["units"])
            for atoms in _frames(path, arrays, {unit: said for unit, said in stated.items() if unit}):
                atoms.info["trajectory_id"] = f"{path.name}/{name}"
                frames.append(atoms)
    return Reading(frames)


def _find(arrays: Any, names: tuple[str, ...]) -> str:
    """Return the name under which one of several is there, in small letters or not; empty if none."""
    return next((key for name in names for key in arrays if key.lower() == name), "")


def _unit_name(key: str) -> str:
    """Return the column of a unit that stands beside an array; empty for what is no label."""
    for pattern, column in (("grad|forc", "forces_unit"), ("energ", "energy_unit"), ("dipol", "dipole_unit")):
        if re.search(pattern, key, re.I):
            return "" if "formation" in key.lower() else column
    return "length_unit" if key.lower() in POSITIONS else ""


def _frames(path: Path, arrays: Mapping[str, np.ndarray], stated: Mapping[str, str]) -> Iterator[Atoms]:
    numbers_key, positions_key = _find(arrays, NUMBERS), _find(arrays, POSITIONS)
    if not numbers_key or not positions_key:
        raise UserError(
            f"{path}: no atomic numbers ({', '.join(NUMBERS)}) or no positions ({', '.join(POSITIONS)}); "
            f"it has {', '.join(arrays)}"
        )
    numbers, positions = _numbers(arrays[numbers_key]), np.asarray(arrays[positions_key], float)
    if positions.ndim != 3 or positions.shape[1:] != (numbers.shape[-1], 3):
        raise UserError(
            f"{path}: {positions_key} of shape {positions.shape} beside {numbers.shape[-1]} atoms; expected "
            f"(frames, {numbers.shape[-1]}, 3)"
        )
    n = len(positions)
    of_frames = {
        SHORT.get(name.lower(), name): array
        for name, array in arrays.items()
        if name not in (numbers_key, positions_key) and np.ndim(array) and len(array) == n
    }
    for i in range(n):
        row = numbers if numbers.ndim == 1 else numbers[i]
        real = row > 0
        atoms = Atoms(row[real], positions[i][real])
        own = {name: np.squeeze(array[i]) for name, array in of_frames.items()}
        _put(atoms, {k: v[real] if np.shape(v) == (len(row), 3) else v for k, v in own.items()})
        atoms.info |= stated
        yield atoms


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return atomic numbers of an array that holds them, or symbols."""
    if values.dtype.kind in "SO":
        return np.array([atomic_numbers[v.decode() if isinstance(v, bytes) else str(v)] for v in values])
    return np.asarray(values, int)


def _put(atoms: Atoms, values: Mapping[str, np.ndarray]) -> None:
    """Put numbers into a frame's info, and those of its atoms into its arrays, under names without blanks."""
    for name, value in values.items():
        if np.asarray(value).dtype.kind not in "fiu":
            continue
        key = re.sub(r"\W+", "_", name)
        key = re.sub(r"_?total_gradient$", "_gradient", key)
        if np.shape(value) == (len(atoms), 3):
            atoms.set_array(key, np.asarray(value, float))
        elif np.ndim(value) == 0:
            atoms.info[key] = float(value)
        elif np.shape(value) == (3,):
            atoms.info[key] = np.asarray(value, float)
