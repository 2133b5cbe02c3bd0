"""Labelled frames on disk: reading with every check, windows, splits, and DeePMD-kit's layout.

``read_frames`` takes free molecules of any elements; ``read_co_frames`` is for what needs aggregates of CO.
"""

import csv
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols

from frazil.errors import UserError
from frazil.files import sha256_of, write_atomic
from frazil.seeds import rng
from frazil.structures import (
    LONGEST_BOND_A,
    TYPE_ELEMENTS,
    TYPE_MAP,
    bond_lengths,
    deepmd_types,
    excited_molecules,
    molecules_of,
    order_by_molecule,
)

FRAME_COLUMNS = (
    "trajectory_id",
    "time_fs",
    "source",
    "subset",
    "n_molecules",
    "energy_eV",
    "max_force_eV_per_A",
)
SUBSETS = ("train", "test", "validation")
CUTOFF_A = 6.5
WINDOW_STARTS_fs = (0.0, 500.0, 2500.0)
WINDOW_INTERVALS_fs = (100.0, 10.0, 100.0)
"""The paper's windows: one frame per 100 fs, from 500 fs on one per 10 fs, from 2500 fs on one per 100 fs."""


def read_frames(paths: Iterable[Path | str], labelled: bool = True) -> list[Atoms]:
    """Return the frames of extxyz files and DeePMD directories, in order, each checked.

    Labels lie in a SinglePointCalculator (energy eV, forces eV/Å, perhaps dipole e Å). Raises UserError,
    naming file and frame, for whatever could not be trained on, and for labels of more than one level.
    """
    return _checked_frames(paths, labelled, _checked)


def read_co_frames(
    paths: Iterable[Path | str], labelled: bool = True, cutoff_A: float = CUTOFF_A
) -> list[Atoms]:
    """Return frames as ``read_frames`` does, of CO only, their atoms put in the order C, O, C, O, …

    Raises UserError too for other molecules, and for excited ones half tagged or within the cutoff.
    """
    return _checked_frames(
        paths, labelled, lambda atoms, where: _checked_co(_checked(atoms, where), where, cutoff_A)
    )


READERS = {"any": read_frames, "CO": read_co_frames}
"""Readers by the molecules that they allow."""


def _checked_frames(
    paths: Iterable[Path | str], labelled: bool, check: Callable[[Atoms, str], Atoms]
) -> list[Atoms]:
    frames: list[Atoms] = []
    levels: dict[str, str] = {}
    paths = list(paths)
    if not paths:
        raise UserError("no dataset given; give at least one extxyz file or DeePMD directory")
    for path in map(Path, paths):
        for number, atoms in enumerate(load_frames(path)):
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
    try:
        frames = ase.io.read(path, index=":", format="extxyz")
    except Exception as error:
        raise UserError(f"{path} cannot be read as extxyz ({error}); give ASE's extended XYZ") from error
    if not frames:
        raise UserError(f"the dataset {path} holds no frames")
    return list(frames)


def _checked(atoms: Atoms, where: str) -> Atoms:
    """Return a free frame whose elements, positions and tags make sense."""
    if "X" in atoms.get_chemical_symbols():
        raise UserError(f"{where}: an atom of no element (X); give chemical symbols")
    if atoms.pbc.any():
        raise UserError(f"{where}: the frame is periodic; only free aggregates, unwrapped, are allowed")
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


def window_times_fs(
    duration_fs: float,
    starts_fs: Sequence[float] = WINDOW_STARTS_fs,
    intervals_fs: Sequence[float] = WINDOW_INTERVALS_fs,
) -> np.ndarray:
    """Return the times (fs) to keep of a trajectory: each start's interval up to the next start."""
    if len(starts_fs) != len(intervals_fs) or not len(starts_fs):
        raise UserError(
            f"{len(starts_fs)} window starts and {len(intervals_fs)} intervals; give as many of each, "
            "at least one"
        )
    if (np.diff(starts_fs) <= 0).any() or starts_fs[0] < 0 or min(intervals_fs) <= 0:
        raise UserError(
            f"window starts {list(starts_fs)} fs and intervals {list(intervals_fs)} fs; starts must rise "
            "from 0 or more, intervals must be positive"
        )
    ends = [*starts_fs[1:], duration_fs + 1e-6]
    windows = [
        np.arange(start, min(end, duration_fs + 1e-6) - 1e-9, interval)
        for start, end, interval in zip(starts_fs, ends, intervals_fs, strict=True)
    ]
    return np.concatenate(windows)


