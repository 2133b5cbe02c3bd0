"""The state of one replica, and what all replicas of an ensemble share."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.pytrees import pytree
from frazil.units import kB

AWAY_A = 1e4
"""How far an atom that only fills up a batch is from all others."""
REMOVED_DEGREES = {"none": 0, "drift": 3, "drift and rotation": 6}
"""What may be taken out of the velocities at the start, and the degrees of freedom that go with it."""


@pytree
@dataclass(frozen=True)
class State:
    """One replica in ASE units, float64; ensembles add a leading axis to every field.

    ``forces`` (natoms, 3) eV/Å, ``energy`` () eV and ``info`` (what else the potential says) belong to
    ``positions`` (natoms, 3) Å; ``velocities`` are in Å per ASE time; ``step`` () counts the steps done;
    ``key`` (2,) is the raw threefry key of the trajectory; ``thermostat`` is the integrator's own;
    ``outcome`` () is an ``Outcome``; ``kind`` () says which of an ensemble's structures it is.
    """

    positions: jax.Array
    velocities: jax.Array
    forces: jax.Array
    energy: jax.Array
    info: dict[str, jax.Array]
    step: jax.Array
    key: jax.Array
    thermostat: Any
    outcome: jax.Array
    kind: jax.Array


@pytree
@dataclass(frozen=True)
class System:
    """What replicas of one structure share: masses (natoms, 1) amu, mobile (natoms, 1) 1.0 or 0.0 (frozen),
    and the degrees of freedom () that hold kinetic energy.

    Of several structures every field has an axis of them in front; ``of_kinds`` takes each replica's own.
    """

    masses: jax.Array
    mobile: jax.Array
    degrees_of_freedom: jax.Array

    @property
    def is_mixed(self) -> bool:
        """Whether it is of several structures."""
        return self.degrees_of_freedom.ndim > 0

    def of_kinds(self, kinds: jax.Array) -> tuple["System", int | None]:
        """Return what to map over replicas of these kinds (R,), and along which axis."""
        return (jax.tree.map(lambda leaf: leaf[kinds], self), 0) if self.is_mixed else (self, None)

    def kinetic_energy(self, velocities: jax.Array) -> jax.Array:
        """Return the kinetic energy (), eV, of velocities (natoms, 3)."""
        return 0.5 * jnp.sum(self.masses * velocities**2)

    def temperature_K(self, velocities: jax.Array) -> jax.Array:
        """Return the temperature (), K, of velocities (natoms, 3)."""
        return 2.0 * self.kinetic_energy(velocities) / (self.degrees_of_freedom * kB)


def system_of(
    masses_amu: np.ndarray, frozen: np.ndarray | None, removed: str, conserves_momentum: bool
) -> System:
    """Return the system of masses (natoms,) and a mask of frozen atoms (natoms,).

    Removed motions hold no kinetic energy as long as the dynamics does not bring them back. Raises UserError
    for a mask of another length, all atoms frozen, or a motion removed that frozen atoms do not allow.
    """
    masses = np.asarray(masses_amu, float)
    still = np.zeros(len(masses), bool) if frozen is None else np.asarray(frozen, bool)
    if still.shape != masses.shape or still.all():
        raise UserError(
            f"a mask of {still.size} atoms, {int(still.sum())} of them frozen, for {len(masses)} atoms; "
            "give one value per atom and leave at least one mobile"
        )
    if not (np.isfinite(masses) & (masses > 0)).all():
        raise UserError(f"masses from {masses.min():g} to {masses.max():g} amu; they must be positive")
    if removed not in REMOVED_DEGREES:
        raise UserError(f"removed {removed!r}; allowed are {', '.join(map(repr, REMOVED_DEGREES))}")
    if removed != "none" and still.any():
        raise UserError(
            f"{removed} removed with {int(still.sum())} frozen atoms, which fix the frame; remove 'none'"
        )
    degrees = 3 * int((~still).sum()) - (REMOVED_DEGREES[removed] if conserves_momentum else 0)
    if degrees < 1:
        raise UserError(
            f"{len(masses)} atoms with {removed} removed have {degrees} degrees of freedom; remove less"
        )
    return System(
        jnp.asarray(masses)[:, None],
        jnp.asarray(~still, jnp.float64)[:, None],
        jnp.asarray(degrees, jnp.float64),
    )


def padded_systems(masses_amu: np.ndarray, removed: str, conserves_momentum: bool) -> System:
    """Return the systems of several structures, masses (kinds, natoms), 0 for atoms that are not there.

    Those come last; in the system they are frozen and weigh 1 amu.
    """
    rows = []
    for masses in masses_amu:
        n_real = int((masses > 0).sum())
        if not (masses[:n_real] > 0).all():
            raise UserError("masses of 0 amu before others; atoms that are not there come last")
        system = system_of(masses[:n_real], None, removed, conserves_momentum)
        ends = ((0, len(masses) - n_real), (0, 0))
        rows.append(
            System(
                jnp.pad(system.masses, ends, constant_values=1.0), jnp.pad(system.mobile, ends),
                system.degrees_of_freedom,
            )
        )  # fmt: skip
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def padded_positions(positions: np.ndarray, n_atoms: int) -> np.ndarray:
    """Return positions (n_atoms, 3), Å, the atoms that are not there far from all others."""
    added = np.zeros((n_atoms - len(positions), 3))
    added[:, 0] = AWAY_A * np.arange(1, len(added) + 1)
    return np.concatenate([positions, added])


def without_motion(
    positions: np.ndarray, velocities: np.ndarray, masses: np.ndarray, removed: str
) -> np.ndarray:
    """Return velocities (natoms, 3) without the drift, or drift and rotation, of the whole."""
    if removed == "none":
        return velocities
    weights = masses / masses.sum()
    velocities = velocities - weights @ velocities
    if removed == "drift":
        return velocities
    arms = positions - weights @ positions
    momentum = (masses[:, None] * np.cross(arms, velocities)).sum(axis=0)
    inertia = (masses * (arms**2).sum(axis=1)).sum() * np.eye(3) - (masses[:, None] * arms).T @ arms
    return velocities - np.cross(np.linalg.pinv(inertia, rcond=1e-9) @ momentum, arms)
