"""Conservation, order, reversibility and known distributions of the integrators."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Berendsen, Langevin, NoseHooverChain, OwnTemperature, VelocityVerlet
from frazil.md.observers import Distances, energies, frames, temperature
from frazil.md.state import State, System
from frazil.md.trajectory import Trajectory
from frazil.potentials.analytic.simple import (
    HarmonicBonds,
    LennardJones,
    MorseBonds,
    SphericalWall,
    Springs,
)
from frazil.potentials.analytic.van_hemert import VanHemert, VanHemertCalculator
from frazil.potentials.interface import Potential
from frazil.potentials.transform import sum_of
from frazil.systems.co import MOLECULE_MASSES_amu
from frazil.systems.packing import relax
from frazil.units import fs, hbar, inverse_cm, kB

FIELD = VanHemert(2.0)
MASSES = np.tile(MOLECULE_MASSES_amu, 4)
ALL = (energies, frames)


@pytest.fixture(scope="module")
def cluster() -> np.ndarray:
    grid = np.array([[0, 0, 0], [3.7, 0, 0], [1.8, 3.3, 0], [1.8, 1.2, 3.2]], float)
    axes = np.array([[0, 0.3, 1], [1, 0.2, 0], [0, 1, 0.4], [0.5, 0.5, -1]])
    axes *= 1.128 / np.linalg.norm(axes, axis=1)[:, None]
    positions = np.stack([grid, grid + axes], axis=1).reshape(-1, 3)
    return relax(Atoms("CO" * 4, positions=positions), VanHemertCalculator(2.0)).positions


def starts(
    positions: np.ndarray, n: int, temperature_K: float, masses: np.ndarray = MASSES
) -> tuple[np.ndarray, np.ndarray]:
    """n starts; the i-th is the same for every n."""
    spread = np.sqrt(kB * temperature_K / masses)[:, None]
    velocities = [spread * np.random.default_rng(i).normal(size=positions.shape) for i in range(n)]
    return np.repeat(positions[None], n, axis=0), np.array(velocities)


def run(
    potential: Potential,
    integrator: Any,
    start: tuple[np.ndarray, np.ndarray],
    n_steps: int,
    every: int,
    masses: np.ndarray = MASSES,
    **options: Any,
) -> list[Trajectory]:
    ensemble = Ensemble(potential, integrator, masses, n_steps, every, **{"observers": ALL, **options})
    return sorted(ensemble.run(*start), key=lambda t: t.trajectory_id)


def rows(trajectories: list[Trajectory], name: str) -> np.ndarray:
    return np.array([t.rows[name] for t in trajectories])


def total(trajectories: list[Trajectory]) -> np.ndarray:
    return rows(trajectories, "energy") + rows(trajectories, "kinetic_energy")


def test_verlet_is_of_second_order(cluster: np.ndarray) -> None:
    timesteps_fs = np.array([0.1, 0.2, 0.4, 0.8])
    errors = []
    for timestep_fs in timesteps_fs:
        n_steps = round(160 / timestep_fs)
        found = total(run(FIELD, VelocityVerlet(timestep_fs), starts(cluster, 8, 300.0), n_steps, 1))
        errors.append(np.abs(found - found[:, :1]).max(axis=1).mean())
    slope = np.polyfit(np.log(timesteps_fs), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


def test_conservation_and_time_reversal(cluster: np.ndarray) -> None:
    start = starts(cluster, 3, 60.0)
    found = run(FIELD, VelocityVerlet(0.2), start, 5000, 500)
    moving = MASSES[:, None] * rows(found, "velocities")
    momenta, angular = moving.sum(axis=2), np.cross(rows(found, "positions"), moving).sum(axis=2)
    assert np.abs(momenta - momenta[:, :1]).max() < 1e-11
    assert np.abs(angular - angular[:, :1]).max() < 1e-10
    time_ps = found[0].rows["step"] * 0.2 / 1000
    drift_meV_per_atom_ps = 1000 * np.polyfit(time_ps, total(found).T, 1)[0] / len(MASSES)
    assert np.abs(drift_meV_per_atom_ps).max() < 0.005

    there = run(FIELD, VelocityVerlet(0.2), start, 1000, 1000)
    turned = rows(there, "positions")[:, -1], -rows(there, "velocities")[:, -1]
    back = run(FIELD, VelocityVerlet(0.2), turned, 1000, 1000)
    np.testing.assert_allclose(rows(back, "positions")[:, -1], start[0], atol=1e-9)
    np.testing.assert_allclose(rows(back, "velocities")[:, -1], -start[1], atol=1e-9)


def test_a_harmonic_dimer_vibrates_at_its_frequency() -> None:
    stiffness, mass = 118.0, MASSES[0] * MASSES[1] / (MASSES[0] + MASSES[1])
    positions = np.array([[[0, 0, 0], [0, 0, 1.13]]])
    found = run(
        HarmonicBonds(stiffness, 1.128), VelocityVerlet(0.05), (positions, np.zeros_like(positions)), 8000, 1,
        MASSES[:2], observers=(Distances(((0, 1),)),),
    )  # fmt: skip
    lengths = found[0].rows["distances"][:, 0] - 1.128
    crossings = np.flatnonzero((lengths[:-1] < 0) & (lengths[1:] >= 0))
    exact = crossings - lengths[crossings] / (lengths[crossings + 1] - lengths[crossings])
    period = np.diff(exact).mean() * 0.05 * fs
    expected = 2 * np.pi * np.sqrt(mass / stiffness)
    assert period == pytest.approx(expected, rel=2e-4)
    wavenumber = hbar * np.sqrt(stiffness / mass) / inverse_cm
    assert 2000 < wavenumber < 2500


def test_a_wall_sends_atoms_back() -> None:
    found = run(
        SphericalWall(5.0, 2.0), VelocityVerlet(0.5), starts(np.zeros((8, 3)), 4, 5000.0), 4000, 10, MASSES
    )
    distance = np.linalg.norm(rows(found, "positions"), axis=-1)
    assert 5.2 < distance.max() < 7.0
    assert (distance[:, -200:] < 4.9).mean() > 0.5
    np.testing.assert_allclose(total(found), np.repeat(total(found)[:, :1], 401, axis=1), rtol=1e-4)


def test_morse_and_lennard_jones_minima() -> None:
    for potential, length, lowest in (
        (MorseBonds(11.2, 2.3, 1.128), 1.128, 0.0),
        (LennardJones(0.0104, 3.4), 3.4 * 2 ** (1 / 6), -0.0104),
    ):
        positions = np.array([[[0, 0, 0], [length, 0, 0]]])
        at_rest = run(
            potential, VelocityVerlet(1.0), (positions, np.zeros_like(positions)), 100, 100, MASSES[:2]
        )
        np.testing.assert_allclose(at_rest[0].rows["energy"], lowest, atol=1e-12)
        np.testing.assert_allclose(at_rest[0].rows["positions"][-1], positions[0], atol=1e-9)


ANHARMONIC = sum_of((Springs(0.02), LennardJones(0.01, 3.4)))
CUBE = 1.9 * np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], float)
THERMOSTATS = {
    "langevin": Langevin(4.0, 60.0, 100.0),
    "nose-hoover": NoseHooverChain(4.0, 60.0, 100.0),
}


@pytest.mark.parametrize("name", THERMOSTATS)
def test_canonical_kinetic_energy(name: str) -> None:
    """Mean and variance of the kinetic energy of the mobile atoms of a liquid drop, two of them frozen."""
    frozen = np.array([False] * 6 + [True] * 2)
    found = run(
        ANHARMONIC, THERMOSTATS[name], starts(CUBE, 48, 60.0), 8000, 40, width=48, frozen=frozen,
        campaign_seed=1,
    )  # fmt: skip
    assert np.abs(rows(found, "positions")[:, :, frozen] - CUBE[frozen]).max() == 0
    per_atom = 0.5 * MASSES * (rows(found, "velocities")[:, 50:] ** 2).sum(axis=-1)
    expected = 1.5 * kB * 60.0
    for chosen in (~frozen & (MASSES < 14), ~frozen & (MASSES > 14)):
        means = per_atom[..., chosen].mean(axis=(1, 2))
        assert abs(means.mean() - expected) < 4 * means.std(ddof=1) / np.sqrt(48) + 0.002 * expected
    assert per_atom.sum(axis=-1).var() == pytest.approx(9 * (kB * 60.0) ** 2, rel=0.1)


def test_langevin_samples_the_potential_energy_of_springs() -> None:
    rest = np.zeros((64, 8, 3))
    found = run(Springs(4.0), Langevin(1.0, 15.0, 50.0), (rest, rest), 6000, 100, width=64, campaign_seed=1)
    potential = rows(found, "energy")[:, 10:]
    expected = 0.5 * 24 * kB * 15.0
    error = potential.mean(axis=1).std(ddof=1) / 8
    assert abs(potential.mean() - expected) < 4 * error + 0.002 * expected
    assert potential.var() == pytest.approx(expected**2 / 12, rel=0.1)


def conserved(state: State, system: System) -> Any:
    return {"conserved": NoseHooverChain(1.0, 60.0, 100.0).conserved_energy(system, state)}


def test_nose_hoover_conserves_its_energy_and_knows_the_removed_motion(cluster: np.ndarray) -> None:
    found = run(
        FIELD, NoseHooverChain(0.5, 60.0, 100.0), starts(cluster, 8, 60.0), 20000, 100,
        removed="drift and rotation", observers=(energies, frames, temperature, conserved),
    )  # fmt: skip
    stays = rows(found, "conserved")
    assert np.abs(stays - stays[:, :1]).max() < 0.05 * total(found).std()
    moving = MASSES[:, None] * rows(found, "velocities")
    assert np.abs(moving.sum(axis=2)).max() < 1e-10
    assert np.abs(np.cross(rows(found, "positions"), moving).sum(axis=2)).max() < 1e-8
    # 24 − 6 degrees of freedom hold kT/2 each.
    means = rows(found, "temperature_K")[:, 20:].mean(axis=1)
    assert abs(means.mean() - 60.0) < 4 * means.std(ddof=1) / np.sqrt(8) + 0.6
    kinetic = rows(found, "kinetic_energy")
    np.testing.assert_allclose(rows(found, "temperature_K"), 2 * kinetic / (18 * kB), rtol=1e-12)


def test_nose_hoovers_error_is_of_second_order() -> None:
    timesteps_fs, errors = np.array([2.0, 4.0, 8.0]), []
    for timestep_fs in timesteps_fs:
        chain = NoseHooverChain(timestep_fs, 60.0, 100.0)
        n_steps = round(4000 / timestep_fs)
        found = run(ANHARMONIC, chain, starts(CUBE, 8, 60.0), n_steps, 1, observers=(conserved,))
        stays = rows(found, "conserved")
        errors.append(np.abs(stays - stays[:, :1]).max(axis=1).mean())
    assert np.polyfit(np.log(timesteps_fs), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.2)


def test_berendsen_reaches_its_temperature_as_it_says() -> None:
    """Free atoms: T − T0 falls exponentially; with frozen atoms it is the mobile ones' temperature."""
    frozen = np.arange(8) >= 6
    found = run(
        Springs(0.0), Berendsen(1.0, 80.0, 100.0), starts(np.zeros((8, 3)), 3, 20.0), 400, 100,
        frozen=frozen, observers=(temperature, frames),
    )  # fmt: skip
    seen = rows(found, "temperature_K")
    expected = 80.0 + (seen[:, :1] - 80.0) * np.exp(-np.arange(5))
    np.testing.assert_allclose(seen, expected, rtol=0.02)
    mobile = rows(found, "velocities")[:, :, ~frozen]
    kinetic = 0.5 * (MASSES[~frozen, None] * mobile**2).sum(axis=(2, 3))
    np.testing.assert_allclose(seen, 2 * kinetic / (18 * kB), rtol=1e-12)
    assert np.abs(rows(found, "velocities")[:, :, frozen]).max() == 0


