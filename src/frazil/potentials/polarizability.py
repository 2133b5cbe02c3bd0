"""What gives the polarizability of a structure: a formula, or a committee that learnt it.

    source = load("assets/polarizabilities/alpha-co")       # a folder with a model.json
    function = source.function(atoms)                       # positions (natoms, 3) → α (members, 3, 3), Å³
    series = along(function)(positions)                     # (n, natoms, 3) → (n, members, 3, 3)

A polarizability is no part of a potential: a learned one goes with any potential, and one run serves all
members of it. It is a pure function of positions for JAX, so that ∂α/∂x is its derivative.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.checkpoints import read_arrays
from frazil.errors import UserError
from frazil.potentials.folder import read_description
from frazil.potentials.learned_polarizability import Learned, Moments

jax.config.update("jax_enable_x64", True)

Polarizability = Callable[[jax.Array], jax.Array]
"""Of positions (natoms, 3), Å: the members' polarizabilities (members, 3, 3), Å³, symmetric."""
Make = Callable[[Atoms], Polarizability]
BATCH = 64
"""Frames that are evaluated together."""
ARRAYS = "polarizability.npz"
KINDS = ("co-bonds", "learned-polarizability")


@dataclass(frozen=True)
class PolarizabilitySource:
    """What gives polarizabilities of atoms that it knows."""

    kind: str
    level: str
    make: Make
    n_members: int = 1

    def function(self, atoms: Atoms) -> Polarizability:
        """Return the polarizabilities of atoms like these. Raises UserError for those it is not made for."""
        return self.make(atoms)


def load(folder: Path | str) -> PolarizabilitySource:
    """Return the source of a folder. Raises UserError for one that holds none, or is damaged."""
    path = Path(folder)
    path = path if path.is_dir() else path.parent
    description = read_description(path)
    kind = description.get("kind")
    if kind not in KINDS:
        raise UserError(
            f"{path} holds a {kind!r}, no polarizability; its model.json may say {' or '.join(KINDS)}"
        )
    level = str(description.get("level", kind))
    if kind == "co-bonds":
        return PolarizabilitySource(kind, level, _bonds)
    learned = _read_learned(path, description)
    return PolarizabilitySource(kind, level, learned.function, learned.n_members)


def _read_learned(folder: Path, own: Mapping[str, Any]) -> Learned:
    """Return the committee of a folder that ``learning.polarizability`` wrote, from its description."""
    arrays = read_arrays(folder / ARRAYS)
    if arrays is None:
        raise UserError(f"{folder} has no {ARRAYS}, or it is damaged; copy the folder again, or train again")
    moments = Moments(tuple(own["atomic_numbers"]), float(own["cutoff_A"]), int(own["n_radial"]))
    return Learned(moments, arrays["constant_A3"], arrays["scalar_A3"], arrays["tensor_A3"])


def _bonds(atoms: Atoms) -> Polarizability:
    from frazil.potentials.analytic.co_crystal import check_crystal, polarizability

    check_crystal(atoms)
    cell = jnp.asarray(atoms.cell.array)
    return lambda positions: polarizability(positions, cell)[None]


def along(function: Polarizability) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives polarizabilities (n, members, 3, 3), Å³, of frames (n, natoms, 3), compiled once."""
    evaluate = jax.jit(jax.vmap(function))

    def of_frames(positions_A: np.ndarray) -> np.ndarray:
        frames, found = np.asarray(positions_A, float), []
        for start in range(0, len(frames), BATCH):
            part = frames[start : start + BATCH]
            padded = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), axis=0)])
            found.append(np.asarray(evaluate(padded))[: len(part)])
        return np.concatenate(found)

    return of_frames


def derivatives(function: Polarizability, positions_A: np.ndarray) -> np.ndarray:
    """Return ∂α/∂x (members, natoms, 3, 3, 3), Å²: atom and direction, then the two of α."""
    slopes: Any = jax.jit(jax.jacrev(function))(jnp.asarray(positions_A))
    return np.moveaxis(np.asarray(slopes), (3, 4), (1, 2))


def mode_tensors(function: Polarizability, positions_A: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Return R_k = ∂α/∂Q_k (members, n_modes, 3, 3), Å²/√amu, along displacements (n_modes, natoms, 3)."""
    return np.einsum("max,kaxij->kmij", displacements, derivatives(function, positions_A), optimize=True)
