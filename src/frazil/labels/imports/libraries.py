"""Formats that ASE or dpdata read."""

import re
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator


def by_ase(path: Path, kind: str, **options: Any) -> list[Atoms]:
    """Return the frames that ASE finds; a file's name may hold an @."""
    return list(ase.io.read(path, index=":", format=kind, do_not_split_by_at_sign=True, **options))


def by_dpdata(path: Path, kind: str, energy_unit: float = 1.0) -> list[Atoms]:
    """Return the frames that dpdata finds, energies times ``energy_unit``."""
    import dpdata

    system = dpdata.LabeledSystem(str(path), fmt=kind)
    frames = []
    for number in range(len(system)):
        atoms = Atoms(
            [re.sub(r"\d.*", "", system["atom_names"][kind]) for kind in system["atom_types"]],
            system["coords"][number],
            cell=system["cells"][number],
            pbc=not system.nopbc,
        )
        energy = float(system["energies"][number]) * energy_unit
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=system["forces"][number])
        frames.append(atoms)
    return frames
