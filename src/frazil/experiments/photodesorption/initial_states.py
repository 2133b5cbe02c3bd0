"""Starts of trajectories of one kind of aggregate, as ``excite.py`` writes and every engine reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.systems.co import co_types


@dataclass(frozen=True)
class InitialStates:
    """Starts of n trajectories; arrays (n,) and (n, n_atoms, 3); excited_molecule −1 is none."""

    campaign_seed: int
    trajectory_id: NDArray[np.int64]
    snapshot_id: NDArray[np.int64]
    excited_molecule: NDArray[np.int64]
    excitation_energy_eV: NDArray[np.float64]
    initial_temperature_K: NDArray[np.float64]
    positions_A: NDArray[np.float64]
    velocities_A_per_fs: NDArray[np.float64]

    @property
    def n_molecules(self) -> int:
        """CO molecules in each aggregate."""
        return self.positions_A.shape[1] // 2

    def types(self, index: int) -> NDArray[np.int64]:
        """Return the types (n_atoms,) of one state, indices into TYPE_MAP."""
        return co_types(self.n_molecules, int(self.excited_molecule[index]))

    def write(self, path: Path | str) -> None:
        """Write ``initial_states.h5``, with a digest (``frazil.data.hdf5``)."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        hdf5.write(path, {"campaign_seed": self.campaign_seed}, arrays)

    def select(self, first_id: int, n: int) -> "InitialStates":
        """Return the states with ids ``first_id`` to ``first_id + n − 1``. UserError if one is missing."""
        wanted = np.arange(first_id, first_id + n)
        missing = np.setdiff1d(wanted, self.trajectory_id)
        if n <= 0 or len(missing):
            ids = self.trajectory_id
            raise UserError(
                f"trajectories {first_id} to {first_id + n - 1} asked for; the initial states hold "
                f"{len(ids)} ({ids.min()} to {ids.max()}); ask for those, or make more with excite.py"
            )
        rows = np.searchsorted(self.trajectory_id, wanted)
        return InitialStates(self.campaign_seed, *(getattr(self, name)[rows] for name in _ARRAYS))


def joined(parts: Sequence[InitialStates]) -> InitialStates:
    """Return the states of all parts of one campaign, in the order of their ids."""
    arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS]
    order = np.argsort(arrays[_ARRAYS.index("trajectory_id")], kind="stable")
    return InitialStates(parts[0].campaign_seed, *(array[order] for array in arrays))


_ARRAYS = tuple(name for name in InitialStates.__dataclass_fields__ if name != "campaign_seed")
_FRAMES = ("positions_A", "velocities_A_per_fs")
_WHOLE = ("trajectory_id", "snapshot_id", "excited_molecule")


def read_initial_states(path: Path | str) -> InitialStates:
    """Read ``initial_states.h5``. Raises UserError if it is missing, damaged or not such a file."""
    attributes, found = hdf5.read(path, "excite.py")
    lacking = [name for name in _ARRAYS if name not in found]
    if lacking or "campaign_seed" not in attributes:
        raise UserError(
            f"{path} holds no initial states: it lacks {', '.join(lacking) or 'campaign_seed'}; make them "
            "with excite.py"
        )
    states = InitialStates(int(attributes["campaign_seed"]), **{name: found[name] for name in _ARRAYS})
    n, n_atoms = len(np.atleast_1d(states.trajectory_id)), np.shape(states.positions_A)[1:2]
    for name in _ARRAYS:
        value, whole = found[name], name in _WHOLE
        wanted = (n, *n_atoms, 3) if name in _FRAMES else (n,)
        if value.shape != wanted or not n or value.dtype.kind not in ("iu" if whole else "f"):
            raise UserError(
                f"{path}: {name} of shape {value.shape}, type {value.dtype}; {'whole ' * whole}numbers of "
                f"shape {wanted} are needed: make it again with excite.py"
            )
        if not np.isfinite(value).all():
            raise UserError(f"{path}: {name} holds numbers that are not finite; make it again with excite.py")
    ids, molecules = states.trajectory_id, states.excited_molecule
    if n_atoms[0] % 2 or (np.diff(ids) <= 0).any() or not _within(molecules, -1, n_atoms[0] // 2 - 1):
        raise UserError(
            f"{path}: {n_atoms[0]} atoms, ids {ids.min()} to {ids.max()}, excited molecules "
            f"{molecules.min()} to {molecules.max()}; needed are whole CO, ascending ids, molecules of them"
        )
    return states


def _within(values: NDArray[np.int64], low: int, high: int) -> bool:
    return bool(((values >= low) & (values <= high)).all())
