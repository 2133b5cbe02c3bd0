"""Gates on energy that drifts in runs that spectra are made of, in parts of their modes' thermal energy."""

import numpy as np
import pandas

from frazil.report.section import Gate
from frazil.units import kB

DRIFT, WORST_DRIFT = 0.005, 0.02
"""Of the thermal energy: the median's and the largest drift over a run."""
NAME = "energy drift over a run, of the thermal energy"


def drift_gates(
    drifts_meV_per_ps: pandas.Series, duration_fs: pandas.Series | float, n_modes: pandas.Series | int,
    temperature_K: pandas.Series | float, timestep: str,
) -> list[Gate]:  # fmt: skip
    """Return gates on the median and the largest drift of runs over their duration.

    Each run is a row; k T for each of its ``n_modes`` is its thermal energy. ``timestep`` is the setting that
    mends it. Runs without a drift (that did not finish) are left out, and are told elsewhere.
    """
    thermal_meV = 1e3 * n_modes * kB * temperature_K
    found = np.abs(drifts_meV_per_ps) * 1e-3 * duration_fs / thermal_meV
    told = (
        "Energy that drifts moves anharmonic lines as heat does; below the limits that is less than the "
        "sampling error of the mean energy.",
        f"Take a shorter time step ({timestep}). A single large drift hints at a hole in the potential: look "
        "at that run in its table.",
    )
    return [
        Gate.at_most(f"{NAME}, median", found.median(), DRIFT).because(*told),
        Gate.at_most(f"{NAME}, largest", found.max(), WORST_DRIFT).because(*told),
    ]
