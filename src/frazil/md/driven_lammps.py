"""LAMMPS under any potential that ``frazil.load`` gives, through ``fix external``, which every build has.

LAMMPS does the dynamics with its own thermostats, constraints and dumps. At each step it asks for the energy
and the forces of all atoms::

    run("potential/committee", Path("in.lammps"))              # the step run-lammps
    attach(lammps, frazil.load("potential/committee"), "COH")  # LAMMPS of one's own, behind its fix external

There is no virial, so that barostats are refused.
"""

import contextlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from frazil.data.structures import read_structures
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.potentials.calculator import load

FIX = "frazil"
INPUT, DATA = "in.lammps", "structure.data"
CALLED = re.compile(r"^\s*fix\s+(\S+)\s+all\s+external\s+pf/callback\s+1\s+1\s*(?:#.*)?$", re.MULTILINE)
BAROSTATS = re.compile(r"^\s*fix\s+\S+\s+\S+\s+(np[th]\S*|\S*/np[th]\S*|press/\S+|box/relax)\b", re.MULTILINE)
SAME_MASS_amu = 0.05
"""How near a type's mass has to be to an element's, so that no isotope is taken for another element."""
MARGIN_A = 5.0
"""Around free atoms, whose box grows with them."""

TEXT = """\
# Energy and forces come from a potential of frazil, in one process:
#   frazil run-lammps --model MODEL --input {input}
# MODEL is a folder of a model, or the name of a potential. Then add your own fix and run. There is no virial.
units metal
boundary {boundary}
atom_style atomic
read_data {data}
pair_style zero 1.0
pair_coeff * *
neighbor 1.0 bin
fix {fix} all external pf/callback 1 1
thermo_style custom step temp pe etotal
thermo_modify format float %.10f
thermo 1
run 0
"""


def write_input(structure: Path, out: Path) -> None:
    """Write ``in.lammps`` and ``structure.data`` of a file's last frame into a folder.

    Raises UserError for a file that ASE does not read, and for a cell that is periodic in part.
    """
    write_beside(out, read_structures(structure, periodic=True)[-1])


def write_beside(folder: Path, atoms: Atoms) -> None:
    """Write the input and the data file of atoms, in their order, with their velocities if they have some.

    Types are numbered in the order in which elements first occur. Raises UserError for a cell that is
    periodic in part.
    """
    if atoms.pbc.any() and not atoms.pbc.all():
        raise UserError(f"{atoms.symbols} is periodic in part; set pbc of all three directions or of none")
    names = list(dict.fromkeys(atoms.get_chemical_symbols()))
    boxed = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("momenta"):
        boxed.set_velocities(atoms.get_velocities())
    if not atoms.pbc.any():
        boxed.center(vacuum=MARGIN_A)
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomic(folder / DATA) as partial:
        boxed.write(
            partial, format="lammps-data", specorder=names, masses=True, atom_style="atomic", units="metal",
            velocities=atoms.has("momenta"),
        )  # fmt: skip
    boundary = "p p p" if atoms.pbc.all() else "m m m"
    with write_atomic(folder / INPUT) as partial:
        partial.write_text(TEXT.format(input=INPUT, data=DATA, boundary=boundary, fix=FIX), encoding="utf-8")


def run(model: str, input: Path, elements: Sequence[str] = (), member: int | None = None) -> None:
    """Run a LAMMPS input, in its own folder, under a potential; LAMMPS prints as it always does.

    Args:
        model: what ``frazil.load`` takes: a folder or a file of a model, or a name.
        input: with ``fix NAME all external pf/callback 1 1`` behind the atoms, before the first run.
        elements: of the types; if there are none, they are told by the masses.
        member: one of a committee; None drives by the mean.

    Raises UserError for an input without that line, with a barostat, or in other units than metal, and for
    what LAMMPS or the potential refuses.
    """
    text = input.read_text(encoding="utf-8")
    asked = CALLED.search(text)
    if asked is None:
        raise UserError(
            f"{input} has no line 'fix NAME all external pf/callback 1 1'; put it behind the atoms and "
            "before the first run (frazil lammps-input writes such an input)"
        )
    if barostat := BAROSTATS.search(text):
        raise UserError(
            f"{input} has {barostat[0].strip()!r}, which needs a virial; allowed: dynamics at constant volume"
        )
    from frazil.md.lammps import lammps_module

    calculator = load(str(Path(model).resolve()) if Path(model).exists() else model, member=member)
    with contextlib.chdir(input.parent), tempfile.TemporaryDirectory() as folder:
        lammps = lammps_module().lammps(cmdargs=["-nocite"])
        driven: Driven | None = None
        try:
            # Files, so that loops of the input (label, jump SELF) go on working behind the fix.
            for name, part in (("before", text[: asked.end()]), ("behind", text[asked.end() :])):
                file = Path(folder) / f"{name}.lammps"
                file.write_text(part.lstrip("\n") + "\n", encoding="utf-8")
                lammps.file(str(file))
                if driven is None:
                    driven = attach(lammps, calculator, elements, asked[1])
        except (UserError, KeyboardInterrupt):
            raise
        except Exception as error:  # LAMMPS says what is wrong with an input, and where
            if driven is None or driven.error is None:
                raise UserError(f"{input}: LAMMPS stopped: {error}") from error
        finally:
            lammps.close()
        if driven is not None and driven.error is not None:
            raise driven.error


