"""GFN1-xTB and GFN2-xTB in the engine, by a call back to tblite: dynamics at a labelling level itself."""

import atexit
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.units import Bohr, Hartree

from frazil.errors import UserError
from frazil.potentials.interface import Batched, Evaluation

METHODS = {"gfn1-xtb": "GFN1-xTB", "gfn2-xtb": "GFN2-xTB"}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Semiempirical:
    """A level of ``METHODS`` for neutral atoms of given numbers; not finite where it does not converge.

    ``start`` (natoms, 3), Å, is a structure whose density every evaluation begins from: numbers depend on the
    frame alone, never on the one before. Raises UserError for another level.
    """

    level: str = field(metadata={"static": True})
    numbers: tuple[int, ...] = field(metadata={"static": True})
    start: tuple[float, ...] = field(metadata={"static": True})

    def __post_init__(self) -> None:
        if self.level not in METHODS:
            raise UserError(f"no dynamics at the level {self.level}; allowed are {', '.join(METHODS)}")

    @property
    def cutoff_A(self) -> float | None:
        """None: every pair is taken."""
        return None

    @property
    def n_atoms(self) -> int | None:
        """The number of its atoms."""
        return len(self.numbers)

    def batched(self, n_replicas: int) -> Batched:
        """Return the call of all replicas, one after the other."""
        n_atoms = len(self.numbers)
        shapes = (
            jax.ShapeDtypeStruct((n_replicas,), jnp.float64),
            jax.ShapeDtypeStruct((n_replicas, n_atoms, 3), jnp.float64),
            jax.ShapeDtypeStruct((n_replicas, 3), jnp.float64),
        )
        host = partial(_evaluate, self.level, self.numbers, self.start)

        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            energies, forces, dipoles = jax.pure_callback(host, shapes, positions)
            return Evaluation(energies, forces, {"dipole_e_A": dipoles})

        return Batched(lambda _: jnp.zeros(0), evaluate)


@cache
def _ready(level: str, numbers: tuple[int, ...], start: tuple[float, ...]) -> tuple[Any, Any]:
    """Return tblite's calculator and its result at the start."""
    from tblite.interface import Calculator

    calculator = Calculator(METHODS[level], np.array(numbers), np.array(start).reshape(-1, 3) / Bohr)
    calculator.set("verbosity", 0)
    atexit.register(_ready.cache_clear)  # before the library that frees it is gone
    return calculator, calculator.singlepoint()


def _evaluate(
    level: str, numbers: tuple[int, ...], start: tuple[float, ...], positions: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frames = np.asarray(positions)
    calculator, first = _ready(level, numbers, start)
    energies, forces = np.full(len(frames), np.nan), np.full(frames.shape, np.nan)
    dipoles = np.full((len(frames), 3), np.nan)
    for i, frame in enumerate(frames):
        try:
            calculator.update(frame / Bohr)
            found = calculator.singlepoint(first, copy=True)
        except (RuntimeError, ValueError):  # not converged, or atoms on top of each other
            continue
        energies[i] = found.get("energy") * Hartree
        forces[i] = -found.get("gradient") * Hartree / Bohr
        dipoles[i] = found.get("dipole") * Bohr
    return energies, forces, dipoles
