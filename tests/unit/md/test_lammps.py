import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from frazil.errors import UserError
from frazil.md.lammps import EngineError, LammpsSession, NoseHoover, Observation
from frazil.potentials.deepmd.model import DeepPotential
from frazil.systems.co import TYPE_MASSES_amu, co_types
from frazil.systems.energies import temperature_K

N_MOLECULES = 3


@pytest.fixture(scope="module")
def session(tiny_model: Path) -> Iterator[LammpsSession]:
    with LammpsSession(tiny_model, N_MOLECULES) as opened:
        yield opened


def start(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, velocities (Å/fs, no drift) and types of a small aggregate, one molecule excited."""
    rng = np.random.default_rng(seed)
    centres = 3.8 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)]) + rng.normal(size=(3, 3)) * 0.1
    bonds = rng.normal(size=(3, 3))
    bonds *= 1.13 / np.linalg.norm(bonds, axis=1, keepdims=True)
    positions = np.stack([centres, centres + bonds], axis=1).reshape(-1, 3)
    types = co_types(N_MOLECULES, seed % N_MOLECULES)
    masses = TYPE_MASSES_amu[types][:, None]
    velocities = rng.normal(size=positions.shape) * 1e-3
    return positions, velocities - (masses * velocities).sum(axis=0) / masses.sum(), types


def follow(
    session: LammpsSession, seed: int, observe_every: int = 10, n_steps: int = 60
) -> list[Observation]:
    return list(session.run(*start(seed), 0.2, n_steps, observe_every))


def assert_identical(one: list[Observation], two: list[Observation]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert (a.time_fs, a.potential_energy_eV) == (b.time_fs, b.potential_energy_eV)
        assert_array_equal(a.positions_A, b.positions_A)
        assert_array_equal(a.velocities_A_per_fs, b.velocities_A_per_fs)


def test_a_trajectory_is_bit_identical_alone_after_others_and_in_another_order(
    tiny_model: Path, session: LammpsSession
) -> None:
    in_turn = [follow(session, seed) for seed in (0, 1, 2)]
    backwards = [follow(session, seed) for seed in (2, 1, 0)][::-1]
    for seed in range(3):
        assert_identical(in_turn[seed], backwards[seed])
    with LammpsSession(tiny_model, N_MOLECULES) as alone:
        assert_identical(in_turn[2], follow(alone, 2))


def test_observing_does_not_change_the_trajectory(session: LammpsSession) -> None:
    often, seldom = follow(session, 1, observe_every=5), follow(session, 1, observe_every=60)
    assert_identical([often[0], often[-1]], seldom)
    assert [round(seen.time_fs) for seen in often] == list(range(13))


def test_leaving_the_virial_out_changes_no_bit(
    tiny_model: Path, session: LammpsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressure = "compute pressure all pressure NULL virial"
    session._command(pressure)
    without = follow(session, 1)
    assert session._lammps.extract_compute("pressure", 0, 0) == 0
    session._command("uncompute pressure")
    monkeypatch.setattr("frazil.md.lammps.without_virial", lambda graph: graph)
    with LammpsSession(tiny_model, N_MOLECULES) as whole:
        whole._command(pressure)
        assert_identical(without, follow(whole, 1))
        assert abs(whole._lammps.extract_compute("pressure", 0, 0)) > 1


def test_a_run_that_was_left_leaves_no_trace(session: LammpsSession) -> None:
    before = follow(session, 1)
    run = session.run(*start(0), 0.2, 60, 10, NoseHoover(15.0, 10.0))
    next(run)
    next(run)
    assert_identical(before, follow(session, 1))
    del run


def test_minimizing_leaves_no_trace_and_lowers_the_energy(session: LammpsSession) -> None:
    before = follow(session, 1)
    positions, velocities, types = start(1)
    relaxed = session.minimize(positions, types)
    at_rest = next(session.run(relaxed, 0 * velocities, types, 0.2, 10, 10))
    assert at_rest.potential_energy_eV < before[0].potential_energy_eV
    assert_identical(before, follow(session, 1))


def test_energies_and_motion_are_those_of_the_model(tiny_model: Path, session: LammpsSession) -> None:
    potential = DeepPotential(tiny_model / "model.pb")
    types = start(1)[2]
    seen = list(session.run(*start(1), 0.05, 20, 1))
    energies, forces = potential.evaluate(np.array([now.positions_A for now in seen]), types)
    assert_allclose([now.potential_energy_eV for now in seen], energies, atol=1e-9)
    velocities = np.array([now.velocities_A_per_fs for now in seen])
    positions = np.array([now.positions_A for now in seen])
    to_A_per_fs2 = 9.648533212e-3  # one eV/Å/amu in Å/fs²
    accelerations = to_A_per_fs2 * forces / TYPE_MASSES_amu[types][:, None]
    assert_allclose(
        np.diff(velocities, axis=0), 0.05 * (accelerations[1:] + accelerations[:-1]) / 2, atol=1e-9
    )
    assert_allclose(
        np.diff(positions, axis=0), 0.05 * velocities[:-1] + 0.05**2 / 2 * accelerations[:-1], atol=1e-9
    )


def test_a_failed_trajectory_harms_no_other(session: LammpsSession) -> None:
    before = follow(session, 1)
    positions, velocities, types = start(0)
    with pytest.raises(EngineError, match="not finite"):
        next(session.run(np.full_like(positions, np.nan), velocities, types, 0.2, 10, 10))
    fast = velocities.copy()
    fast[0] = np.inf
    with pytest.raises(EngineError, match="not finite"):
        next(session.run(positions, fast, types, 0.2, 10, 10))
    fast[0] = 1e300
    with pytest.raises(EngineError, match="LAMMPS on"):
        list(session.run(positions, fast, types, 0.2, 100, 10))
    assert_identical(before, follow(session, 1))


def test_a_molecule_that_flies_far_is_no_error(session: LammpsSession) -> None:
    positions, velocities, types = start(0)
    velocities[4:] += (200.0, 0.0, 0.0)
    last = list(session.run(positions, velocities, types, 0.2, 100, 50))[-1]
    assert last.positions_A[4, 0] > 3000
    assert np.isfinite(last.positions_A).all()


def test_nose_hoover_keeps_drift_and_rotation_at_zero_and_reaches_its_temperature(
    session: LammpsSession,
) -> None:
    positions, velocities, types = start(1)
    positions = session.minimize(positions, types)
    velocities = velocities * np.sqrt(15.0 / temperature_K(velocities, TYPE_MASSES_amu[types]))
    run = list(session.run(positions, velocities, types, 0.2, 2000, 25, NoseHoover(15.0, 10.0)))
    temperatures = [float(temperature_K(now.velocities_A_per_fs, TYPE_MASSES_amu[types])) for now in run[20:]]
    assert 10 < np.mean(temperatures) < 20
    masses = TYPE_MASSES_amu[types][:, None]
    drift = (masses * run[-1].velocities_A_per_fs).sum(axis=0)
    assert_allclose(drift, 0, atol=1e-10)


@pytest.mark.parametrize("timestep_fs", [0.0, -0.1, np.nan, np.inf])
def test_a_time_step_must_be_positive(session: LammpsSession, timestep_fs: float) -> None:
    with pytest.raises(UserError, match=r"time step .* must be positive"):
        next(session.run(*start(0), timestep_fs, 10, 10))


def test_bad_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model at"):
        LammpsSession(tmp_path / "model.pb", 4)
    (tmp_path / "model.pb").write_text("not a graph")
    with pytest.raises(UserError, match="is not a model of DeePMD-kit"):
        LammpsSession(tmp_path, 4)


def test_no_file_is_left_in_shared_memory(session: LammpsSession) -> None:
    assert not list(Path("/dev/shm").glob(f"mpich_shm_{os.getpid():x}_*"))


def test_mpi_that_cannot_start_says_why(tiny_model: Path) -> None:
    code = f"from frazil.md.lammps import LammpsSession; LammpsSession({str(tiny_model)!r}, {N_MOLECULES})"
    torn = {"PMI_FD": "77", "PMI_RANK": "0", "PMI_SIZE": "2"}  # a launcher that is gone
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | torn, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "MPI_Init" in done.stderr