def apply_windows(
    frames: Sequence[Atoms], starts_fs: Sequence[float], intervals_fs: Sequence[float]
) -> list[Atoms]:
    """Return the frames nearest to the windows' times, each once, of every trajectory."""
    by_trajectory: dict[str, list[Atoms]] = {}
    for number, atoms in enumerate(frames):
        if "time_fs" not in atoms.info or "trajectory_id" not in atoms.info:
            raise UserError(f"frame {number} has no time_fs or no trajectory_id; sampling windows need both")
        by_trajectory.setdefault(str(atoms.info["trajectory_id"]), []).append(atoms)
    kept: list[Atoms] = []
    for members in by_trajectory.values():
        members = sorted(members, key=lambda atoms: float(atoms.info["time_fs"]))
        times = np.array([float(atoms.info["time_fs"]) for atoms in members])
        wanted = window_times_fs(times[-1], starts_fs, intervals_fs)
        nearest = {int(np.abs(times - time).argmin()) for time in wanted}
        kept += [members[i] for i in sorted(nearest)]
    return kept


def split(
    frames: Sequence[Atoms], by: str, train_fraction: float, validation_fraction: float, campaign_seed: int
) -> np.ndarray:
    """Return the subset (n,) of each frame: train, test or validation.

    ``by`` "trajectory" keeps a trajectory's frames together, source by source (frames 10 fs apart are nearly
    alike: tests by frame flatter); "frame" is what the paper does. The order of the frames changes nothing.
    """
    if by not in ("trajectory", "frame"):
        raise UserError(f"split by {by!r}; allowed are trajectory and frame")
    if not (0 < train_fraction <= 1 and 0 <= validation_fraction <= 1 - train_fraction + 1e-12):
        raise UserError(
            f"train fraction {train_fraction:g}, validation fraction {validation_fraction:g}; the first must "
            "be above 0, the second not negative, and their sum at most 1"
        )
    if by == "frame":
        units = [str(number) for number in range(len(frames))]
        sources = [""] * len(frames)
    else:
        without = [number for number, atoms in enumerate(frames) if "trajectory_id" not in atoms.info]
        if without:
            raise UserError(
                f"frame {without[0]} has no trajectory_id; a split by trajectory needs one in all"
            )
        units = [str(atoms.info["trajectory_id"]) for atoms in frames]
        sources = [str(atoms.info.get("source", "")) for atoms in frames]
    subset_of: dict[str, str] = {}
    for source in sorted(set(sources)):
        members = sorted({u for u, s in zip(units, sources, strict=True) if s == source} - set(subset_of))
        draw = {unit: rng(campaign_seed, "split", zlib.crc32(unit.encode())).random() for unit in members}
        members.sort(key=lambda unit: draw[unit])
        n_train, n_test = _share(len(members), train_fraction, validation_fraction)
        for place, unit in enumerate(members):
            subset_of[unit] = SUBSETS[int(place >= n_train) + int(place >= n_train + n_test)]
    return np.array([subset_of[unit] for unit in units])


def _share(n: int, train_fraction: float, validation_fraction: float) -> tuple[int, int]:
    """Return how many of n go to train and test; train gets at least one, then test, then validation."""
    test_fraction = max(0.0, 1 - train_fraction - validation_fraction)
    wanted = [(test_fraction > 1e-9), (validation_fraction > 1e-9)]
    n_validation = max(round(validation_fraction * n), int(wanted[1] and n >= 3))
    n_test = max(round(test_fraction * n), int(wanted[0] and n >= 2))
    n_validation = min(n_validation, n - 1)
    n_test = min(n_test, n - 1 - n_validation)
    return n - n_test - n_validation, n_test


