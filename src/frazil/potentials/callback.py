"""Potentials that Python computes, replica by replica: right, and slow. Any ASE calculator becomes one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, SCFError

from frazil.errors import UserError
from frazil.potentials.interface import Batched, Evaluation
from frazil.pytrees import pytree

Host = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray] | None]
"""Of positions (natoms, 3), Å: energy eV, forces (natoms, 3) eV/Å, dipole (3,) e Å; None if it fails."""


@pytree
@dataclass(frozen=True)
class Callback:
    """A function of the host on structures of so many atoms; not finite where it returns None.

    It must be a function of the positions alone. ``with_dipole``: whether its dipole is part of the info.
    """

    host: Host = field(metadata={"static": True})
    n_atoms: int | None = field(metadata={"static": True})
    with_dipole: bool = field(default=False, metadata={"static": True})

    @property
    def cutoff_A(self) -> float | None:
        """None: whatever it calls finds its neighbours by itself."""
        return None

    def batched(self, n_replicas: int) -> Batched:
        """Return the call of all replicas, one after the other."""

        def call(positions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            frames = np.asarray(positions)
            energies, forces = np.full(len(frames), np.nan), np.full(frames.shape, np.nan)
            dipoles = np.full((len(frames), 3), np.nan)
            for i, frame in enumerate(frames):
                if np.isfinite(frame).all() and (found := self.host(frame)) is not None:
                    energies[i], forces[i], dipoles[i] = found
            return energies, forces, dipoles

        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            shapes = [(n_replicas,), positions.shape, (n_replicas, 3)]
            energies, forces, dipoles = jax.pure_callback(
                call, tuple(jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes), positions
            )
            return Evaluation(energies, forces, {"dipole_e_A": dipoles} if self.with_dipole else {})

        return Batched(lambda _: jnp.zeros(0), evaluate)


def of_calculator(calculator: Any, atoms: Atoms) -> Callback:
    """Return an ASE calculator as the potential of atoms like these (elements, cell, tags).

    It is reset before each call, so that no number depends on the call before. What it raises as a failed
    calculation (``CalculationFailed``, ``SCFError``) ends that replica alone; anything else ends the run.
    Raises UserError for one without energies and forces.
    """
    known: Sequence[str] = calculator.implemented_properties
    if not {"energy", "forces"} <= set(known):
        raise UserError(
            f"{type(calculator).__name__} computes {', '.join(known)}; energy and forces are needed"
        )
    with_dipole = "dipole" in known
    described = f"{described_as(calculator)} {atoms.symbols}"
    host = _CalculatorHost(described, calculator, atoms.copy(), with_dipole)
    return Callback(host, len(atoms), with_dipole)


def described_as(calculator: Any) -> str:
    """Return what an ASE calculator is, and its parameters: the same in another process."""
    return f"{type(calculator).__module__}.{type(calculator).__name__} {calculator.todict()}"


@dataclass(frozen=True, eq=False)
class _CalculatorHost:
    """Evaluates one frame; what it is called is the same in another process, for checkpoints."""

    described: str
    calculator: Any = field(repr=False)
    like: Atoms = field(repr=False)
    with_dipole: bool

    def __call__(self, positions_A: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
        frame = self.like.copy()
        frame.positions = positions_A
        self.calculator.reset()
        frame.calc = self.calculator
        try:
            energy, forces = frame.get_potential_energy(), frame.get_forces()
            return energy, forces, frame.get_dipole_moment() if self.with_dipole else np.zeros(3)
        except (CalculationFailed, SCFError):
            return None
