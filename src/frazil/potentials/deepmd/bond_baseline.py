"""The bond baseline: the isolated molecule's own curve, which a residual model need not learn.

A residual model is trained on what the labels leave after each molecule's bond is taken out, and the same
table is added wherever the model runs: here, and in LAMMPS by ``pair_style hybrid/overlay … table``. Bonds
hold eV where neighbours hold meV; without them a network of equal cost errs half as much
(docs/benchmarks.md).
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.systems.diatomic import BondCurve

GROUND, EXCITED = "C-O", "X1-X2"
SHORTEST_A = 0.5
SPACING_A = 0.002
GROUND_ENDS_A = (1.35, 1.75)
"""An untagged bond's curve is switched off here: below any contact of C and O of two molecules."""
EXCITED_ENDS_A = 0.4
"""The tagged bond's curve is switched off over this last part of its range."""
LAMMPS_POINTS = 5000
TABLE = "bond.table"


class BondBaseline:
    """Energies of bonds from two tables, one for C–O and one for X1–X2.

    Args:
        tables: for each of ``GROUND`` and ``EXCITED`` the bond lengths (n,), Å, and energies (n,), eV.
    """

    def __init__(self, tables: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]) -> None:
        self._tables = tables
        self._curves = {name: CubicSpline(lengths, energies) for name, (lengths, energies) in tables.items()}

    @classmethod
    def of(cls, curve: BondCurve) -> "BondBaseline":
        """Return the baseline of a bond curve, on to ``SHORTEST_A`` with its steepest slope."""
        tables = {}
        for name in (GROUND, EXCITED):
            last = min(curve.longest_A, GROUND_ENDS_A[1]) if name == GROUND else curve.longest_A
            first = GROUND_ENDS_A[0] if name == GROUND else last - EXCITED_ENDS_A
            n_points = int((last - SHORTEST_A) / SPACING_A + 1e-9) + 1
            lengths = np.asarray(SHORTEST_A + SPACING_A * np.arange(n_points), dtype=np.float64)
            inside = np.clip(lengths, curve.shortest_A, curve.longest_A)
            slope = (curve.energy(curve.shortest_A + SPACING_A) - curve.energy(curve.shortest_A)) / SPACING_A
            u = np.clip((lengths - first) / (lengths[-1] - first), 0, 1)
            energies = curve.energy(inside) + slope * (lengths - inside)
            tables[name] = (lengths, np.asarray(energies * (1 - u**3 * (10 - 15 * u + 6 * u**2))))
        return cls(tables)

    @classmethod
    def beside(cls, model_file: Path) -> "BondBaseline":
        """Read the table that belongs to a residual model. Raises UserError where it is missing."""
        file = model_file.with_name(TABLE)
        if not file.is_file():
            raise UserError(
                f"{model_file} is a residual model and its {TABLE} is not beside it; without the bonds its "
                "energies mean nothing: keep the files of train_deepmd.py together"
            )
        tables = {}
        try:
            for section in file.read_text().split("\n\n\n"):
                head, rows = section.split("\n\n")
                columns = np.array([row.split() for row in rows.splitlines()], dtype=np.float64)
                tables[head.splitlines()[-2]] = (columns[:, 1], columns[:, 2])
            if set(tables) != {GROUND, EXCITED}:
                raise ValueError(f"curves of {', '.join(tables) or 'nothing'}")
            return cls(tables)
        except (ValueError, IndexError) as error:
            raise UserError(f"{file} is damaged ({error}); copy the folder again, or train again") from error

    def write_beside(self, model_file: Path) -> None:
        """Write the table in LAMMPS' format (units metal): number, length Å, energy eV, force eV/Å."""
        sections = []
        for name, (lengths, energies) in self._tables.items():
            forces = -self._curves[name](lengths, 1)
            rows = zip(lengths, energies, forces, strict=True)
            body = "\n".join(f"{i} {r:.10g} {e:.15g} {f:.15g}" for i, (r, e, f) in enumerate(rows, start=1))
            sections.append(f"{name}\nN {len(lengths)} R {lengths[0]:.10g} {lengths[-1]:.10g}\n\n{body}")
        with write_atomic(model_file.with_name(TABLE)) as partial:
            partial.write_text("# Bonds of a residual model; UNITS: metal\n" + "\n\n\n".join(sections) + "\n")

    def spline(self, name: str) -> CubicSpline:
        """Return the curve of ``GROUND`` or ``EXCITED``: eV over Å, of evenly spaced knots."""
        return self._curves[name]

    def energies_and_forces(
        self, positions_A: npt.NDArray[np.float64], excited: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return energies (n,) in eV and forces (n, n_atoms, 3) in eV/Å of all bonds.

        positions_A: (n, n_atoms, 3), molecule by molecule; excited: (n_molecules,), which are tagged. A bond
        beyond its table has no baseline.
        """
        bonds = positions_A[:, 1::2] - positions_A[:, ::2]
        lengths = np.linalg.norm(bonds, axis=-1)
        energies, slopes = np.zeros_like(lengths), np.zeros_like(lengths)
        for name, members in ((GROUND, ~excited), (EXCITED, excited)):
            curve, inside = self._curves[name], lengths[:, members] < self._tables[name][0][-1]
            energies[:, members] = np.where(inside, curve(lengths[:, members]), 0)
            slopes[:, members] = np.where(inside, curve(lengths[:, members], 1), 0)
        forces = np.zeros_like(positions_A)
        forces[:, ::2] = (slopes / lengths)[..., None] * bonds
        forces[:, 1::2] = -forces[:, ::2]
        return energies.sum(axis=1), forces

    def lammps_commands(self, model_file: Path, tagged: bool) -> list[str]:
        """Return the ``pair_coeff`` commands of the two tables; without tags every bond is C–O."""
        commands = []
        for pair, name in (("1 2", GROUND), ("3 4", EXCITED if tagged else GROUND)):
            last = self._tables[name][0][-1]
            commands.append(f'pair_coeff {pair} table "{model_file.with_name(TABLE)}" {name} {last:.10g}')
        return commands
