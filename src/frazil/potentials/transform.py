"""Potentials made of potentials: sums, committees, mixtures, a bias, an electric field.

All parts see the same atoms. A batch may hold several structures wherever all parts take several
(``interface.Mixed``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.interface import Analytic, Batched, Evaluation, Mixed, Potential, beads_of
from frazil.potentials.neighbours import Neighbours, among, within
from frazil.pytrees import pytree
from frazil.units import COULOMB_eV_A

Combine = Callable[[list[Evaluation], Any], Evaluation]
"""Of the parts' evaluations and the parameters."""


class NoDipole(UserError):
    """A field on a potential that has no dipole, of such a structure."""


class CalledBack(UserError):
    """A field on a potential whose dipole is called back, and cannot be differentiated."""


@pytree
@dataclass(frozen=True)
class Combined:
    """Several potentials on the same atoms, made one by ``combine``: see ``sum_of`` and those after it.

    parameters: what ``combine`` takes, of one structure; with ``by_kind`` an axis of structures leads.
    """

    parts: tuple[Potential, ...]
    parameters: Any
    combine: Combine = field(metadata={"static": True})
    by_kind: bool = field(default=False, metadata={"static": True})

    @property
    def cutoff_A(self) -> float | None:
        """The largest of the parts' cutoffs."""
        return max((part.cutoff_A for part in self.parts if part.cutoff_A is not None), default=None)

    @property
    def n_atoms(self) -> int | None:
        """The number that the parts are made for."""
        return next((part.n_atoms for part in self.parts if part.n_atoms is not None), None)

    def batched(self, n_replicas: int) -> Batched:
        """Return the parts' functions, combined."""
        return self._joined([part.batched(n_replicas) for part in self.parts], self.parameters)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for replicas of several structures (R,). Raises UserError for a part of one."""
        parameters = self.parameters
        if self.by_kind:
            parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf)[kinds], parameters)
        return self._joined([mixed_of(part, kinds) for part in self.parts], parameters)

    def _joined(self, parts: Sequence[Batched], parameters: Any) -> Batched:
        def arrange(neighbours: Neighbours | None) -> Any:
            return tuple(part.arrange(neighbours) for part in parts)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            found = [part.evaluate(own, positions) for part, own in zip(parts, lists, strict=True)]
            return self.combine(found, parameters)

        return Batched(arrange, evaluate)


def sum_of(parts: Sequence[Potential]) -> Combined:
    """Return Σ V_i; dipoles add up, other infos are those of all parts, later ones before earlier ones."""
    return Combined(tuple(parts), (), _add)


def committee_of(parts: Sequence[Potential]) -> Combined:
    """Return the mean of two or more potentials, with the spreads that ``gmnn.potential.GMNN`` has in its
    info.
    """
    return Combined(tuple(parts), (), _mean)


def mixture_of(parts: Sequence[Potential], weights: Any, by_kind: bool = False) -> Combined:
    """Return Σ w_i V_i, of weights (parts,), or (structures, parts) ``by_kind``; (1 − λ, λ) goes from one to
    the other.

    Its info holds each part's own energy, ``part_energies_eV`` (R, parts), and with it ∂V/∂λ = V_2 − V_1. A
    part of weight 0 does not matter, not even where it is not finite.
    """
    return Combined(tuple(parts), jnp.asarray(weights, jnp.float64), _weighted, by_kind)


def _add(found: list[Evaluation], _: Any) -> Evaluation:
    info = {name: value for one in found for name, value in one.info.items()}
    if len(dipoles := _dipoles(found)) > 1:
        info["dipole_e_A"] = sum(dipoles)
    return Evaluation(sum(f.energies for f in found), sum(f.forces for f in found), info)


def _dipoles(found: list[Evaluation]) -> list[jax.Array]:
    """Return the parts' dipoles (R, 3), none of a part without one; empty where no part has any."""
    if not any("dipole_e_A" in f.info for f in found):
        return []
    return [f.info.get("dipole_e_A", jnp.zeros((*f.energies.shape, 3))) for f in found]


def _mean(found: list[Evaluation], _: Any) -> Evaluation:
    energies, forces = jnp.stack([f.energies for f in found]), jnp.stack([f.forces for f in found])
    info = {
        "energy_spread_eV": energies.std(axis=0, ddof=1),
        "force_spread_eV_per_A": jnp.sqrt(forces.var(axis=0, ddof=1).sum(axis=-1)).max(axis=-1),
    }
    for name in set.intersection(*(set(f.info) for f in found)):
        info[name] = jnp.mean(jnp.stack([f.info[name] for f in found]), axis=0)
    return Evaluation(energies.mean(axis=0), forces.mean(axis=0), info)


def _weighted(found: list[Evaluation], weights: jax.Array) -> Evaluation:
    def total(values: Sequence[jax.Array]) -> jax.Array:
        parts = jnp.stack(values)
        own = weights.T.reshape(len(found), -1, *[1] * (parts.ndim - 2))
        return jnp.where(own == 0, 0.0, own * parts).sum(axis=0)

    energies = [f.energies for f in found]
    info = _add(found, ()).info | {"part_energies_eV": jnp.stack(energies, axis=1)}
    if dipoles := _dipoles(found):
        info["dipole_e_A"] = total(dipoles)
    return Evaluation(total(energies), total([f.forces for f in found]), info)


