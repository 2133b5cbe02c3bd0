"""Starts of trajectories of one kind of aggregate, as ``excite.py`` writes and every engine reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.systems.co import co_types
from frazil.systems.molecules import Molecules, molecule


@dataclass(frozen=True)
class InitialStates:
    """Starts of n trajectories; arrays (n,) and (n, n_atoms, 3); excited_molecule −1 is none.

    ``molecules`` and ``reference_A`` (n_atoms, 3), positions of a thermal snapshot, are those of the whole
    campaign: what a potential has to know of the atoms must not depend on the shard.
    """

    campaign_seed: int
    trajectory_id: NDArray[np.int64]
    snapshot_id: NDArray[np.int64]
    excited_molecule: NDArray[np.int64]
    excitation_energy_eV: NDArray[np.float64]
    initial_temperature_K: NDArray[np.float64]
    positions_A: NDArray[np.float64]
    velocities_A_per_fs: NDArray[np.float64]
    molecules: Molecules
    reference_A: NDArray[np.float64]

    @property
    def n_molecules(self) -> int:
        """Molecules in each aggregate."""
        return len(self.molecules)

    def types(self, index: int) -> NDArray[np.int64] | None:
        """Return the types (n_atoms,) of one state of CO, indices into TYPE_MAP; None of other molecules."""
        if not self.molecules.is_co:
            return None
        return co_types(self.n_molecules, int(self.excited_molecule[index]))

    def write(self, path: Path | str) -> None:
        """Write ``initial_states.h5``, with a digest (``frazil.data.hdf5``)."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        own = self.molecules
        kind = (own.numbers, own.owner, own.bonds, self.reference_A)
        arrays |= {name: np.asarray(value) for name, value in zip(_KIND, kind, strict=True)}
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
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return self._with(arrays)

    def _with(self, arrays: Mapping[str, NDArray[Any]]) -> "InitialStates":
        return replace(self, **arrays)  # type: ignore[arg-type]


def joined(parts: Sequence[InitialStates]) -> InitialStates:
    """Return the states of all parts of one campaign, in the order of their ids."""
    order = np.argsort(np.concatenate([part.trajectory_id for part in parts]), kind="stable")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _ARRAYS}
    return parts[0]._with(arrays)


_OF_ALL = ("campaign_seed", "molecules", "reference_A")
_ARRAYS = tuple(name for name in InitialStates.__dataclass_fields__ if name not in _OF_ALL)
_KIND = ("atoms/numbers", "atoms/molecule", "atoms/bonds", "atoms/reference_A")
"""Of all states; a file of an earlier version lacks them, and is of CO."""
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
    n, n_atoms = len(np.atleast_1d(found["trajectory_id"])), np.shape(found["positions_A"])[1:2]
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
    ids, excited = found["trajectory_id"], found["excited_molecule"]
    molecules = _molecules(found, n_atoms[0])
    whole_ones = molecules is not None and _within(excited, -1, len(molecules) - 1)
    if molecules is None or not whole_ones or (np.diff(ids) <= 0).any():
        raise UserError(
            f"{path}: {n_atoms[0]} atoms, ids {ids.min()} to {ids.max()}, excited molecules {excited.min()} "
            f"to {excited.max()}; needed are whole molecules, ascending ids, molecules of them"
        )
    reference_A = found.get(_KIND[3], found["positions_A"][0])
    arrays = {name: found[name] for name in _ARRAYS}
    return InitialStates(
        int(attributes["campaign_seed"]), **arrays, molecules=molecules, reference_A=reference_A
    )


def _molecules(found: Mapping[str, NDArray[Any]], n_atoms: int) -> Molecules | None:
    """Return the molecules of a file's arrays, CO where it does not say; None where they do not fit."""
    if not all(name in found for name in _KIND):
        return None if n_atoms % 2 else Molecules.alike(molecule("CO"), n_atoms // 2)
    numbers, owner, bonds, reference_A = (found[name] for name in _KIND)
    if (
        numbers.shape != (n_atoms,) or owner.shape != (n_atoms,) or reference_A.shape != (n_atoms, 3)
        or bonds.ndim != 2 or bonds.shape[1] != 2 or not _within(bonds, 0, n_atoms - 1)
        or not np.array_equal(np.unique(owner), np.arange(owner.max() + 1))
    ):  # fmt: skip
        return None
    members = tuple(np.flatnonzero(owner == own) for own in range(owner.max() + 1))
    return Molecules(numbers, members, bonds)


def _within(values: NDArray[np.int64], low: int, high: int) -> bool:
    return bool(((values >= low) & (values <= high)).all())
