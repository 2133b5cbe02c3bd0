"""Whether a campaign has run enough: each probability for itself, whatever shards hold its rows."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.errors import UserError
from frazil.experiments.enough import confidence_of, ended_as, still_open, write_decision
from frazil.experiments.sticking.collisions import condition, ids_of, ids_of_round
from frazil.experiments.sticking.results import probabilities
from frazil.experiments.sticking.settings import Campaign
from frazil.experiments.sticking.tables import BEYOND, NEARER_A, TRAJECTORIES

GRID = Campaign(energies_K=(12.0, 116.0, 348.0), surface_temperatures_K=(10.0,), n_polar=5, n_azimuth=40)


def collisions(ids: list[int], p_of: dict[float, float], n_members: int = 3) -> pandas.DataFrame:
    """A table of collisions that stick with a probability of each energy, as a function of the id."""
    rows = []
    for i in ids:
        told = condition(GRID, i)
        stuck = np.random.default_rng(i).random() < p_of[told["collision_energy_K"]]
        rows.append({
            **told, "surface_id": 0, "model_id": f"m{i % n_members}", "aim_x_A": 0.0, "aim_y_A": 0.0,
            "outcome": "stuck" if stuck else "bounced", "time_fs": 100.0, "n_bounces": 1,
            "energy_drift_meV_per_ps": 0.0,
            **{BEYOND.format(distance_A): None for distance_A in NEARER_A},
        })  # fmt: skip
    return pandas.DataFrame(rows)


def test_each_energy_ends_by_itself_and_its_row_is_as_narrow_as_asked(tmp_path: Path) -> None:
    """Certain at 12 K, open at 116 K: rounds of some azimuths, as the pipeline runs them."""
    p_of, decision, sizes = {12.0: 1.0, 116.0: 0.5, 348.0: 0.05}, None, []
    shards, n_shards = tmp_path / "shards", 0
    for azimuth in range(0, GRID.n_azimuth, 4):
        for phase in ("crystalline", "amorphous"):
            ids = ids_of_round(GRID, phase, azimuth, 4, decision)
            for first in range(0, len(ids), 7):
                folder = shards / f"{n_shards}"
                TRAJECTORIES.write(collisions(ids[first : first + 7], p_of, 1), folder)
                n_shards += 1
            sizes.append(len(ids))
        decision = tmp_path / f"{azimuth}.json"
        write_decision("sticking", shards, 0.1, 20, 200, decision)
        if json.loads(decision.read_text())["enough"]:
            break
    assert decision is not None
    told = json.loads(decision.read_text())
    assert {row["reason"] for row in told["conditions"]} == {"narrow"}
    n = {row["collision_energy_K"]: row["n"] for row in told["conditions"] if row["phase"] == "crystalline"}
    assert n[12.0] < n[116.0] < 200
    table = probabilities(TRAJECTORIES.read(shards), confidence=confidence_of(decision))
    assert (table["high_95"] - table["low_95"]).max() <= 0.2
    assert table["n"].tolist() == [
        next(
            row["n"] for row in told["conditions"] if row["phase"] == phase and row["collision_energy_K"] == e
        )
        for phase, e in zip(table["phase"], table["collision_energy_K"], strict=True)
    ]
    assert "6 of 6 are narrow enough" in ended_as(decision)
    angles = TRAJECTORIES.read(shards).groupby([*("phase", "collision_energy_K"), "polar_angle_deg"]).size()
    assert angles.groupby(level=[0, 1]).nunique().eq(1).all(), "every polar angle as often"


def test_a_decision_is_a_function_of_the_rows(tmp_path: Path) -> None:
    """Whatever shards hold them: a campaign that was killed in between ends as one that was not."""
    rows = collisions(
        [i for i in ids_of(GRID, "crystalline") if i % GRID.n_azimuth < 12],
        {12.0: 0.9, 116.0: 0.4, 348.0: 0.1},
    )
    for number, parts in enumerate((3, 11)):
        for part, chosen in enumerate(np.array_split(np.arange(len(rows)), parts)):
            TRAJECTORIES.write(rows.iloc[chosen], tmp_path / f"{number}" / f"{part}")
    told = [
        write_decision("sticking", tmp_path / f"{number}", 0.08, 20, 200, tmp_path / f"{number}.json")
        for number in range(2)
    ]
    assert told[0] == told[1]
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()
    assert told[0].count("of 60, half-width") == 3


def test_all_is_open_before_the_first_decision_and_nothing_else_is_left_out(tmp_path: Path) -> None:
    whole = list(ids_of(GRID, "amorphous"))
    assert ids_of_round(GRID, "amorphous") == whole
    rounds = [ids_of_round(GRID, "amorphous", azimuth, 8) for azimuth in range(0, 40, 8)]
    assert sorted(i for ids in rounds for i in ids) == whole
    told = tmp_path / "decision.json"
    first = {"phase": "amorphous", "surface_temperature_K": 10.0, "collision_energy_K": 12.0}
    told.write_text(json.dumps({"conditions": [{**first, "enough": True, "n": 20}]}))
    left = ids_of_round(GRID, "amorphous", 8, 8, told)
    assert left == [i for i in rounds[1] if condition(GRID, i)["collision_energy_K"] != 12.0]
    assert still_open(told, [first]) == []
    assert ids_of_round(GRID, "crystalline", 8, 8, told) == ids_of_round(GRID, "crystalline", 8, 8)


def test_nothing_to_look_at_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    with pytest.raises(UserError, match=r"trajectories\.csv|no trajectory"):
        write_decision("sticking", tmp_path, 0.1, 20, 200, tmp_path / "decision.json")
