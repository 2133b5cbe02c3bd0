"""Ensembles of replicas: batching, and nothing but batching (the physics is of one replica).

Trajectories wait in a queue; those that run fill the slots of a batch of constant width. The device
advances all slots for a chunk of observations and notes who is done; between chunks the host hands out what
has finished, puts the next trajectories into the free slots and writes a checkpoint. A trajectory is a
function of (campaign seed, its id, its start): its slot, its neighbours in the batch, the order, the length
of a chunk, refilling and restarts change no bit. Another width, which compiles other code, may change the
last ones.
Importing this module switches JAX to float64.
"""

import hashlib
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from frazil.checkpoints import key_of, read_arrays
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.md.integrators import Integrator, OwnTemperature
from frazil.md.observers import energies
from frazil.md.state import State, System, padded_systems, system_of, without_motion
from frazil.md.trajectory import Outcome, Rows, Trajectory
from frazil.potentials.interface import Batched, Mixed, Potential, beads_of, jit
from frazil.potentials.neighbours import Neighbours, allocate, stale, update, widened

EMPTY = -1
"""Outcome of a slot that holds no trajectory."""
MOST_SLOTS = 2048
"""Neighbour lists never grow beyond this."""

Observer = Callable[[State, System], dict[str, jax.Array]]
Stop = Callable[[State, System], jax.Array]
Watch = Callable[[int, dict[str, np.ndarray]], int]


class _Batch(NamedTuple):
    states: State
    neighbours: Neighbours | None


