"""Labelled frames on disk: reading with every check, windows, splits, and DeePMD-kit's layout.

``read_frames`` takes molecules of any elements, and crystals and liquids where it is told so;
``read_co_frames`` is for what needs aggregates of CO.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from frazil.data.cells import boundary_key, check_boundaries, wrapped_key
from frazil.data.deepmd_npy import from_deepmd
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.systems.co import (
    LONGEST_BOND_A,
    TYPE_ELEMENTS,
    TYPE_MAP,
    bond_lengths,
    excited_molecules,
    order_by_molecule,
)
from frazil.systems.molecules import molecules_of

FRAME_COLUMNS = (
    "trajectory_id",
    "time_fs",
    "source",
    "subset",
    "n_molecules",
    "energy_eV",
    "max_force_eV_per_A",
)
CUTOFF_A = 6.5
STRESS = re.compile(r"\s(?:stress|virial)\w*=(?:\"[^\"\n]*\"|\{[^}\n]*\}|\[[^\n]*?\](?=\s)|\S+)", re.I)
"""What free molecules have no use for; ASE refuses six numbers in Voigt's order."""


def read_frames(paths: Iterable[Path | str], labelled: bool = True, periodic: str = "no") -> list[Atoms]:
    """Return the frames of extxyz files and DeePMD directories, in order, each checked.

    Labels lie in a SinglePointCalculator (energy eV, forces eV/Å, perhaps dipole e Å). ``periodic``: whether
    frames are free or crystals and liquids in their cells, as ``check_boundaries`` has it. Raises UserError,
    naming file and frame, for whatever could not be trained on, and for labels of more than one level.
    """
    return _checked_frames(paths, labelled, _checked, periodic)


def read_co_frames(
    paths: Iterable[Path | str], labelled: bool = True, cutoff_A: float = CUTOFF_A
) -> list[Atoms]:
    """Return frames as ``read_frames`` does, of CO only, their atoms put in the order C, O, C, O, …

    Raises UserError too for other molecules, and for excited ones half tagged or within the cutoff.
    """
    return _checked_frames(
        paths, labelled, lambda atoms, where: _checked_co(_checked(atoms, where), where, cutoff_A)
    )


def _checked_frames(
    paths: Iterable[Path | str],
    labelled: bool,
    check: Callable[[Atoms, str], Atoms],
    periodic: str = "no",
) -> list[Atoms]:
    frames: list[Atoms] = []
    levels: dict[str, str] = {}
    paths = list(paths)
    if not paths:
        raise UserError("no dataset given; give at least one extxyz file or DeePMD directory")
    for path in map(Path, paths):
        of_file = load_frames(path)
        check_boundaries(of_file, [f"{path}, frame {number}" for number in range(len(of_file))], periodic)
        for number, atoms in enumerate(of_file):
            where = f"{path}, frame {number}"
            checked = check(atoms, where)
            if labelled:
                problem = label_problem(checked)
                if problem:
                    raise UserError(f"{where}: {problem}")
                levels.setdefault(label_origin(checked), where)
            frames.append(checked)
    if len(levels) > 1:
        found = "; ".join(f"{level} (first in {where})" for level, where in levels.items())
        raise UserError(f"labels of different levels in one dataset: {found}; one level only is allowed")
    return frames


def label_origin(atoms: Atoms) -> str:
    """Return level and code of a frame's label, in words; a data set holds one such origin only."""
    return f"{atoms.info.get('label_level', 'not stated')} by {atoms.info.get('label_code', '?')}"


def load_frames(path: Path | str) -> list[Atoms]:
    """Return the frames of one extxyz file or DeePMD directory, unchecked but never none."""
    path = Path(path)
    if path.is_dir():
        return from_deepmd(path)
    if not path.exists():
        raise UserError(f"no dataset {path}; give an extxyz file or a DeePMD directory")
    if not path.read_bytes()[:4096].strip():
        raise UserError(f"the dataset {path} is empty")
    frames = read_extxyz(path)
    if not frames:
        raise UserError(f"the dataset {path} holds no frames")
    return frames


def read_extxyz(path: Path | str) -> list[Atoms]:
    """Return the frames of an extended XYZ file of any name, unchecked, perhaps none.

    Raises UserError for a file that is missing or none, and, before anything is read or allocated, for one
    that does not hold as many atoms as it says.
    """
    with _told(path):
        for _ in ranges_of(path):
            pass
        return _read_with_stress(Path(path))


