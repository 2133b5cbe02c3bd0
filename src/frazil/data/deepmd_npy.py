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
