"""What the infrared protocol prescribes: energies of displaced frames, velocities, what of a run is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("optax")
pytest.importorskip("featomic")

from frazil.analysis.estimates import two_way
from frazil.analysis.normal_modes import Modes
from frazil.analysis.predictive import another_value
from frazil.analysis.spectra import average
from frazil.campaigns import Start
from frazil.experiments.infrared import dynamics, initial
from frazil.experiments.infrared.committee_md import (
    Limits,
    Replica,
    Schedule,
    run_replicas,
    thermal_velocities,
)
from frazil.experiments.infrared.dynamics import BatchedRuns
from frazil.experiments.infrared.minima import Reference
from frazil.experiments.infrared.settings import Runs
from frazil.experiments.infrared.spectra_tables import Mean, bands
from frazil.md.integrators import NoseHooverChain, OwnTemperature
from frazil.md.state import system_of
from frazil.md.trajectory import Outcome, Trajectory
from frazil.systems.minima import Minimum
from frazil.units import fs, hbar, inverse_cm, kB


def stiff(n_modes: int = 4) -> Minimum:
    """Atoms far apart, each of unit mass-weighted displacement along z, with stiff modes."""
    atoms = Atoms("Mg" * n_modes, [[4.0 * i, 0.0, 0.0] for i in range(n_modes)])
    displacements = np.zeros((n_modes, n_modes, 3))
    displacements[np.arange(n_modes), np.arange(n_modes), 2] = 1 / np.sqrt(atoms.get_masses())
    return Minimum(atoms, Modes(800.0 + 100.0 * np.arange(n_modes), np.zeros(n_modes), displacements))


def test_displaced_frames_have_the_energy_of_their_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Along all modes n kT/2 on average, as the harmonic canonical ensemble; along one up to n kT."""
    minimum, temperature_K, n_kept = stiff(), 200.0, 150
    monkeypatch.setattr(initial, "soap_vectors", len)
    monkeypatch.setattr(initial, "farthest_points", lambda n, wanted: list(range(n)))
    pool = initial.initial_frames([minimum], ["M"], n_kept, (temperature_K, temperature_K), 1)
    assert len(pool) == 4 * n_kept + 1, "a pool of four for each that is kept"
    omega = minimum.modes.wavenumbers_cm1 * inverse_cm / hbar
    moved = np.array([frame.positions - minimum.atoms.positions for frame in pool[1:]])
    along = np.sqrt(minimum.atoms.get_masses()) * moved[:, :, 2]
    energy = 0.5 * (omega * along) ** 2 / (kB * temperature_K)
    one, together = energy[::2], energy[1::2]
    assert ((one > 1e-12).sum(axis=1) == 1).all()
    assert np.argmax(one, axis=1).tolist() == [i % 4 for i in range(len(one))], "mode after mode"
    assert one.max() == pytest.approx(4.0, rel=0.05)
    assert one.sum(axis=1).mean() == pytest.approx(4.0 / 3.0, rel=0.15)
    assert together.mean(axis=0) == pytest.approx(0.5, abs=0.12)


def test_no_atom_is_displaced_farther_than_bonds_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initial, "soap_vectors", len)
    monkeypatch.setattr(initial, "farthest_points", lambda n, wanted: list(range(n)))
    pool = initial.initial_frames([stiff()], ["M"], 20, (4e5, 4e5), 1)
    farthest = [np.linalg.norm(f.positions - pool[0].positions, axis=1).max() for f in pool[1:]]
    assert max(farthest) == pytest.approx(0.35)


def test_learning_starts_with_velocities_of_its_temperature() -> None:
    atoms = Atoms("MgO" * 100, np.arange(600.0).reshape(200, 3))
    velocities = thermal_velocities(atoms, 300.0, 1, "learning", 0)
    kinetic = 0.5 * atoms.get_masses()[:, None] * velocities**2
    for element in ("Mg", "O"):
        own = kinetic[[symbol == element for symbol in atoms.symbols]]
        assert own.mean() / (0.5 * kB * 300.0) == pytest.approx(1.0, abs=0.25)


SETTINGS = Runs(
    temperatures_K=(100.0, 300.0), campaign_seed=1, n_replicas=12, duration_fs=20.0, equilibration_fs=6.0,
    dipole_every_fs=2.0, timestep_fs=0.5, period_fs=50.0, chain=2,
)  # fmt: skip


def runs(n_members: int = 2) -> BatchedRuns:
    references = [Reference(name, stiff(4), 0.0, "none") for name in ("one", "other")]
    return BatchedRuns(references, [None] * n_members, SETTINGS, True)


