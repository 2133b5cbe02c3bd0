"""What the paper counts and leaves out, and where it divides: windows, limits, quantum numbers, criteria."""

from typing import Any

import numpy as np
import pandas
import pytest
from scipy.stats import norm

from frazil.experiments.photodesorption.settings import SNAPSHOTS_PER_REPLICA
from frazil.experiments.photodesorption.shards import Ensemble
from frazil.experiments.photodesorption.statistics import (
    probabilities,
    rotational_fits,
    rotational_windows,
    sensitivity,
    summarise,
)

TAIL = np.sqrt(2 * np.log(1 / 0.03))
"""Standard deviations from the peak of a Gaussian to where 3 % of it are left."""


def ensemble(molecules: list[dict[str, Any]], crossings: Any = (), n_more: int = 0) -> Ensemble:
    """One trajectory for each molecule, which desorbs after 1000 fs, 1010 fs, …, and some that retain all."""
    plain = {
        "excited": 0, "returned": 0, "translational_energy_meV": 40.0, "rotational_energy_meV": 20.0,
        "rotational_quantum_number": 10.0, "vibrational_energy_meV": 135.0, "vibrational_quantum_number": 0.0,
        "outcome": "desorbed", "energy_std_meV": 1.0,
    }  # fmt: skip
    rows = [
        plain | {"outcome": "retained"} | own for own in [*molecules, *[{"outcome": "retained"}] * n_more]
    ]
    table = pandas.DataFrame(rows)
    table["trajectory_id"] = np.arange(len(table))
    table = table.assign(
        snapshot_id=1000 * (np.arange(len(table)) % 7), model_id="m", molecule=0,
        desorption_fs=1000.0 + 10.0 * np.arange(len(table)),
    )  # fmt: skip
    table["first_desorption_fs"] = table["desorption_fs"].where(table["outcome"] == "desorbed")
    columns = ["trajectory_id", "criterion_A", "molecule", "time_fs"]
    return Ensemble(
        table, table.iloc[: len(molecules)], pandas.DataFrame(list(crossings), columns=columns), (), 7
    )


def gaussian(n: int, middle: float, width: float) -> np.ndarray:
    """Return n values that are a Gaussian's quantiles."""
    return middle + width * norm.ppf((np.arange(n) + 0.5) / n)


def left(**columns: Any) -> list[dict[str, Any]]:
    """Molecules that desorbed."""
    n = max(len(values) for values in columns.values() if np.ndim(values))
    values = {name: np.broadcast_to(own, n) for name, own in columns.items()}
    return [{"outcome": "desorbed", **{name: values[name][i] for name in values}} for i in range(n)]


def test_distributions_are_of_molecules_that_left_for_good_in_trajectories_that_ended_well() -> None:
    found = ensemble(
        [
            *left(translational_energy_meV=[10.0, 20.0, np.nan]),
            {"outcome": "desorbed", "returned": 1, "translational_energy_meV": 30.0},
            {"outcome": "failed", "translational_energy_meV": 40.0},
            {"outcome": "dissociated", "translational_energy_meV": 50.0},
        ]
    )
    assert found.of("translational_energy_meV").values.tolist() == [10.0, 20.0]
    assert found.of("translational_energy_meV").clusters.tolist() == [0, 1]
    assert found.first_desorptions.values.tolist() == [1000.0, 1010.0, 1020.0, 1030.0], "returned or not"
    assert found.aggregates_of(np.array([0, 3, 5])).tolist() == [0, 0, 0]


def test_aggregates_are_those_of_the_snapshots_replicas() -> None:
    found = ensemble(left(excited=[0] * 9))
    shared = found.trajectories.assign(
        snapshot_id=np.array([0, 0.9, 1, 1.1, 2, 7, 0, 0, 0]) * SNAPSHOTS_PER_REPLICA
    )
    for n_aggregates, expected in ((0, [0, 0, 1, 1, 2, 7]), (2, [0, 0, 1, 1, 0, 1])):
        of = Ensemble(shared, found.desorbed, found.crossings, (), n_aggregates)
        assert of.aggregates_of(np.arange(6)).tolist() == expected


def test_rotation_by_windows_of_50_meV_peaks_and_ends_where_a_known_distribution_does() -> None:
    """J_max: where 3 % of the maximum are left. Windows go on to the fastest; a window of 4 says nothing."""
    molecules, middles = [], (20.0, 30.0, 40.0, 50.0)
    for number, middle in enumerate(middles):
        molecules += left(
            rotational_quantum_number=gaussian(80, middle, 4.0), translational_energy_meV=50.0 * number + 20.0
        )
    molecules += left(rotational_quantum_number=gaussian(4, 60.0, 1.0), translational_energy_meV=250.0)
    found = rotational_windows(ensemble(molecules), 1)
    assert found["translational_low_meV"].tolist() == [0.0, 50.0, 100.0, 150.0, 200.0]
    assert found["translational_high_meV"].tolist() == [50.0, 100.0, 150.0, 200.0, 250.0]
    assert found["n"].tolist() == [80] * 4 + [0], "250 meV lies in no window below it"
    assert found["translational_mean_meV"].tolist()[:4] == [20.0, 70.0, 120.0, 170.0]
    assert found["j_peak"].to_numpy()[:4] == pytest.approx(np.array(middles), abs=0.5)
    width = np.hypot(gaussian(80, 0.0, 4.0).std(ddof=1), 0.9 * 4.0 * 80**-0.2)
    assert found["j_max"].to_numpy()[:4] == pytest.approx(np.array(middles) + TAIL * width, abs=1.0)
    assert np.isnan(found[["j_peak", "j_max"]].to_numpy()[4]).all()
    assert (found["j_peak_low_95"][:4] < found["j_peak"][:4]).all()
    lines = rotational_fits(found).set_index("quantity")
    assert lines.loc["j_peak", "slope_per_meV"] == pytest.approx(10 / 50, rel=0.05)
    assert lines.loc["j_peak", "intercept"] == pytest.approx(20.0 - 20.0 * 10 / 50, abs=1.0)
    assert lines.loc["j_max", "intercept"] == pytest.approx(16.0 + TAIL * width, abs=1.5)
    assert lines["correlation"].to_numpy() == pytest.approx(1.0, abs=0.01)
    faster = found.assign(j_peak=[*found["j_peak"][:4], 500.0])
    assert rotational_fits(faster)["n_windows"].tolist() == [4, 4], "up to 200 meV"
    few = rotational_fits(found.iloc[:2])
    assert few["slope_per_meV"].isna().all()
    assert few["n_windows"].tolist() == [2, 2]


