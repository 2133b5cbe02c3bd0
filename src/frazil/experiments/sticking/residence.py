"""Residence times: attempt frequencies from the bouncing of bound molecules, half-lives from energies."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray
from scipy.signal import find_peaks
from scipy.stats import t

from frazil.analysis.estimates import Estimate, estimate
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.errors import UserError
from frazil.experiments.sticking.tables import RESIDENCE_TIMES
from frazil.tables import SIX_DIGITS, Table

Array = NDArray[np.float64]
SITES = Table(
    "binding_energies", "phase:str binding_energy_K? converged:bool", order="given", made_by="bind_sites.py"
)
BY_HAND = replace(RESIDENCE_TIMES, digits=SIX_DIGITS)
PS_PER_S = 1e12


def half_life_s(
    binding_energy_K: Array | float, attempt_frequency_per_ps: float, temperature_K: float
) -> Array:
    """Return ln 2 / (ν exp(E_bin/kT)) in s (the paper, eqs. 3 and 4); E_bin (…) is negative where a molecule
    is bound. Not a number where it is not bound: a life shorter than one attempt means nothing. A life beyond
    all numbers is the largest one, 1.8e308 s.

    Raises UserError for a frequency or temperature that is not positive.
    """
    if not (attempt_frequency_per_ps > 0 and temperature_K > 0):
        raise UserError(
            f"an attempt frequency of {attempt_frequency_per_ps:g} per ps at {temperature_K:g} K; "
            "both must be positive"
        )
    energies = np.asarray(binding_energy_K, float)
    with np.errstate(over="ignore"):
        lives = np.log(2) / (attempt_frequency_per_ps * PS_PER_S) * np.exp(-energies / temperature_K)
    return np.where(energies < 0, np.minimum(lives, sys.float_info.max), np.nan)


def typical_energy(sites: pandas.DataFrame, kind: str, scale: float = MODEL_ERROR_SCALE) -> Estimate:
    """Return the mean or the median ("kind") of converged sites' binding energies, K, with both errors.

    Sampling: Student's t of the sites, for a median √(π/2) wider. A member's errors go together over sites.
    """
    bound = sites[sites["converged"] == 1]
    energies = bound["binding_energy_K"].to_numpy(float)
    n = len(energies)
    if not n:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(getattr(np, kind)(energies))
    spread = float(energies.std(ddof=1)) if n > 1 else np.nan
    half = float(t.ppf(0.975, max(n - 1, 1))) * spread / np.sqrt(n) * (1.2533 if kind == "median" else 1.0)
    columns = [name for name in bound if str(name).startswith("member_") and bound[name].notna().all()]
    members = [float(getattr(np, kind)(bound[name])) for name in columns]
    return estimate(value, (value - half, value + half), members, np.zeros(len(members)), scale * spread)


def residence_times(
    phase: str,
    binding_energies_K: Sequence[float],
    attempt_frequency_per_ps: float,
    temperatures_K: Sequence[float],
) -> pandas.DataFrame:
    """Return the table ``residence_times.csv``: each binding energy at each surface temperature.

    A half-life is empty where the molecule is not bound.
    """
    rows = [
        (phase, temperature, energy, attempt_frequency_per_ps, float(life))
        for temperature in temperatures_K
        for energy, life in zip(
            binding_energies_K,
            half_life_s(np.asarray(binding_energies_K, float), attempt_frequency_per_ps, temperature),
            strict=True,
        )
    ]
    return RESIDENCE_TIMES.frame(rows)


def attempt_frequency_per_ps(time_fs: Array, height_A: Array, after_fs: float = 5000.0) -> float:
    """Return the inverse mean time between maxima of the height (n,) of the centre of mass (the paper, Fig.
    6).

    Only maxima after ``after_fs`` count; not a number where there are fewer than two.
    """
    times = np.asarray(time_fs, float)[find_peaks(height_A)[0]]
    late = times[times >= after_fs]
    return 1000.0 * (len(late) - 1) / float(late[-1] - late[0]) if len(late) > 1 else float("nan")


def write_residence_times(
    binding_energy_K: float | None,
    binding_energies: Path | str | None,
    attempt_frequency_per_ps: float,
    surface_temperatures_K: Sequence[float],
    phase: str,
    out: Path | str,
) -> None:
    """Write half-lives of one binding energy, or of every converged site of a ``binding_energies.csv``.

    Raises UserError unless exactly one of the two is given, for a table without binding energies, and for a
    binding energy that is not negative.
    """
    if (binding_energy_K is None) == (binding_energies is None):
        raise UserError("give either --binding-energy-K or --binding-energies")
    if binding_energy_K is not None:
        sites = pandas.DataFrame({"phase": [phase], "binding_energy_K": [binding_energy_K]})
    else:
        sites = _sites(binding_energies, phase)
    for energy_K in sites["binding_energy_K"]:
        if not energy_K < 0:
            positive = (
                f". UCLCHEM, UMIST and KIDA count it positive: give {-energy_K:g}" if energy_K > 0 else ""
            )
            raise UserError(
                f"a binding energy of {energy_K:g} K; here a bound molecule has a negative one{positive}"
            )
    parts = [
        residence_times(
            str(name), own["binding_energy_K"].tolist(), attempt_frequency_per_ps, surface_temperatures_K
        )
        for name, own in sites.groupby("phase", sort=True)
    ]
    BY_HAND.write(pandas.concat(parts), out)


def _sites(path: Path | str | None, phase: str) -> pandas.DataFrame:
    sites = SITES.read(str(path), by_hand=True)
    chosen = sites[(sites["converged"] == 1) & ((sites["phase"] == phase) | (phase == ""))]
    blank = chosen.index[chosen["binding_energy_K"].isna()]
    if len(blank):
        raise UserError(
            f"{path} has no binding_energy_K in row {blank[0] + 1}, of a converged site; fill it in, or "
            "mark the site as not converged (0)"
        )
    if not len(chosen):
        raise UserError(
            f"{path} has no converged site{f' of phase {phase!r}' if phase else ''}; give another table"
        )
    return chosen
