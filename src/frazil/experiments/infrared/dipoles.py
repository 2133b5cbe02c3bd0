"""The file of dipoles along dynamics: read by what has no JAX too."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas

from frazil.errors import UserError
from frazil.experiments.infrared.tables import RUNS
from frazil.files import write_atomic

FINISHED = "finished"
ARRAYS = ("temperatures_K", "dipoles_e_A", "mean_temperature_K", "ended_fs")
KEPT = ("positions_A", "numbers")


@dataclass(frozen=True)
class Dipoles:
    """Runs of one structure under one engine: dipoles (members, temperatures, replicas, n_steps, 3), e Å.

    Of each run (members, temperatures, replicas): ``outcomes``, ``FINISHED`` or why not, ``ended_fs``, when,
    from the start of its equilibration, and ``mean_temperature_K``. A run that did not finish is nan.
    ``positions_A`` (…, n_steps, natoms, 3), float32, and ``numbers`` (natoms,) where positions were kept.
    """

    structure: str
    engine: str
    interval_fs: float
    temperatures_K: np.ndarray
    dipoles_e_A: np.ndarray
    mean_temperature_K: np.ndarray
    outcomes: np.ndarray
    ended_fs: np.ndarray
    positions_A: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def n_lost(self, temperature: int) -> int:
        """Return how many replicas at a temperature's number did not finish."""
        return int((self.outcomes[:, temperature] != FINISHED).sum())

    def runs(self, temperature: int) -> dict[tuple[int, int], np.ndarray]:
        """Return the whole runs (n_steps, 3) at a temperature's number, by member and start."""
        ended = self.outcomes[:, temperature] == FINISHED
        return {
            (int(member), int(start)): self.dipoles_e_A[member, temperature, start]
            for member, start in np.argwhere(ended)
        }

    def table(self) -> pandas.DataFrame:
        """Return a row for every run: how it ended."""
        rows = []
        for member, number, replica in np.ndindex(self.outcomes.shape):
            at = (member, number, replica)
            values = (self.outcomes[at], self.ended_fs[at], self.mean_temperature_K[at])
            rows.append((self.structure, self.engine, member, self.temperatures_K[number], replica, *values))
        return RUNS.frame(rows)

    def write(self, path: Path | str) -> None:
        """Write an HDF5 file."""
        with write_atomic(path) as partial, h5py.File(partial, "w") as file:
            for name in ("structure", "engine", "interval_fs"):
                file.attrs[name] = getattr(self, name)
            for name in ARRAYS:
                file.create_dataset(name, data=getattr(self, name), track_times=False)
            file.create_dataset("outcomes", data=self.outcomes.astype("S"), track_times=False)
            for name in KEPT:
                if getattr(self, name) is not None:
                    file.create_dataset(name, data=getattr(self, name), track_times=False)


def read_dipoles(path: Path | str) -> Dipoles:
    """Read a file of ``Dipoles.write``. Raises UserError for another one."""
    try:
        with h5py.File(path) as file:
            given = {name: file.attrs[name] for name in ("structure", "engine", "interval_fs")}
            kept = [name for name in KEPT if name in file]
            arrays = {name: file[name][()] for name in (*ARRAYS, "outcomes", *kept)}
    except (OSError, KeyError) as error:
        raise UserError(f"{path} holds no dipoles ({error}); make it with run_dipoles.py") from error
    arrays["outcomes"] = arrays["outcomes"].astype(str)
    return Dipoles(str(given["structure"]), str(given["engine"]), float(given["interval_fs"]), **arrays)
