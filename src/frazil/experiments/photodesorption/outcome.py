"""What became of one trajectory, told while it runs: desorption, return, dissociation, failure, conservation.

**Surface.** A molecule has desorbed at criterion d when its centre of mass is farther from the aggregate's
centre of mass at the start (of all molecules, fixed) than the outermost molecule was at the start, plus d.
The first observation beyond is its crossing; it has returned if it is inside again at the end.

**Outcome**, the first that holds: ``failed`` (numbers that are not finite, the engine gave up, or two
molecules came closer than is physical), ``dissociated`` (a bond longer than the limit), ``desorbed`` (at
least one molecule crossed the main criterion, returned or not), ``retained``. The first two end the
trajectory. A molecule is what its bonds hold together at the start, of any kind.

**Energies** of a desorbed molecule are those at the end of the trajectory, or at its crossing if it returned.
Bond curves are of the kind that is excited; other kinds have no vibrational energy told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frazil.errors import UserError
from frazil.experiments.photodesorption.settings import Limits
from frazil.md.lammps import Observation
from frazil.systems.diatomic import BondCurve
from frazil.systems.energies import kinetic_energy_eV, molecular_energies
from frazil.systems.molecules import Molecules


@dataclass(frozen=True)
class Curves:
    """Bond curves of the engine that runs: of a molecule in its ground state, and of the excited one."""

    ground: BondCurve
    excited: BondCurve


CURVE_COLUMNS = {
    "label": ("label_eV",),
    "ground": ("model_co_eV", "model_eV"),
    "excited": ("model_x1x2_eV", "model_excited_eV"),
}
"""Columns of ``bond_curves.csv``: of CO under a trained model, or of any bond under a given potential."""


def curve_of(bond_curves: Path | str, which: str, reduced_mass_amu: float) -> BondCurve:
    """Return a curve of ``bond_curves.csv``: the labels' ("label"), the model's "ground" or "excited" one."""
    wanted = CURVE_COLUMNS[which]
    if not Path(bond_curves).is_file():
        raise UserError(f"bond curves {bond_curves} do not exist; give a bond_curves.csv")
    with Path(bond_curves).open(encoding="utf-8") as file:
        known = file.readline().strip().split(",")
    column = next((name for name in wanted if name in known), wanted[0])
    return BondCurve.read(bond_curves, column, reduced_mass_amu)


class Tracker:
    """Takes the observations of one trajectory, in order, and keeps what its rows need."""

    def __init__(self, limits: Limits, molecules: Molecules, excited_molecule: int) -> None:
        self._limits = limits
        self._molecules = molecules
        self._excited_molecule = excited_molecule
        self._criteria = np.array(limits.criteria_A)
        self._main = int(np.flatnonzero(self._criteria == limits.criterion_A)[0])
        self._last: Observation | None = None
        self._failure = ""
        self._dissociated = False
        self._closest_A = np.inf
        self._times_fs: list[float] = []
        self._energies_eV: list[float] = []
        self._at_crossing: dict[int, Observation] = {}

    def observe(self, now: Observation) -> bool:
        """Take one observation; return whether the trajectory is over (failed or dissociated)."""
        if self._last is None:
            self._start(now)
        kinetic_eV = kinetic_energy_eV(now.velocities_A_per_fs, self._molecules.atom_masses_amu)
        energy = now.potential_energy_eV + float(kinetic_eV)
        if not (np.isfinite(energy) and np.isfinite(now.positions_A).all()):
            return self.fail(f"not finite at {now.time_fs:g} fs")
        self._last = now
        self._times_fs.append(now.time_fs)
        self._energies_eV.append(energy)
        contact = float(self._molecules.closest_contact(now.positions_A))
        self._closest_A = min(self._closest_A, contact)
        if contact < self._limits.unphysical_contact_A:
            return self.fail(f"contact of {contact:.2f} A at {now.time_fs:g} fs")
        beyond = self._distances(now)[:, None] > self._borders
        new = beyond & np.isnan(self._crossings_fs)
        self._crossings_fs[new] = now.time_fs
        for molecule in np.flatnonzero(new[:, self._main]):
            self._at_crossing[int(molecule)] = now
        longest_A = self._molecules.bond_lengths(now.positions_A).max()
        self._dissociated = bool(longest_A > self._limits.dissociation_A)
        return self._dissociated

    def fail(self, reason: str) -> bool:
        """Mark the trajectory as failed; return True: it is over."""
        self._failure = reason
        return True

    def rows(self, curves: Curves) -> dict[str, Any]:
        """Return ``trajectory`` (a dict), ``desorbed`` and ``crossings`` (lists of dicts), without the id."""
        crossed = self._crossed()
        times = np.array([self._crossings_fs[molecule, self._main] for molecule in crossed])
        deviations = np.array(self._energies_eV) - (self._energies_eV[0] if self._energies_eV else 0.0)
        moving = len(self._times_fs) > 1
        return {
            "trajectory": {
                "outcome": self._outcome(),
                "n_desorbed": len(crossed),
                "first_desorption_fs": float(times.min()) if crossed else None,
                "duration_fs": self._times_fs[-1] if self._times_fs else 0.0,
                "energy_std_meV": float(1000 * deviations.std()) if moving else None,
                "energy_drift_meV_per_ps": float(1e6 * _slope(self._times_fs, deviations))
                if moving
                else None,
                "closest_contact_A": self._closest_A if np.isfinite(self._closest_A) else None,
                "failure": self._failure,
            },
            "desorbed": [self._desorbed_row(molecule, curves) for molecule in crossed],
            "crossings": [
                {
                    "molecule": molecule,
                    "criterion_A": float(self._criteria[column]),
                    "crossing_fs": float(self._crossings_fs[molecule, column]),
                }
                for molecule, column in (
                    np.argwhere(~np.isnan(self._crossings_fs)).tolist() if self._last else []
                )
            ],
        }

    def _start(self, first: Observation) -> None:
        centres = self._molecules.centres(first.positions_A)
        self._centre = self._molecules.middle(centres)
        self._borders = self._distances(first).max() + self._criteria
        self._crossings_fs = np.full((len(centres), len(self._criteria)), np.nan)

    def _distances(self, now: Observation) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self._molecules.centres(now.positions_A) - self._centre, axis=-1))

    def _crossed(self) -> list[int]:
        return sorted(self._at_crossing)

    def _outcome(self) -> str:
        if self._failure:
            return "failed"
        if self._dissociated:
            return "dissociated"
        return "desorbed" if self._at_crossing else "retained"

    def _desorbed_row(self, molecule: int, curves: Curves) -> dict[str, Any]:
        assert self._last is not None
        returned = bool(self._distances(self._last)[molecule] <= self._borders[self._main])
        seen = self._at_crossing[molecule] if returned else self._last
        atoms = self._molecules.members[molecule]
        excited = molecule == self._excited_molecule
        of_first_kind = molecule < self._molecules.n_of_first_kind
        found = molecular_energies(
            seen.positions_A[None, atoms],
            seen.velocities_A_per_fs[None, atoms],
            self._molecules.atom_masses_amu[atoms],
            (curves.excited if excited else curves.ground) if of_first_kind else None,
        )
        values = {name: float(value[0]) for name, value in vars(found).items()}
        return {
            "molecule": molecule,
            "excited": int(excited),
            "desorption_fs": float(self._crossings_fs[molecule, self._main]),
            "returned": int(returned),
            **{name: value if np.isfinite(value) else None for name, value in values.items()},
        }


def _slope(times: Sequence[float], values: NDArray[np.float64]) -> float:
    """Return the slope of the straight line through the points (least squares)."""
    shifted = np.asarray(times) - np.mean(times)
    return float((shifted * values).sum() / (shifted**2).sum())
