"""Choice of the best model of a committee, and everything that shows how good it is (step 3 of the paper)."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas

from frazil.datasets import SUBSETS
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.report import Figure, Gate, Section, Table
from frazil.training.deepmd import COMPRESSION_TOLERANCE_EV_PER_A, read_description
from frazil.training.evaluation import Predictions, load_predictions
from frazil.training.exploration import REASONS

LARGEST_FORCE_RMSE_EV_PER_A = 0.05
N_BINS = 10
RULE = (
    "The model with the smallest sum of force errors (RMSE over all components of all atoms, on the "
    "training and on the validation subset) goes on; all members stay as the committee. Forces, not "
    "energies, decide: both are fitted together, and it is the forces that the dynamics uses."
)


CALIBRATION = [
    "subset", "quantity", "unit", "spread_low", "spread_high", "n", "spread_rms", "error_of_mean_rms",
    "error_of_selected_rms",
]  # fmt: skip
"""Columns of ``committee.csv``."""


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
            (rows["model_id"] == self.descriptions[model]["model_id"]) & (rows["subset"] == subset)
            & (rows["quantity"] == quantity) & (rows["species"] == species)
        ]  # fmt: skip
        return float(chosen["rmse"].iloc[0]) if len(chosen) else float("nan")


def select_model(
    models: Sequence[Path],
    evaluations: Sequence[Path],
    explorations: Sequence[Path],
    reference: Path | None,
    out: Path,
) -> None:
    """Write ``potential/``: tables of models and errors, figures, section, and a copy of the selected model.

    Args:
        models: model directories.
        evaluations: directories of ``evaluate_model``, in any order; they are matched by the model's number.
        explorations: ``exploration.csv`` of each round, perhaps none.
        reference: table of the paper's values, to print beside.
        out: directory to write.

    Raises:
        UserError: a model without evaluation or the reverse, two models of one number, missing files.
    """
    from frazil.training.validation_figures import draw

    committee = read_committee(models, evaluations)
    out.mkdir(parents=True, exist_ok=True)
    spread = calibration(committee)
    rounds = exploration_rounds(explorations)
    tables = {"models": models_table(committee), "errors": committee.errors, "committee": spread}
    if len(rounds):
        tables["explorations"] = rounds
    beside = beside_paper(committee, reference)
    if len(beside):
        tables["errors_beside_paper"] = beside
    for name, table in tables.items():
        with write_atomic(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g")
    selected = out / "selected"
    shutil.rmtree(selected, ignore_errors=True)
    shutil.copytree(committee.directories[committee.best], selected)
    shutil.copyfile(committee.evaluations[committee.best] / "bond_curves.csv", out / "bond_curves.csv")
    section(committee, tables, draw(committee, spread, rounds, out)).write(out)


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
    errors = pandas.concat([pandas.read_csv(directory / "errors.csv") for directory in directories])
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
    return pandas.DataFrame(rows)


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
    return pandas.DataFrame(bins, columns=CALIBRATION)


def calibration_bins(
    subset: str, quantity: str, unit: str, errors: npt.NDArray[np.float64], best: int
) -> list[tuple[Any, ...]]:
    """Return rows of ``CALIBRATION``, in bins of equal counts, of errors (members, n, components)."""
    sizes = committee_errors(errors, best)
    edges = np.quantile(sizes[0], np.linspace(0, 1, min(N_BINS, errors.shape[1]) + 1))
    places = np.clip(np.searchsorted(edges, sizes[0], side="right") - 1, 0, len(edges) - 2)
    rows = []
    for place in np.unique(places):
        inside = places == place
        rms = [float(np.sqrt((values[inside] ** 2).mean())) for values in sizes]
        rows.append((subset, quantity, unit, edges[place], edges[place + 1], int(inside.sum()), *rms))
    return rows


def committee_errors(
    errors: npt.NDArray[np.float64], best: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return spread, error of the mean and error of one member (n,), of errors (members, n, components)."""
    mean = errors.mean(axis=0)
    spread = np.sqrt(((errors - mean) ** 2).sum(axis=(0, 2)) / (len(errors) - 1))
    return spread, np.linalg.norm(mean, axis=-1), np.linalg.norm(errors[best], axis=-1)


