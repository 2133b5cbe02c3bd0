"""An ASE calculator for the model of this folder: its network (DeePMD-kit) plus the C–O bonds of bond.table.

The network alone lacks the bonds, so it does not have DeePMD-kit's ending. Needed are ase, numpy, scipy and
deepmd-kit; frazil is not. Use::

    from ase_calculator import WithBonds
    atoms.calc = WithBonds("FOLDER")

Free molecules only. An integer array ``excited`` (1 on the C and O of the excited molecule) marks X1 and X2.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.interpolate import CubicSpline

NETWORK, TABLE = "without_bonds.network", "bond.table"
TYPES = {"C": 0, "O": 1}
PAIRS = {"C-O": (0, 1), "X1-X2": (2, 3)}


class WithBonds(Calculator):
    """Energy (eV) and forces (eV/Å) of the whole model: network and bonds."""

    implemented_properties = ("energy", "forces")

    def __init__(self, folder: Path | str = ".", **options: Any) -> None:
        from deepmd.infer import DeepPot

        super().__init__(**options)
        network = Path(folder).resolve() / NETWORK
        with tempfile.TemporaryDirectory() as place:  # DeePMD-kit knows a network by its ending
            link = Path(place, "network.pb")
            link.symlink_to(network)
            self.network = DeepPot(str(link))
        self.n_types = len(self.network.get_type_map())
        self.curves = _curves(Path(folder) / TABLE)

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Fill ``results``. Raises ValueError for periodic atoms and for elements other than C and O."""
        super().calculate(atoms, properties, system_changes)
        symbols, positions = self.atoms.get_chemical_symbols(), self.atoms.positions
        if self.atoms.pbc.any() or not set(symbols) <= set(TYPES):
            raise ValueError(f"{self.atoms}: this model is of free C and O only")
        kinds = np.array([TYPES[symbol] for symbol in symbols])
        if "excited" in self.atoms.arrays and self.n_types > 2:
            kinds += 2 * (self.atoms.arrays["excited"] != 0)
        energy, forces = self.network.eval(positions.reshape(1, -1), None, kinds)[:2]
        energy, forces = float(np.ravel(energy)[0]), np.reshape(forces, (-1, 3)).astype(float)
        for name, (first, second) in PAIRS.items():
            curve = self.curves[name]
            vectors = positions[kinds == second][None] - positions[kinds == first][:, None]
            lengths = np.linalg.norm(vectors, axis=-1)
            bonded = np.argwhere(lengths < curve.x[-1])
            for a, b in bonded:
                length = lengths[a, b]
                energy += float(curve(length))
                pull = float(curve(length, 1)) * vectors[a, b] / length
                forces[np.flatnonzero(kinds == first)[a]] += pull
                forces[np.flatnonzero(kinds == second)[b]] -= pull
        self.results = {"energy": energy, "forces": forces}


def _curves(table: Path) -> dict[str, CubicSpline]:
    """Return the curves (eV over Å) of LAMMPS' table file, by name."""
    curves = {}
    for section in table.read_text().split("\n\n\n"):
        head, rows = section.split("\n\n")
        numbers = np.array([row.split() for row in rows.splitlines()], float)
        curves[head.splitlines()[-2]] = CubicSpline(numbers[:, 1], numbers[:, 2])
    return curves