@contextmanager
def _told(path: Path | str) -> Iterator[None]:
    """Raise UserError for what ASE's parser meets in a file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as extxyz ({reason}); give ASE's extended XYZ") from error


def _read_with_stress(path: Path) -> list[Atoms]:
    """Return a file's frames, without their stress where ASE cannot take it."""
    try:
        return list(ase.io.read(path, index=":", format="extxyz", do_not_split_by_at_sign=True))
    except ValueError as error:
        if "3x3 matrix" not in str(error):
            raise
    text = STRESS.sub(" ", path.read_text())
    return list(ase.io.read(StringIO(text), index=":", format="extxyz"))


def read_at(path: Path | str, first: int, last: int) -> Atoms:
    """Return the frame from a byte of an extended XYZ file to another; nothing else of it is read.

    Raises UserError for what is no frame.
    """
    with _told(path), Path(path).open("rb") as file:
        file.seek(first)
        text = file.read(last - first).decode()
        return ase.io.read(StringIO(text), format="extxyz", do_not_split_by_at_sign=True)


def ranges_of(path: Path | str) -> Iterator[tuple[int, int, bytes]]:
    """Yield each frame's first byte, the byte behind its last, and its comment, of an extended XYZ file.

    Raises UserError for a frame that has not the lines that its first one announces.
    """
    number = end = 0
    with Path(path).open("rb") as file:
        while head := file.readline(200):
            begin, end = end, file.tell()
            if not head.strip() or head.startswith(b"VEC"):
                continue
            if not head.strip().isdigit():
                raise UserError(
                    f"{path}, frame {number}: {head.decode(errors='replace').strip()[:40]!r} is no number of "
                    "atoms; give ASE's extended XYZ"
                )
            n_atoms, comment = int(head), file.readline()
            n_lines = sum(1 for _ in itertools.islice(file, n_atoms))
            if n_lines < n_atoms:
                raise UserError(
                    f"{path}, frame {number}: {n_atoms} atoms are said, {n_lines} are there; the "
                    "file is cut or damaged: write it again"
                )
            end = file.tell()
            yield begin, end, comment
            number += 1


def _checked(atoms: Atoms, where: str) -> Atoms:
    """Return a frame whose elements, positions and tags make sense."""
    if "X" in atoms.get_chemical_symbols():
        raise UserError(f"{where}: an atom of no element (X); give chemical symbols")
    if not np.isfinite(atoms.positions).all():
        raise UserError(f"{where}: a position is not a finite number")
    if "excited" in atoms.arrays:
        tags = np.asarray(atoms.arrays["excited"])
        if tags.ndim != 1 or not np.isin(tags, (0, 1)).all():
            raise UserError(f"{where}: the column excited must hold 0 or 1 for each atom")
    return atoms


def _checked_co(atoms: Atoms, where: str, cutoff_A: float) -> Atoms:
    """Return a frame of CO molecules in molecular order, with tags that make sense."""
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(TYPE_ELEMENTS))
    if foreign:
        raise UserError(f"{where}: {', '.join(foreign)} has no type; the types are {', '.join(TYPE_MAP)}")
    if not _in_order(atoms):
        try:
            atoms = order_by_molecule(atoms)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    _check_tags(atoms, where, cutoff_A)
    return atoms


