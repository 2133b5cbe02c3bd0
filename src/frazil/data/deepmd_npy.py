"""DeePMD-kit's layout of labelled frames (deepmd/npy), written and read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols

from frazil.errors import UserError
from frazil.systems.co import TYPE_MAP, deepmd_types


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
    """Return the frames of every DeePMD-kit system (npy, npy/mixed) under a directory, systems sorted.

    Each frame's ``trajectory_id`` is its system's path, its ``source`` "import". A system without the file
    ``nopbc`` is periodic in its boxes. Raises UserError for a directory without systems, a type that is no
    element, arrays that do not fit each other, and a system without labels.
    """
    systems = sorted(path.parent for path in Path(directory).rglob("type.raw"))
    if not systems:
        raise UserError(
            f"the dataset {directory} holds no DeePMD system (a directory with type.raw and set.*)"
        )
    frames = []
    for system in systems:
        map_file = system / "type_map.raw"
        names = map_file.read_text().split() if map_file.exists() else list(TYPE_MAP)
        placeholder = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
        for data in sorted(system.glob("set.*")):
            frames += _frames_of_set(system, data, names, placeholder)
    return frames


def _frames_of_set(system: Path, data: Path, names: Sequence[str], types: np.ndarray) -> list[Atoms]:
    """Return a set's frames; where it has types of its own (mixed), those of type.raw are a placeholder."""
    free = (system / "nopbc").exists()
    needed = ["coord", "energy", "force", *([] if free else ["box"])]
    missing = [name for name in needed if not (data / f"{name}.npy").exists()]
    if missing:
        raise UserError(f"{data}: no {' and no '.join(f'{name}.npy' for name in missing)}")
    arrays = {name: np.load(data / f"{name}.npy", allow_pickle=False) for name in needed}
    n = len(arrays["coord"])
    own = data / "real_atom_types.npy"
    kinds = np.load(own, allow_pickle=False) if own.exists() else np.tile(types, (n, 1))
    shapes = {"coord": 3 * kinds.shape[-1], "energy": 1, "force": 3 * kinds.shape[-1], "box": 9}
    for name, array in arrays.items():
        if array.size != n * shapes[name] or len(kinds) != n:
            raise UserError(
                f"{data}: {name}.npy of shape {array.shape} beside {n} frames of {kinds.shape[-1]} atoms; "
                "give arrays of one set"
            )
    tables = {name: array.reshape(n, shapes[name]) for name, array in arrays.items()}
    frames = []
    for i, row in enumerate(kinds):
        real = row >= 0  # mixed sets may be filled up with atoms of type -1
        elements = _named(system, names, row[real])
        symbols = [{"X1": "C", "X2": "O"}.get(name, name) for name in elements]
        atoms = Atoms(symbols, positions=tables["coord"][i].reshape(-1, 3)[real])
        if not free:
            atoms.set_cell(tables["box"][i].reshape(3, 3))
            atoms.pbc = True
        atoms.set_array("excited", np.isin(elements, ("X1", "X2")).astype(int), int)
        atoms.info |= {"trajectory_id": str(system), "source": "import"}
        forces = tables["force"][i].reshape(-1, 3)[real]
        atoms.calc = SinglePointCalculator(atoms, energy=float(tables["energy"][i, 0]), forces=forces)
        frames.append(atoms)
    return frames


def _named(system: Path, names: Sequence[str], kinds: np.ndarray) -> list[str]:
    """Return the names of types, each an element or X1, X2."""
    if kinds.max(initial=0) >= len(names):
        raise UserError(f"{system}: type {kinds.max()} has no name in type_map.raw ({', '.join(names)})")
    found = [names[kind] for kind in kinds]
    foreign = sorted(set(found) - set(TYPE_MAP) - set(chemical_symbols[1:]))
    if foreign:
        raise UserError(
            f"{system}: {', '.join(foreign)} is no element; types are elements, and X1, X2 for the C and "
            "O of an excited CO"
        )
    return found
