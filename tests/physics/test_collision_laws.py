"""Sticking where the answer is known: walls, an elastic well, a cube; the books of single collisions."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from frazil.campaigns import Start
from frazil.experiments.sticking.collisions import _row, ids_of, run, start
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.md.state import State, System
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.analytic.h2_co import H2_LENGTH_A, H2OnCO, bond_energy
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree
from frazil.systems.molecules import molecule
from frazil.units import fs, kB

TRUTH = driver("analytic")
H2 = Projectile(molecule("H2"))
CAMPAIGN = Campaign(
    surface_temperatures_K=(10.0,), energies_K=(12.0, 116.0, 348.0), n_polar=2, polar_max_deg=40.0,
    n_azimuth=2, azimuth="random", aim_radius_A=1.0, start_height_A=8.0, bounce_A=6.0, timestep_fs=1.0,
    duration_fs=6000.0, width=12, model_error=False, campaign_seed=5,
)  # fmt: skip
MASS_CO, MASS_H2 = 28.010, 2.016


def floor(fixed: int = 1) -> Atoms:
    """One CO molecule lying at the origin, held or free."""
    atoms = Atoms("CO", [[0.0, -0.64, 0.0], [0.0, 0.48, 0.0]])
    atoms.positions -= atoms.get_center_of_mass()
    atoms.set_array("fixed", np.full(2, fixed))
    atoms.info |= {"surface_temperature_K": 10.0, "surface_id": 0, "phase": "crystalline", "radius_A": 1.0}
    atoms.set_velocities(np.zeros((2, 3)))
    return atoms


@pytree
@dataclass(frozen=True)
class Plane(Analytic):
    """A flat surface for H2's centre: an exponential wall at 3 Å and a well of a depth that ends at 5 Å."""

    depth_eV: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        z = positions_A[-2:, 2].mean()
        well = -self.depth_eV / (1.0 + jnp.exp(8.0 * (z - 4.5)))
        return jnp.exp(-6.0 * (z - 3.0)) * 0.1 + well + bond_energy(positions_A[-2:])


@pytree
@dataclass(frozen=True)
class Friction:
    """Velocity Verlet with friction on H2 below a height."""

    timestep_fs: Any
    below_A: Any
    conserves_momentum: ClassVar[bool] = False

    def check(self) -> None: ...

    def start(self, system: System) -> Any:
        return ()

    def begin(self, system: System, state: State) -> State:
        return VelocityVerlet(self.timestep_fs).begin(system, state)

    def finish(self, system: System, state: State) -> State:
        state = VelocityVerlet(self.timestep_fs).finish(system, state)
        kept = jnp.exp(-self.timestep_fs / 20.0)
        slowed = jnp.where(state.positions[:, 2:] < self.below_A, kept, 1.0)
        return replace(state, velocities=state.velocities * slowed)


def outcomes(campaign: Campaign, surface: Atoms, **options: Any) -> dict[int, str]:
    ids = list(ids_of(campaign, "crystalline"))
    return {
        row["trajectory_id"]: row["outcome"] for row in run(campaign, TRUTH, [surface], H2, ids, **options)
    }


def test_a_hard_wall_lets_nothing_stick() -> None:
    assert set(outcomes(CAMPAIGN, floor(), potential=Plane(0.0)).values()) == {"bounced"}


def test_an_absorbing_wall_keeps_everything() -> None:
    campaign = replace(CAMPAIGN, polar_max_deg=20.0)
    found = outcomes(campaign, floor(), potential=Plane(0.02), integrator=Friction(1.0, 4.4))
    assert set(found.values()) == {"stuck"}


def test_an_elastic_well_keeps_nothing() -> None:
    """A flat conservative well takes no energy out of the normal motion, however deep it is."""
    assert set(outcomes(CAMPAIGN, floor(), potential=Plane(0.05)).values()) == {"bounced"}


@pytree
@dataclass(frozen=True)
class Cube(Analytic):
    """Wall and well along z between the centres of a free molecule and H2."""

    depth_eV: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        weights = jnp.array([12.011, 15.999]) / MASS_CO
        z = positions_A[-2:, 2].mean() - weights @ positions_A[:2, 2]
        well = -self.depth_eV / (1.0 + jnp.exp(8.0 * (z - 4.5)))
        bond = positions_A[1] - positions_A[0]
        rigid = 50.0 * (jnp.sqrt(jnp.sum(bond**2)) - 1.12) ** 2
        return jnp.exp(-12.0 * (z - 3.0)) * 0.1 + well + bond_energy(positions_A[-2:]) + rigid


