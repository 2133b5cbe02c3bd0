"""Experiments that are one campaign: trajectories from starts of their own, a table, and what is made of it.

Such an experiment has two files. Its ``settings.py`` has its group, with ``n_trajectories`` and
``shard_size``, and names the other by ``CAMPAIGN = "frazil.experiments.NAME.physics"``. That module has

- ``TABLE``, the table of its rows, with the key ``trajectory_id``;
- ``runner(settings, campaign_seed)``, the runner of its trajectories (``frazil.campaigns``);
- ``analyse(settings, table, campaign_seed, out)``, which writes further tables and figures into a folder and
  returns the ``Section`` of the report.

It may also have

- a third argument ``see`` of ``runner``, a function that is called with the id and the frames of each
  trajectory as it ends: then these can be published, and looked at again (``repeated``);
- ``members(settings)``: how many members of a committee run every trajectory. The ids that the runner is
  given count (trajectory, member), the last fastest, and the table has the key ``member`` too;
- ``ARRAYS``, names of what its rows hold besides the table: arrays of one shape, which ``analyse`` finds as
  columns of the table.

Files that settings name are staged into a task, and where they are not set, the settings' module says by
``shipped(settings)`` which files of ``assets`` stand for them.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.campaigns import ArrayLedger, Row, Runner, run_shard
from frazil.checkpoints import Claim, Ledger, key_of, read_arrays
from frazil.code import digest_of
from frazil.errors import UserError
from frazil.experiments.settings import Parameters
from frazil.files import sha256_of, write_atomic, write_json
from frazil.parameters import campaigns, files_of, groups
from frazil.settings import load, values_of

ARRAYS_FILE = "arrays.npz"


def run(asked: Parameters, first_id: int, n_trajectories: int, checkpoints: Path, out: Path) -> None:
    """Run the trajectories from ``first_id`` on and write their table into ``out``.

    Raises UserError for an unknown experiment, bad settings and ids beyond its last, OutOfTime after SIGTERM.
    """
    physics, settings = physics_of(asked.experiment, _values(asked))
    files = files_of(asked.experiment, settings)
    if first_id + n_trajectories > settings.n_trajectories:
        raise UserError(
            f"trajectories {first_id} to {first_id + n_trajectories - 1}; {asked.experiment} has "
            f"{settings.n_trajectories}, from 0 on"
        )
    key = key_of(
        experiment=asked.experiment,
        settings={name: value for name, value in values_of(settings).items() if name not in files},
        files={name: sha256_of(file) for name, file in files.items()}, campaign_seed=asked.campaign_seed,
        physics=digest_of(Path(__file__).parents[1], Path(physics.__file__)),
    )  # fmt: skip
    n_members, arrays = _members(physics, settings), getattr(physics, "ARRAYS", ())
    ids = range(first_id * n_members, (first_id + n_trajectories) * n_members)
    rows = _run(
        ids, physics.runner(settings, asked.campaign_seed), checkpoints, key, asked.experiment, arrays
    )
    physics.TABLE.write([{name: row[name] for name in row if name not in arrays} for row in rows], out)
    if arrays:
        with write_atomic(out / ARRAYS_FILE) as partial, partial.open("wb") as file:
            stacked: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in arrays}
            np.savez(file, allow_pickle=False, **stacked)


def _run(
    ids: range, runner: Runner, checkpoints: Path, key: str, experiment: str, arrays: Sequence[str]
) -> list[Row]:
    """Return the rows of ids; those with arrays are kept as such."""
    if not arrays:
        return run_shard(ids, runner, Ledger(checkpoints, key), experiment)
    folder = checkpoints / key
    with Claim(folder, ids):
        rows = run_shard(ids, runner, ArrayLedger(folder), experiment)
    return [
        {name: value if name in arrays else np.asarray(value).item() for name, value in row.items()}
        for row in rows
    ]


def analyse(asked: Parameters, shards: Path, out: Path) -> None:
    """Write the table of all trajectories, what the experiment makes of it, and its section into ``out``.

    Raises UserError for shards that are broken, doubled or not all there.
    """
    physics, settings = physics_of(asked.experiment, _values(asked))
    n_members, arrays = _members(physics, settings), getattr(physics, "ARRAYS", ())
    ids = range(settings.n_trajectories)
    table = physics.TABLE.read(shards, only={"trajectory_id": ids})
    counts = table["trajectory_id"].value_counts()
    if missing := sorted(i for i in ids if counts.get(i, 0) != n_members):
        raise UserError(f"{shards}: trajectory {missing[0]} is missing; give all shards of one run")
    physics.TABLE.write(table, out)
    if arrays:
        table = _with_arrays(physics, shards, table, arrays)
    section = physics.analyse(settings, table, asked.campaign_seed, out)
    write_json(out / "counts.json", {"model": {"total": len(table)}})
    section.write(out)


def _with_arrays(
    physics: Any, shards: Path, table: pandas.DataFrame, arrays: Sequence[str]
) -> pandas.DataFrame:
    """Return a table with the arrays of its rows as columns, each shard's in the order of its own rows."""
    parts = []
    for file in physics.TABLE.files(shards):
        own, held = physics.TABLE.read(file), read_arrays(file.with_name(ARRAYS_FILE))
        if held is None or any(len(held.get(name, ())) != len(own) for name in arrays):
            raise UserError(f"{file.parent} lacks the arrays of its rows; run this shard again")
        parts.append(own.assign(**{name: list(held[name]) for name in arrays}))
    keys = [name for name in ("trajectory_id", "member") if name in table]
    return pandas.concat(parts).sort_values(keys, ignore_index=True)


