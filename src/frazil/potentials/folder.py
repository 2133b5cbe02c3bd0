"""A potential's folder: its files, and ``model.json``, which says what they are and tells damage.

Fields of ``model.json``: ``format`` "frazil-potential", ``format_version`` 1, ``kind`` (``registry``),
``members``, ``elements`` or ``type_map``, ``cutoff_A``, ``level`` (of the labels), ``residual`` (what was
taken out of the labels: "molecules", "bonds" or null), ``files`` (SHA-256 by name), ``frazil`` (its version),
and what the trainer adds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import frazil
from frazil.errors import UserError
from frazil.files import sha256_of, write_json

DESCRIPTION = "model.json"
INTERACTION = " interaction"
"""Ends the label level of labels without the molecules themselves, and of a model trained on them."""
FORMAT, FORMAT_VERSION = "frazil-potential", 1
FILES = {
    "gmnn": ("model.h5",),
    "egnn": ("egnn.h5",),
    "deepmd": ("model.pb", "without_bonds.network", "residual.pb"),
}
"""Of each kind of folder that training writes, the files of which it has one: what runs."""


def describe(folder: Path, kind: str, files: Sequence[str], **fields: Any) -> None:
    """Write ``model.json`` of a folder whose files are written."""
    description = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "kind": kind, **fields,
        "files": {name: sha256_of(folder / name) for name in files}, "frazil": frazil.__version__,
    }  # fmt: skip
    write_json(folder / DESCRIPTION, description)


def read_description(folder: Path | str) -> dict[str, Any]:
    """Return ``model.json`` of a folder, its files checked against their digests.

    Raises UserError for a folder without one, one that cannot be read, and for a file that is missing or
    damaged.
    """
    file = Path(folder) / DESCRIPTION
    if not file.is_file():
        raise UserError(f"{folder} holds no {DESCRIPTION}; give a model folder that training wrote")
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); copy the folder again, or train again") from error
    if not isinstance(found, dict) or found.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        raise UserError(f"{file} is no description of version {FORMAT_VERSION}; use the frazil that wrote it")
    files: Mapping[str, str] = found.get("files", {})
    for name, digest in files.items():
        path = file.with_name(name)
        if not path.is_file():
            raise UserError(f"{folder} has no {name}, which its {DESCRIPTION} names; copy the whole folder")
        if sha256_of(path) != digest:
            raise UserError(
                f"{path} is damaged: it is not the file that {DESCRIPTION} says; copy it again or train again"
            )
    return found


def elements_of(path: Path) -> list[str]:
    """Return the elements that a potential's folder (or file in one) says it knows; none where it says none.

    Nothing of the potential is loaded. Raises UserError for a folder that is no potential's, or is damaged.
    """
    folder = path if path.is_dir() else path.parent
    description = read_description(folder) if (folder / DESCRIPTION).is_file() else {}
    names = [name for files in FILES.values() for name in files]
    if path.is_dir() and not description and not any((folder / name).is_file() for name in names):
        raise UserError(
            f"the folder is no potential's; give one that training wrote ({', '.join(names)}), or with a "
            f"{DESCRIPTION}"
        )
    return list(description.get("elements", ()))