def attach(lammps: Any, calculator: Calculator, elements: Sequence[str] = (), fix: str = FIX) -> "Driven":
    """Let a calculator give energy and forces to a running LAMMPS, behind ``fix external pf/callback 1 1``.

    ``elements`` are those of the types 1, 2, …; none: they are told by the masses. What the potential raises
    ends the run of LAMMPS at its next step and is kept in ``error``: look at it after every run. Raises
    UserError for other units than metal, more than one process, and types whose element is not known.
    """
    if (units := lammps.extract_global("units")) != "metal":
        raise UserError(f"LAMMPS runs in units {units}; needed: units metal (eV, Å, ps)")
    if (n := lammps.extract_setting("world_size")) != 1:
        raise UserError(f"LAMMPS runs on {n} processes; one is needed, since the potential sees all atoms")
    driven = Driven(lammps, calculator, _numbers(lammps, elements), fix)
    lammps.set_fix_external_callback(fix, driven, None)
    lammps.command(f"fix_modify {fix} energy yes")
    return driven


def _numbers(lammps: Any, elements: Sequence[str]) -> np.ndarray:
    """Return the atomic numbers of all types (n_types,)."""
    n_types = lammps.extract_setting("ntypes")
    if elements:
        unknown = [name for name in elements if name not in atomic_numbers or name == "X"]
        if unknown or len(elements) != n_types:
            raise UserError(
                f"elements {','.join(elements)}; needed: symbols of the {n_types} types, in order"
            )
        return np.array([atomic_numbers[name] for name in elements])
    found = []
    for kind, mass_amu in enumerate(np.array(lammps.extract_atom("mass")[1 : n_types + 1]), start=1):
        number = int(np.argmin(np.abs(atomic_masses[1:] - mass_amu))) + 1
        if abs(atomic_masses[number] - mass_amu) > SAME_MASS_amu:
            raise UserError(
                f"type {kind} has a mass of {mass_amu:g}, near no element's (nearest is "
                f"{chemical_symbols[number]}, {atomic_masses[number]:g}); say which with --elements"
            )
        found.append(number)
    return np.array(found)


class Driven:
    """What LAMMPS calls at each step; ``error`` is what the potential raised, None if nothing."""

    def __init__(self, lammps: Any, calculator: Calculator, numbers: np.ndarray, fix: str) -> None:
        self._lammps, self._calculator, self._numbers, self._fix = lammps, calculator, numbers, fix
        self._atoms = Atoms()
        self.error: Exception | None = None

    def __call__(self, _: Any, step: int, n: int, tags: Any, positions: Any, forces: Any) -> None:
        """Fill ``forces`` (n, 3), eV/Å, for ``positions`` (n, 3), Å, of the atoms with these ``tags``."""
        try:
            order = np.argsort(tags.reshape(-1))
            kinds = self._lammps.numpy.extract_atom("type")[:n][order]
            self._place(self._numbers[kinds - 1], positions[order])
            forces[order] = self._atoms.get_forces()
            self._lammps.fix_external_set_energy_global(self._fix, self._atoms.get_potential_energy())
        except Exception as error:  # none gets through LAMMPS
            self.error = self.error or error
            forces[:] = np.nan
            self._lammps.force_timeout()

    def _place(self, numbers: np.ndarray, positions_A: np.ndarray) -> None:
        """Move the atoms to where LAMMPS has them, in its box if that is periodic."""
        if not np.array_equal(numbers, self._atoms.numbers):
            self._atoms = Atoms(numbers, positions_A)
            self._atoms.calc = self._calculator
        self._atoms.positions = positions_A
        low, high, xy, yz, xz, periodic, _ = self._lammps.extract_box()
        if any(periodic) and not all(periodic):
            raise UserError("the box is periodic in part; needed: boundary p p p, or none periodic")
        if all(periodic):
            x, y, z = np.subtract(high, low)
            self._atoms.set_cell([[x, 0, 0], [xy, y, 0], [xz, yz, z]])
        self._atoms.pbc = all(periodic)