def test_recoil_of_a_free_molecule() -> None:
    """The hard-cube model: H2 leaves a molecule at rest with (1 − μ)/(1 + μ) of its speed, μ = m/M."""
    ratio = MASS_H2 / MASS_CO
    campaign = replace(
        CAMPAIGN, energies_K=(50.0,), n_polar=1, n_azimuth=1, polar_max_deg=0.0, aim_radius_A=0.0
    )
    surface = floor(0)
    begun = start(campaign, 0, [surface], H2)
    ensemble = Ensemble(
        Cube(0.0), VelocityVerlet(0.5), np.array([12.011, 15.999, 1.008, 1.008]), n_steps=12000,
        observe_every=12000, observers=(energies, frames), width=1,
    )  # fmt: skip
    (ended,) = ensemble.run(begun.positions_A[None], begun.velocities[None])
    before = begun.velocities[-1, 2]
    after = ended.rows["velocities"][-1, -2:, 2].mean()
    assert after / before == pytest.approx(-(1 - ratio) / (1 + ratio), rel=1e-3)


def test_books_of_a_collision_with_a_free_cluster() -> None:
    """Energy, momentum and angular momentum of a whole collision under the known truth."""
    grid = 3.7 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]]) - [1.8, 1.8, 0.0]
    centres = np.repeat(grid, 2, axis=0)
    surface = Atoms("CO" * 4, centres + np.tile([[0, 0, 0], [0, 0, 1.128]], (4, 1)))
    surface.set_array("fixed", np.zeros(8, int))
    surface.info |= floor().info
    surface.set_velocities(np.zeros((8, 3)))
    campaign = replace(CAMPAIGN, energies_K=(348.0,), n_polar=1, n_azimuth=1, polar_max_deg=0.0)
    begun = start(campaign, 0, [surface], H2)
    masses = np.array([12.011, 15.999] * 4 + [1.008] * 2)
    ensemble = Ensemble(
        H2OnCO(), VelocityVerlet(0.25), masses, n_steps=16000, observe_every=4000,
        observers=(energies, frames), width=1,
    )  # fmt: skip
    (ended,) = ensemble.run(begun.positions_A[None], begun.velocities[None])
    rows = ended.rows
    total = rows["energy"] + rows["kinetic_energy"]
    assert np.ptp(total) < 5e-5
    momentum = (masses[:, None] * rows["velocities"]).sum(axis=1)
    assert np.abs(momentum - momentum[0]).max() < 1e-10
    angular = np.cross(rows["positions"], masses[:, None] * rows["velocities"]).sum(axis=1)
    assert np.abs(angular - angular[0]).max() < 1e-8
    # Backwards it returns to its start.
    (back,) = ensemble.run(rows["positions"][-1:], -rows["velocities"][-1:])
    assert np.abs(back.rows["positions"][-1] - begun.positions_A).max() < 1e-6
    assert np.abs(back.rows["velocities"][-1] + begun.velocities).max() < 1e-6


def test_initial_states_are_what_the_grid_says() -> None:
    surface = floor()
    campaign = replace(CAMPAIGN, n_polar=3, polar_max_deg=60.0)
    for identity in ids_of(campaign, "crystalline"):
        begun = start(campaign, identity, [surface], H2)
        velocity, centre = begun.velocities[-2:].mean(axis=0), begun.positions_A[-2:].mean(axis=0)
        energy = 0.5 * MASS_H2 * velocity @ velocity / kB
        assert energy == pytest.approx(begun.known["collision_energy_K"], rel=1e-6)
        assert np.degrees(np.arccos(-velocity[2] / np.linalg.norm(velocity))) == pytest.approx(
            begun.known["polar_angle_deg"], abs=1e-6
        )
        assert centre[2] == pytest.approx(8.0)
        landing = centre - velocity * centre[2] / velocity[2]
        assert landing[:2] == pytest.approx([begun.known["aim_x_A"], begun.known["aim_y_A"]], abs=1e-9)
        assert np.linalg.norm(begun.positions_A[-1] - begun.positions_A[-2]) == pytest.approx(H2_LENGTH_A)
        assert np.array_equal(begun.velocities[-1], begun.velocities[-2])
    assert fs > 0


def test_turning_points_and_late_leavers_are_seen() -> None:
    begun = Start(np.zeros((4, 3)), np.zeros((4, 3)), known={"trajectory_id": 0, "height_A": 0.0})
    rows = {
        "step": np.arange(6) * 20, "rising": np.array([-1.0, -1, 1, -1, 1, 1]),
        "apart_A": np.array([8.0, 3, 3, 4, 3, 6.5]), "energy": np.zeros(6), "kinetic_energy": np.ones(6),
        "projectile_A": np.zeros((6, 3)),
    }  # fmt: skip
    found = _row(CAMPAIGN, begun, Trajectory(0, Outcome.FINISHED, 100, rows))
    assert found["outcome"] == "bounced"
    assert found["n_bounces"] == 2
    assert _row(CAMPAIGN, begun, Trajectory(0, Outcome.NON_FINITE, 100, rows))["outcome"] == "failed"