@pytest.mark.parametrize(
    ("integrator", "message"),
    [
        (VelocityVerlet(0.0), "timestep fs 0; it must be positive"),
        (Langevin(1.0, -1.0, 50.0), "a temperature of -1 K; it must not be negative"),
        (Langevin(1.0, 15.0, 0.0), "damping fs 0; it must be positive"),
        (Berendsen(1.0, 15.0, float("nan")), "damping fs nan; it must be positive"),
        (NoseHooverChain(1.0, 15.0, 50.0, length=0), "a chain of 0 thermostats; at least one"),
    ],
)
def test_integrators_that_make_no_dynamics(integrator: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(Springs(1.0), integrator, starts(np.zeros((8, 3)), 1, 10.0), 10, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"removed": "drift", "frozen": np.arange(8) < 1}, "drift removed with 1 frozen atoms"),
        ({"removed": "spin"}, "removed 'spin'; allowed are 'none', 'drift', 'drift and rotation'"),
        ({"frozen": np.ones(8, bool)}, "a mask of 8 atoms, 8 of them frozen"),
        ({"frozen": np.zeros(3, bool)}, "a mask of 3 atoms, 0 of them frozen, for 8 atoms"),
    ],
)
def test_motions_that_cannot_be_removed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(Springs(1.0), VelocityVerlet(1.0), starts(np.zeros((8, 3)), 1, 10.0), 10, 10, **options)


