"""Integrators: pure functions of one replica, around one evaluation of the forces per step.

``begin(system, state)`` moves the positions, the engine evaluates the forces there (of all replicas at once),
``finish(system, state)`` ends the step; ``start(system)`` is the thermostat's own state at step 0. Each is a
registered dataclass of numbers, so that another temperature compiles nothing anew. Frozen atoms have no
velocity and feel no force. Times are given in fs.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from frazil.errors import UserError
from frazil.md.fields import Drive
from frazil.md.rings import ring_frequencies, ring_modes
from frazil.md.state import State, System
from frazil.potentials.interface import beads_of
from frazil.pytrees import pytree
from frazil.units import fs, kB


class Integrator(Protocol):
    """What the engine runs."""

    conserves_momentum: ClassVar[bool]

    @property
    def timestep_fs(self) -> Any:
        """The time step, fs."""

    def check(self) -> None:
        """Raise UserError for numbers that make no dynamics."""

    def start(self, system: System) -> Any:
        """Return the thermostat's state at step 0."""

    def begin(self, system: System, state: State) -> State:
        """Return the state with new positions, velocities on the way."""

    def finish(self, system: System, state: State) -> State:
        """Return the state at the end of the step, forces being those of its positions."""


def _check(**positive: Any) -> None:
    for name, value in positive.items():
        if not float(value) > 0:
            raise UserError(f"{name.replace('_', ' ')} {float(value):g}; it must be positive")


def _kicked(system: System, state: State, time: Any) -> jax.Array:
    """Return the velocities after the forces have acted for a time."""
    return state.velocities + time * state.forces / system.masses * system.mobile


def _begin_verlet(system: System, state: State, timestep: Any) -> State:
    velocities = _kicked(system, state, 0.5 * timestep)
    return replace(state, velocities=velocities, positions=state.positions + timestep * velocities)


def _finish_verlet(system: System, state: State, timestep: Any) -> State:
    return replace(state, velocities=_kicked(system, state, 0.5 * timestep))


@pytree
@dataclass(frozen=True)
class VelocityVerlet:
    """NVE (Swope et al., J. Chem. Phys. 76, 637, 1982)."""

    timestep_fs: Any
    conserves_momentum: ClassVar[bool] = True

    def check(self) -> None:
        """Raise UserError for a time step that is not positive."""
        _check(timestep_fs=self.timestep_fs)

    def start(self, system: System) -> Any:
        """Return nothing: there is no thermostat."""
        return ()

    def begin(self, system: System, state: State) -> State:
        """Half a kick, a drift."""
        return _begin_verlet(system, state, self.timestep_fs * fs)

    def finish(self, system: System, state: State) -> State:
        """Half a kick."""
        return _finish_verlet(system, state, self.timestep_fs * fs)


@dataclass(frozen=True)
class _Thermostat:
    """What thermostats without variables of their own share."""

    timestep_fs: Any
    temperature_K: Any
    damping_fs: Any

    def check(self) -> None:
        """Raise UserError for a time step or damping time that is not positive, or a negative temperature."""
        _check(timestep_fs=self.timestep_fs, damping_fs=self.damping_fs)
        _check_temperature(self.temperature_K)

    def start(self, system: System) -> Any:
        """Return nothing: what they do is a function of the velocities, the key and the step."""
        return ()


@pytree
@dataclass(frozen=True)
class Langevin(_Thermostat):
    """NVT by BAOAB (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102, 2013).

    ``damping_fs`` is the relaxation time of velocities. A step's noise depends on the trajectory's key and
    the step's number only.
    """

    conserves_momentum: ClassVar[bool] = False

    def begin(self, system: System, state: State) -> State:
        """Half a kick, half a drift, friction and noise, half a drift (B A O A)."""
        timestep = self.timestep_fs * fs
        velocities = _kicked(system, state, 0.5 * timestep)
        positions = state.positions + 0.5 * timestep * velocities
        kept = jnp.exp(-timestep / (self.damping_fs * fs))
        spread = jnp.sqrt(kB * self.temperature_K * (1.0 - kept**2) / system.masses)
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.step)
        noise = jax.random.normal(key, velocities.shape, velocities.dtype)
        velocities = kept * velocities + spread * noise * system.mobile
        return replace(state, positions=positions + 0.5 * timestep * velocities, velocities=velocities)

    def finish(self, system: System, state: State) -> State:
        """Half a kick (B)."""
        return _finish_verlet(system, state, self.timestep_fs * fs)


