"""Energy minima of many replicas at once: L-BFGS on the device, lists rebuilt on the host when one is stale.

Limited-memory BFGS without a line search (Liu & Nocedal, Math. Program. 45, 503, 1989), steps capped, as
ASE's LBFGS; each replica has a history of its own and stops on its own. Importing this module switches JAX to
float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.interface import Potential, jit
from frazil.potentials.neighbours import Neighbours, allocate, collapsed, stale, widened

MEMORY = 20
STIFFNESS_eV_per_A2 = 70.0
"""First guess of the curvature, as ASE's."""
LONGEST_STEP_A = 0.1


@dataclass(frozen=True)
class Minima:
    """Of n structures: positions (n, natoms, 3) Å, energies (n,) eV, largest force on a mobile atom (n,)
    eV/Å, steps (n,), and whether the force fell below the limit (n,).
    """

    positions: np.ndarray
    energies: np.ndarray
    max_forces: np.ndarray
    n_steps: np.ndarray
    converged: np.ndarray


class _Search(NamedTuple):
    positions: jax.Array
    energy: jax.Array
    gradient: jax.Array
    moves: jax.Array
    changes: jax.Array
    inverses: jax.Array
    steps: jax.Array


def minimize(
    potential: Potential,
    positions_A: np.ndarray,
    frozen: np.ndarray | None = None,
    max_force_eV_per_A: float = 0.001,
    max_steps: int = 2000,
    width: int = 8,
    skin_A: float = 0.6,
) -> Minima:
    """Minimize structures (n, natoms, 3), ``width`` at a time; what does not converge says so.

    ``frozen`` (natoms,) is a mask of atoms that stay. A structure that becomes not finite ends unconverged,
    and so does one that fell into a hole of the potential, two of its atoms in one place: its force is inf.
    Raises UserError for limits that are not positive, or positions that are not finite.
    """
    positions = np.asarray(positions_A, float)
    if positions.ndim != 3 or not np.isfinite(positions).all():
        raise UserError(f"positions of shape {positions.shape}; give finite ones, (n, natoms, 3)")
    if not (max_force_eV_per_A > 0 and max_steps > 0 and width > 0):
        raise UserError(
            f"a limit of {max_force_eV_per_A:g} eV/Å in {max_steps} steps, {width} at a time; "
            "all must be positive"
        )
    width = min(width, len(positions))
    mobile = np.ones(positions.shape[1]) if frozen is None else 1.0 - np.asarray(frozen, float)
    parts = []
    for start in range(0, len(positions), width):
        part = positions[start : start + width]
        padded = np.concatenate([part, np.repeat(part[-1:], width - len(part), axis=0)])
        found = _batch(potential, padded, mobile[:, None], max_force_eV_per_A, max_steps, skin_A)
        parts.append([values[: len(part)] for values in found])
    x, energies, forces, steps = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Minima(x, energies, forces, steps, forces <= max_force_eV_per_A)


def _lists(
    potential: Potential, positions: np.ndarray, lost: Sequence[bool], skin_A: float, room: int = 0
) -> Neighbours | None:
    """Return lists of all replicas but those that are lost, with at least ``room`` slots; None for a
    potential without a cutoff.

    Raises UserError for a replica with atoms in one place.
    """
    if potential.cutoff_A is None:
        return None
    usable = [_apart(x) if gone else x for x, gone in zip(positions, lost, strict=True)]
    own = [allocate(x, potential.cutoff_A, skin_A) for x in usable]
    slots = max(room, *(lists.index.shape[1] for lists in own))
    stacked: Neighbours = jax.tree.map(lambda *leaves: np.stack(leaves), *[widened(n, slots) for n in own])
    return stacked


def _apart(positions: np.ndarray) -> np.ndarray:
    """Return places that serve for the lists of a structure that is broken."""
    return np.arange(positions.size, dtype=float).reshape(positions.shape) * 10.0