@pytest.mark.parametrize("thermostat", [NoseHooverChain(0.5, 50.0, 20.0), Berendsen(0.5, 50.0, 20.0)])
def test_temperatures_share_a_batch_as_if_each_had_its_own(cluster: np.ndarray, thermostat: Any) -> None:
    temperatures_K = [20.0, 80.0, 20.0, 80.0]
    start = starts(cluster, 4, 40.0)
    options = {"observers": ALL, "removed": "drift"}
    # Two slots: the second pair comes into slots that another temperature may have left.
    together = Ensemble(FIELD, OwnTemperature(thermostat), MASSES, 60, 20, width=2, **options)
    found = sorted(together.run(*start, temperatures_K=temperatures_K), key=lambda t: t.trajectory_id)
    for i, temperature_K in enumerate(temperatures_K):
        own = Ensemble(
            FIELD, replace(thermostat, temperature_K=temperature_K), MASSES, 60, 20, width=2, **options
        )
        expected = next(iter(own.run(start[0][i : i + 1], start[1][i : i + 1])))
        assert found[i].rows["positions"] == pytest.approx(expected.rows["positions"], abs=1e-9)
    with pytest.raises(UserError, match="temperatures of trajectories go with an OwnTemperature"):
        together.run(*start)
    with pytest.raises(UserError, match="must"):
        together.run(*start, temperatures_K=[20.0, -1.0, 20.0, 20.0])
    with pytest.raises(UserError, match="Langevin dynamics brings back"):
        OwnTemperature(Langevin(0.5, 20.0, 100.0))