def prepare(
    frames: Sequence[Path | str],
    out: Path | str,
    split_by: str = "trajectory",
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
    max_force_eV_per_A: float = 100.0,
    campaign_seed: int = 1,
    window_starts_fs: Sequence[float] | None = None,
    window_intervals_fs: Sequence[float] | None = None,
    cutoff_A: float = CUTOFF_A,
    molecules: str = "CO",
) -> dict[str, Any]:
    """Write a dataset directory (three subsets, frames.csv, summary.json) of files and return the summary.

    ``molecules`` is one of ``READERS``; ``cutoff_A`` is for CO only, as in ``read_co_frames``. Frames with a
    force above ``max_force_eV_per_A`` and exact doubles are left out, and counted.
    """
    if (window_starts_fs is None) != (window_intervals_fs is None):
        raise UserError("window starts without intervals, or the reverse; give both or neither")
    read = read_co_frames(frames, cutoff_A=cutoff_A) if molecules == "CO" else READERS[molecules](frames)
    kept = read
    if window_starts_fs is not None and window_intervals_fs is not None:
        kept = apply_windows(read, window_starts_fs, window_intervals_fs)
    n_windows = len(kept)
    kept = [atoms for atoms in kept if max_force(atoms) <= max_force_eV_per_A]
    n_calm = len(kept)
    if not kept:
        raise UserError(
            f"all {n_windows} frames have a force above {max_force_eV_per_A:g} eV/Å; check the labels' unit "
            "(eV/Å) or raise the limit"
        )
    kept = list({fingerprint(atoms): atoms for atoms in reversed(kept)}.values())[::-1]
    subsets = split(kept, split_by, train_fraction, validation_fraction, campaign_seed)
    directory = Path(out)
    for subset in SUBSETS:
        chosen = [atoms for atoms, name in zip(kept, subsets, strict=True) if name == subset]
        write_frames(directory / f"{subset}.extxyz", chosen)
    with write_atomic(directory / "frames.csv") as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FRAME_COLUMNS)
        for atoms, subset in zip(kept, subsets, strict=True):
            described = [atoms.info.get(name, "") for name in ("trajectory_id", "time_fs", "source")]
            energy = f"{atoms.get_potential_energy():.8f}"
            n_molecules = sum(molecular_formulas(atoms).values())
            table.writerow([*described, subset, n_molecules, energy, f"{max_force(atoms):.6f}"])
    summary = summarise(kept) | {
        "split_by": split_by,
        "subsets": {name: int((subsets == name).sum()) for name in SUBSETS},
        "n_read": len(read),
        "n_outside_windows": len(read) - n_windows,
        "n_above_max_force": n_windows - n_calm,
        "n_duplicates_dropped": n_calm - len(kept),
        "max_force_limit_eV_per_A": max_force_eV_per_A,
        "sha256": sha256_of(*(directory / f"{subset}.extxyz" for subset in SUBSETS)),
    }
    with write_atomic(directory / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def max_force(atoms: Atoms) -> float:
    """Return the largest force on an atom, eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def fingerprint(atoms: Atoms) -> bytes:
    """Return what makes two frames doubles: equal elements, tags and positions (to 1e-6 Å)."""
    tags = np.asarray(atoms.arrays.get("excited", np.zeros(len(atoms))), int)
    return atoms.numbers.tobytes() + tags.tobytes() + (np.round(atoms.positions, 6) + 0.0).tobytes()


def molecular_formulas(atoms: Atoms) -> Counter[str]:
    """Return how many molecules of each formula a frame holds; CO by its order, others by their bonds."""
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


def to_deepmd(frames: Sequence[Atoms], directory: Path | str, excited_types: bool = True) -> list[Path]:
    """Write labelled frames as DeePMD-kit systems (deepmd/npy, nopbc), one per sequence of types.

    Returns the systems' paths. A system is named by its number of molecules and the excited one's place
    (``co08_x3``, ``co08``). With ``excited_types`` false the tagged atoms are written as plain C and O (the
    comparison without X1, X2).
    """
    groups: dict[tuple[int, ...], list[Atoms]] = {}
    for atoms in frames:
        groups.setdefault(tuple(int(kind) for kind in deepmd_types(atoms, excited_types)), []).append(atoms)
    systems = []
    for types in sorted(groups, key=lambda types: (len(types), types)):
        members = groups[types]
        tagged = [place // 2 for place in range(0, len(types), 2) if types[place] == 2]
        system = Path(directory, f"co{len(types) // 2:02d}" + "".join(f"_x{molecule}" for molecule in tagged))
        data = system / "set.000"
        data.mkdir(parents=True, exist_ok=True)
        (system / "type.raw").write_text("".join(f"{kind}\n" for kind in types))
        (system / "type_map.raw").write_text("".join(f"{name}\n" for name in TYPE_MAP))
        (system / "nopbc").touch()
        n = len(members)
        np.save(data / "coord.npy", np.array([atoms.positions for atoms in members]).reshape(n, -1))
        np.save(data / "energy.npy", np.array([atoms.get_potential_energy() for atoms in members]))
        np.save(data / "force.npy", np.array([atoms.get_forces() for atoms in members]).reshape(n, -1))
        np.save(data / "box.npy", np.tile(100.0 * np.eye(3).ravel(), (n, 1)))
        systems.append(system)
    return systems


def from_deepmd(directory: Path | str) -> list[Atoms]:
    """Return the frames of every DeePMD-kit system (deepmd/npy, nopbc) under a directory, systems sorted.

    Each frame's ``trajectory_id`` is its system's path, its ``source`` "import". Raises UserError for a
    directory without systems, a type that is no element, a periodic system, or one without labels.
    """
    systems = sorted(path.parent for path in Path(directory).rglob("type.raw"))
    if not systems:
        raise UserError(
            f"the dataset {directory} holds no DeePMD system (a directory with type.raw and set.*)"
        )
    frames = []
    for system in systems:
        names = (
            (system / "type_map.raw").read_text().split() if (system / "type_map.raw").exists() else TYPE_MAP
        )
        indices = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
        if indices.max(initial=0) >= len(names):
            raise UserError(
                f"{system}: type {indices.max()} has no name in type_map.raw ({', '.join(names)})"
            )
        foreign = sorted({names[index] for index in indices} - set(TYPE_MAP) - set(chemical_symbols[1:]))
        if foreign:
            raise UserError(
                f"{system}: {', '.join(foreign)} is no element; types are elements, and X1, X2 for the C and "
                "O of an excited CO"
            )
        if not (system / "nopbc").exists():
            raise UserError(
                f"{system} is periodic (no file nopbc); only free aggregates, unwrapped, are allowed"
            )
        types = [names[index] for index in indices]
        symbols = [{"X1": "C", "X2": "O"}.get(name, name) for name in types]
        tags = np.isin(types, ("X1", "X2")).astype(int)
        for data in sorted(system.glob("set.*")):
            missing = [name for name in ("coord", "energy", "force") if not (data / f"{name}.npy").exists()]
            if missing:
                raise UserError(f"{data}: no {' and no '.join(f'{name}.npy' for name in missing)}")
            coordinates, energies, forces = (
                np.load(data / f"{name}.npy") for name in ("coord", "energy", "force")
            )
            for xyz, energy, force in zip(coordinates, energies.ravel(), forces, strict=True):
                atoms = Atoms(symbols, positions=xyz.reshape(-1, 3))
                atoms.set_array("excited", tags, int)
                atoms.info |= {"trajectory_id": str(system), "source": "import"}
                atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=force.reshape(-1, 3))
                frames.append(atoms)
    return frames
