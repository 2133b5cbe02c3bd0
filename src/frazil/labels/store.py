"""A label, and where labels that cost hours are kept: one file per frame, so that a kill loses one frame."""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.checkpoints import Claim, read_kept, write_kept
from frazil.data.cells import boundary_key
from frazil.errors import UserError


@dataclass(frozen=True)
class Label:
    """A level's answer for one frame: energy eV, perhaps forces (natoms, 3) eV/Å and dipole (3,) e Å."""

    energy_eV: float
    forces_eV_per_A: np.ndarray | None
    dipole_eA: np.ndarray | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """How it came about (``label_attempt``, …) and what else was asked for (arrays): the frame's info."""


class LabelStore:
    """Finished labels of one level, code and version, in ``directory``/``level-…``/one JSON file per frame.

    A frame is found again by its atoms, positions and cell (to 1e-8 Å, as extxyz keeps them), whatever the
    file, the order or the shard that it comes in. A frame without a label keeps its reason, and is tried
    again only where it is allowed more wall time (``limit_s``, seconds; 0: any) than it was when it failed.
    """

    def __init__(
        self, directory: Path | str, level: str, code: str, version: str, limit_s: float = 0.0
    ) -> None:
        self._origin = {"label_level": level, "label_code": code, "label_version": version}
        self._limit_s = limit_s or math.inf
        identity = json.dumps([level, code, version])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        readable = "".join(letter if letter.isalnum() else "-" for letter in level)
        self.folder = Path(directory) / f"{readable}-{digest}"

    def claim(self, frames: Iterable[Atoms]) -> Claim:
        """Hold these frames until it is closed; waits while another process labels one of them."""
        return Claim(self.folder, (int(self._file(atoms).stem[:15], 16) for atoms in frames))

    def find(self, atoms: Atoms, wanted: Collection[str] = ()) -> Label | str | None:
        """Return the frame's label, or the reason why it has none; None if it was not tried.

        None too for a label without one of the details ``wanted``.
        """
        kept = read_kept(self._file(atoms))
        if kept is None:
            return None
        if "reason" in kept:
            enough = self._limit_s <= (kept.get("limit_s") or math.inf)
            return str(kept["reason"]) if enough else None
        if not set(wanted) <= set(kept["details"]):
            return None
        forces, dipole = kept["forces_eV_per_A"], kept["dipole_eA"]
        return Label(
            kept["energy_eV"],
            None if forces is None else np.array(forces),
            None if dipole is None else np.array(dipole),
            {
                name: np.array(value) if isinstance(value, list) else value
                for name, value in kept["details"].items()
            },
        )

    def keep(self, atoms: Atoms, answer: Label | str) -> None:
        """Write one frame's label or the reason of its absence, whole or not at all."""
        if isinstance(answer, str):
            kept: dict[str, object] = {"reason": answer}
            if math.isfinite(self._limit_s):
                kept["limit_s"] = self._limit_s
        else:
            forces, dipole = answer.forces_eV_per_A, answer.dipole_eA
            kept = {
                "energy_eV": answer.energy_eV,
                "forces_eV_per_A": None if forces is None else np.asarray(forces).tolist(),
                "dipole_eA": None if dipole is None else np.asarray(dipole).tolist(),
                "details": {name: _plain(value) for name, value in answer.details.items()},
            }
        write_kept(self._file(atoms), kept)

    def take(self, labelled: Iterable[Atoms]) -> None:
        """Keep the labels of frames that an earlier run has written.

        Raises UserError where a frame's label is of another level, code or version.
        """
        for atoms in labelled:
            origin = {name: str(atoms.info.get(name, "not stated")) for name in self._origin}
            if origin != self._origin or atoms.calc is None:
                raise UserError(
                    f"a label by {', '.join(origin.values())} cannot be taken over for "
                    f"{', '.join(self._origin.values())}; give labels of the same level, code and version"
                )
            details = {
                name: value
                for name, value in atoms.info.items()
                if name.startswith("label_") and name not in origin
            }
            found = atoms.calc.results
            self.keep(atoms, Label(float(found["energy"]), found.get("forces"), found.get("dipole"), details))

    def _file(self, atoms: Atoms) -> Path:
        coordinates = " ".join(f"{value:.8f}" for value in atoms.positions.ravel())
        text = f"{' '.join(atoms.get_chemical_symbols())} {coordinates}".replace("-0.00000000", "0.00000000")
        text += boundary_key(atoms, digits=8)
        if "ghost" in atoms.arrays:
            text += f" {atoms.arrays['ghost'].astype(int).tolist()}"
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
