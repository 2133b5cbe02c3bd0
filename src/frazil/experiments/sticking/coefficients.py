"""Thermal sticking coefficients S(T_g) from probabilities P(E): the integral of Buch & Zhang, with intervals.

S(T) = (kT)⁻² ∫ P(E) E exp(−E/kT) dE (Buch & Zhang, Astrophys. J. 379, 647, 1991; the paper, eq. 2). P is
linear between the energies sampled, so that S is a weighted sum of the probabilities, and the weights are
exact. What P does beyond the energies sampled is a choice. The paper states P(0) = 1 and P(∞) = 0; its Table
3 follows from its Table 2 within 0.0072 everywhere with P(0) = 1 and the last probability *held* for all
higher energies: the zero at infinity has no weight. A P that falls to zero at once, or linearly up to 1500 K,
misses Table 3 by 0.11 and 0.04. How much of the integral that choice decides, every coefficient says: the
part of the Maxwell weight below and above the energies sampled.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from frazil.analysis.predictive import Z_95
from frazil.errors import UserError
from frazil.experiments.sticking.tables import COEFFICIENTS, CONDITION
from frazil.seeds import rng
from frazil.tables import SIX_DIGITS, Table
from frazil.units import kB

Array = NDArray[np.float64]
BELOW = ("one", "held")
"""P at zero energy: 1 (the paper), or that of the lowest energy."""
ABOVE = ("held", "zero", "linear")
"""P beyond the highest energy: held (gives the paper's table), zero at once, or falling linearly to zero."""
SURFACE = "surface"
"""Stands for the gas temperature that equals the surface's."""
HALF = 0.5
"""From this part of the weight on, beyond the energies sampled, people are warned."""
DRAWS = 20_000
LEAST_HIGHEST_K = 1.0
"""Energies that are all lower than this are no kelvins, but eV (1 K is 86 µeV)."""
SMALLEST_K, LARGEST_K = 1e-6, 1e7
"""Of temperatures and energies that a table may hold."""
ROUNDED = 0.006
"""Probability and counts of a row may differ by this: a table with two digits."""
GIVEN_PROBABILITIES = Table(
    "sticking_probabilities",
    "*phase:str *surface_temperature_K *collision_energy_K",
    also="n:int? n_stuck:int? n_failed:int? probability? low_95? high_95?",
    order="given",
    limits={
        "surface_temperature_K": (SMALLEST_K, LARGEST_K),
        "collision_energy_K": (SMALLEST_K, LARGEST_K),
        "n": (1, 1e12),
        "n_stuck": (0, 1e12),
        "n_failed": (0, 1e12),
        **dict.fromkeys(("probability", "low_95", "high_95"), (0, 1)),
    },
    made_by="analyse_sticking.py, or by hand",
)
BY_HAND = replace(COEFFICIENTS, digits=SIX_DIGITS)


def weights(
    energies_K: Array,
    temperature_K: float,
    below: str = "one",
    above: str = "held",
    vanishing_K: float = 1500.0,
) -> tuple[Array, float]:
    """Return w (n,) and w₀ with S = w · P + w₀ for ascending energies (n,), all in K.

    ``vanishing_K``: where P reaches zero, for ``above`` "linear". Raises UserError for energies that are not
    positive and ascending, a temperature that is not positive, or an unknown treatment of either end.
    """
    energies = np.asarray(energies_K, float)
    if not len(energies) or not (np.diff(energies, prepend=0.0) > 0).all():
        raise UserError(
            f"collision energies {energies.tolist()} K; give positive ones, each once, in ascending order"
        )
    if not temperature_K > 0:
        raise UserError(f"a gas temperature of {temperature_K:g} K; it must be positive")
    if below not in BELOW or above not in ABOVE:
        raise UserError(
            f"ends {below!r} and {above!r}; allowed below: {', '.join(BELOW)}, above: {', '.join(ABOVE)}"
        )
    if above == "linear" and not vanishing_K > energies[-1]:
        raise UserError(
            f"P vanishes at {vanishing_K:g} K; it must be above the highest energy, {energies[-1]:g} K"
        )
    nodes = np.append(0.0, energies)
    if above == "linear":
        nodes = np.append(nodes, vanishing_K)
    u = nodes / temperature_K
    # ∫ u e^−u du and ∫ u² e^−u du between nodes
    first = -np.diff((1 + u) * np.exp(-u))
    second = -np.diff((u * u + 2 * u + 2) * np.exp(-u))
    width = np.diff(u)
    rising = (second - u[:-1] * first) / width
    parts = np.zeros(len(nodes))
    parts[1:] += rising
    parts[:-1] += first - rising
    if above == "held":
        parts[-1] += (1 + u[-1]) * np.exp(-u[-1])
    found = parts[1 : len(energies) + 1].copy()
    if below == "held":
        found[0] += parts[0]
        return found, 0.0
    return found, float(parts[0])


def beyond(energies_K: Array, temperature_K: float) -> tuple[float, float]:
    """Return the parts of (kT)⁻² ∫ E exp(−E/kT) dE below the lowest and above the highest energy."""
    u = np.array([np.min(energies_K), np.max(energies_K)]) / temperature_K
    above = (1 + u) * np.exp(-u)
    return float(1 - above[0]), float(above[1])


def _draws(row: pandas.Series, generator: np.random.Generator) -> tuple[Array, Array]:
    """Draw probabilities for the lower and for the upper end of an interval.

    From Jeffreys' Beta posterior of the counts, or a normal with the interval's two halves. As in Jeffreys'
    interval, whose estimate would else lie outside, none of n is 0 for the lower end, and n of n is 1 for the
    upper one; so is a probability that is the end of its own interval.
    """
    p = row["probability"]
    if {"n", "n_stuck"} <= set(row.index) and np.isfinite([row["n"], row["n_stuck"]]).all():
        drawn = generator.beta(row["n_stuck"] + 0.5, row["n"] - row["n_stuck"] + 0.5, DRAWS)
        ends = p == 0, p == 1
    else:
        normal = generator.normal(size=DRAWS)
        half = np.where(normal < 0, p - row["low_95"], row["high_95"] - p)
        drawn = np.clip(p + normal * half / Z_95, 0.0, 1.0)
        ends = p <= row["low_95"], p >= row["high_95"]
    lower, upper = (np.full(DRAWS, p) if at_end else drawn for at_end in ends)
    return lower, upper


def coefficients(
    probabilities: pandas.DataFrame,
    gas_temperatures_K: Sequence[float | str],
    campaign_seed: int = 1,
    **ends: object,
) -> pandas.DataFrame:
    """Return the table ``sticking_coefficients.csv`` of P(E) tables by phase and surface
    temperature.

    The interval is that of 20,000 draws of all probabilities, independent of each other, and holds the
    coefficient. ``ends``: of ``weights``; weight_below and weight_above of ``beyond``. Raises UserError for
    missing columns and cells, counts or probabilities that are none, energies that occur twice and those that
    are no kelvins.
    """
    table = _checked(probabilities)
    rows = []
    for number, (condition, part) in enumerate(table.groupby(CONDITION, sort=True)):
        part = part.sort_values("collision_energy_K")
        phase, surface_K = tuple(condition)
        generator = rng(campaign_seed, "sticking-coefficients", number)
        draws = [_draws(row, generator) for _, row in part.iterrows()]
        lower, upper = (np.stack(ends) for ends in zip(*draws, strict=True))
        for gas in gas_temperatures_K:
            gas_K = float(part["surface_temperature_K"].iloc[0]) if gas == SURFACE else float(gas)
            energies_K = part["collision_energy_K"].to_numpy(float)
            w, constant = weights(energies_K, gas_K, **ends)  # type: ignore[arg-type]
            value = float(w @ part["probability"].to_numpy(float) + constant)
            low = min(value, float(np.quantile(w @ lower + constant, 0.025)))
            high = max(value, float(np.quantile(w @ upper + constant, 0.975)))
            rows.append((phase, surface_K, gas_K, value, low, high, *beyond(energies_K, gas_K)))
    names = [*COEFFICIENTS.names, "weight_below", "weight_above"]
    found = pandas.DataFrame(rows, columns=names).drop_duplicates(COEFFICIENTS.key)
    return COEFFICIENTS.sorted(found)


def _checked(probabilities: pandas.DataFrame) -> pandas.DataFrame:
    """Return the table with a probability in every row: that of its counts, else the given one."""
    if not len(probabilities):
        raise UserError("a table of 0 probabilities; give at least one energy")
    if fault := GIVEN_PROBABILITIES.fault(probabilities):
        raise UserError(f"the table of probabilities {fault}")
    table = probabilities.reset_index(drop=True)
    if doubled := table[table.duplicated([*CONDITION, "collision_energy_K"])].to_dict("records"):
        raise UserError(
            f"{doubled[0]['collision_energy_K']:g} K occurs twice for one surface; give each once"
        )
    highest_K = float(table["collision_energy_K"].max())
    if highest_K < LEAST_HIGHEST_K:
        raise UserError(
            f"collision energies up to {highest_K:g} K; eV in place of K? 1 eV is {1 / kB:.5g} K: give K"
        )
    for number, row in enumerate(table.to_dict("records"), 1):
        table.loc[number - 1, "probability"] = _probability(row, f"row {number} of the probabilities")
    return table


def _probability(row: dict[Any, Any], called: str) -> float:
    """Return the probability of a row, with counts or with an interval. Raises UserError for neither."""
    n, n_stuck, value, low, high = (
        row.get(name, np.nan) for name in ("n", "n_stuck", "probability", "low_95", "high_95")
    )
    counted, given = np.isfinite([n, n_stuck]), np.isfinite([value, low, high])
    if counted.any() != counted.all() or not (counted.all() or given.all()):
        raise UserError(
            f"{called} is without {'n, n_stuck' if counted.any() else 'probability, low_95, high_95'}; "
            "needed are n and n_stuck, or probability, low_95 and high_95"
        )
    if given.all() and not low <= value <= high:
        raise UserError(f"{called}: probability {value:g} is outside its interval {low:g} … {high:g}")
    if not counted.all():
        return float(value)
    if n_stuck > n:
        raise UserError(f"{called}: {n_stuck:g} of {n:g} stuck; n_stuck must be within 0 … n")
    if abs(value - n_stuck / n) > ROUNDED:
        raise UserError(f"{called}: {n_stuck:g} of {n:g} stuck, but a probability of {value:g}; correct one")
    return float(n_stuck / n)


def write_coefficients(
    probabilities: Path | str,
    gas_temperatures_K: Sequence[str],
    out: Path | str,
    campaign_seed: int,
    **ends: object,
) -> None:
    """Read a table of probabilities, write that of coefficients; warn where more than half of the weight lies
    beyond the energies sampled. Raises UserError for bad input.
    """
    table = GIVEN_PROBABILITIES.read(probabilities, by_hand=True)
    gas: list[float | str] = []
    for text in gas_temperatures_K:
        try:
            gas.append(SURFACE if text == SURFACE else float(text))
        except ValueError:
            raise UserError(f"gas temperature {text!r}; give numbers in K, or '{SURFACE}'") from None
    found = coefficients(table, gas, campaign_seed, **ends)
    BY_HAND.write(found, out)
    for side, choice in (("above", ends.get("above", "held")), ("below", ends.get("below", "one"))):
        weight, gas_K = max(zip(found[f"weight_{side}"], found["gas_temperature_K"], strict=True))
        if weight > HALF:
            print(
                f"warning: at a gas temperature of {gas_K:g} K {weight:.0%} of the coefficient's weight lies "
                f"{side} the energies given (P there: {choice}); see the column weight_{side}",
                file=sys.stderr,
            )
