"""Reading the shards of an ensemble: merged, sorted and checked."""

from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas

from frazil.analysis.statistics import Clustered
from frazil.data.frames import read_extxyz
from frazil.errors import UserError
from frazil.experiments.photodesorption.settings import SNAPSHOTS_PER_REPLICA
from frazil.experiments.photodesorption.tables import CROSSINGS, DESORBED, OUTCOMES, TRAJECTORIES

ABOUT = "about.json"
"""In a shard of trajectories that another program ran: what is told of them."""


@dataclass(frozen=True)
class Ensemble:
    """All trajectories of one kind. Columns as in the documented tables, rows sorted by their ids.

    ``n_aggregates``: that replicas of the thermalization were made of in turns; 0 is not known.
    """

    trajectories: pandas.DataFrame
    desorbed: pandas.DataFrame
    crossings: pandas.DataFrame
    frame_files: tuple[Path, ...] = ()
    n_aggregates: int = 0

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
    def left_for_good(self) -> pandas.DataFrame:
        """Molecules that desorbed for good, in trajectories that ended well: the distributions are theirs."""
        good = self.trajectories.loc[self.trajectories["outcome"] == "desorbed", "trajectory_id"]
        rows = self.desorbed
        return rows[(rows["returned"] == 0) & rows["trajectory_id"].isin(good)]

    def of(self, column: str, rows: pandas.DataFrame | None = None) -> Clustered:
        """Return a column of those that left (or of some rows), by trajectory, without empty cells."""
        table = (self.left_for_good if rows is None else rows).dropna(subset=[column])
        return Clustered(table[column].to_numpy(float), table["trajectory_id"].to_numpy())

    def restricted(self, ids: np.ndarray) -> "Ensemble":
        """Return the part with these trajectory ids."""
        trajectories, desorbed, crossings = (
            table[table["trajectory_id"].isin(ids)].reset_index(drop=True)
            for table in (self.trajectories, self.desorbed, self.crossings)
        )
        return Ensemble(trajectories, desorbed, crossings, self.frame_files, self.n_aggregates)

    def column_of(self, column: str, ids: np.ndarray) -> np.ndarray:
        """Return what a column of the trajectories says of these ids (n,), in their order."""
        return self.trajectories.set_index("trajectory_id")[column].loc[ids].to_numpy()

    def aggregates_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the aggregate (n,) whose snapshot each of these trajectories started from.

        Solid aggregates keep their shape, so that trajectories of one are not independent.
        """
        replicas = self.column_of("snapshot_id", ids) // SNAPSHOTS_PER_REPLICA
        return np.asarray(replicas % self.n_aggregates if self.n_aggregates else replicas)

    def frames(self) -> list[ase.Atoms]:
        """Read the frames that were kept (none is an empty list)."""
        return [atoms for file in self.frame_files for atoms in read_extxyz(file)]


def read_ensemble(directory: Path | str, n_aggregates: int = 0) -> Ensemble | None:
    """Read a directory of shards (or one shard); None where it holds none.

    Raises:
        UserError: a table or a column is missing, an outcome is unknown, a trajectory occurs twice, or one is
            named that no shard has.
    """
    root = Path(directory)
    if not root.is_dir():
        raise UserError(f"{root} is not a directory; give a directory of shards of run_trajectories.py")
    if not any(item.is_dir() or item.name == TRAJECTORIES.file for item in root.iterdir()):
        return None
    trajectories = TRAJECTORIES.read(root)
    known = {"trajectory_id": trajectories["trajectory_id"]}
    shards = [file.parent for file in TRAJECTORIES.files(root)]
    files = (file for shard in shards if (file := shard / "frames.extxyz").is_file() and file.stat().st_size)
    return Ensemble(
        trajectories, DESORBED.read(root, only=known), CROSSINGS.read(root, only=known), tuple(files),
        n_aggregates,
    )  # fmt: skip