def test_a_run_is_kept_from_the_end_of_its_equilibration_on() -> None:
    all_runs = runs()
    number = np.arange(14.0)
    rows = {
        "dipole_e_A": number[:, None] * np.ones(3), "temperature_K": 1000.0 * (number < 3) + number,
        "positions": number[:, None, None] * np.ones((9, 3)), "step": number * 4,
        "conserved_energy": 5.0 * (number < 3) - 7.0 + 3e-3 * 2.0 * number,
    }  # fmt: skip
    start = Start(np.zeros((9, 3)), np.zeros((9, 3)), known={"natoms": 4})
    row = all_runs.row(start, Trajectory(0, Outcome.FINISHED, 52, rows))
    assert row["dipoles_e_A"][:, 0].tolist() == list(range(3, 14)), "6 fs, observed every 2 fs, are left out"
    assert row["mean_temperature_K"] == pytest.approx(8.0)
    assert row["energy_drift_meV_per_ps"] == pytest.approx(3000.0)
    assert row["positions_A"].shape == (11, 4, 3)
    assert row["positions_A"][0, 0, 0] == 3
    assert (row["outcomes"], row["ended_fs"]) == ("finished", 26.0)
    broken = all_runs.row(start, Trajectory(0, Outcome.NON_FINITE, 8, rows))
    assert broken == {"outcomes": "non-finite", "ended_fs": 4.0}


def test_runs_are_as_long_as_said_at_their_temperatures_and_start_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(dynamics, "_labeller", lambda reference: "label")
    monkeypatch.setattr(
        dynamics,
        "Ensemble",
        lambda potential, integrator, masses, **given: asked.update(given, it=integrator),
    )
    all_runs = runs()
    assert (all_runs.n_runs, all_runs.shape) == (96, (2, 2, 2, 12))
    all_runs.ensemble(0)
    assert (asked["n_steps"], asked["observe_every"]) == (52, 4)
    assert isinstance(asked["it"], OwnTemperature)
    chain = asked["it"].thermostat
    assert (chain.timestep_fs, chain.period_fs, chain.length) == (0.5, 50.0, 2)
    assert (asked["removed"], asked["width"]) == ("drift and rotation", 48)
    begun = [all_runs.start(identity) for identity in range(96)]
    places = [all_runs.place(identity) for identity in range(96)]
    for own, (structure, member, temperature, _) in zip(begun, places, strict=True):
        assert (own.kind, own.group) == (structure, member)
        assert own.temperature_K == (100.0, 300.0)[temperature]
    positions = np.array([own.positions_A for own in begun]).reshape(96, -1)
    moved = positions - stiff(4).atoms.positions.ravel()
    own_draw = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    assert np.triu(own_draw @ own_draw.T, 1).max() < 0.99999, "no two share their random numbers"
    hot = np.array([place[2] == 1 for place in places])
    assert (moved[hot] ** 2).mean() / (moved[~hot] ** 2).mean() == pytest.approx(3.0, rel=0.4)
    rows = [{"outcomes": str(i), "ended_fs": float(i)} for i in range(96)]
    found = list(all_runs.dipoles("label", rows))
    assert [dipoles.outcomes.ravel().tolist() for dipoles in found] == [
        [str(i) for i in range(48)], [str(i) for i in range(48, 96)]
    ]  # fmt: skip
    assert found[0].dipoles_e_A.shape == (2, 2, 12, 11, 3)


def spectra(n_members: int, n_starts: int, spread: float, places: np.ndarray | None = None) -> Mean:
    """Runs of members whose spectra differ by ``spread``, and share their starts' scatter."""
    random, wavenumbers = np.random.default_rng(3), 200.0 + 4.0 * np.arange(300)
    shape = (n_members, n_starts, 1)
    shift = 0.0 if places is None else places[:, None, None] + random.normal(size=(1, n_starts, 1))
    lines = np.exp(-(((wavenumbers - 800.0 - shift) / 15.0) ** 2)) * np.ones(shape)
    offsets = spread * np.linspace(-1.0, 1.0, n_members)[:, None, None]
    runs = lines + offsets + 0.3 * random.normal(size=(1, n_starts, 1)) + 0.05 * random.normal(size=shape)
    mean = average([(wavenumbers, one) for one in runs.mean(axis=0)])
    return Mean("P1", 300.0, mean, runs, 0, 1.0)


