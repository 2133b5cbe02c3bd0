"""How good the GM-NN committee is before anything runs with it: errors, rigid scans, spread against error."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from frazil.data.split import SUBSETS
from frazil.experiments.sticking.clusters import TABLE_1
from frazil.experiments.sticking.tables import DEVIATION, SCAN_MINIMA
from frazil.labels.interaction import interaction
from frazil.learning.errors import (
    COMMITTEE,
    ERRORS,
    MEAN,
    MODELS,
    calibration_bins,
    committee_errors,
    error_row,
)
from frazil.potentials.adsorption import Members
from frazil.systems.molecules import Molecules
from frazil.units import kB

Array = NDArray[np.float64]
FRAMES_PER_CALL = 32
"""Frames predicted at once."""
SPREAD_LIMIT_eV_per_A = 0.0434
"""1 kcal/mol/Å: how far the paper's three models are apart in the regions that matter."""
REGIONS_A = np.array([0.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0])
"""Ends of the distances to another molecule's atoms by which deviations are told."""


@dataclass(frozen=True)
class Predicted:
    """One subset: frames and what M members say. forces, labels (atoms of all frames, 3); energies
    (frames,).
    """

    frames: list[Atoms]
    energies_eV: Array
    """(M, frames)"""
    forces_eV_per_A: Array
    """(M, atoms, 3)"""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers (atoms,)."""
        return np.concatenate([atoms.numbers for atoms in self.frames])

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each frame (frames,)."""
        return np.array([len(atoms) for atoms in self.frames])

    @property
    def energy_labels_eV(self) -> Array:
        """(frames,)"""
        return np.array([atoms.get_potential_energy() for atoms in self.frames])

    @property
    def force_labels_eV_per_A(self) -> Array:
        """(atoms, 3)"""
        return np.concatenate([atoms.get_forces() for atoms in self.frames])

    @property
    def is_h2_and_co(self) -> bool:
        """Whether all atoms come in pairs C, O and H, H."""
        whole = bool((self.n_atoms % 2 == 0).all())
        return whole and {*zip(self.numbers[::2], self.numbers[1::2], strict=True)} <= {(6, 8), (1, 1)}

    def errors(self) -> dict[tuple[str, str, str], Array]:
        """Return (quantity, species, unit) → errors (M, n, components) of the members.

        Net forces are of molecules of H2 and CO, and left out where there are others.
        """
        energies = (self.energies_eV - self.energy_labels_eV)[..., None] * 1000
        forces, numbers = self.forces_eV_per_A - self.force_labels_eV_per_A, self.numbers
        found = {
            ("energy", "all", "meV/atom"): energies / self.n_atoms[:, None],
            ("energy_total", "all", "meV"): energies,
            ("force", "all", "eV/Å"): forces,
        }
        for number in np.unique(numbers):
            found["force", chemical_symbols[number], "eV/Å"] = forces[:, numbers == number]
        if self.is_h2_and_co:
            net = forces.reshape(len(forces), -1, 2, 3).sum(axis=2)
            of_h2 = numbers[::2] == 1
            found["force_net_molecule", "H2", "eV/Å"] = net[:, of_h2]
            found["force_net_molecule", "CO", "eV/Å"] = net[:, ~of_h2]
        return {key: values for key, values in found.items() if values.size}


def predicted(committee: Members, frames: list[Atoms]) -> Predicted:
    """Return what all members say of labelled frames."""
    made = [
        p
        for k in range(0, len(frames), FRAMES_PER_CALL)
        for p in committee.predict(frames[k : k + FRAMES_PER_CALL])
    ]
    return Predicted(
        frames,
        np.array([p.energies_eV for p in made]).T,
        np.concatenate([p.forces_eV_per_A for p in made], axis=1),
    )


def errors_table(subsets: Mapping[str, Predicted]) -> pandas.DataFrame:
    """Return ``errors.csv`` of every member and of the committee's mean."""
    rows = []
    for subset, made in subsets.items():
        for (quantity, species, unit), errors in made.errors().items():
            named = [*((f"gmnn-{m}", own) for m, own in enumerate(errors)), (MEAN, errors.mean(axis=0))]
            for name, own in named:
                rows.append(error_row(name, subset, quantity, species, unit, own))
    return ERRORS.frame(rows)


def models_table(errors: pandas.DataFrame, seed: int, n_members: int, n_parameters: int) -> pandas.DataFrame:
    """Return ``models.csv``: one row per member; all are used."""
    rows = []
    for m in range(n_members):
        row = {"model_id": f"gmnn-{m}", "kind": "gmnn", "seed": seed, "n_parameters": n_parameters}
        own = errors[(errors["model_id"] == f"gmnn-{m}") & (errors["species"] == "all")]
        for subset in SUBSETS:
            for quantity, name in (("energy", "energy_rmse_meV_per_atom"), ("force", "force_rmse_eV_per_A")):
                found = own[(own["subset"] == subset) & (own["quantity"] == quantity)]["rmse"]
                row[f"{subset}_{name}"] = float(found.iloc[0]) if len(found) else float("nan")
        rows.append(row | {"selected": 1})
    return MODELS.frame(rows)


def calibration(subsets: Mapping[str, Predicted]) -> pandas.DataFrame:
    """Return ``committee.csv``: spread of the members against the true error, in bins of equal counts."""
    bins = []
    for subset, made in subsets.items():
        for (quantity, species, unit), errors in made.errors().items():
            if quantity == "energy_total" or len(errors) < 2 or (quantity == "force" and species != "all"):
                continue
            named = quantity if quantity != "force_net_molecule" else f"{quantity}_{species}"
            bins += calibration_bins(subset, named, unit, errors, 0)
    return COMMITTEE.frame(bins)