def _in_order(atoms: Atoms) -> bool:
    """Say whether atoms come C, O, C, O, … with whole molecules.

    Frames with the column excited were ordered when it was made: there a broken bond is a broken bond.
    """
    if atoms.get_chemical_symbols() != ["C", "O"] * (len(atoms) // 2):
        return False
    return "excited" in atoms.arrays or not (bond_lengths(atoms.positions) > LONGEST_BOND_A).any()


def _check_tags(atoms: Atoms, where: str, cutoff_A: float) -> None:
    """Raise UserError for X1 without X2 and for excited molecules that see each other."""
    tagged = excited_molecules(atoms)
    if not tagged:
        return
    if atoms.arrays["excited"].sum() != 2 * len(tagged):
        raise UserError(
            f"{where}: X1 without X2: {int(atoms.arrays['excited'].sum())} atom(s) are tagged as excited, of "
            f"molecule(s) {', '.join(map(str, tagged))}; tag both C and O of a molecule, or neither"
        )
    molecules = atoms.positions.reshape(-1, 2, 3)[tagged]
    for a in range(len(tagged)):
        for b in range(a):
            apart = np.linalg.norm(molecules[a][:, None] - molecules[b][None], axis=-1).min()
            if apart < cutoff_A:
                raise UserError(
                    f"{where}: the excited molecules {tagged[b]} and {tagged[a]} are {apart:.2f} Å apart, "
                    f"closer than the cutoff of {cutoff_A:g} Å; at most one may be within it"
                )


def label_problem(atoms: Atoms) -> str:
    """Return what is wrong with a frame's labels: missing, under unknown names, not finite, of a wrong shape.

    Empty for a frame with a finite energy and finite forces under ASE's names.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    missing = [name for name in ("energy", "forces") if name not in results]
    if missing:
        expected = "expected energy (eV, on the comment line) and forces (eV/Å, a column)"
        similar = [name for name in [*atoms.info, *atoms.arrays] if re.search("energ|forc|grad", name, re.I)]
        if similar:
            return f"unknown label names {', '.join(similar)}; {expected}"
        return f"no {' and no '.join(missing)}; {expected}"
    for name in ("energy", "forces", "dipole"):
        if name in results and not np.isfinite(results[name]).all():
            return f"the label {name} is not a finite number; remove or relabel the frame"
    if np.shape(results["forces"]) != (len(atoms), 3):
        return f"forces of shape {np.shape(results['forces'])}; expected ({len(atoms)}, 3)"
    return ""


def write_frames(path: Path | str, frames: Sequence[Atoms]) -> None:
    """Write frames as extxyz, whole or not at all."""
    with write_atomic(path) as partial:
        if frames:
            ase.io.write(partial, list(frames), format="extxyz")
        else:
            partial.touch()


def max_force(atoms: Atoms) -> float:
    """Return the largest force on an atom, eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def fingerprint(atoms: Atoms) -> bytes:
    """Return what makes two frames doubles: equal elements, tags and positions (to 1e-6 Å).

    In a cell these are the places in it (to 1e-6 of its vectors), beside the cell.
    """
    tags = np.asarray(atoms.arrays.get("excited", np.zeros(len(atoms))), int)
    if atoms.pbc.any():
        cell = boundary_key(atoms, digits=6).encode()
        return atoms.numbers.tobytes() + tags.tobytes() + wrapped_key(atoms) + cell
    return atoms.numbers.tobytes() + tags.tobytes() + (np.round(atoms.positions, 6) + 0.0).tobytes()


def molecular_formulas(atoms: Atoms) -> Counter[str]:
    """Return how many molecules of each formula a frame holds; CO by its order, others by their bonds.

    A cell's content is one: which bonds cross its faces is not asked.
    """
    if atoms.pbc.any():
        return Counter({f"cell of {atoms.get_chemical_formula()}": 1})
    if atoms.get_chemical_symbols() == ["C", "O"] * (len(atoms) // 2):
        return Counter({"CO": len(atoms) // 2})
    return Counter(Atoms(atoms.numbers[members]).get_chemical_formula() for members in molecules_of(atoms))


def summarise(frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return counts, ranges and doubles of labelled frames, fit for JSON.

    Atoms are counted by type: by element, the excited molecule's as X1 and X2.
    """
    atoms_by_type: Counter[str] = Counter()
    contents: Counter[str] = Counter()
    for atoms in frames:
        tags = atoms.arrays.get("excited", np.zeros(len(atoms)))
        pairs = zip(atoms.get_chemical_symbols(), tags, strict=True)
        atoms_by_type.update({"C": "X1", "O": "X2"}.get(name, name) if tag else name for name, tag in pairs)
        found = molecular_formulas(atoms)
        contents[" + ".join(f"{n} {name}" for name, n in sorted(found.items()))] += 1
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in frames]
    forces = [max_force(atoms) for atoms in frames]
    return {
        "n_frames": len(frames),
        "n_trajectories": len({str(atoms.info.get("trajectory_id", "")) for atoms in frames}),
        "n_excited": sum(bool(excited_molecules(atoms)) for atoms in frames),
        "sources": dict(sorted(Counter(str(atoms.info.get("source", "")) for atoms in frames).items())),
        "molecules": dict(sorted(contents.items())),
        "atoms_by_type": dict(sorted(atoms_by_type.items())),
        "energy_eV_per_atom": [float(min(energies)), float(max(energies))],
        "max_force_eV_per_A": [min(forces), max(forces)],
        "n_duplicates": len(frames) - len({fingerprint(atoms) for atoms in frames}),
        "label_level": str(frames[0].info.get("label_level", "")),
        "label_code": str(frames[0].info.get("label_code", "")),
    }
