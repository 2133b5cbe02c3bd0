"""The labels of a campaign of densities: each frame is a trajectory of no length."""

from collections.abc import Iterator, Sequence

import numpy as np

from frazil.campaigns import Check, Row, Runner
from frazil.errors import UserError
from frazil.experiments.density.labels import fitted
from frazil.experiments.density.results import analyse
from frazil.experiments.density.settings import Density
from frazil.experiments.density.subject import auxiliary_of, frames_of
from frazil.experiments.density.tables import ARRAYS, FAILED
from frazil.experiments.density.tables import TRAJECTORIES as TABLE
from frazil.labels.electronic_structure import NotConverged
from frazil.md.trajectory import FINISHED

__all__ = ["ARRAYS", "TABLE", "analyse", "runner"]


def runner(settings: Density, campaign_seed: int) -> Runner:
    """Return the runner that labels frames by their ids. Raises UserError before the first for bad frames."""

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        frames, auxiliary = frames_of(settings, campaign_seed), auxiliary_of(settings)
        sizes = {number: sum((2 * degree + 1) * count for degree, count in enumerate(counts))
                 for number, counts in auxiliary.elements(frames).items()}  # fmt: skip
        own = [sum(sizes[int(number)] for number in atoms.numbers) for atoms in frames]
        first_large = settings.n_trajectories - settings.n_large
        for identity in ids:
            check()
            atoms, n = frames[identity], own[identity]
            row: Row = {
                "trajectory_id": identity, "formula": atoms.get_chemical_formula(), "level": settings.level,
                "auxiliary": auxiliary.text, "n_atoms": len(atoms), "n_functions": n,
                "n_electrons": int(atoms.numbers.sum()), "outcome": FAILED, "reason": "", "attempt": "",
                "n_cycles": 0, "energy_eV": np.nan, "density_fit_percent": np.nan, "hartree_fit_meV": np.nan,
                "charge_fit": np.nan, "dipole_fit_D": np.nan, "polarizability_fit_A3": np.nan,
                "coefficients": np.full((max(own), 4), np.nan), "dipole_au": np.full(3, np.nan),
                "polarizability_au": np.full((3, 3), np.nan),
            }  # fmt: skip
            try:
                label = fitted(atoms, settings.level, auxiliary, settings.response and identity < first_large)
            except (NotConverged, UserError) as problem:
                yield identity, row | {"reason": str(problem)}
                continue
            row["coefficients"][:n, : label.coefficients.shape[1]] = label.coefficients
            yield (
                identity,
                row | label.errors | {
                    "outcome": FINISHED, "attempt": label.attempt, "n_cycles": label.n_cycles,
                    "energy_eV": label.energy_eV, "dipole_au": label.dipole_au,
                    "polarizability_au": label.polarizability_au,
                },
            )  # fmt: skip

    return run
