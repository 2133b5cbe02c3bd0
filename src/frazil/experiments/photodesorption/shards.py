"""Reading the shards of an ensemble: merged, sorted and checked."""

from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas

from frazil.analysis.statistics import Clustered
from frazil.errors import UserError
from frazil.experiments.photodesorption.outcome import CROSSINGS, DESORBED, TRAJECTORIES

OUTCOMES = ("desorbed", "retained", "dissociated", "failed")


@dataclass(frozen=True)
class Ensemble:
    """All trajectories of one kind. Columns as in the documented tables, rows sorted by their ids."""

    trajectories: pandas.DataFrame
    desorbed: pandas.DataFrame
    crossings: pandas.DataFrame
    frame_files: tuple[Path, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """Trajectory ids, sorted."""
        return self.trajectories["trajectory_id"].to_numpy()

    @property
    def counts(self) -> dict[str, int]:
        """Number of trajectories of each outcome, and in total."""
        found = self.trajectories["outcome"].value_counts()
        return {
            **{outcome: int(found.get(outcome, 0)) for outcome in OUTCOMES},
            "total": len(self.trajectories),
        }

    @property
    def first_desorptions(self) -> Clustered:
        """First desorption time (fs) of every trajectory whose outcome is ``desorbed``."""
        rows = self.trajectories[self.trajectories["outcome"] == "desorbed"]
        return Clustered(rows["first_desorption_fs"].to_numpy(float), rows["trajectory_id"].to_numpy())

    @property
    def gone(self) -> pandas.DataFrame:
        """Molecules that desorbed for good, in trajectories that ended well: the distributions are theirs."""
        good = self.trajectories.loc[self.trajectories["outcome"] == "desorbed", "trajectory_id"]
        rows = self.desorbed
        return rows[(rows["returned"] == 0) & rows["trajectory_id"].isin(good)]

    def of(self, column: str, rows: pandas.DataFrame | None = None) -> Clustered:
        """Return a column of ``gone`` (or of some of its rows), by trajectory, without empty cells."""
        table = (self.gone if rows is None else rows).dropna(subset=[column])
        return Clustered(table[column].to_numpy(float), table["trajectory_id"].to_numpy())

    def restricted(self, ids: np.ndarray) -> "Ensemble":
        """Return the part with these trajectory ids."""
        trajectories, desorbed, crossings = (
            table[table["trajectory_id"].isin(ids)].reset_index(drop=True)
            for table in (self.trajectories, self.desorbed, self.crossings)
        )
        return Ensemble(trajectories, desorbed, crossings, self.frame_files)

    def frames(self) -> list[ase.Atoms]:
        """Read the frames that were kept (none is an empty list)."""
        return [atoms for file in self.frame_files for atoms in ase.io.read(file, ":", format="extxyz")]


def read_ensemble(directory: Path | str) -> Ensemble | None:
    """Read a directory of shards (or one shard); None where it holds none.

    Raises:
        UserError: a table or a column is missing, an outcome is unknown, or a trajectory occurs twice.
    """
    root = Path(directory)
    if not root.is_dir():
        raise UserError(f"{root} is not a directory; give a directory of shards of run_trajectories.py")
    if (root / "trajectories.csv").is_file():
        shards = [root]
    else:
        shards = sorted(item for item in root.iterdir() if item.is_dir())
    if not shards:
        return None
    trajectories = _merged(shards, "trajectories.csv", TRAJECTORIES, ["trajectory_id"])
    desorbed = _merged(shards, "desorbed.csv", DESORBED, ["trajectory_id", "molecule"])
    crossings = _merged(shards, "crossings.csv", CROSSINGS, ["trajectory_id", "molecule", "criterion_A"])
    unknown = sorted(set(trajectories["outcome"].astype(str)) - set(OUTCOMES))
    if unknown:
        raise UserError(f"{root} has the outcome {unknown[0]!r}; allowed: {', '.join(OUTCOMES)}")
    for name, table in (("desorbed.csv", desorbed), ("crossings.csv", crossings)):
        strangers = np.setdiff1d(table["trajectory_id"].to_numpy(), trajectories["trajectory_id"].to_numpy())
        if len(strangers):
            raise UserError(
                f"{name} under {root} names trajectory {strangers[0]}, which no trajectories.csv has; "
                "shards are written whole: remove the incomplete one and rerun it"
            )
    files = tuple(
        file for shard in shards if (file := shard / "frames.extxyz").is_file() and file.stat().st_size
    )
    return Ensemble(trajectories, desorbed, crossings, files)


def _merged(shards: list[Path], name: str, columns: tuple[str, ...], identity: list[str]) -> pandas.DataFrame:
    """Return one table of all shards: the documented columns first, sorted by identity, no row twice."""
    parts, sources = [], []
    for shard in shards:
        file = shard / name
        if not file.is_file():
            raise UserError(f"shard {shard} has no {name}; remove the incomplete shard and rerun it")
        try:
            part = pandas.read_csv(file)
        except pandas.errors.EmptyDataError:
            part = pandas.DataFrame()
        missing = [column for column in columns if column not in part]
        if missing:
            raise UserError(f"{file} has no column {missing[0]}; needed: {', '.join(columns)}")
        if len(part):
            parts.append(part)
            sources += [shard.name] * len(part)
    if not parts:
        extra = [column for column in pandas.read_csv(shards[0] / name) if column not in columns]
        empty = pandas.DataFrame(columns=[*columns, *extra])
        return empty.astype({column: float for column in columns if column != "outcome"})
    table = pandas.concat(parts, ignore_index=True)
    doubled = table.duplicated(identity, keep=False)
    if doubled.any():
        places = np.nonzero(doubled.to_numpy())[0]
        what = ", ".join(f"{column} {table[column].iloc[places[0]]}" for column in identity)
        where = sorted({sources[place] for place in places})
        raise UserError(
            f"{name} has {what} twice (in shards {', '.join(where[:4])}); "
            "every trajectory belongs to one shard: remove the shard that is not of this campaign"
        )
    extra = [column for column in table if column not in columns]
    return table[[*columns, *extra]].sort_values(identity, kind="stable", ignore_index=True)