@pytree
@dataclass(frozen=True)
class Bias(Analytic):
    """An energy of one's own, to be added: ``function(positions (natoms, 3), parameters)`` → (), eV.

    ``parameters`` are leaves, so that another restraint of the same form compiles nothing anew.
    """

    function: Callable[[jax.Array, Any], jax.Array] = field(metadata={"static": True})
    parameters: Any = ()

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        return self.function(positions_A, self.parameters)


@dataclass(frozen=True)
class _Around:
    """One potential, changed: its reach and its atoms stay as they are."""

    potential: Any

    @property
    def cutoff_A(self) -> float | None:
        """The potential's."""
        found: float | None = self.potential.cutoff_A
        return found

    @property
    def n_atoms(self) -> int | None:
        """The potential's."""
        found: int | None = self.potential.n_atoms
        return found

    @property
    def n_beads(self) -> int | None:
        """The potential's, where it is of rings."""
        return beads_of(self.potential)


AlphaOf = Callable[[jax.Array], jax.Array]
"""Of positions (natoms, 3), Å: a polarizability (3, 3), Å³, symmetric."""


class _Coupling(NamedTuple):
    """What R replicas and a field E have to do with each other; rings count each bead.

    found: the potential without the field. linear (R,): μ·E, eV, and its slope (R, natoms, 3), eV/Å. induced
    (R, 3): α·E, e Å. quadratic (R,): ½ E·α·E, and its slope; None without a polarizability.
    """

    found: Evaluation
    linear: jax.Array
    linear_slope: jax.Array
    induced: jax.Array | None
    quadratic: jax.Array | None
    quadratic_slope: jax.Array | None


def differentiable(potential: Any) -> Any:
    """Return a potential without compiled kernels, whose dipole JAX can differentiate; parts too."""
    own: dict[str, Any] = {}
    for name in (f.name for f in fields(potential)):
        value = getattr(potential, name)
        if hasattr(value, "batched"):
            own[name] = differentiable(value)
        elif isinstance(value, tuple) and value and all(hasattr(part, "batched") for part in value):
            own[name] = tuple(map(differentiable, value))
    if hasattr(potential, "compiled"):
        own["compiled"] = False
    return replace(potential, **own) if own else potential


@dataclass(frozen=True)
class _WithDipole(_Around):
    """A potential with a dipole that meets a field, and a polarizability if there is one.

    ``n_beads``: the potential may be of rings, each bead of which meets the field.
    """

    def _coupled(
        self, ready: Batched, alpha: AlphaOf | None, lists: Any, positions: jax.Array, field: jax.Array
    ) -> _Coupling:
        """Return the coupling of positions (R, natoms, 3) to fields (R, 3), V/Å.

        Raises NoDipole or CalledBack for a potential that has no dipole, or none that can be differentiated.
        """
        name, n_beads = type(self.potential).__name__, self.n_beads or 1

        def coupled(positions: jax.Array) -> tuple[jax.Array, Evaluation]:
            found = ready.evaluate(lists, positions)
            if "dipole_e_A" not in found.info:
                raise NoDipole(
                    f"a field on {name}, which has no dipole; take a potential that has one (a GM-NN with "
                    "charges, van-hemert with its dipole, q-tip4p-f)"
                )
            return n_beads * (found.info["dipole_e_A"] * field).sum(axis=-1), found

        try:
            linear, pull, found = jax.vjp(coupled, positions, has_aux=True)
        except ValueError as error:
            if "callback" not in str(error).lower():
                raise
            raise CalledBack(
                f"a field on {name}, whose dipole is called back and cannot be differentiated; give its "
                "calculator the field instead"
            ) from error
        (slope,) = pull(jnp.ones_like(linear))
        if alpha is None:
            return _Coupling(found, linear, slope, None, None, None)

        def own(positions: jax.Array, field: jax.Array) -> tuple[jax.Array, jax.Array]:
            tensors = jax.vmap(alpha)(positions.reshape(n_beads, -1, 3))
            induced = tensors.mean(axis=0) @ field / COULOMB_eV_A
            return 0.5 * n_beads * induced @ field, induced

        (quadratic, induced), gained = jax.vmap(jax.value_and_grad(own, has_aux=True))(positions, field)
        return _Coupling(found, linear, slope, induced, quadratic, gained)


