import time

import numpy as np
import pytest

from frazil.experiments.photodesorption.outcome import Curves, Tracker
from frazil.experiments.photodesorption.settings import Limits
from frazil.md.lammps import Observation
from frazil.systems.diatomic import BondCurve
from frazil.systems.molecules import Molecules, molecule

LIMITS = Limits(criteria_A=(2.0, 3.0, 4.0), criterion_A=3.0, dissociation_A=3.0, unphysical_contact_A=1.5)
LENGTHS = np.linspace(0.7, 4.0, 400)
CURVE = BondCurve(LENGTHS, 11.2301 * (1 - np.exp(-2.3281 * (LENGTHS - 1.12821))) ** 2)
CURVES = Curves(ground=CURVE, excited=CURVE)


def co(n_molecules: int) -> Molecules:
    return Molecules.alike(molecule("CO"), n_molecules)


def seen(time_fs: float, x_A: list[float], bond_A: float = 1.128, energy_eV: float = 0.0) -> Observation:
    """Return molecules standing along y with their centres of mass on the x axis."""
    positions = np.zeros((2 * len(x_A), 3))
    positions[:, 0] = np.repeat(x_A, 2)
    positions[::2, 1], positions[1::2, 1] = -bond_A * 15.999 / 28.01, bond_A * 12.011 / 28.01
    return Observation(time_fs, positions, np.zeros_like(positions), energy_eV)


def followed(*moments: Observation, excited: int = 0) -> tuple[Tracker, list[bool]]:
    tracker = Tracker(LIMITS, co(len(moments[0].positions_A) // 2), excited)
    return tracker, [tracker.observe(now) for now in moments]


def test_crossings_count_from_the_outermost_molecule_and_the_fixed_centre() -> None:
    # Centre at 0, outermost at 4: the main criterion is at 7 Å from 0, wherever the others went meanwhile.
    start = [-4.0, 0.0, 4.0]
    tracker, _ = followed(
        seen(0, start), seen(10, [-4, 0, 6.5]), seen(20, [-4, 0, 6.99]), seen(30, [-4, 0, 9])
    )
    rows = tracker.rows(CURVES)
    assert rows["trajectory"]["outcome"] == "desorbed"
    assert (rows["trajectory"]["n_desorbed"], rows["trajectory"]["first_desorption_fs"]) == (1, 30)
    assert [(row["molecule"], row["criterion_A"], row["crossing_fs"]) for row in rows["crossings"]] == [
        (2, 2.0, 10), (2, 3.0, 30), (2, 4.0, 30),
    ]  # fmt: skip
    assert rows["desorbed"][0]["returned"] == 0
    assert rows["desorbed"][0]["excited"] == 0


def test_several_molecules_desorb_and_one_returns() -> None:
    start = [-4.0, 0.0, 4.0]
    leaving = seen(10, [-8.0, 0.0, 4.0])
    moving = leaving.velocities_A_per_fs.copy()
    moving[:2, 2] = 0.005
    leaving = Observation(10, leaving.positions_A, moving, 0.0)
    tracker, _ = followed(seen(0, start), leaving, seen(20, [-6.0, 8.0, 4.0]), seen(30, [-6.0, 9.0, 4.0]))
    rows = tracker.rows(CURVES)
    first, second = rows["desorbed"]
    assert (first["molecule"], first["excited"], first["returned"], first["desorption_fs"]) == (0, 1, 1, 10)
    assert (second["molecule"], second["excited"], second["returned"], second["desorption_fs"]) == (
        1,
        0,
        0,
        20,
    )
    assert rows["trajectory"]["n_desorbed"] == 2
    assert first["translational_energy_meV"] > 30  # as it crossed
    assert second["translational_energy_meV"] == 0  # as it ended


def test_dissociation_ends_the_trajectory() -> None:
    tracker, over = followed(seen(0, [-4, 0, 4]), seen(10, [-4, 0, 8]), seen(20, [-4, 0, 9], bond_A=3.1))
    assert over == [False, False, True]
    assert tracker.rows(CURVES)["trajectory"]["outcome"] == "dissociated"
    assert tracker.rows(CURVES)["trajectory"]["duration_fs"] == 20


def test_an_unphysical_contact_is_a_failure_and_goes_before_dissociation() -> None:
    tracker, over = followed(seen(0, [-4, 0, 4]), seen(10, [-4, 0, 1.4], bond_A=3.1))
    row = tracker.rows(CURVES)["trajectory"]
    assert over == [False, True]
    assert row["outcome"] == "failed"
    assert row["failure"] == "contact of 1.40 A at 10 fs"
    assert row["closest_contact_A"] == pytest.approx(1.4)


@pytest.mark.parametrize("broken", ["positions", "energy"])
def test_what_is_not_finite_is_a_failure(broken: str) -> None:
    bad = seen(10, [-4, 0, np.nan]) if broken == "positions" else seen(10, [-4, 0, 4], energy_eV=np.nan)
    tracker, over = followed(seen(0, [-4, 0, 4]), bad)
    assert over == [False, True]
    assert tracker.rows(CURVES)["trajectory"]["failure"] == "not finite at 10 fs"


def test_a_failure_before_the_first_observation_still_makes_a_row() -> None:
    tracker = Tracker(LIMITS, co(3), -1)
    tracker.fail("LAMMPS gave up")
    rows = tracker.rows(CURVES)
    assert rows["trajectory"] == {
        "outcome": "failed", "n_desorbed": 0, "first_desorption_fs": None, "duration_fs": 0.0,
        "energy_std_meV": None, "energy_drift_meV_per_ps": None, "closest_contact_A": None,
        "failure": "LAMMPS gave up",
    }  # fmt: skip
    assert rows["desorbed"] == rows["crossings"] == []


def test_energy_conservation_is_a_deviation_and_a_slope() -> None:
    moments = [seen(10.0 * i, [-4, 0, 4], energy_eV=-5 + 2e-6 * 10 * i) for i in range(11)]
    row = followed(*moments)[0].rows(CURVES)["trajectory"]
    assert row["outcome"] == "retained"
    assert row["first_desorption_fs"] is None
    assert row["energy_drift_meV_per_ps"] == pytest.approx(2.0)
    assert row["energy_std_meV"] == pytest.approx(1000 * np.std(2e-5 * np.arange(11)))


@pytest.mark.parametrize("n_molecules", [8, 50])
def test_an_observation_is_cheap(n_molecules: int) -> None:
    now = seen(0, list(np.arange(n_molecules) * 4.0))
    tracker = Tracker(LIMITS, co(n_molecules), 0)
    tracker.observe(now)
    started = time.process_time()
    for _ in range(50):
        tracker.observe(now)
    assert (time.process_time() - started) / 50 < 0.005  # 0.1 to 0.3 ms measured
