"""Structures from files: one or many of a file, each with a name."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from frazil.data.frames import read_extxyz
from frazil.errors import UserError


def read_structures(path: Path | str, periodic: bool = False) -> list[Atoms]:
    """Return a file's frames; of published xyz files the comment names the structure (``NAME.xyz``).

    Crystals are refused unless ``periodic`` says that they are of use.
    """
    try:
        if Path(path).suffix in (".xyz", ".extxyz"):
            frames = read_extxyz(path)
        else:
            frames = ase.io.read(path, ":", do_not_split_by_at_sign=True)
    except (OSError, ValueError, KeyError, ase.io.formats.UnknownFileTypeError) as error:
        raise UserError(f"{path} cannot be read as structures ({error}); give extxyz or xyz") from error
    if not frames:
        raise UserError(f"{path} holds no structure; give extxyz or xyz")
    for number, atoms in enumerate(frames):
        comment = next((key for key in atoms.info if key.endswith(".xyz")), None)
        name = atoms.info.get("name") or comment or (Path(path).stem if len(frames) == 1 else None)
        if name:
            atoms.info["name"] = str(name).removesuffix(".xyz")
        if atoms.pbc.any() and not periodic:
            raise UserError(f"frame {number} of {path} is periodic; give free clusters")
    return list(frames)


def check_names(structures: Sequence[Atoms]) -> list[str]:
    """Return the structures' names (info "name", else formula), each once.

    Raises UserError for doubles, and names that no file can have.
    """
    names = [str(atoms.info.get("name", atoms.get_chemical_formula("metal"))) for atoms in structures]
    strange = [name for name in names if not re.fullmatch(r"[\w.+-]+", name)]
    if strange:
        raise UserError(f"a structure named {strange[0]!r}; give names of letters, digits and _ . + -")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise UserError(
            f"structures with one name: {', '.join(doubles)}; give each its own (info key 'name' of extxyz)"
        )
    return names


def matrix_of(value: object) -> np.ndarray:
    """Return a matrix as extended XYZ gives it back."""
    return np.array(json.loads(value.removeprefix("_JSON ")) if isinstance(value, str) else value, float)
