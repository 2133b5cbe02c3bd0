"""Starts of trajectories of one kind of aggregate, as ``excite.py`` writes and every engine reads them."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from frazil.errors import UserError
from frazil.files import write_atomic
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
        """Write ``initial_states.h5``."""
        with write_atomic(path) as partial, h5py.File(partial, "w") as content:
            content.attrs["campaign_seed"] = self.campaign_seed
            for name in _ARRAYS:
                content.create_dataset(name, data=getattr(self, name), track_times=False)

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


_ARRAYS = tuple(name for name in InitialStates.__dataclass_fields__ if name != "campaign_seed")


def read_initial_states(path: Path | str) -> InitialStates:
    """Read ``initial_states.h5``. Raises UserError if it is missing or is not such a file."""
    if not Path(path).is_file():
        raise UserError(f"initial states {path} do not exist; make them with excite.py")
    try:
        with h5py.File(path) as content:
            arrays = {name: np.asarray(content[name]) for name in _ARRAYS}
            return InitialStates(campaign_seed=int(content.attrs["campaign_seed"]), **arrays)
    except (OSError, KeyError) as error:
        raise UserError(f"{path} holds no initial states ({error}); make them with excite.py") from error
