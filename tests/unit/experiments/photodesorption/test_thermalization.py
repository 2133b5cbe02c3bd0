from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose
from starts import write_snapshots

from frazil.errors import UserError
from frazil.experiments.photodesorption.initial import Snapshots
from frazil.experiments.photodesorption.settings import Thermalization
from frazil.experiments.photodesorption.thermalization import thermalize
from frazil.systems.energies import temperature_K
from frazil.units import fs

SETTINGS: dict[str, Any] = {
    "temperature_K": 15.0, "damping_fs": 10.0, "timestep_fs": 0.2, "equilibration_fs": 50.0,
    "duration_fs": 150.0, "n_replicas": 1, "n_snapshots": 3, "temperature_low_K": 3.0,
    "temperature_high_K": 60.0,
}  # fmt: skip


def run(model: Path, folder: Path, replica: int = 0, **changes: Any) -> Path:
    aggregates = write_snapshots(folder / "aggregates.extxyz", 2)
    thermalize(Thermalization(**{**SETTINGS, **changes}), model, aggregates, 1, replica, folder / "thermal")
    return folder / "thermal"


def test_snapshots_are_inside_the_window_at_rest_as_a_whole_and_spread_over_the_run(
    tiny_model: Path, tmp_path: Path
) -> None:
    out = run(tiny_model, tmp_path, replica=3)
    frames = Snapshots([out / "snapshots.extxyz"])
    assert [frame.info["snapshot_id"] for frame in frames] == [3_000_000, 3_000_001, 3_000_002]
    for number, frame in enumerate(frames):
        temperature = float(temperature_K(frame.get_velocities() * fs, frame.get_masses()))
        assert 3 < temperature < 60
        assert temperature == pytest.approx(frame.info["temperature_K"], rel=1e-5)
        assert frame.info["time_fs"] >= 50 + 50 * number - 1e-6
        assert_allclose(frame.get_momenta().sum(axis=0), 0, atol=1e-6)
        assert_allclose(frame.get_angular_momentum(), 0, atol=1e-3)  # of about 1 for one molecule
        assert not frame.arrays["excited"].any()
    history = pandas.read_csv(out / "temperature.csv")
    assert history["snapshot"].sum() == 3
    assert history["temperature_K"][0] == pytest.approx(15.0)
    assert np.diff(history["time_fs"]) == pytest.approx(10.0)


def test_a_replica_is_a_function_of_the_seed_and_its_number(tiny_model: Path, tmp_path: Path) -> None:
    texts = []
    for name, replica in (("a", 0), ("b", 0), ("c", 2)):
        (tmp_path / name).mkdir()
        out = run(tiny_model, tmp_path / name, replica, n_snapshots=1)
        texts.append([frame.positions for frame in ase.io.read(out / "snapshots.extxyz", ":")])
    assert np.array_equal(texts[0], texts[1])
    assert not np.allclose(texts[0], texts[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"temperature_K": 1.0, "temperature_low_K": 0.999, "temperature_high_K": 1.0},
            "no snapshot meets the temperature window 0.999 to 1 K; the run was at .* K; widen the window",
        ),
        (
            {"n_snapshots": 16},
            "n_snapshots: given 16; allowed: .*at most one in 10 fs of duration_fs, now 150 fs",
        ),
    ],
)
def test_bad_input(tiny_model: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(tiny_model, tmp_path, **changes)


def test_fewer_snapshots_than_asked_for_says_how_many(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temperatures = iter([15.0] * 8 + [99.0] * 100)  # the first is that of the velocities drawn
    monkeypatch.setattr(
        "frazil.experiments.photodesorption.thermalization.temperature_K",
        lambda velocities, masses: next(temperatures) if velocities.shape else 0.0,
    )
    with pytest.raises(
        UserError, match=r"1 of 3 snapshots found .*longer --duration-fs, a wider window or fewer"
    ):
        run(tiny_model, tmp_path)


def test_missing_aggregates(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"aggregates .* are missing or empty"):
        thermalize(Thermalization(**SETTINGS), tiny_model, tmp_path / "absent.extxyz", 1, 0, tmp_path)