def _members(physics: Any, settings: Any) -> int:
    return int(physics.members(settings)) if hasattr(physics, "members") else 1


def _values(asked: Parameters) -> dict[str, Any]:
    """Return the values of an experiment's settings, its files where they are."""
    if len(asked.file_settings) != len(asked.files):
        raise UserError(
            f"{len(asked.file_settings)} settings with files and {len(asked.files)} files; give one for each"
        )
    values: dict[str, Any] = json.loads(asked.parameters.read_text(encoding="utf-8"))
    return values | dict(zip(asked.file_settings, map(str, asked.files), strict=True))


def physics_of(experiment: str, values: dict[str, Any]) -> tuple[Any, Any]:
    """Return an experiment's module and its settings, from their values, all of its files named.

    Raises UserError for an unknown one.
    """
    known = campaigns()
    if experiment not in known:
        raise UserError(
            f"experiment {experiment!r} is no campaign alone; allowed: {', '.join(known) or 'none here'}"
        )
    group = groups()[experiment]
    made: Any = load(group, values)
    whole: Any = load(group, {**values, **files_of(experiment, made)})
    return importlib.import_module(known[experiment]), whole


def has_frames(physics: Any) -> bool:
    """Return whether an experiment can show the frames of its trajectories."""
    return "see" in inspect.signature(physics.runner).parameters


def repeated(
    physics: Any, settings: Any, campaign_seed: int, trajectory_ids: Sequence[int],
    few: Callable[[list[Atoms]], list[Atoms]] = list,
) -> tuple[list[Row], dict[int, list[Atoms]]]:  # fmt: skip
    """Run trajectories again: return their rows of each member as they stand in the table, and their frames.

    Frames go by the id that counts (trajectory, member); there are none where the experiment has none.
    ``few`` takes the frames of each as it ends, and returns those that are kept.
    """
    n_members, arrays = _members(physics, settings), getattr(physics, "ARRAYS", ())
    ids = [i for one in trajectory_ids for i in range(one * n_members, (one + 1) * n_members)]
    seen: dict[int, list[Atoms]] = {}

    def see(identity: int, frames: list[Atoms]) -> None:
        seen[identity] = few(frames)

    looking = {"see": see} if has_frames(physics) else {}
    found = dict(physics.runner(settings, campaign_seed, **looking)(ids, lambda: None))
    rows = [{name: found[i][name] for name in found[i] if name not in arrays} for i in ids]
    return rows, {i: seen[i] for i in ids if i in seen}