@pytree
@dataclass(frozen=True)
class PILE(_Thermostat):
    """Ring polymers of ``n_beads`` (``potentials.rings``) at P T: PILE-L around steps of the free ring.

    Half a kick, half a step of the free ring, friction and noise, half a step of the free ring, half a kick.

    Each normal mode of the free ring has its own friction, γ_k = ω_k = 2 ω_P sin(kπ/P), which is optimal;
    that of the centroid is 1/``damping_fs`` (Ceriotti, Parrinello, Markland & Manolopoulos, J. Chem. Phys.
    133, 124104, 2010). A mode's half step turns it by arctan(ω_k Δt/2) in place of ω_k Δt/2,
    which is stable at any step and leaves the free ring's distribution as it is (BCOCB: Korol, Rosa-Raíces,
    Bou-Rabee & Miller, J. Chem. Phys. 152, 104102, 2020). Two half steps of Cayley's map, or the exact
    turn, blow up at 1 fs. One bead is ``Langevin``. The noise is that of the trajectory's key and the
    step's number.
    """

    n_beads: int = field(metadata={"static": True})
    conserves_momentum: ClassVar[bool] = False

    def check(self) -> None:
        """Raise UserError for no beads, and for what makes no dynamics."""
        super().check()
        _check(temperature_K=self.temperature_K)
        if self.n_beads < 1:
            raise UserError(f"rings of {self.n_beads} beads; at least one is needed")

    def begin(self, system: System, state: State) -> State:
        """Half a kick, half a step of the free ring, friction and noise, half a step of the free ring."""
        timestep, modes = self.timestep_fs * fs, jnp.asarray(ring_modes(self.n_beads))
        turn = ring_frequencies(self.n_beads, self.temperature_K)[:, None, None]
        thermal = self.n_beads * kB * self.temperature_K

        def transformed(values: jax.Array) -> jax.Array:
            return jnp.einsum("kj,jac->kac", modes, values.reshape(self.n_beads, -1, 3))

        def free(x: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
            angle = jnp.arctan(0.5 * timestep * turn)
            cosine, sine = jnp.cos(angle), jnp.sin(angle)
            length = jnp.where(turn > 0, sine / jnp.where(turn > 0, turn, 1.0), 0.5 * timestep)
            return cosine * x + length * v, cosine * v - turn * sine * x

        x, v = free(transformed(state.positions), transformed(_kicked(system, state, 0.5 * timestep)))
        kept = jnp.exp(-timestep * jnp.where(turn > 0, turn, 1.0 / (self.damping_fs * fs)))
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.step)
        noise = jax.random.normal(key, v.shape, v.dtype)
        masses = system.masses.reshape(self.n_beads, -1, 1)
        x, v = free(x, kept * v + jnp.sqrt(thermal * (1.0 - kept**2) / masses) * noise)
        positions, velocities = (
            jnp.einsum("kj,kac->jac", modes, values).reshape(state.positions.shape) for values in (x, v)
        )
        free_to_move = system.mobile > 0
        return replace(
            state,
            positions=jnp.where(free_to_move, positions, state.positions),
            velocities=velocities * system.mobile,
        )

    def finish(self, system: System, state: State) -> State:
        """Half a kick (B)."""
        return _finish_verlet(system, state, self.timestep_fs * fs)


@pytree
@dataclass(frozen=True)
class Berendsen(_Thermostat):
    """Velocity Verlet with velocities scaled towards a temperature, by at most a tenth in a step.

    Berendsen et al., J. Chem. Phys. 81, 3684, 1984, eq. 11. It samples no ensemble.
    """

    conserves_momentum: ClassVar[bool] = True

    def begin(self, system: System, state: State) -> State:
        """Half a kick, a drift."""
        return _begin_verlet(system, state, self.timestep_fs * fs)

    def finish(self, system: System, state: State) -> State:
        """Half a kick, then the scale."""
        state = _finish_verlet(system, state, self.timestep_fs * fs)
        now = jnp.maximum(system.temperature_K(state.velocities), 1e-12)
        squared = 1.0 + self.timestep_fs / self.damping_fs * (self.temperature_K / now - 1.0)
        scale = jnp.clip(jnp.sqrt(jnp.maximum(squared, 0.0)), 0.9, 1.1)
        return replace(state, velocities=scale * state.velocities)


