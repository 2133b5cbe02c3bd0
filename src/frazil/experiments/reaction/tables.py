"""Tables of reaction profiles."""

from frazil.md.integrity import OUTCOMES
from frazil.tables import Table

CENTROID, DENSITY = "centroid", "density"
"""Two profiles of one ring, never the same: of its centroid, for rate theory, and of its beads, which is the
quantum density. Of one bead they are one.
"""
TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int *member:int outcome:str lost_windows:int n_escaped:int n_samples:int
    mean_coordinate_A?
    """,
    limits={"outcome": tuple(OUTCOMES.values())},
)
"""A row per pass and member: windows that were lost, samples, of these those that left their window, and the
centroid's mean coordinate over all of them: by it a pass that is run again is known.
"""
ARRAYS = ("coordinates_A", "roots", "kinetic_eV", "truth_adds_eV")
"""Beside each row: coordinates (sets, windows, n, 1 + beads), of the centroid and of every bead; roots of the
inverse effective mass, √(Σ|∇ξ|²/m) (sets, windows, n), 1/√amu; mean kinetic energies (sets, windows, 2) by
the centroid virial and the primitive estimator. What the truth's
energy adds to the potential's (windows, n), eV, of classical samples that it was evaluated on. A set is a
number of beads and an isotope; nan where nothing is.
"""
PATH = Table("path", "*image:int arc_sqrt_amu_A coordinate_A energy_meV label_energy_meV?")
WINDOWS = Table(
    "windows",
    "*n_beads:int *isotope:str *window:int coordinate_A mean_A n_effective overlap_next?",
)
PROFILES = Table(
    "profiles",
    """
    *n_beads:int *isotope:str *kind:str *coordinate_A free_energy_meV se_meV model_std_meV? low_95_meV?
    high_95_meV? total_low_95_meV? total_high_95_meV?
    """,
    limits={"kind": (CENTROID, DENSITY)},
)
"""Relative to the smoothed minimum of the left of the two basins."""
BARRIERS = Table(
    "barriers",
    """
    *n_beads:int *isotope:str *kind:str basin_A top_A barrier_meV se_meV model_std_meV? low_95? high_95?
    total_low_95? total_high_95?
    """,
    limits={"kind": (CENTROID, DENSITY)},
)
RATES = Table(
    "rates", "*n_beads:int *isotope:str dividing_A rate_per_ps low_95? high_95? total_low_95? total_high_95?"
)
"""Of transition-state theory, of the centroid; no recrossing is in them."""
TRUTH = Table(
    "truth",
    """
    *coordinate_A model_meV truth_meV truth_se_meV difference_meV difference_se_meV largest_member_meV?
    """,
)
"""Classical profiles from the potential's left minimum, and what the level adds: the mean of the members with
its standard error of sampling, and the largest difference of a member.
"""
ENOUGH = 1.1
"""Of the tube's mean spread, over that of the frames trained on: what learning from the tube ends at."""
ROUNDS = Table(
    "rounds",
    """
    *round:int n_train:int n_test:int energy_rmse_meV_per_atom force_rmse_eV_per_A train_spread_eV_per_A
    tube_spread_eV_per_A? n_chosen:int
    """,
)