@dataclass
class _Member:
    """A trajectory: waiting with its start, put aside with the state it had reached, or in a slot."""

    trajectory_id: int
    positions: np.ndarray
    velocities: np.ndarray
    kind: int = 0
    thermostat: Any = None
    reached: _Batch | None = None
    rows: list[Rows] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Tells its start from others."""
        arrays = (self.positions, self.velocities, np.int32(self.kind), *jax.tree.leaves(self.thermostat))
        return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()

    def so_far(self) -> Rows:
        """Return all rows yet."""
        return {name: np.concatenate([rows[name] for rows in self.rows]) for name in self.rows[0]}


@dataclass(frozen=True)
class Ensemble:
    """What all trajectories of an ensemble share.

    Args:
        potential: energies and forces (``potentials.interface``).
        integrator: of ``md.integrators``.
        masses_amu: (natoms,); of ring polymers those of all beads, bead by bead. Of several structures
            (kinds, natoms), with 0 for atoms that are not there: all have as many as the largest
            (``state.padded_positions``), and the potential is a ``Mixed`` one.
        n_steps: steps of a trajectory that nothing stops; a multiple of ``observe_every``.
        observe_every: steps between observations; stop rules are judged there.
        campaign_seed: with a trajectory's id the key of its random numbers.
        observers: what to save, each returning names of its own.
        stop: rule of an experiment: the code (from ``Outcome.FIRST_OF_EXPERIMENT``) of one replica's outcome,
            0 to go on; runs on the device.
        frozen: mask (natoms,) of atoms that do not move.
        removed: "none", "drift" or "drift and rotation" taken out of the starts, and of the degrees of
            freedom where the dynamics conserves them (Langevin's does not; nor does a wall, so say "none").
        cell_A: (3, 3) of a structure that is periodic in all directions, of any size: atoms see as many
            images as the cutoff reaches.
        width: slots of a batch.
        chunk: observations between two visits of the host.
        skin_A: Verlet skin of the neighbour lists.
    """

    potential: Potential
    integrator: Integrator
    masses_amu: np.ndarray
    n_steps: int
    observe_every: int
    campaign_seed: int = 0
    observers: tuple[Observer, ...] = (energies,)
    stop: Stop | None = None
    frozen: np.ndarray | None = None
    removed: str = "none"
    cell_A: np.ndarray | None = None
    width: int = 8
    chunk: int = 10
    skin_A: float = 0.5

    def run(
        self,
        positions: np.ndarray,
        velocities: np.ndarray,
        trajectory_ids: Sequence[int] | None = None,
        watch: Watch | None = None,
        checkpoint: Path | None = None,
        after_chunk: Callable[[], None] | None = None,
        temperatures_K: Sequence[float] | None = None,
        kinds: Sequence[int] | None = None,
    ) -> Iterator[Trajectory]:
        """Run trajectories from positions and velocities (n, natoms, 3), ASE units; yield each when it ends.

        ``temperatures_K`` are the trajectories' own, for an integrator that is an ``OwnTemperature``;
        ``kinds`` say which of several structures each is.

        ``watch(id, new rows)`` is a stop rule on the host, for one that needs a trajectory's history: it
        returns the number of the last new row that is needed, or −1 to go on. ``checkpoint`` is a file that
        is written after every chunk and gone at the end; a run that finds one goes on from it, to the same
        bytes. ``after_chunk`` is called once a chunk is safe. Raises UserError for bad input, before any
        step; a trajectory that breaks on its way is an outcome, not an error.
        """
        system = self._checked(np.asarray(positions), np.asarray(velocities))
        ids = range(len(positions)) if trajectory_ids is None else [int(i) for i in trajectory_ids]
        if len(set(ids)) != len(positions) or len(velocities) != len(positions):
            raise UserError(
                f"{len(positions)} positions, {len(velocities)} velocities and {len(set(ids))} different "
                "trajectory ids; give one of each per trajectory"
            )
        if (kinds is not None) != system.is_mixed:
            raise UserError("kinds of trajectories go with masses of several structures, and they with them")
        kinds = [0] * len(ids) if kinds is None else kinds
        members = [
            _Member(i, np.array(x, float), self._without_motion(x, np.asarray(v, float), kind), int(kind))
            for i, x, v, kind in zip(ids, positions, velocities, kinds, strict=True)
        ]
        if (temperatures_K is not None) != isinstance(self.integrator, OwnTemperature):
            raise UserError("temperatures of trajectories go with an OwnTemperature, and it with them")
        if isinstance(self.integrator, OwnTemperature) and temperatures_K is not None:
            for member, temperature_K in zip(members, temperatures_K, strict=True):
                replace(self.integrator.thermostat, temperature_K=temperature_K).check()
                own, _ = system.of_kinds(jnp.asarray(member.kind))
                member.thermostat = _on_host(self.integrator.started(own, temperature_K))
        return _Run(self, system, members, watch, checkpoint).trajectories(after_chunk or (lambda: None))

    def _without_motion(self, positions: np.ndarray, velocities: np.ndarray, kind: int) -> np.ndarray:
        """Return a start's velocities without what is removed, zero for atoms that are not there."""
        masses = np.atleast_2d(np.asarray(self.masses_amu, float))[kind]
        real = masses > 0
        own = np.zeros_like(velocities)
        own[real] = without_motion(positions[real], velocities[real], masses[real], self.removed)
        return own

    def _checked(self, positions: np.ndarray, velocities: np.ndarray) -> System:
        self.integrator.check()
        masses = np.asarray(self.masses_amu, float)
        n_atoms = masses.shape[-1]
        for name, values in (("positions", positions), ("velocities", velocities)):
            if values.ndim != 3 or values.shape[1:] != (n_atoms, 3):
                raise UserError(
                    f"{name} of shape {values.shape} for {n_atoms} masses; (n, {n_atoms}, 3) is needed"
                )
            broken = np.argwhere(~np.isfinite(values).all(axis=2))
            if len(broken):
                raise UserError(
                    f"{name} of atom {broken[0, 1]} in start {broken[0, 0]} are not finite; give finite ones"
                )
        if self.potential.n_atoms not in (None, n_atoms):
            raise UserError(
                f"a potential made for {self.potential.n_atoms} atoms and {n_atoms} masses; they must agree"
            )
        rings, turned = beads_of(self.potential), beads_of(self.integrator)
        if rings != turned:
            raise UserError(
                f"a potential of {_rings(rings)} under an integrator of {_rings(turned)}; rings "
                "(potentials.rings.RingPolymer) go with PILE of as many beads, points with any other"
            )
        if rings is not None and n_atoms % rings:
            raise UserError(
                f"{n_atoms} masses for rings of {rings} beads; give those of all beads of all atoms"
            )
        if self.n_steps < 0 or self.observe_every < 1 or self.n_steps % self.observe_every:
            raise UserError(
                f"{self.n_steps} steps observed every {self.observe_every}; steps must be a multiple, "
                "observing at least every step"
            )
        if self.width < 1 or self.chunk < 1:
            raise UserError(
                f"{self.width} slots, {self.chunk} observations in a chunk; both must be positive"
            )
        if self.cell_A is not None and self.potential.cutoff_A is None:
            raise UserError("a cell with a potential that takes all pairs; give no cell")
        if masses.ndim == 1:
            return system_of(masses, self.frozen, self.removed, self.integrator.conserves_momentum)
        if self.frozen is not None or not isinstance(self.potential, Mixed):
            raise UserError("masses of several structures want a potential of several, and no frozen atoms")
        return padded_systems(masses, self.removed, self.integrator.conserves_momentum)

    def fingerprint(self) -> str:
        """Return what a checkpoint belongs to: everything but the queue and the length of a chunk."""
        leaves, shape = jax.tree.flatten((self.potential, self.integrator))
        digest = hashlib.sha256(str(shape).encode())
        for leaf in leaves:
            digest.update(np.ascontiguousarray(leaf).tobytes())
        observers = [getattr(o, "__qualname__", repr(o)) for o in (*self.observers, self.stop)]
        given = (self.masses_amu, self.frozen, self.cell_A)
        arrays = [None if array is None else np.asarray(array).tolist() for array in given]
        plain = [self.n_steps, self.observe_every, self.campaign_seed, self.removed, self.width, self.skin_A]
        return key_of(dynamics=digest.hexdigest(), observers=observers, arrays=arrays, plain=plain)


class _Run:
    """One call of ``Ensemble.run``: the queue, the slots, and what is on the device."""

    def __init__(
        self,
        ensemble: Ensemble,
        system: System,
        members: list[_Member],
        watch: Watch | None,
        checkpoint: Path | None,
    ) -> None:
        self.ensemble, self.system, self.watch, self.file = ensemble, system, watch, checkpoint
        self.width = ensemble.width
        self.fingerprint = ensemble.fingerprint() if checkpoint else ""
        self.slots: list[_Member | None] = [None] * self.width
        self.batch: _Batch | None = None
        self.key = jax.random.key(ensemble.campaign_seed, impl="threefry2x32")
        self.capacity = 0
        self._static = {"observers": ensemble.observers, "stop": ensemble.stop}
        self.queue = deque(self._restored(members) if checkpoint else members)

    def trajectories(self, after_chunk: Callable[[], None]) -> Iterator[Trajectory]:
        """Yield trajectories as they end."""
        yield from self._fill()
        while any(self.slots):
            yield from self._chunk()
            yield from self._fill()
            self._save()
            after_chunk()
        if self.file:
            self.file.unlink(missing_ok=True)

    def _fill(self) -> Iterator[Trajectory]:
        """Put waiting trajectories into free slots; yield those that end where they start."""
        while self.queue and None in self.slots:
            new = {}
            for slot, member in enumerate(self.slots):
                if member is None and self.queue:
                    self.slots[slot] = new[slot] = self.queue.popleft()
            try:
                rows = self._place(new)
            except jax.errors.JaxRuntimeError as error:
                self._check_memory(error)
                self.slots = [None if slot in new else member for slot, member in enumerate(self.slots)]
                self.queue.extendleft(reversed(new.values()))
                self._halve()
                continue
            for slot, member in new.items():
                if member.reached is None:
                    member.rows = [{name: values[slot][None] for name, values in rows.items()}]
                    yield from self._taken(slot, member.rows[0])
                member.reached = None

    def _place(self, new: dict[int, _Member]) -> Rows:
        """Write new members into the batch; return the rows of all slots at their starts."""
        lists = {slot: self._lists(member) for slot, member in new.items()}
        if self.batch is None:
            first = next(iter(new))
            positions = np.repeat(new[first].positions[None], self.width, axis=0)
            velocities = np.zeros_like(positions)
            own = lists[first]
            neighbours = own and jax.tree.map(lambda leaf: np.stack([leaf] * self.width), own)
        else:
            states = self.batch.states
            positions, velocities = np.array(states.positions), np.array(states.velocities)
            neighbours = self.batch.neighbours
        neighbours = neighbours and _on_host(widened(neighbours, self.capacity))
        keys, kinds = np.zeros((self.width, 2), np.uint32), np.zeros(self.width, np.int32)
        for slot, member in new.items():
            positions[slot], velocities[slot] = member.positions, member.velocities
            kinds[slot] = member.kind
            keys[slot] = jax.random.key_data(jax.random.fold_in(self.key, member.trajectory_id))
            if neighbours is not None:
                own = lists[slot]
                assert own is not None
                _put(neighbours, slot, widened(own, self.capacity))
        states, rows = _on_host(
            _start(
                self.ensemble.potential, self.ensemble.integrator, self.system, positions, velocities,
                keys, kinds, neighbours,
                n_steps=self.ensemble.n_steps, **self._static,
            )
        )  # fmt: skip
        if self.batch is None:
            kept = replace(states, outcome=np.full(self.width, EMPTY, np.int32))
        else:
            kept = _on_host(self.batch.states)
        for slot, member in new.items():
            state = _slice(states, slot) if member.reached is None else member.reached.states
            if member.reached is None and member.thermostat is not None:
                state = replace(state, thermostat=member.thermostat)
            _put(kept, slot, state)
        self.batch = _Batch(kept, neighbours)
        return rows

    def _lists(self, member: _Member) -> Neighbours | None:
        """Return the member's neighbour lists, and make room for them."""
        if self.ensemble.potential.cutoff_A is None:
            return None
        if member.reached is not None:
            lists = member.reached.neighbours
            assert lists is not None
        else:
            pbc = (self.ensemble.cell_A is not None,) * 3
            try:
                lists = allocate(
                    member.positions,
                    self.ensemble.potential.cutoff_A,
                    self.ensemble.skin_A,
                    self.ensemble.cell_A,
                    pbc,
                    n_beads=beads_of(self.ensemble.potential),
                )
            except UserError as error:
                raise UserError(f"trajectory {member.trajectory_id}: {error}") from error
        self.capacity = max(self.capacity, lists.index.shape[-1])
        return lists

    def _chunk(self) -> Iterator[Trajectory]:
        """Advance the batch by a chunk; with more room, or fewer slots, where that is needed."""
        while True:
            assert self.batch is not None
            try:
                states, neighbours, rows = _advance(
                    self.ensemble.potential, self.ensemble.integrator, self.system, *self.batch,
                    n_steps=self.ensemble.n_steps, observe_every=self.ensemble.observe_every,
                    chunk=self.ensemble.chunk, **self._static,
                )  # fmt: skip
                overflow = np.zeros(self.width, bool) if neighbours is None else neighbours.overflow
                crowded = np.asarray(np.any(np.reshape(overflow, (self.width, -1)), axis=1))  # any bead's
            except jax.errors.JaxRuntimeError as error:
                self._check_memory(error)
                self._halve()
                continue
            if not crowded.any():
                break
            self._widen(crowded)
        self.batch = _Batch(states, neighbours)
        seen = {name: np.asarray(values) for name, values in rows.items()}
        running = seen.pop("running")
        for slot, member in enumerate(self.slots):
            if member is not None:
                new = {name: values[running[:, slot], slot] for name, values in seen.items()}
                member.rows.append(new)
                yield from self._taken(slot, new)

    def _taken(self, slot: int, new: Rows) -> Iterator[Trajectory]:
        """Yield the member of a slot and free it, if it has ended."""
        member = self.slots[slot]
        assert member is not None
        assert self.batch is not None
        outcome = int(self.batch.states.outcome[slot])
        last = self.watch(member.trajectory_id, new) if self.watch else -1
        if last >= 0:
            ended_by_itself = outcome != Outcome.RUNNING and last == len(new["step"]) - 1
            outcome = outcome if ended_by_itself else Outcome.WATCHED
            member.rows[-1] = {name: values[: last + 1] for name, values in new.items()}
        if outcome == Outcome.RUNNING:
            return
        rows = member.so_far()
        self.slots[slot] = None
        outcomes = np.array(self.batch.states.outcome)
        outcomes[slot] = EMPTY
        self.batch = self.batch._replace(states=replace(self.batch.states, outcome=outcomes))
        yield Trajectory(member.trajectory_id, outcome, int(rows["step"][-1]), rows)

    def _widen(self, crowded: np.ndarray) -> None:
        """Give the lists of the chunk's start more room, or give up those that need too much (mask (R,))."""
        assert self.batch is not None
        states, neighbours = self.batch
        assert neighbours is not None
        if self.capacity >= MOST_SLOTS:
            outcomes = np.where(crowded, Outcome.CROWDED, states.outcome).astype(np.int32)
            self.batch = _Batch(replace(states, outcome=outcomes), neighbours)
            return
        self.capacity = -(-int(1.25 * self.capacity) // 8) * 8 + 8
        self.batch = _Batch(states, widened(neighbours, self.capacity))

    def _check_memory(self, error: Exception) -> None:
        """Raise the error unless it says that fewer slots may do."""
        if "RESOURCE_EXHAUSTED" not in str(error) or self.width == 1:
            raise error

    def _halve(self) -> None:
        """Put the upper half of the slots back into the queue, as far as they have come."""
        self.width //= 2
        print(
            f"warning: the device has no memory for {2 * self.width} replicas; going on with {self.width} "
            "(last bits may differ from a run of another width)",
            file=sys.stderr,
        )
        aside = [self._put_aside(slot) for slot in range(self.width, len(self.slots)) if self.slots[slot]]
        self.queue.extendleft(reversed(aside))
        self.slots = self.slots[: self.width]
        if self.batch is not None:
            self.batch = _slice(self.batch, slice(self.width))

    def _put_aside(self, slot: int) -> _Member:
        member = self.slots[slot]
        assert member is not None
        assert self.batch is not None
        return replace(member, reached=_slice(self.batch, slot))

    def _save(self) -> None:
        """Write the checkpoint: every slot's state, lists and rows; whole or not at all."""
        if self.file is None:
            return
        arrays: dict[str, np.ndarray] = {}
        aside = [self._put_aside(slot) for slot, member in enumerate(self.slots) if member is not None]
        aside += [member for member in self.queue if member.reached is not None]
        for number, member in enumerate(aside):
            for index, leaf in enumerate(jax.tree.leaves(member.reached)):
                arrays[f"{number}/{index}"] = np.asarray(leaf)
            arrays |= {f"{number}/rows/{name}": values for name, values in member.so_far().items()}
        header = {
            "fingerprint": self.fingerprint,
            "members": [[member.trajectory_id, member.digest] for member in aside],
        }
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with write_atomic(self.file) as partial_file, partial_file.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _restored(self, members: list[_Member]) -> list[_Member]:
        """Return the members, those of the checkpoint first and as far as they had come."""
        assert self.file is not None
        waiting = {member.trajectory_id: member for member in members}
        saved = read_arrays(self.file)
        if saved is None:
            return members
        header = json.loads(saved["header"].tobytes())
        if header["fingerprint"] != self.fingerprint:
            raise UserError(
                f"{self.file} is of another model, setting or version of the code; remove it, or give "
                "another file"
            )
        restored = []
        for number, (identity, digest) in enumerate(header["members"]):
            member = waiting.pop(identity, None)
            if member is None:
                continue
            if member.digest != digest:
                raise UserError(
                    f"{self.file} holds trajectory {identity} from another start; remove it, or give "
                    "another file"
                )
            shape = jax.tree.structure(self._template(member))
            leaves = [np.asarray(saved[f"{number}/{i}"]) for i in range(shape.num_leaves)]
            names = [n.split("/", 2)[2] for n in saved if n.startswith(f"{number}/rows/")]
            member.rows = [{name: saved[f"{number}/rows/{name}"] for name in names}]
            member.reached = jax.tree.unflatten(shape, leaves)
            restored.append(member)
            if self.watch:
                self.watch(identity, member.so_far())
        return restored + list(waiting.values())

    def _template(self, member: _Member) -> _Batch:
        """Return a batch of one of the structure (not the numbers) that a checkpoint's members have."""
        lists = self._lists(member)
        one = None if lists is None else jax.tree.map(lambda leaf: leaf[None], lists)
        states, _ = jax.eval_shape(
            partial(_start.__wrapped__, n_steps=self.ensemble.n_steps, **self._static),
            self.ensemble.potential, self.ensemble.integrator, self.system,
            member.positions[None], member.velocities[None], np.zeros((1, 2), np.uint32),
            np.zeros(1, np.int32), one,
        )  # fmt: skip
        return _Batch(states, lists)


def _rings(n_beads: int | None) -> str:
    return "points" if n_beads is None else f"rings of {n_beads} beads"


def _on_host(batch: Any) -> Any:
    return jax.tree.map(np.array, batch)


def _slice(batch: Any, slot: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[slot], batch)


def _put(batch: Any, slot: int, one: Any) -> None:
    """Write one replica into a slot of a batch on the host."""
    for all_of, own in zip(jax.tree.leaves(batch), jax.tree.leaves(one), strict=True):
        all_of[slot] = own


def _where(mask: jax.Array, yes: Any, no: Any) -> Any:
    """Choose per replica between two batches."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), yes, no)


def _judged(states: State, system: System, n_steps: Any, stop: Stop | None) -> State:
    """Set the outcome of replicas that are done."""

    def judge(system: System, state: State) -> State:
        outcome = jnp.where(state.step >= n_steps, Outcome.FINISHED, Outcome.RUNNING)
        if stop is not None:
            code = stop(state, system)
            outcome = jnp.where(code != 0, code, outcome)
        finite = jnp.isfinite(state.energy)
        for values in (state.positions, state.velocities, state.forces):
            finite = finite & jnp.isfinite(values).all()
        outcome = jnp.where(finite, outcome, Outcome.NON_FINITE)
        return replace(state, outcome=outcome.astype(jnp.int32))

    own, axis = system.of_kinds(states.kind)
    return jax.vmap(judge, (axis, 0))(own, states)


def _observed(states: State, system: System, observers: tuple[Observer, ...]) -> dict[str, jax.Array]:
    def observe(system: System, state: State) -> dict[str, jax.Array]:
        rows = {"step": state.step}
        for observer in observers:
            rows |= observer(state, system)
        return rows

    own, axis = system.of_kinds(states.kind)
    return jax.vmap(observe, (axis, 0))(own, states)


def _ready(potential: Any, system: System, kinds: jax.Array) -> Batched:
    """Return the potential for replicas of these kinds (R,)."""
    return potential.mixed(kinds) if system.is_mixed else potential.batched(kinds.shape[0])


@partial(jit, static_argnames=("observers", "stop"))
def _start(
    potential: Potential, integrator: Integrator, system: System, positions: Any, velocities: Any,
    keys: Any, kinds: Any, neighbours: Neighbours | None, n_steps: Any, observers: tuple[Observer, ...],
    stop: Stop | None,
) -> tuple[State, dict[str, jax.Array]]:  # fmt: skip
    """Return all slots' states at step 0, and their rows."""
    width = positions.shape[0]
    kinds = jnp.asarray(kinds)
    own, axis = system.of_kinds(kinds)
    ready = _ready(potential, system, kinds)
    positions = jnp.asarray(positions)
    energy, forces, info = ready.evaluate(ready.arrange(neighbours), positions)
    states = State(
        positions=positions,
        velocities=jnp.asarray(velocities) * own.mobile,
        forces=forces,
        energy=energy,
        info=info,
        step=jnp.zeros(width, jnp.int64),
        key=jnp.asarray(keys),
        thermostat=jax.vmap(integrator.start, axis, axis_size=width)(own),
        outcome=jnp.zeros(width, jnp.int32),
        kind=kinds,
    )
    states = _judged(states, system, n_steps, stop)
    return states, _observed(states, system, observers)


@partial(jit, static_argnames=("chunk", "observers", "stop"))
def _advance(
    potential: Potential, integrator: Integrator, system: System, states: State,
    neighbours: Neighbours | None, n_steps: Any, observe_every: Any, chunk: int,
    observers: tuple[Observer, ...], stop: Stop | None,
) -> tuple[State, Neighbours | None, dict[str, jax.Array]]:  # fmt: skip
    """Advance running replicas by ``chunk`` observations; rows (chunk, R, …), ``running`` marks real ones.

    A replica that is done stays as it was when it was judged.
    """
    ready = _ready(potential, system, states.kind)
    own, axis = system.of_kinds(states.kind)

    def step(running: jax.Array, carry: Any) -> Any:
        states, neighbours, lists = carry
        states = jax.vmap(integrator.begin, (axis, 0))(own, states)
        neighbours, lists = _refreshed(ready.arrange, neighbours, lists, states.positions, running)
        energy, forces, info = ready.evaluate(lists, states.positions)
        states = replace(states, energy=energy, forces=forces, info=info)
        states = jax.vmap(integrator.finish, (axis, 0))(own, states)
        return replace(states, step=states.step + 1), neighbours, lists

    def observation(carry: Any) -> Any:
        number, states, neighbours, lists, rows = carry
        running = states.outcome == Outcome.RUNNING
        moved, neighbours, lists = jax.lax.fori_loop(
            0, observe_every, lambda _, c: step(running, c), (states, neighbours, lists)
        )
        states = _where(running, _judged(moved, system, n_steps, stop), states)
        seen = {**_observed(states, system, observers), "running": running}
        rows = {name: rows[name].at[number].set(value) for name, value in seen.items()}
        return number + 1, states, neighbours, lists, rows

    def unfinished(carry: Any) -> jax.Array:
        return (carry[0] < chunk) & (carry[1].outcome == Outcome.RUNNING).any()

    shapes = jax.eval_shape(lambda s: _observed(s, system, observers), states)
    rows = {name: jnp.zeros((chunk, *s.shape), s.dtype) for name, s in shapes.items()}
    rows["running"] = jnp.zeros((chunk, states.step.shape[0]), bool)
    carry = (jnp.zeros((), jnp.int32), states, neighbours, ready.arrange(neighbours), rows)
    _, states, neighbours, _, rows = jax.lax.while_loop(unfinished, observation, carry)
    return states, neighbours, rows


def _refreshed(
    arrange: Callable[[Neighbours | None], Any],
    neighbours: Neighbours | None,
    lists: Any,
    positions: jax.Array,
    running: jax.Array,
) -> tuple[Neighbours | None, Any]:
    """Rebuild the lists of the running replicas that need it, one after the other, and of no other."""
    if neighbours is None:
        return None, lists
    able = running & jnp.isfinite(positions).all(axis=(1, 2))

    def needed(neighbours: Neighbours) -> jax.Array:
        return able & jax.vmap(stale)(neighbours, positions)

    def rebuild(neighbours: Neighbours) -> Neighbours:
        slot = jnp.argmax(needed(neighbours))
        own = update(_slice(neighbours, slot), positions[slot])
        new: Neighbours = jax.tree.map(lambda all_of, one: all_of.at[slot].set(one), neighbours, own)
        return new

    def renewed() -> tuple[Neighbours, Any]:
        new = jax.lax.while_loop(lambda n: needed(n).any(), rebuild, neighbours)
        return new, arrange(new)

    # The branch keeps XLA from moving the pairs' sort out of a loop that seldom runs (half a step's time).
    return jax.lax.cond(needed(neighbours).any(), renewed, lambda: (neighbours, lists))