def _batch(
    potential: Potential,
    positions: np.ndarray,
    mobile: np.ndarray,
    limit: float,
    max_steps: int,
    skin_A: float,
) -> tuple[np.ndarray, ...]:
    lists = _lists(potential, positions, [False] * len(positions), skin_A)
    search = _begin(potential, lists, positions, mobile)
    while True:
        search = _descend(potential, lists, search, mobile, limit, max_steps)
        reached = np.asarray(search.positions)
        lost = [not np.isfinite(x).all() or (lists is not None and collapsed(x)) for x in reached]
        gradient = jnp.where(np.array(lost)[:, None, None], jnp.nan, search.gradient)
        search = search._replace(gradient=gradient)
        forces = np.asarray(_largest(search.gradient))
        steps = np.asarray(search.steps)
        if not ((forces > limit) & (steps < max_steps)).any():
            broken = ~np.isfinite(forces)
            return np.array(reached), np.array(search.energy), np.where(broken, np.inf, forces), steps
        room = 0 if lists is None else lists.index.shape[-1]
        lists = _lists(potential, reached, lost, skin_A, room)


def _largest(gradient: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(gradient**2, axis=-1)).max(axis=-1)


@jit
def _begin(potential: Potential, lists: Any, positions: Any, mobile: Any) -> _Search:
    count, n_atoms, _ = positions.shape
    ready = potential.batched(count)
    energy, forces, _ = ready.evaluate(ready.arrange(lists), jnp.asarray(positions))
    history = jnp.zeros((count, MEMORY, n_atoms, 3))
    return _Search(
        jnp.asarray(positions), energy, -forces * mobile, history, history,
        jnp.zeros((count, MEMORY)), jnp.zeros(count, jnp.int32),
    )  # fmt: skip


def _step(search: _Search) -> jax.Array:
    """Return the next step (natoms, 3) of one replica: the two loops, capped; downhill in any case."""
    history = (search.moves, search.changes, search.inverses)

    def back(q: jax.Array, pair: Any) -> tuple[jax.Array, jax.Array]:
        move, change, inverse = pair
        a = inverse * jnp.sum(move * q)
        return q - a * change, a

    def forth(z: jax.Array, pair: Any) -> tuple[jax.Array, None]:
        move, change, inverse, a = pair
        return z + move * (a - inverse * jnp.sum(change * z)), None

    q, factors = jax.lax.scan(back, search.gradient, history, reverse=True)
    z, _ = jax.lax.scan(forth, q / STIFFNESS_eV_per_A2, (*history, factors))
    downhill = jnp.sum(z * search.gradient) > 0
    step = -jnp.where(downhill, z, search.gradient / STIFFNESS_eV_per_A2)
    longest = jnp.sqrt(jnp.sum(step**2, axis=-1)).max()
    return step * jnp.minimum(1.0, LONGEST_STEP_A / jnp.maximum(longest, 1e-12))


@jit
def _descend(
    potential: Potential, lists: Any, search: _Search, mobile: Any, limit: Any, max_steps: Any
) -> _Search:
    """Step all replicas that are not done until all are, or until a list is stale."""
    ready = potential.batched(search.energy.shape[0])
    arranged = ready.arrange(lists)

    def running(search: _Search) -> jax.Array:
        return (_largest(search.gradient) > limit) & (search.steps < max_steps)

    def fresh(search: _Search) -> Any:
        if lists is None:
            return True
        old = jax.vmap(stale)(lists, search.positions)
        return ~(old & running(search)).any()

    def body(search: _Search) -> _Search:
        going = running(search)
        positions = search.positions + jax.vmap(_step)(search) * going[:, None, None]
        energy, forces, _ = ready.evaluate(arranged, positions)
        gradient = -forces * mobile
        move, change = positions - search.positions, gradient - search.gradient
        curvature = jnp.sum(move * change, axis=(1, 2))
        useful = going & (curvature > 1e-14)
        # A step uphill, or a curvature that is not positive, leaves the history as it is.
        inverse = jnp.where(useful, 1.0 / jnp.where(useful, curvature, 1.0), 0.0)

        def pushed(history: jax.Array, new: jax.Array) -> jax.Array:
            shifted = jnp.concatenate([history[:, 1:], new[:, None]], axis=1)
            return jnp.where(useful.reshape(-1, *[1] * (history.ndim - 1)), shifted, history)

        def kept(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(going.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return _Search(
            kept(positions, search.positions), kept(energy, search.energy), kept(gradient, search.gradient),
            pushed(search.moves, move), pushed(search.changes, change), pushed(search.inverses, inverse),
            search.steps + going,
        )  # fmt: skip

    return jax.lax.while_loop(lambda s: running(s).any() & fresh(s), body, search)
