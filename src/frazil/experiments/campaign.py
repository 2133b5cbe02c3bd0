"""Experiments that are one campaign: trajectories from starts of their own, a table, and what is made of it.

Such an experiment has two files. Its ``settings.py`` has its group, with ``n_trajectories`` and
``shard_size``, and names the other by ``CAMPAIGN = "frazil.experiments.NAME.physics"``. That module has

- ``TABLE``, the table of its rows, with the key ``trajectory_id``;
- ``runner(settings, campaign_seed)``, the runner of its trajectories (``frazil.campaigns``);
- ``analyse(settings, table, campaign_seed, out)``, which writes further tables and figures into a folder and
  returns the ``Section`` of the report.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from frazil.campaigns import run_shard
from frazil.checkpoints import Ledger, key_of
from frazil.code import digest_of
from frazil.errors import UserError
from frazil.files import write_json
from frazil.parameters import campaigns, groups
from frazil.settings import load, values_of


def run(
    experiment: str, parameters: Path, campaign_seed: int, first_id: int, n_trajectories: int,
    checkpoints: Path, out: Path,
) -> None:  # fmt: skip
    """Run the trajectories from ``first_id`` on and write their table into ``out``.

    Raises UserError for an unknown experiment, bad settings and ids beyond its last, OutOfTime after SIGTERM.
    """
    physics, settings = physics_of(experiment, json.loads(parameters.read_text(encoding="utf-8")))
    if first_id + n_trajectories > settings.n_trajectories:
        raise UserError(
            f"trajectories {first_id} to {first_id + n_trajectories - 1}; {experiment} has "
            f"{settings.n_trajectories}, from 0 on"
        )
    key = key_of(
        experiment=experiment, settings=values_of(settings), campaign_seed=campaign_seed,
        physics=digest_of(Path(__file__).parents[1], Path(physics.__file__)),
    )  # fmt: skip
    ids = range(first_id, first_id + n_trajectories)
    rows = run_shard(ids, physics.runner(settings, campaign_seed), Ledger(checkpoints, key), experiment)
    physics.TABLE.write(rows, out)


def analyse(experiment: str, parameters: Path, campaign_seed: int, shards: Path, out: Path) -> None:
    """Write the table of all trajectories, what the experiment makes of it, and its section into ``out``.

    Raises UserError for shards that are broken, doubled or not all there.
    """
    physics, settings = physics_of(experiment, json.loads(parameters.read_text(encoding="utf-8")))
    ids = range(settings.n_trajectories)
    table = physics.TABLE.read(shards, only={"trajectory_id": ids})
    if missing := sorted(set(ids) - set(table["trajectory_id"])):
        raise UserError(f"{shards}: trajectory {missing[0]} is missing; give all shards of one run")
    physics.TABLE.write(table, out)
    section = physics.analyse(settings, table, campaign_seed, out)
    counts = {"model": {"total": len(table)}}
    write_json(out / "counts.json", counts)
    section.write(out)


def physics_of(experiment: str, values: dict[str, Any]) -> tuple[Any, Any]:
    """Return an experiment's module and its settings, from their values. UserError for an unknown one."""
    known = campaigns()
    if experiment not in known:
        raise UserError(
            f"experiment {experiment!r} is no campaign alone; allowed: {', '.join(known) or 'none here'}"
        )
    return importlib.import_module(known[experiment]), load(groups()[experiment], values)