@pytree
@dataclass(frozen=True)
class NoseHooverChain:
    """NVT by a Nosé–Hoover chain (Martyna, Tuckerman, Tobias & Klein, Mol. Phys. 87, 1117, 1996).

    ``period_fs`` τ gives the thermostats' masses, N_f k T τ² and k T τ²; third-order Suzuki–Yoshida. Its
    state are the chain's positions and velocities (2, chain).
    """

    timestep_fs: Any
    temperature_K: Any
    period_fs: Any
    length: int = field(default=3, metadata={"static": True})
    conserves_momentum: ClassVar[bool] = True

    def check(self) -> None:
        """Raise UserError for a time step, period or temperature that is not positive, or no thermostat."""
        _check(timestep_fs=self.timestep_fs, period_fs=self.period_fs, temperature_K=self.temperature_K)
        if self.length < 1:
            raise UserError(f"a chain of {self.length} thermostats; at least one is needed")

    def start(self, system: System) -> Any:
        """Return the chain at rest."""
        return jnp.zeros((2, self.length))

    def begin(self, system: System, state: State) -> State:
        """Half a step of the chain, half a kick, a drift."""
        return _begin_verlet(system, self._chain(system, state), self.timestep_fs * fs)

    def finish(self, system: System, state: State) -> State:
        """Half a kick, half a step of the chain."""
        return self._chain(system, _finish_verlet(system, state, self.timestep_fs * fs))

    def conserved_energy(self, system: System, state: State) -> jax.Array:
        """Return what the dynamics conserves (), eV: the energy of the replica and of its thermostats."""
        position, velocity = state.thermostat
        thermal = kB * self.temperature_K
        stored = thermal * (system.degrees_of_freedom * position[0] + position[1:].sum())
        own = 0.5 * jnp.sum(self._masses(system) * velocity**2)
        return state.energy + system.kinetic_energy(state.velocities) + stored + own

    def _masses(self, system: System) -> jax.Array:
        degrees = jnp.ones(self.length).at[0].set(system.degrees_of_freedom)
        return degrees * kB * self.temperature_K * (self.period_fs * fs) ** 2

    def _chain(self, system: System, state: State) -> State:
        """Advance the thermostats by half a time step, scaling the velocities."""
        masses, thermal, last = self._masses(system), kB * self.temperature_K, self.length - 1
        position, velocity = state.thermostat
        kinetic, scale = 2.0 * system.kinetic_energy(state.velocities), 1.0
        middle = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
        for weight in (middle, 1.0 - 2.0 * middle, middle):
            time = weight * self.timestep_fs * fs

            def force(i: int, velocity: jax.Array, kinetic: Any) -> jax.Array:
                driving = (
                    kinetic - system.degrees_of_freedom * thermal
                    if i == 0
                    else masses[i - 1] * velocity[i - 1] ** 2 - thermal
                )
                return driving / masses[i]

            def driven(i: int, velocity: jax.Array, kinetic: Any, time: Any = time) -> jax.Array:
                damped = jnp.exp(-0.125 * time * velocity[i + 1]) if i < last else 1.0
                new = (velocity[i] * damped + 0.25 * time * force(i, velocity, kinetic)) * damped
                return velocity.at[i].set(new)

            for i in range(last, -1, -1):
                velocity = driven(i, velocity, kinetic)
            factor = jnp.exp(-0.5 * time * velocity[0])
            scale, kinetic = scale * factor, kinetic * factor**2
            position = position + 0.5 * time * velocity
            for i in range(last + 1):
                velocity = driven(i, velocity, kinetic)
        return replace(state, velocities=scale * state.velocities, thermostat=jnp.stack([position, velocity]))


@pytree
@dataclass(frozen=True)
class OwnTemperature:
    """A thermostat whose temperature is each trajectory's own, so that one batch holds many temperatures.

    The state is (the thermostat's, temperature_K ()); ``Ensemble.run`` takes each trajectory's from
    ``started``. ``thermostat`` is one of the above at any temperature.
    """

    thermostat: Any
    conserves_momentum: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.thermostat.conserves_momentum:
            raise UserError("Langevin dynamics brings back the motion that is removed here; run it alone")

    @property
    def timestep_fs(self) -> Any:
        """The thermostat's."""
        return self.thermostat.timestep_fs

    def check(self) -> None:
        """Raise UserError for a thermostat that makes no dynamics."""
        self.thermostat.check()

    def start(self, system: System) -> Any:
        """Return the thermostat's own start, at the temperature that it has."""
        return self.started(system, self.thermostat.temperature_K)

    def started(self, system: System, temperature_K: float) -> Any:
        """Return the start of a trajectory at a temperature."""
        own = replace(self.thermostat, temperature_K=temperature_K)
        return own.start(system), jnp.asarray(temperature_K, jnp.float64)

    def begin(self, system: System, state: State) -> State:
        """As the thermostat, at the trajectory's temperature."""
        return self._at(system, state, "begin")

    def finish(self, system: System, state: State) -> State:
        """As the thermostat, at the trajectory's temperature."""
        return self._at(system, state, "finish")

    def conserved_energy(self, system: System, state: State) -> jax.Array:
        """Return what the thermostat conserves (), eV, at the trajectory's temperature."""
        own, temperature_K = state.thermostat
        thermostat = replace(self.thermostat, temperature_K=temperature_K)
        return jnp.asarray(thermostat.conserved_energy(system, replace(state, thermostat=own)))

    def _at(self, system: System, state: State, half: str) -> State:
        own, temperature_K = state.thermostat
        thermostat = replace(self.thermostat, temperature_K=temperature_K)
        moved = getattr(thermostat, half)(system, replace(state, thermostat=own))
        return replace(moved, thermostat=(moved.thermostat, temperature_K))