def exploration_rounds(explorations: Sequence[Path]) -> pandas.DataFrame:
    """Return one row per round of exploration: how its trajectories ended and what was added."""
    read = [pandas.read_csv(file) for file in explorations if file.stat().st_size]
    if not read:
        return pandas.DataFrame()
    rows = []
    for number, table in pandas.concat(read).groupby("round"):
        reasons = table["reason"].value_counts()
        rows.append({
            "round": number, "n_trajectories": len(table),
            **{f"n_{reason}": int(reasons.get(reason, 0)) for reason in REASONS},
            "fraction_above_low": table["n_above_low"].sum() / max(1, table["n_frames"].sum()),
            "median_end_fs": table["end_fs"].median(), "closest_contact_A": table["closest_contact_A"].min(),
            "n_candidates": int(table["n_chosen"].sum()),
        })  # fmt: skip
    return pandas.DataFrame(rows)


def beside_paper(committee: Committee, reference: Path | None) -> pandas.DataFrame:
    """Return the selected model's validation errors beside the paper's; empty without a reference."""
    if reference is None:
        return pandas.DataFrame()
    if not reference.is_file():
        raise UserError(f"no reference table {reference}; leave --reference out or give the paper's values")
    paper = pandas.read_csv(reference).set_index("quantity")["value"]
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
    return pandas.DataFrame(rows)


def section(committee: Committee, tables: dict[str, pandas.DataFrame], figures: list[Figure]) -> Section:
    """Return the report's section on the potential."""
    best, shown = committee.best, committee.shown
    description = committee.descriptions[best]
    by_type = {name: committee.error(best, shown, "force", name) for name in description["type_map"]}
    net = committee.error(best, shown, "force_net_molecule")
    difference = json.loads((committee.evaluations[best] / "evaluation.json").read_text())[
        "compression_difference_eV_per_A"
    ]
    gates = [
        Gate(
            f"{shown} force RMSE of {name}, eV/Å", by_type[name], LARGEST_FORCE_RMSE_EV_PER_A,
            None if np.isnan(by_type[name]) else bool(by_type[name] <= LARGEST_FORCE_RMSE_EV_PER_A),
        )
        for name in ("C", "O")
    ]  # fmt: skip
    gates.append(
        Gate(
            "largest force difference of compressed and frozen model, eV/Å", difference,
            COMPRESSION_TOLERANCE_EV_PER_A, bool(difference <= COMPRESSION_TOLERANCE_EV_PER_A),
            "" if description["compressed"] else "not compressed: the frozen model itself runs",
        )
    )  # fmt: skip
    forces = ", ".join(f"{value:.3f} ({name})" for name, value in by_type.items())
    captions = {
        "models": "The committee: errors (RMSE) on each subset.", "errors": "All errors.",
        "committee": "The committee's spread against the true error.",
        "explorations": "Rounds of exploration: excited runs of the committee before its last training.",
        "errors_beside_paper": f"Errors on the {shown} subset beside the paper's (50 CO, PBE-D3(BJ) labels).",
    }  # fmt: skip
    return Section(
        title="Potential",
        headline=f"DeePMD model {description['model_id']}: {shown} force RMSE {forces} eV/Å.",
        text=[
            f"{len(committee.directories)} DeePMD-kit models (se_e2_a, cutoff "
            f"{description['cutoff_A']:g} Å) that differ by seed only, "
            f"{description['n_train_frames']} training frames, {description['n_steps']} "
            f"steps in the last training. {RULE}",
            f"Errors of the net force on whole molecules (RMSE {net:.3f} eV/Å per component) are shown "
            "because atomic errors are dominated by the stiff bond and hide what moves a molecule.",
        ],
        gates=gates,
        figures=figures,
        tables=[Table(f"{name}.csv", captions[name]) for name in captions if name in tables],
        references=[
            "L. Zhang, J. Han, H. Wang, W. Saidi, R. Car, W. E, NeurIPS 31 (2018) (DeepPot-SE).",
            "J. Zeng et al., J. Chem. Theory Comput. 21, 4375 (2025) (DeePMD-kit v3).",
        ],
    )
