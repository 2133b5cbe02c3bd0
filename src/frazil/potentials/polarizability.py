"""What gives the polarizability of a structure: a formula, or a committee that learnt it.

    source = load("assets/polarizabilities/alpha-co")       # a folder with a model.json
    function = source.function(atoms, member=0)             # positions (natoms, 3) → α (3, 3), Å³
    series = along(function)(positions)                     # (n, natoms, 3) → (n, 3, 3)

A polarizability is no part of a potential: a learned one goes with any potential, and one run serves all
members of it. It is a pure function of positions for JAX, so that ∂α/∂x is its derivative.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.potentials.folder import read_description

jax.config.update("jax_enable_x64", True)

Polarizability = Callable[[jax.Array], jax.Array]
"""Of positions (natoms, 3), Å: the polarizability (3, 3), Å³, symmetric."""
Make = Callable[[Atoms, int], Polarizability]
BATCH = 64
"""Frames that are evaluated together."""
KINDS = ("co-bonds", "learned-polarizability")


@dataclass(frozen=True)
class PolarizabilitySource:
    """What gives polarizabilities of atoms that it knows; ``digest`` tells its numbers from others'."""

    kind: str
    level: str
    digest: str
    make: Make
    n_members: int = 1

    def function(self, atoms: Atoms, member: int = 0) -> Polarizability:
        """Return the polarizability of atoms like these under a member.

        Raises UserError for a member that is not there, and atoms that it is not made for.
        """
        if not 0 <= member < self.n_members:
            raise UserError(f"member {member} of {self.n_members} polarizabilities; count from 0")
        return self.make(atoms, member)


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
    text = json.dumps(description, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return PolarizabilitySource(kind, str(description.get("level", kind)), digest, _bonds)


def _bonds(atoms: Atoms, _: int) -> Polarizability:
    from frazil.potentials.analytic.co_crystal import check_crystal, polarizability

    check_crystal(atoms)
    return partial(polarizability, cell_A=jnp.asarray(atoms.cell.array))


def along(function: Polarizability) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives polarizabilities (n, 3, 3), Å³, of frames (n, natoms, 3), compiled once."""
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
    """Return ∂α/∂x (natoms, 3, 3, 3), Å²: atom and direction first, then the two of α."""
    slopes: Any = jax.jit(jax.jacfwd(function))(jnp.asarray(positions_A))
    return np.moveaxis(np.asarray(slopes), (2, 3), (0, 1))


def mode_tensors(function: Polarizability, positions_A: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Return R_k = ∂α/∂Q_k (n_modes, 3, 3), Å²/√amu, along displacements (n_modes, natoms, 3) of modes."""
    return np.einsum("max,axij->mij", displacements, derivatives(function, positions_A))