def nearest_others_A(frames: Sequence[Atoms]) -> Array:
    """Return how far each atom (atoms of all frames,) is from the nearest of another molecule; inf: none."""
    found = []
    for atoms in frames:
        owner = Molecules.of(atoms).owner
        apart = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=2)
        found.append(np.where(owner[:, None] == owner, np.inf, apart).min(axis=1))
    return np.concatenate(found)


def deviation(made: Predicted) -> pandas.DataFrame:
    """Return ``deviation.csv``: how far members are apart, and their mean is off, by element and region.

    A region is a range of distances to the nearest atom of another molecule (``REGIONS_A``).
    """
    nearest, numbers = nearest_others_A(made.frames), made.numbers
    spread, off, _ = committee_errors(made.errors()["force", "all", "eV/Å"], 0)
    rows = []
    for number in np.unique(numbers):
        for low, high in itertools.pairwise(REGIONS_A):
            here = (numbers == number) & (nearest >= low) & (nearest < high)
            if here.any():
                rows.append({
                    "element": chemical_symbols[number], "nearest_low_A": low, "nearest_high_A": high,
                    "n": int(here.sum()), "spread_rms_eV_per_A": np.sqrt((spread[here] ** 2).mean()),
                    "largest_spread_eV_per_A": spread[here].max(),
                    "error_of_mean_rms_eV_per_A": np.sqrt((off[here] ** 2).mean()),
                })  # fmt: skip
    return DEVIATION.frame(rows)


def scans_table(
    committee: Members, frames: list[Atoms], curves: Mapping[str, CubicHermiteSpline]
) -> pandas.DataFrame:
    """Return ``scans.csv``: energies of labels and members over the distance, K, from the farthest
    point's.
    """
    labelled = interaction(frames, curves) if curves else frames
    made = predicted(committee, labelled)
    table = pandas.DataFrame({
        "scan": [str(atoms.info["trajectory_id"]) for atoms in frames],
        "distance_A": [float(atoms.info["distance_A"]) for atoms in frames],
        "label_K": made.energy_labels_eV / kB,
        MEAN + "_K": made.energies_eV.mean(axis=0) / kB,
        **{f"gmnn-{m}_K": own / kB for m, own in enumerate(made.energies_eV)},
    }).sort_values(["scan", "distance_A"], ignore_index=True)  # fmt: skip
    energies = [str(name) for name in table if str(name).endswith("_K")]
    table[energies] = table[energies] - table.groupby("scan")[energies].transform("last")
    return table


def scan_minima(scans: pandas.DataFrame) -> pandas.DataFrame:
    """Return each scan's minimum by labels and by the mean, K, and the largest error where H2 is bound, K."""
    rows = []
    for name, own in scans.groupby("scan", sort=True):
        bound = own["label_K"] < 0
        rows.append({
            "scan": name, "label_minimum_K": own["label_K"].min(),
            "committee_minimum_K": own[MEAN + "_K"].min(),
            "difference_K": own[MEAN + "_K"].min() - own["label_K"].min(),
            "largest_error_bound_K": (own[MEAN + "_K"] - own["label_K"])[bound].abs().max(),
        })  # fmt: skip
    return SCAN_MINIMA.frame(rows)


def training_table(subsets: Mapping[str, Predicted]) -> pandas.DataFrame:
    """Return what is in the data set by the rows of the exploration, of H2 and CO beside Table 1's counts."""
    published = all(made.is_h2_and_co for made in subsets.values())
    ice, shot = ("CO", "H2") if published else ("molecules", "projectile")
    counts = {
        subset: pandas.Series(
            [str(a.info.get("trajectory_id", "")).split("/")[0] for a in made.frames]
        ).value_counts()
        for subset, made in subsets.items()
    }
    names = [(str(k), row.name(ice, shot), row) for k, row in enumerate(TABLE_1)]
    rows = [
        {
            "system": name, "temperature_K": row.temperature_K, "interval_fs": row.interval_fs,
            "n_paper": row.n_frames if published else None,
            **{f"n_{subset}": int(own.get(key, 0)) for subset, own in counts.items()},
        }
        for key, name, row in names
    ]  # fmt: skip
    others = {"placed": f"{shot} placed around clusters", "alone": "one molecule"}
    rows += [
        {"system": name, **{f"n_{subset}": int(own.get(key, 0)) for subset, own in counts.items()}}
        for key, name in others.items()
    ]
    known = [*(key for key, _, _ in names), *others]
    of_your_own = {
        f"n_{subset}": int(own.drop(known, errors="ignore").sum()) for subset, own in counts.items()
    }
    return pandas.DataFrame([*rows, {"system": "frames of your own", **of_your_own}])


def relevant_spread(made: Predicted) -> float:
    """Return the members' rms spread of an atom's force in frames with H2 near CO, of other systems than
    these in all frames, eV/Å.
    """
    h2 = made.is_h2_and_co
    near = np.repeat([not h2 or (len(a) > 2 and 1 in a.numbers) for a in made.frames], made.n_atoms)
    if not near.any():
        return float("nan")
    spread, _, _ = committee_errors(made.errors()["force", "all", "eV/Å"][:, near], 0)
    return float(np.sqrt((spread**2).mean()))
