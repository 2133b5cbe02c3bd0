"""Passes through windows, as free energies are made of: how they run, which count, what their gates are.

A pass samples every window under one member; ids count (pass, member), the last fastest. All members have the
same starts, and passes are independent of each other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from ase import Atoms

from frazil.campaigns import Check, Row, Runner
from frazil.errors import UserError
from frazil.experiments.constant_energy import See
from frazil.md.integrity import BROKEN, DETACHED_A, OneCluster, WholeMolecules
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED
from frazil.report.section import Gate
from frazil.units import kB, meV

LEAST_OVERLAP = 0.03
NO_OVERLAP = 1e-4
"""Windows that share less tell nothing of the difference between them."""
MARGIN_kT = 0.5
"""Of differences that should be none: their whole interval is within."""
KINETIC = 0.03
"""Relative difference of the two kinetic energies."""
ENDS = ("low_95", "high_95", "total_low_95", "total_high_95")
KINETIC_TOLD = (
    "Both estimators have the same mean for a ring in equilibrium and a short time step.",
    "Take a shorter time step, or equilibrate longer.",
)

OnePass = Callable[[Any, Any, int, int, Check, list[Atoms] | None], Row]
"""Of subject, settings, campaign seed, id, the check between chunks, and a list that takes the frames of its
windows, or None: the pass's row.
"""


def runner_of(
    settings: Any, campaign_seed: int, subject_of: Callable[[Any], Any], one: OnePass, see: See | None = None
) -> Runner:
    """Return the runner of all passes and members; ``see`` gets the frames of all windows of a pass."""

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        for identity in ids:
            seen: list[Atoms] = []
            yield identity, one(subject, settings, campaign_seed, identity, check, seen if see else None)
            if see:
                see(identity, seen)

    return run


@dataclass(frozen=True)
class WholeParts:
    """Stop rule: parts (their atoms, and the rule of each) must stay whole, by their centroids."""

    parts: tuple[tuple[tuple[int, ...], OneCluster | WholeMolecules], ...]
    n_beads: int

    @classmethod
    def at_rest(
        cls, atoms: Atoms, parts: Sequence[np.ndarray], n_beads: int, detached_A: float = DETACHED_A
    ) -> "WholeParts":
        """Return the rule for parts of a structure at rest; of a crystal's, that their bonds are whole."""
        rules = (
            (
                tuple(map(int, own)),
                WholeMolecules.at_rest(atoms[own])
                if atoms.pbc.any()
                else OneCluster.at_rest(atoms[own], detached_A),
            )
            for own in map(np.asarray, parts)
        )
        return cls(tuple(rules), n_beads)

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code of a broken frame, 0 of any other."""
        centroids = state.positions.reshape(self.n_beads, -1, 3).mean(axis=0)
        holds = [rule.holds(centroids[jnp.array(atoms)]) for atoms, rule in self.parts]
        return jnp.where(jnp.stack(holds).all(), 0, BROKEN)


def outcome_of(outcomes: Sequence[str], parts: str = "windows") -> dict[str, Any]:
    """Return a pass's outcome, and how many of its parts were lost (``lost_windows``), by their outcomes."""
    lost = [outcome for outcome in outcomes if outcome != FINISHED]
    return {"outcome": lost[0] if lost else FINISHED, f"lost_{parts}": len(lost)}


def kinetic_eV(rows: Mapping[str, np.ndarray]) -> list[float]:
    """Return the means of a window's kinetic energies: virial, primitive."""
    return [float(rows[f"kinetic_{name}"].mean()) for name in ("virial", "primitive")]


def mean_of(values: np.ndarray) -> float:
    """Return the mean of the values that are finite, nan where none is."""
    finite = values[np.isfinite(values)].astype(float)
    return float(finite.mean()) if finite.size else np.nan


def finished_by_all(table: pandas.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Return whether every member finished a pass (n,), of a table of passes and members, ``shape``."""
    return np.asarray((table["outcome"] == FINISHED).to_numpy().reshape(shape).all(axis=1))


def arranged(table: pandas.DataFrame, name: str, shape: tuple[int, int], chosen: np.ndarray) -> np.ndarray:
    """Return an array of the rows by member and chosen pass (M, R, …)."""
    whole = np.stack(table[name].tolist())
    return whole.reshape(*shape, *whole.shape[1:])[chosen].swapaxes(0, 1)


def nuclei_of(n_beads: int) -> str:
    """Return what nuclei of so many beads are called."""
    return "classical nuclei" if n_beads == 1 else f"{n_beads} beads"


def check_connected(overlaps: np.ndarray, named: Callable[[int], str], nuclei: str, remedy: str) -> None:
    """Raise UserError for windows that share nothing with the next: overlaps (K − 1,).

    ``named`` says which two a place among the overlaps is between.
    """
    worst = int(overlaps.argmin())
    if overlaps[worst] < NO_OVERLAP:
        raise UserError(f"windows {named(worst)} do not overlap ({overlaps[worst]:.1g}, {nuclei}); {remedy}")


def overlap_gate(told: str, overlaps: np.ndarray, named: Callable[[int], str], why: tuple[str, str]) -> Gate:
    """Return the gate of the least overlap (K − 1,) of neighbouring windows."""
    worst = int(overlaps.argmin())
    name = f"least overlap of neighbouring windows, {told}"
    return Gate.at_least(name, overlaps[worst], LEAST_OVERLAP, named(worst)).because(*why)


def kinetic_gate(told: str, kinetic: np.ndarray) -> Gate:
    """Return the gate of the two kinetic energies (…, 2) of rings; nan is what no window gave."""
    virial, primitive = np.nanmean(kinetic, axis=tuple(range(kinetic.ndim - 1)))
    name = f"primitive over virial kinetic energy, {told}"
    return Gate.within(name, primitive / virial, 1 - KINETIC, 1 + KINETIC).because(*KINETIC_TOLD)


def margin_meV(temperature_K: float) -> float:
    """Return ``MARGIN_kT``, rounded as it is shown."""
    return round(MARGIN_kT * kB * temperature_K / meV, 1)
