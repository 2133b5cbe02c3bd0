"""Verlet and Langevin on CO clusters, and ensembles whose batching leaves no trace."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.md.ensemble import BLOCK_WIDTH, Langevin, Observation, run
from frazil.potentials.van_hemert import VanHemert, VanHemertCalculator
from frazil.structures import MOLECULE_MASSES_amu, relax
from frazil.units import fs, kB

FIELD = VanHemert(2.0)


@pytest.fixture(scope="module")
def cluster() -> np.ndarray:
    grid = np.array([[0, 0, 0], [3.7, 0, 0], [1.8, 3.3, 0], [1.8, 1.2, 3.2]], float)
    axes = np.array([[0, 0.3, 1], [1, 0.2, 0], [0, 1, 0.4], [0.5, 0.5, -1]])
    axes *= 1.128 / np.linalg.norm(axes, axis=1)[:, None]
    positions = np.stack([grid, grid + axes], axis=1).reshape(-1, 3)
    return relax(Atoms("CO" * 4, positions=positions), VanHemertCalculator(2.0)).positions


MASSES = np.tile(MOLECULE_MASSES_amu, 4)


def starts(cluster: np.ndarray, n: int, temperature_K: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    """n starts; the i-th is the same for every n."""
    spread = np.sqrt(kB * temperature_K / MASSES)[:, None]
    velocities = np.array([spread * np.random.default_rng(i).normal(size=cluster.shape) for i in range(n)])
    return np.repeat(cluster[None], n, axis=0), velocities


def last(*arguments: object, **options: object) -> Observation:
    return list(run(*arguments, **options))[-1]  # type: ignore[arg-type]


def total_energy(seen: Observation) -> np.ndarray:
    kinetic = 0.5 * (MASSES[:, None] * seen.velocities**2).sum(axis=(1, 2))
    return np.asarray(seen.energy_eV + kinetic)


def test_verlet_is_of_second_order(cluster: np.ndarray) -> None:
    positions, velocities = starts(cluster, 8, 300.0)
    timesteps_fs = np.array([0.1, 0.2, 0.4, 0.8])
    errors = []
    for timestep_fs in timesteps_fs:
        seen = run(FIELD, positions, velocities, MASSES, timestep_fs, round(160 / timestep_fs), 1)
        energies = np.array([total_energy(observation) for observation in seen])
        errors.append(np.abs(energies - energies[0]).max(axis=0).mean())
    slope = np.polyfit(np.log(timesteps_fs), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


def test_conservation_and_time_reversal(cluster: np.ndarray) -> None:
    positions, velocities = starts(cluster, 3)
    observed = list(run(FIELD, positions, velocities, MASSES, 0.2, 5000, 500))
    momenta = np.array([(MASSES[:, None] * seen.velocities).sum(axis=1) for seen in observed])
    angular = np.array(
        [np.cross(seen.positions, MASSES[:, None] * seen.velocities).sum(axis=1) for seen in observed]
    )
    assert np.abs(momenta - momenta[0]).max() < 1e-11
    assert np.abs(angular - angular[0]).max() < 1e-10
    energies = np.array([total_energy(seen) for seen in observed])
    time_ps = np.array([seen.time_fs for seen in observed]) / 1000
    drift_meV_per_atom_ps = 1000 * np.polyfit(time_ps, energies, 1)[0] / len(MASSES)
    assert np.abs(drift_meV_per_atom_ps).max() < 0.005

    there = last(FIELD, positions, velocities, MASSES, 0.2, 1000, 1000)
    back = last(FIELD, there.positions, -there.velocities, MASSES, 0.2, 1000, 1000)
    assert back.positions == pytest.approx(positions, abs=1e-9)
    assert back.velocities == pytest.approx(-velocities, abs=1e-9)


def test_observing_more_often_or_in_two_runs_changes_nothing(cluster: np.ndarray) -> None:
    positions, velocities = starts(cluster, 2)
    whole = last(FIELD, positions, velocities, MASSES, 0.2, 100, 100)
    often = list(run(FIELD, positions, velocities, MASSES, 0.2, 100, 30))
    assert [seen.step for seen in often] == [0, 30, 60, 90, 100]
    assert often[2].time_fs == pytest.approx(12.0)
    assert np.array_equal(often[-1].positions, whole.positions)
    half = last(FIELD, positions, velocities, MASSES, 0.2, 50, 50)
    again = last(FIELD, half.positions, half.velocities, MASSES, 0.2, 50, 50)
    assert np.array_equal(again.positions, whole.positions)


@pytest.mark.parametrize("thermostat", [None, Langevin(15.0, 100.0, 3)])
def test_a_replica_does_not_depend_on_its_batch(cluster: np.ndarray, thermostat: Langevin | None) -> None:
    positions, velocities = starts(cluster, 37)
    everyone = last(FIELD, positions, velocities, MASSES, 0.2, 60, 60, thermostat)
    for n in (1, 5):
        few = last(FIELD, positions[:n], velocities[:n], MASSES, 0.2, 60, 60, thermostat)
        for name in ("positions", "velocities", "energy_eV"):
            assert np.array_equal(getattr(few, name), getattr(everyone, name)[:n])
    order = np.random.default_rng(5).permutation(37)
    mixed = last(
        FIELD, positions[order], velocities[order], MASSES, 0.2, 60, 60, thermostat, trajectory_ids=order
    )
    assert np.array_equal(mixed.positions, everyone.positions[order])


def test_a_replica_is_what_it_is_alone(cluster: np.ndarray) -> None:
    """Against plain velocity Verlet in NumPy with unbatched forces."""
    positions, velocities = starts(cluster, 11)
    batch = last(FIELD, positions, velocities, MASSES, 0.2, 40, 40)
    slope = jax.jit(jax.grad(FIELD))
    for i in (0, 9):
        x, v = positions[i], velocities[i]
        forces = -np.asarray(slope(x))
        for _ in range(40):
            v = v + 0.5 * 0.2 * fs * forces / MASSES[:, None]
            x = x + 0.2 * fs * v
            forces = -np.asarray(slope(x))
            v = v + 0.5 * 0.2 * fs * forces / MASSES[:, None]
        assert batch.positions[i] == pytest.approx(x, abs=1e-11)
        assert batch.velocities[i] == pytest.approx(v, abs=1e-11)


def test_a_broken_replica_disturbs_no_other(cluster: np.ndarray) -> None:
    positions, velocities = starts(cluster, BLOCK_WIDTH + 2)
    sound = last(FIELD, positions, velocities, MASSES, 0.2, 50, 50)
    broken = positions.copy()
    broken[3, 0, 0] = np.nan
    broken[BLOCK_WIDTH, 2:4] = broken[BLOCK_WIDTH, 2]
    seen = last(FIELD, broken, velocities, MASSES, 0.2, 50, 50)
    others = np.setdiff1d(np.arange(BLOCK_WIDTH + 2), [3, BLOCK_WIDTH])
    assert np.isnan(seen.energy_eV[[3, BLOCK_WIDTH]]).all()
    assert np.array_equal(seen.positions[others], sound.positions[others])
    assert np.array_equal(seen.energy_eV[others], sound.energy_eV[others])


@dataclass(frozen=True)
class Springs:
    """Every atom on a spring of its own (eV/Å²): its canonical averages are known."""

    constant: float = 4.0

    def __call__(self, positions_A: jax.Array) -> jax.Array:
        return 0.5 * self.constant * (positions_A**2).sum()


def test_langevin_samples_the_canonical_distribution() -> None:
    n, temperature_K = 64, 15.0
    rest = np.zeros((n, 8, 3))
    kinetic, potential = [], []
    for seen in run(Springs(), rest, rest, MASSES, 1.0, 6000, 100, Langevin(temperature_K, 50.0, 1)):
        if seen.time_fs >= 1000:
            kinetic.append(0.5 * (MASSES[:, None] * seen.velocities**2).sum(axis=(1, 2)))
            potential.append(seen.energy_eV)
    expected = 0.5 * 24 * kB * temperature_K
    for energies in (np.array(kinetic), np.array(potential)):
        per_replica = energies.mean(axis=0)
        error = per_replica.std(ddof=1) / np.sqrt(n)
        assert abs(per_replica.mean() - expected) < 4 * error + 0.002 * expected
        assert energies.var() == pytest.approx(expected**2 / 12, rel=0.1)


def test_noise_belongs_to_the_trajectory() -> None:
    rest = np.zeros((3, 8, 3))
    one = last(Springs(), rest, rest, MASSES, 1.0, 20, 20, Langevin(15.0, 50.0, 1), trajectory_ids=[4, 5, 6])
    two = last(Springs(), rest, rest, MASSES, 1.0, 20, 20, Langevin(15.0, 50.0, 1), trajectory_ids=[6, 7, 8])
    assert np.array_equal(one.positions[2], two.positions[0])
    assert not np.array_equal(one.positions[0], two.positions[0])
    other = last(
        Springs(), rest, rest, MASSES, 1.0, 20, 20, Langevin(15.0, 50.0, 2), trajectory_ids=[4, 5, 6]
    )
    assert not np.array_equal(one.positions, other.positions)


def test_bad_settings(cluster: np.ndarray) -> None:
    positions, velocities = starts(cluster, 1)
    with pytest.raises(UserError, match="time step of 0 fs; it must be positive"):
        next(run(FIELD, positions, velocities, MASSES, 0.0, 10, 10))
    with pytest.raises(UserError, match="10 steps observed every 0"):
        next(run(FIELD, positions, velocities, MASSES, 0.2, 10, 0))
