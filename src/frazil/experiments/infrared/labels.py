"""Labels for this experiment: energy, forces and dipole of frames, by several processes where it pays."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.labels.label import Failure, label
from frazil.labels.levels import labeller
from frazil.labels.settings import DFT

WORTH_A_PROCESS_s = 20.0
"""Labelling that is expected to take less is done here: a process takes seconds to start."""


@dataclass(frozen=True)
class Labels:
    """Where labels come from: a level, how many processes, and a folder that keeps those that cost much."""

    level: str
    n_workers: int = 1
    checkpoints: Path | None = None

    def of(self, frames: Sequence[Atoms]) -> tuple[list[Atoms], list[Failure]]:
        """Return labelled copies of the frames and the failures, both in the frames' order.

        A label without a dipole is a failure. Raises UserError for frames with a net charge.
        """
        for number, atoms in enumerate(frames):
            charge = float(atoms.info.get("charge", 0.0)) + float(atoms.get_initial_charges().sum())
            if charge:
                raise UserError(
                    f"frame {number} ({atoms.get_chemical_formula()}) has a charge of {charge:g} e; the "
                    "dipole of a charged cluster depends on the origin: give neutral ones"
                )
        cost = labeller(self.level).seconds
        expected_s = float(np.nansum([cost(atoms) for atoms in frames]))
        unknown = any(np.isnan(cost(atoms)) for atoms in frames[:1])
        parts = 1
        if self.n_workers > 1 and (unknown or expected_s > WORTH_A_PROCESS_s):
            parts = min(self.n_workers, len(frames))
        shares = [[*range(first, len(frames), parts)] for first in range(parts)]
        if parts == 1:
            answers = [label(frames, self.level, checkpoints=self.checkpoints)]
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(parts, mp_context=context) as pool:
                jobs = [
                    pool.submit(label, [frames[i] for i in share], self.level, checkpoints=self.checkpoints)
                    for share in shares
                ]
                answers = [job.result() for job in jobs]
        found: dict[int, Atoms] = {}
        failures: list[Failure] = []
        for share, (labelled, failed) in zip(shares, answers, strict=True):
            reasons = {failure.frame: failure for failure in failed}
            rest = iter(labelled)
            for place, number in enumerate(share):
                if place in reasons:
                    failures.append(replace(reasons[place], frame=number))
                    continue
                atoms = next(rest)
                if "dipole" in atoms.calc.results and "forces" in atoms.calc.results:
                    found[number] = atoms
                else:
                    failures.append(Failure(number, "", "", f"{self.level} gives no dipole"))
        return [found[i] for i in sorted(found)], sorted(failures, key=lambda failure: failure.frame)

    @property
    def has_hessians(self) -> bool:
        """Whether the level gives second derivatives itself, at the cost of some ten labels."""
        return self.level in DFT

    def curvature(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        """Return the level's own Hessian (3 n, 3 n), eV/Å², and dipole derivatives (3, 3 n), e, of one frame.

        Raises UserError where there is no label.
        """
        labelled, failures = label([atoms], self.level, checkpoints=self.checkpoints, hessian=True)
        if failures:
            raise _without_label(atoms, self.level, failures[0])
        found = labelled[0].info
        return found["label_hessian_eV_per_A2"], found["label_dipole_derivatives_e"]

    def one(self, atoms: Atoms) -> Atoms:
        """Return the labelled copy of one frame. Raises UserError where there is no label."""
        labelled, failures = self.of([atoms])
        if failures:
            raise _without_label(atoms, self.level, failures[0])
        return labelled[0]


def _without_label(atoms: Atoms, level: str, failure: Failure) -> UserError:
    return UserError(
        f"{atoms.get_chemical_formula()}: no {level} label ({failure.reason}); give another structure "
        "or level"
    )
