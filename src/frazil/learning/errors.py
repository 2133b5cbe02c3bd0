"""Errors of models on labelled frames, and the committee's spread against them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas

from frazil.tables import SIX_DIGITS, Table


def error_row(
    model_id: object,
    subset: str,
    quantity: str,
    species: str,
    unit: str,
    errors: npt.NDArray[np.float64],
) -> dict[str, object]:
    """Return one row of ``errors.csv``; without errors its numbers are nan."""
    size = np.abs(errors) if errors.size else np.array(np.nan)
    return {
        "model_id": model_id, "subset": subset, "quantity": quantity, "species": species, "unit": unit,
        "n": errors.size, "mae": float(size.mean()), "rmse": float(np.sqrt((size**2).mean())),
        "max": float(size.max()),
    }  # fmt: skip


N_BINS = 10
MEAN = "gmnn-mean"
"""What tables call the mean over a GM-NN committee's members."""


MODELS = Table(
    "models",
    """
    *model_id:str kind:str seed:int n_parameters:int train_energy_rmse_meV_per_atom?
    train_force_rmse_eV_per_A? test_energy_rmse_meV_per_atom? test_force_rmse_eV_per_A?
    validation_energy_rmse_meV_per_atom? validation_force_rmse_eV_per_A? selected:bool
    """,
    order="given",
    digits=SIX_DIGITS,
)
ERRORS = Table(
    "errors",
    """
    *model_id:str *subset:str *quantity:str *species:str unit:str n:int mae? rmse? max?
    """,
    order="given",
    digits=SIX_DIGITS,
    made_by="evaluate_model.py",
)
COMMITTEE = Table(
    "committee",
    """
    subset:str quantity:str unit:str spread_low spread_high n:int spread_rms error_of_mean_rms
    error_of_selected_rms
    """,
    order="given",
    digits=SIX_DIGITS,
)
"""The committee's spread against its true errors, in bins."""


def calibration_bins(
    subset: str, quantity: str, unit: str, errors: npt.NDArray[np.float64], best: int
) -> list[tuple[Any, ...]]:
    """Return rows of ``COMMITTEE``, in bins of equal counts, of errors (members, n, components)."""
    sizes = committee_errors(errors, best)
    edges = np.quantile(sizes[0], np.linspace(0, 1, min(N_BINS, errors.shape[1]) + 1))
    places = np.clip(np.searchsorted(edges, sizes[0], side="right") - 1, 0, len(edges) - 2)
    rows = []
    for place in np.unique(places):
        inside = places == place
        rms = [float(np.sqrt((values[inside] ** 2).mean())) for values in sizes]
        rows.append((subset, quantity, unit, edges[place], edges[place + 1], int(inside.sum()), *rms))
    return rows


def calibration_factor(committee: pandas.DataFrame, subset: str, quantity: str) -> float:
    """Return the error of the mean over the spread, both rms, of a table ``COMMITTEE``: 1 where the spread is
    right, nan where nothing was measured.
    """
    own = committee[(committee["subset"] == subset) & (committee["quantity"] == quantity)]
    square = [float((own["n"] * own[name] ** 2).sum()) for name in ("error_of_mean_rms", "spread_rms")]
    return float(np.sqrt(square[0] / square[1])) if square[1] > 0 else float("nan")


def committee_errors(
    errors: npt.NDArray[np.float64], best: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return spread, error of the mean and error of one member (n,), of errors (members, n, components)."""
    mean = errors.mean(axis=0)
    spread = np.sqrt(((errors - mean) ** 2).sum(axis=(0, 2)) / (len(errors) - 1))
    return spread, np.linalg.norm(mean, axis=-1), np.linalg.norm(errors[best], axis=-1)