def test_a_spectrum_s_model_error_is_that_of_members_beyond_what_each_scatters() -> None:
    mean = spectra(3, 10, 0.4)
    found, layout = mean.estimate, two_way(mean.runs)
    assert found.model_std == pytest.approx(layout.model_std)
    assert found.model_std.mean() == pytest.approx(0.4, abs=0.05)
    unit = mean.runs.mean(axis=0).std(axis=0, ddof=1)
    ends = mean.spectrum.low_95, mean.spectrum.high_95
    variances = np.broadcast_to(layout.residual_variance / 10, mean.runs[:, 0].shape)
    low, high = another_value(mean.spectrum.intensity, ends, mean.runs.mean(axis=1), variances, unit)
    assert found.total_low_95 == pytest.approx(np.minimum(low, ends[0]), rel=2e-3)
    assert found.total_high_95 == pytest.approx(np.maximum(high, ends[1]), rel=2e-3)
    assert ((found.total_high_95 - found.total_low_95) > 2 * 0.8).all(), "another member may lie beyond all"


def test_a_band_s_place_errs_by_its_starts_and_its_members() -> None:
    """Places that scatter by 1 cm⁻¹ from start to start and by 6 from member to member, on a grid of 4."""
    near = spectra(4, 16, 0.0, np.array([-6.0, -2.0, 2.0, 6.0]))
    label = spectra(1, 16, 0.0, np.array([0.0]))
    (row,) = bands(near, label).to_dict("records")
    assert row["label_cm1"] == pytest.approx(800.0, abs=2.0)
    assert row["stat_se_cm1"] < 4.0
    assert row["model_std_cm1"] == pytest.approx(np.std([-6, -2, 2, 6], ddof=1), abs=2.0)
    assert row["total_low_95_cm1"] < 794 < 806 < row["total_high_95_cm1"]
    far = spectra(4, 16, 0.0, np.array([20.0, 20.0, 20.0, 20.0]))
    assert bands(far, label)["difference_cm1"].to_numpy() == pytest.approx([20.0], abs=2.0)


class Ran(Exception):
    """Stands for a run: the engine was asked."""


def test_replicas_that_learn_run_as_the_schedule_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A frame a femtosecond, Berendsen's thermostat, limits by structure and size."""
    from types import SimpleNamespace

    from frazil.experiments.infrared import committee_md

    asked: dict[str, Any] = {}

    def engine(watched: Any, integrator: Any, masses: np.ndarray, **given: Any) -> Any:
        asked.update(given, watched=watched, thermostat=integrator.thermostat)
        raise Ran

    monkeypatch.setattr(committee_md, "Ensemble", engine)
    monkeypatch.setattr(
        committee_md, "replace", lambda committee, **given: SimpleNamespace(cutoff_A=None, n_atoms=4, **given)
    )
    monkeypatch.setattr(committee_md.Batch, "committee", lambda batch, model: None)
    references = [Reference("one", stiff(4), -3.0, "none")]
    schedule = Schedule((100.0, 900.0), 2, 70.3, 0.5, 40.0, 1, 8)
    replicas = [Replica(0, 1, 0, np.zeros((4, 3)), np.zeros((4, 3)))]
    limits = Limits(0.2, 0.01, 5.0, 15.0)
    model: Any = SimpleNamespace(n_members=3)
    with pytest.raises(Ran):
        run_replicas(model, references, replicas, schedule, limits, tmp_path)
    assert (asked["n_steps"], asked["observe_every"]) == (142, 2), "71 fs: whole femtoseconds"
    thermostat = asked["thermostat"]
    assert (thermostat.timestep_fs, thermostat.temperature_K, thermostat.damping_fs) == (0.5, 900.0, 40.0)
    watched = asked["watched"]
    assert (watched.force_eV_per_A, watched.energy_eV) == (0.2, pytest.approx(0.04))
    assert (watched.ceiling_eV, watched.range_eV, watched.largest_force_eV_per_A) == (2.0, 5.0, 15.0)
    assert (asked["width"], asked["removed"]) == (8, "drift and rotation")


@pytest.mark.parametrize("n_atoms", [1, 5])
def test_a_chain_s_masses_count_the_degrees_of_freedom(n_atoms: int) -> None:
    """Of the first N_f kT τ², of the others kT τ²: the first is driven by 2K/N_f − kT, whatever the size."""
    system = system_of(np.full(n_atoms, 12.0), None, "none", True)
    chain = NoseHooverChain(0.001, 300.0, 50.0, 3)
    degrees = 3 * n_atoms
    assert np.asarray(chain._masses(system)) == pytest.approx(
        np.array([degrees, 1, 1]) * kB * 300.0 * (50.0 * fs) ** 2
    )
