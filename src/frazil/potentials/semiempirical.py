"""GFN1-xTB and GFN2-xTB in the engine, by a call back to tblite: dynamics at a labelling level itself."""

import atexit
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from frazil.errors import UserError
from frazil.potentials.callback import Callback

METHODS = {"gfn1-xtb": "GFN1-xTB", "gfn2-xtb": "GFN2-xTB"}


def semiempirical(level: str, atoms: Atoms) -> Callback:
    """Return a level of ``METHODS`` for neutral atoms like these; not finite where it does not converge.

    The atoms' own density is what every evaluation begins from: numbers depend on the frame alone, never on
    the one before. Raises UserError for another level.
    """
    if level not in METHODS:
        raise UserError(f"no dynamics at the level {level}; allowed are {', '.join(METHODS)}")
    numbers, start = tuple(map(int, atoms.numbers)), tuple(map(float, atoms.positions.ravel()))
    return Callback(_Host(level, numbers, start), len(atoms), with_dipole=True)


@dataclass(frozen=True)
class _Host:
    """Evaluates one frame; equal ones are one function to the compiler and to a checkpoint."""

    level: str
    numbers: tuple[int, ...]
    start: tuple[float, ...]

    def __call__(self, positions_A: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
        calculator, first = _ready(self.level, self.numbers, self.start)
        try:
            calculator.update(positions_A / Bohr)
            found = calculator.singlepoint(first, copy=True)
        except (RuntimeError, ValueError):  # not converged, or atoms on top of each other
            return None
        return (
            found.get("energy") * Hartree, -found.get("gradient") * Hartree / Bohr, found.get("dipole") * Bohr
        )  # fmt: skip


@cache
def _ready(level: str, numbers: tuple[int, ...], start: tuple[float, ...]) -> tuple[Any, Any]:
    """Return tblite's calculator and its result at the start."""
    from tblite.interface import Calculator

    calculator = Calculator(METHODS[level], np.array(numbers), np.array(start).reshape(-1, 3) / Bohr)
    calculator.set("verbosity", 0)
    atexit.register(_ready.cache_clear)  # before the library that frees it is gone
    return calculator, calculator.singlepoint()
