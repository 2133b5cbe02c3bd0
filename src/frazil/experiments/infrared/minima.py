"""The file of minima: structures at rest at the labelling level, and what their harmonic spectra follow from.

Extended XYZ; info ``name``, ``label_level``, ``energy_eV``, ``hessian_eV_per_A2``, ``dipole_derivatives_e``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
from ase import Atoms

from frazil.analysis.normal_modes import normal_modes
from frazil.cost import minimum_s
from frazil.data.frames import load_frames, write_frames
from frazil.data.structures import check_names, matrix_of, read_structures
from frazil.errors import UserError
from frazil.experiments.infrared.harmonic import label_minimum
from frazil.experiments.infrared.labels import Labels
from frazil.files import write_atomic
from frazil.systems.minima import Minimum

MINIMA = "minima.extxyz"
"""What the results call the file."""


@dataclass(frozen=True)
class Reference:
    """A structure's minimum at the labelling level."""

    name: str
    minimum: Minimum
    energy_eV: float
    label_level: str


def find_minima(
    structures: Sequence[Path | str],
    out: Path | str,
    level: str,
    on_no_minimum: str,
    n_workers: int = 1,
    checkpoints: Path | None = None,
    only: Sequence[str] = (),
    out_names: Path | None = None,
) -> None:
    """Write the minima of structures (files that ASE reads, all their frames), named by ``check_names``.

    ``only`` names those that are wanted; ``out_names`` becomes a file of the names. Raises UserError, naming
    the structure, for one that is no minimum (and is not to be relaxed, or does not), and for names that are
    not there.
    """
    given = [atoms for path in structures for atoms in read_structures(path)]
    names = check_names(given)
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise UserError(f"no structure {', '.join(unknown)}; there are {', '.join(names)}")
    labels = Labels(level, n_workers, checkpoints)
    frames = []
    for name, atoms in zip(names, given, strict=True):
        if only and name not in only:
            continue
        found = label_minimum(atoms, name, labels, on_no_minimum)
        frame = found.atoms.copy()
        frame.info = {
            "name": name,
            "label_level": level,
            "energy_eV": labels.one(found.atoms).get_potential_energy(),
            "hessian_eV_per_A2": found.hessian,
            "dipole_derivatives_e": found.dipole_derivatives,
        }
        frames.append(frame)
    _write(frames, out, out_names)


def split_structures(structures: Sequence[Path | str], level: str, out: Path | str) -> str:
    """Write every structure into a file of its own, ``0000-NAME.extxyz``; return what their minima will cost.

    Raises UserError for names that no file can have, doubles, and periodic structures.
    """
    given = [atoms for path in structures for atoms in read_structures(path)]
    for number, (atoms, name) in enumerate(zip(given, check_names(given), strict=True)):
        plain = Atoms(atoms.numbers, atoms.positions, info={"name": name})
        write_frames(Path(out) / f"{number:04d}-{name}.extxyz", [plain])
    hours = sum(minimum_s(level, Counter(atoms.get_chemical_symbols())) for atoms in given) / 3600
    return f"minima of {len(given)} structures at {level}: about {hours:.2g} core hours, a task for each"


def gather_minima(minima: Sequence[Path | str], out: Path | str, out_names: Path | str) -> None:
    """Put the files of ``find_minima`` together, in the order given, with a file of their names."""
    for path in minima:
        read_minima(path)
    _write([atoms for path in minima for atoms in load_frames(path)], out, out_names)


def _write(frames: Sequence[Atoms], out: Path | str, out_names: Path | str | None) -> None:
    with write_atomic(out) as partial:
        ase.io.write(partial, frames, format="extxyz")
    if out_names:
        with write_atomic(out_names) as partial:
            partial.write_text("".join(f"{atoms.info['name']}\n" for atoms in frames))


def read_minima(path: Path | str) -> list[Reference]:
    """Return the minima of a file. Raises UserError for a file that ``find_minima`` did not write."""
    found = []
    for atoms in load_frames(path):
        missing = [key for key in ("name", "label_level", "energy_eV") if key not in atoms.info]
        if missing or "hessian_eV_per_A2" not in atoms.info or "dipole_derivatives_e" not in atoms.info:
            raise UserError(f"{path} holds a frame without {' '.join(missing)}; make it with find_minima.py")
        hessian, slopes = (
            matrix_of(atoms.info[key]) for key in ("hessian_eV_per_A2", "dipole_derivatives_e")
        )
        plain = Atoms(atoms.numbers, atoms.positions)
        modes = normal_modes(hessian, plain.positions, plain.get_masses(), slopes)
        found.append(
            Reference(
                str(atoms.info["name"]),
                Minimum(plain, modes, hessian, slopes),
                float(atoms.info["energy_eV"]),
                str(atoms.info["label_level"]),
            )
        )
    return found
