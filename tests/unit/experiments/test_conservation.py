"""Energy that drifts in the runs of spectra is seen, whatever it is that the dynamics conserves."""

import numpy as np
import pandas
import pytest

from frazil.experiments.conservation import drift_gates
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import NoseHooverChain, OwnTemperature
from frazil.md.observers import Conserved, energies
from frazil.md.trajectory import drift_meV_per_ps
from frazil.potentials.analytic.simple import HarmonicBonds
from frazil.units import kB


def test_gates_look_at_the_median_and_at_the_worst_run() -> None:
    """Twelve modes at 300 K hold 310 meV; 0.5 % of that over 10 ps is 0.155 meV/ps."""
    quiet = pandas.Series([0.05, -0.1, 0.02, np.nan])
    assert [gate.passed for gate in drift_gates(quiet, 10_000.0, 12, 300.0, "x")] == [True, True]
    one = pandas.Series([0.05, -0.1, 0.02, 2.0])
    assert [gate.passed for gate in drift_gates(one, 10_000.0, 12, 300.0, "x")] == [True, False]
    assert [gate.passed for gate in drift_gates(-5 * quiet, 10_000.0, 12, 300.0, "x")] == [False, True]
    value = drift_gates(pandas.Series([1.0]), 10_000.0, 12, 300.0, "x")[0].value
    assert value == pytest.approx(10.0 / (12e3 * kB * 300.0))


def test_a_drift_is_the_slope_of_energies_at_equal_times() -> None:
    times_ps = 0.004 * np.arange(500)
    energies_meV = -3e6 + 2.5 * times_ps + np.tile([0.1, -0.1], 250)
    assert drift_meV_per_ps(energies_meV, 4.0) == pytest.approx(2.5, abs=0.01)


def test_a_thermostat_of_its_own_temperature_conserves_its_own_energy() -> None:
    """The chain takes and gives kinetic energy, so that the total moves; what it conserves stands still."""
    integrator = OwnTemperature(NoseHooverChain(0.5, 900.0, 50.0))
    ensemble = Ensemble(
        HarmonicBonds(60.0, 1.1), integrator, np.array([12.0, 16.0]), n_steps=2000,
        observe_every=10, campaign_seed=1, observers=(energies, Conserved(integrator)), width=1,
    )  # fmt: skip
    velocities = np.array([[[0.0, 0, 0.02], [0, 0, -0.015]]])
    positions = np.array([[[0.0, 0, 0], [0, 0, 1.15]]])
    (ended,) = ensemble.run(positions, velocities, temperatures_K=[300.0])
    total = ended.rows["energy"] + ended.rows["kinetic_energy"]
    kept = ended.rows["conserved_energy"]
    assert np.ptp(kept) < 0.02 * np.ptp(total)
    assert abs(drift_meV_per_ps(1e3 * kept, 5.0)) < 0.5