@pytree
@dataclass(frozen=True)
class Driven:
    """An integrator under a field E(t) along one direction, and the field's work on the replica.

    The potential is a ``transform.FieldCoupling``, whose info says what a field does; the state's energy and
    forces stay those without it. The force of the field acts in the kicks, with E(t) at their times. The
    state of the thermostat is (the integrator's, work () eV, step 0 at time 0), the work being ∫E d(μ·e)
    (and ∫½E² d(e·α·e) where there is a polarizability) by the trapezoidal rule: without a thermostat, energy
    less work is conserved as well as the energy is without a field. Of rings all are those of H_P, P-fold.
    """

    integrator: Any
    drive: Drive
    conserves_momentum: ClassVar[bool] = False  # a field turns what has a dipole

    @property
    def timestep_fs(self) -> Any:
        """The integrator's."""
        return self.integrator.timestep_fs

    @property
    def n_beads(self) -> int | None:
        """The integrator's, where it is of rings."""
        return beads_of(self.integrator)

    def check(self) -> None:
        """Raise UserError for an integrator or a field that makes no dynamics."""
        self.integrator.check()
        self.drive.check(float(self.timestep_fs))

    def start(self, system: System) -> Any:
        """Return the integrator's own start, and no work."""
        return self.integrator.start(system), jnp.zeros(())

    def begin(self, system: System, state: State) -> State:
        """As the integrator, under the field at the step's start."""
        now, then = self._fields(state)
        moved = self._under(now, system, state, "begin")
        return replace(moved, thermostat=(moved.thermostat[0], state.thermostat[1] - _work(state, now, then)))

    def finish(self, system: System, state: State) -> State:
        """As the integrator, under the field at the step's end; its work is complete."""
        now, then = self._fields(state)
        moved = self._under(then, system, state, "finish")
        own, work = moved.thermostat[0], state.thermostat[1] + _work(state, now, then)
        return replace(moved, forces=state.forces, thermostat=(own, work))

    def conserved_energy(self, system: System, state: State) -> jax.Array:
        """Return energy less work (), eV: constant but for the time step under a conserving integrator."""
        return state.energy + system.kinetic_energy(state.velocities) - state.thermostat[1]

    def _fields(self, state: State) -> tuple[jax.Array, jax.Array]:
        """Return the fields at the step's start and end."""
        start_fs = state.step * self.timestep_fs
        return self.drive.at(start_fs), self.drive.at(start_fs + self.timestep_fs)

    def _under(self, field: jax.Array, system: System, state: State, half: str) -> State:
        forces = state.forces + field * state.info["coupling_slope_e"]
        if "induced_slope_e2_A_per_eV" in state.info:
            forces = forces + field**2 * state.info["induced_slope_e2_A_per_eV"]
        own, work = state.thermostat
        moved: State = getattr(self.integrator, half)(system, replace(state, forces=forces, thermostat=own))
        return replace(moved, thermostat=(moved.thermostat, work))


def _work(state: State, now: jax.Array, then: jax.Array) -> jax.Array:
    """Return (), eV, what μ·e and ½ e·α·e of a state weigh in the work between two times."""
    found = 0.5 * (now + then) * state.info["coupling_e_A"]
    if "induced_e2_A2_per_eV" in state.info:
        found = found + 0.5 * (now**2 + then**2) * state.info["induced_e2_A2_per_eV"]
    return found


def _check_temperature(temperature_K: Any) -> None:
    if not float(temperature_K) >= 0:
        raise UserError(f"a temperature of {float(temperature_K):g} K; it must not be negative")