@pytree
@dataclass(frozen=True)
class InField(_WithDipole):
    """A potential with a dipole μ in a uniform electric field E (3,), V/Å: V − μ·E − ½ E·α·E.

    The force on an atom is that of V and (∂μ/∂r)·E, by one vector–Jacobian product of the potential's
    dipole. With ``polarizability`` the induced dipole α·E and its force are there too, and the info's dipole
    is μ + α·E; without one, what is of second order in the field is neglected. A GM-NN takes JAX's fast path
    in place of its compiled kernel, which cannot be differentiated. ``by_kind``: an axis of
    structures leads the fields (kinds, 3), so that replicas of one batch are in fields of their own.
    """

    field_V_per_A: Any
    polarizability: AlphaOf | None = field(default=None, metadata={"static": True})
    by_kind: bool = field(default=False, metadata={"static": True})

    def batched(self, n_replicas: int) -> Batched:
        """Return the potential's functions in the field."""
        own = jnp.broadcast_to(jnp.asarray(self.field_V_per_A, jnp.float64), (n_replicas, 3))
        return self._in_field(differentiable(self.potential).batched(n_replicas), own)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for replicas of several structures (R,). Raises UserError for one of one."""
        every = jnp.asarray(self.field_V_per_A, jnp.float64)
        own = every[kinds] if self.by_kind else jnp.broadcast_to(every, (kinds.shape[0], 3))
        return self._in_field(mixed_of(differentiable(self.potential), kinds), own)

    def _in_field(self, ready: Batched, field: jax.Array) -> Batched:
        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            own = self._coupled(ready, self.polarizability, lists, positions, field)
            found = own.found
            energies, forces = found.energies - own.linear, found.forces + own.linear_slope
            if own.induced is None:
                return found._replace(energies=energies, forces=forces)
            info = {**found.info, "dipole_e_A": found.info["dipole_e_A"] + own.induced}
            return Evaluation(energies - own.quadratic, forces + own.quadratic_slope, info)

        return Batched(ready.arrange, evaluate)


@pytree
@dataclass(frozen=True)
class FieldCoupling(_WithDipole):
    """A potential whose info says what a field along the unit vector ``direction`` (3,) would do to it.

    Energies and forces stay those without the field; ``integrators.Driven`` adds one that changes with
    time. The info has ``coupling_e_A`` (R,), μ·e, and its slope ``coupling_slope_e`` (R, natoms, 3); with a
    polarizability also ``induced_e2_A2_per_eV``, ½ e·α·e, and ``induced_slope_e2_A_per_eV``.
    """

    direction: Any
    polarizability: AlphaOf | None = field(default=None, metadata={"static": True})

    def batched(self, n_replicas: int) -> Batched:
        """Return the potential's functions with the coupling."""
        ready: Batched = differentiable(self.potential).batched(n_replicas)
        direction = jnp.broadcast_to(jnp.asarray(self.direction, jnp.float64), (n_replicas, 3))

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            own = self._coupled(ready, self.polarizability, lists, positions, direction)
            info = {**own.found.info, "coupling_e_A": own.linear, "coupling_slope_e": own.linear_slope}
            if own.quadratic is not None:
                info |= {
                    "induced_e2_A2_per_eV": own.quadratic, "induced_slope_e2_A_per_eV": own.quadratic_slope
                }  # fmt: skip
            return own.found._replace(info=info)

        return Batched(ready.arrange, evaluate)


@pytree
@dataclass(frozen=True)
class OnAtoms:
    """A potential of some of the atoms, ascending: the others feel nothing of it, and it nothing of them.

    Of a molecule and of the rest it gives the energy of both apart, whatever the potential. Its neighbour
    lists are taken from those of all atoms; periodic images of a cell stay neighbours, unless ``free`` says
    that the atoms, each at the place that it has, are not in the cell.
    """

    potential: Any
    atoms: tuple[int, ...] = field(metadata={"static": True})
    free: bool = field(default=False, metadata={"static": True})

    @property
    def cutoff_A(self) -> float | None:
        """The potential's."""
        found: float | None = self.potential.cutoff_A
        return found

    @property
    def n_atoms(self) -> int | None:
        """None: of all atoms nothing is known but that these are among them."""
        return None

    def batched(self, n_replicas: int) -> Batched:
        """Return the potential's functions on those atoms."""
        ready: Batched = self.potential.batched(n_replicas)
        chosen = np.array(self.atoms)

        def arrange(neighbours: Neighbours | None) -> Any:
            if neighbours is None or self.cutoff_A is None:
                return ready.arrange(None)
            if self.free:
                return ready.arrange(jax.vmap(lambda own: among(own, chosen))(neighbours))
            return ready.arrange(jax.vmap(lambda own: within(own, chosen))(neighbours))

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            found = ready.evaluate(lists, positions[:, chosen])
            return found._replace(forces=jnp.zeros_like(positions).at[:, chosen].set(found.forces))

        return Batched(arrange, evaluate)


@pytree
@dataclass(frozen=True)
class SameForAll(_Around):
    """A potential in a batch of structures that are all the same to it (isotopes, tags it does not know)."""

    def batched(self, n_replicas: int) -> Batched:
        """Return the potential's functions."""
        ready: Batched = self.potential.batched(n_replicas)
        return ready

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the potential's functions."""
        return self.batched(kinds.shape[0])


def mixed_of(potential: Potential, kinds: jax.Array) -> Batched:
    """Return a potential for replicas of several structures (R,). Raises UserError for one of one."""
    if not isinstance(potential, Mixed):
        raise UserError(
            f"{type(potential).__name__} takes one structure in a batch; run the structures one by one"
        )
    return potential.mixed(kinds)
