"""Campaigns of tests: an experiment's steps, one after the other, as the pipeline runs them."""

import json
from pathlib import Path
from typing import Any

from ase import Atoms

from frazil.experiments.campaign import analyse, run
from frazil.experiments.settings import Parameters


def run_in_shards(experiment: str, folder: Path, values: dict[str, Any], sizes: tuple[int, ...] = ()) -> Path:
    """Run all trajectories, in shards of some sizes, and analyse them; return the folder of results."""
    (folder / "settings.json").write_text(json.dumps(values))
    asked = Parameters(experiment=experiment, parameters=folder / "settings.json", campaign_seed=3)
    first = 0
    for size in sizes or (values["n_trajectories"],):
        run(asked, first, size, folder / "kept", folder / "shards" / f"shard_{first}")
        first += size
    analyse(asked, folder / "shards", folder / "out")
    return folder / "out"


def given(folder: Path, model: Any, atoms: Atoms, file: str = "given.extxyz") -> dict[str, str]:
    """Write a structure and a described potential; return the settings that name them."""
    (folder / "model").mkdir()
    (folder / "model/model.json").write_text(json.dumps(model))
    atoms.write(folder / file)
    return {"structure": str(folder / file), "model": str(folder / "model")}
