"""Choice of the best model of a committee, and everything that shows how good it is (step 3 of the paper)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.data.split import SUBSETS
from frazil.errors import UserError
from frazil.experiments.photodesorption.evaluation import Predictions, load_predictions
from frazil.experiments.photodesorption.exploration import REASONS
from frazil.experiments.photodesorption.tables import (
    ERRORS_BESIDE_PAPER,
    EXPLORATION,
    EXPLORATIONS,
    PAPER_VALUES,
)
from frazil.learning.errors import COMMITTEE, ERRORS, MODELS, calibration_bins
from frazil.potentials.folder import read_description

RULE = (
    "The model with the smallest sum of force errors (RMSE over all components of all atoms, on the "
    "training and on the validation subset) goes on; all members stay as the committee. Forces, not "
    "energies, decide: both are fitted together, and it is the forces that the dynamics uses."
)


@dataclass(frozen=True)
class Committee:
    """Models of one committee with their evaluations, in the order of their numbers."""

    directories: list[Path]
    descriptions: list[dict[str, Any]]
    evaluations: list[Path]
    errors: pandas.DataFrame
    predictions: list[dict[str, Predictions]]
    best: int

    @property
    def shown(self) -> str:
        """The subset that figures show: validation, or what is there instead."""
        return next(subset for subset in reversed(SUBSETS) if subset in self.predictions[self.best])

    def error(self, model: int, subset: str, quantity: str, species: str = "all") -> float:
        """Return one RMSE of ``errors.csv``; nan where the subset has no such atoms."""
        rows = self.errors
        chosen = rows[
            (rows["model_id"] == str(self.descriptions[model]["model_id"])) & (rows["subset"] == subset)
            & (rows["quantity"] == quantity) & (rows["species"] == species)
        ]  # fmt: skip
        return float(chosen["rmse"].iloc[0]) if len(chosen) else float("nan")


def read_committee(models: Sequence[Path], evaluations: Sequence[Path]) -> Committee:
    """Return models and evaluations matched by the model's number, and which is the best (``RULE``).

    Raises:
        UserError: they do not match, or two have the same number.
    """
    by_number = {}
    for directory in models:
        description = read_description(directory)
        if description["model_id"] in by_number:
            raise UserError(f"two models have the number {description['model_id']}; give each model once")
        by_number[description["model_id"]] = (directory, description)
    evaluated = {}
    for directory in evaluations:
        if not (directory / "evaluation.json").is_file():
            raise UserError(f"{directory} holds no evaluation.json; make it with evaluate_model.py")
        evaluated[json.loads((directory / "evaluation.json").read_text())["model_id"]] = directory
    if not by_number or set(by_number) != set(evaluated):
        raise UserError(
            f"models {sorted(by_number)} and evaluations of models {sorted(evaluated)} do not match; "
            "give the evaluation of every model"
        )
    numbers = sorted(by_number)
    directories = [evaluated[number] for number in numbers]
    errors = ERRORS.read(*directories)
    committee = Committee(
        [by_number[number][0] for number in numbers], [by_number[number][1] for number in numbers],
        directories, errors, [load_predictions(directory) for directory in directories], 0,
    )  # fmt: skip
    return Committee(**{**vars(committee), "best": int(np.argmin(scores(committee)))})


def scores(committee: Committee) -> list[float]:
    """Return for each model the sum of its force RMSE on the training and the validation subset, eV/Å."""
    subsets = [subset for subset in ("train", "validation") if subset in committee.predictions[0]]
    return [
        sum(committee.error(model, subset, "force") for subset in subsets)
        for model in range(len(committee.directories))
    ]


def models_table(committee: Committee) -> pandas.DataFrame:
    """Return ``models.csv``: one row per model, errors of each subset, and which one is selected."""
    rows = []
    for model, description in enumerate(committee.descriptions):
        row = {name: description[name] for name in ("model_id", "kind", "seed", "n_parameters")}
        for subset in SUBSETS:
            row[f"{subset}_energy_rmse_meV_per_atom"] = committee.error(model, subset, "energy")
            row[f"{subset}_force_rmse_eV_per_A"] = committee.error(model, subset, "force")
        row |= {"selected": int(model == committee.best), "n_steps": description["n_steps"]}
        rows.append(row)
    return MODELS.frame(rows)


def calibration(committee: Committee) -> pandas.DataFrame:
    """Return ``committee.csv``: the committee's spread against the true error, in bins of equal counts.

    Spread: of an atom's force, √(Σ_m |f_m − ⟨f⟩|² / (M − 1)); of the energy, the standard deviation per atom.
    Error: of the committee's mean and of the selected model, root mean square in the bin. An ideal committee
    has a selected-model error equal to its spread.
    """
    bins = []
    for subset in SUBSETS:
        members = [made[subset] for made in committee.predictions if subset in made]
        if len(members) < 2:
            continue
        quantities = {
            ("energy", "meV/atom"): np.array([m.energy_errors_meV_per_atom for m in members])[..., None],
            ("force", "eV/Å"): np.array([m.force_errors_eV_per_A for m in members]),
            ("force_net_molecule", "eV/Å"): np.array([m.net_force_errors_eV_per_A for m in members]),
        }
        for (quantity, unit), errors in quantities.items():
            bins += calibration_bins(subset, quantity, unit, errors, committee.best)
    return COMMITTEE.frame(bins)


def exploration_rounds(explorations: Sequence[Path]) -> pandas.DataFrame:
    """Return one row per round of exploration: how its trajectories ended and what was added."""
    explored = [file for file in explorations if file.stat().st_size]
    if not explored:
        return pandas.DataFrame()
    rows = []
    for number, table in EXPLORATION.read(*explored).groupby("round"):
        reasons = table["reason"].value_counts()
        rows.append({
            "round": number, "n_trajectories": len(table),
            **{f"n_{reason}": int(reasons.get(reason, 0)) for reason in REASONS},
            "fraction_above_low": table["n_above_low"].sum() / max(1, table["n_frames"].sum()),
            "median_end_fs": table["end_fs"].median(), "closest_contact_A": table["closest_contact_A"].min(),
            "n_candidates": int(table["n_chosen"].sum()),
        })  # fmt: skip
    return EXPLORATIONS.frame(rows)


def beside_paper(committee: Committee, reference: Path | None) -> pandas.DataFrame:
    """Return the selected model's validation errors beside the paper's; empty without a reference."""
    if reference is None:
        return pandas.DataFrame()
    table = PAPER_VALUES.read(reference, by_hand=True).drop_duplicates("quantity")
    paper = table.set_index("quantity")["value"]

    rows = []
    for quantity, species, unit in [
        ("energy", "all", "meV/atom"),
        *(("force", s, "eV/Å") for s in ["C", "O", "X1", "X2"]),
    ]:
        name = f"validation_{quantity}_rmse" + ("" if species == "all" else f"_{species}")
        here = committee.error(committee.best, committee.shown, quantity, species)
        rows.append(
            {
                "quantity": f"{quantity} RMSE",
                "species": species,
                "unit": unit,
                "here": here,
                "paper": paper.get(name),
            }
        )
    return ERRORS_BESIDE_PAPER.frame(rows)
