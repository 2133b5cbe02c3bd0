"""The file of dipoles along dynamics: read by what has no JAX too."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.experiments.infrared.tables import RUNS
from frazil.md.trajectory import FINISHED

ARRAYS = ("temperatures_K", "dipoles_e_A", "mean_temperature_K", "ended_fs", "energy_drift_meV_per_ps")
ATTRIBUTES = ("structure", "engine", "interval_fs")
KEPT = ("positions_A", "numbers")


@dataclass(frozen=True)
class Dipoles:
    """Runs of one structure under one engine: dipoles (members, temperatures, replicas, n_steps, 3), e Å.

    Of each run (members, temperatures, replicas): ``outcomes``, ``FINISHED`` or why not, ``ended_fs``, when,
    from the start of its equilibration, ``mean_temperature_K``, and ``energy_drift_meV_per_ps`` of what its
    thermostatted dynamics conserves. A run that did not finish is nan.
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
    energy_drift_meV_per_ps: np.ndarray
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

    def table(self, first_id: int = 0) -> pandas.DataFrame:
        """Return a row for every run: how it ended; ids count from ``first_id``, replicas the fastest."""
        rows = []
        for identity, at in enumerate(np.ndindex(self.outcomes.shape), first_id):
            member, number, replica = at
            arrays = (self.outcomes, self.ended_fs, self.mean_temperature_K, self.energy_drift_meV_per_ps)
            values = (array[at] for array in arrays)
            place = (self.structure, self.engine, member, self.temperatures_K[number], replica)
            rows.append((identity, *place, *values))
        return RUNS.frame(rows)

    def write(self, path: Path | str) -> None:
        """Write an HDF5 file, with a digest (``frazil.data.hdf5``)."""
        kept = [name for name in KEPT if getattr(self, name) is not None]
        arrays = {name: getattr(self, name) for name in (*ARRAYS, *kept)}
        attributes = {name: getattr(self, name) for name in ATTRIBUTES}
        hdf5.write(path, attributes, {**arrays, "outcomes": self.outcomes.astype("S")})


def read_dipoles(path: Path | str) -> Dipoles:
    """Read a file of ``Dipoles.write``. Raises UserError for another one, and for a damaged one."""
    given, arrays = hdf5.read(path, "run_dipoles.py")
    lacking = [name for name in (*ARRAYS, "outcomes") if name not in arrays]
    lacking += [name for name in ATTRIBUTES if name not in given]
    if lacking:
        raise UserError(f"{path} holds no dipoles: no {', '.join(lacking)}; make it with run_dipoles.py")
    outcomes = arrays.pop("outcomes").astype(str)
    known = {name: arrays[name] for name in (*ARRAYS, *KEPT) if name in arrays}
    structure, engine, interval_fs = (given[name] for name in ATTRIBUTES)
    return Dipoles(str(structure), str(engine), float(interval_fs), outcomes=outcomes, **known)