def test_the_summary_counts_what_the_paper_counts() -> None:
    cold = left(
        translational_energy_meV=gaussian(40, 60.0, 4.0), rotational_quantum_number=6.4,
        vibrational_quantum_number=0.4,
    )  # fmt: skip
    warm = [
        *left(rotational_quantum_number=gaussian(30, 45.0, 3.0), translational_energy_meV=150.0),
        *left(
            rotational_quantum_number=gaussian(10, 80.0, 1.0), translational_energy_meV=[250.0] * 9 + [900.0]
        ),
    ]
    for own in warm:
        own["vibrational_quantum_number"] = 0.9
    lost = [
        {"outcome": "desorbed", "returned": 1, "translational_energy_meV": 900.0},
        {"outcome": "desorbed", "vibrational_quantum_number": np.nan, "translational_energy_meV": 70.0,
         "rotational_quantum_number": 6.6},
    ]  # fmt: skip
    found = summarise(ensemble([*cold, *warm, *lost], n_more=18), 1).set_index("quantity")
    value, n = found["value"], found["n"]
    assert (value["desorption_probability"], n["desorption_probability"]) == (82 / 100, 100)
    assert (value["earliest_desorption"], n["earliest_desorption"]) == (1000.0, 82)
    assert value["mean_desorption_time"] == pytest.approx(1000.0 + 10.0 * 81 / 2)
    assert (value["fraction_above_200_meV"], n["fraction_above_200_meV"]) == (10 / 81, 81)
    assert value["fraction_above_800_meV"] == 1 / 81
    assert (value["fraction_v1"], n["fraction_v1"]) == (40 / 80, 80), "of those whose v is known"
    assert n["translational_peak_v0_j_below_7"] == 40
    assert value["translational_peak_v0_j_below_7"] == pytest.approx(60.0, abs=1.5)
    assert value["translational_peak"] == pytest.approx(60.0, abs=3.0)
    assert n["j_peak_below_71_meV"] == 41, "40 cold ones, and one of 70 meV"
    assert value["j_peak_below_71_meV"] == pytest.approx(6.4, abs=0.5)
    assert n["j_peak_above_71_meV"] == 30, "up to 200 meV"
    assert value["j_peak_above_71_meV"] == pytest.approx(45.0, abs=0.5)
    assert (value["energy_std"], n["energy_std"]) == (1.0, 100)


def test_every_trajectory_counts_and_a_failed_one_never_as_desorbed() -> None:
    """Other distances and times: by the crossings of each distance, and by times up to the parts."""
    molecules = left(excited=[0] * 40)
    molecules[0]["outcome"] = "failed"
    crossings = [(i, criterion, 0, 900.0) for i in range(40) for criterion in (2.0, 3.0)]
    crossings += [(i, 5.0, 0, 1500.0) for i in range(10)]
    crossings += [(3, 2.0, 1, 950.0)]
    own = ensemble(molecules, crossings, n_more=20)
    table = probabilities(own, [5.0, 2.0, 3.0]).set_index("criterion_A")
    assert list(table.index) == [2.0, 3.0, 5.0]
    assert table["n_desorbed"].tolist() == [39, 39, 9]
    assert table["probability"].tolist() == [39 / 60, 39 / 60, 9 / 60]
    assert (table["n"] == 60).all()
    assert (table["n_failed"] == 1).all()
    # The 39 desorb from 1010 to 1390 fs.
    found = sensitivity(own, [2.0, 3.0, 5.0], 3.0, 2400.0).set_index(["criterion", "setting"])
    assert found.loc[("duration_fs", 1200.0), "probability"] == pytest.approx(20 / 60)
    assert found.loc[("duration_fs", 1680.0), "probability"] == pytest.approx(39 / 60)
    assert found.loc[("criterion_A", 5.0), "change"] == pytest.approx(-30 / 60)
    assert found["exceeds"].to_dict() == {
        ("criterion_A", 2.0): 0, ("criterion_A", 3.0): 0, ("criterion_A", 5.0): 1, ("duration_fs", 1200.0): 1,
        ("duration_fs", 1680.0): 0, ("duration_fs", 2040.0): 0,
    }  # fmt: skip
