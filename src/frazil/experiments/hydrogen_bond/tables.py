"""Tables of hydrogen-bond strengths."""

from frazil.md.integrity import OUTCOMES
from frazil.tables import Table

FORWARD, BACKWARD = "forward", "backward"
RESTRAIN, DECOUPLE, TURN, RELEASE, TOTAL = STEPS = ("restrain", "decouple", "turn", "release", "total")
"""Restraints are turned on, the molecule is decoupled, that of a crystal is let turn, the free molecule gets
the standard volume; all of them.
"""
LAMBDAS = {RESTRAIN: "lambda2", DECOUPLE: "lambda1", TURN: "lambda3"}
"""The coupling that a step changes."""
TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int *member:int direction:str outcome:str lost_windows:int n_escaped:int n_bound:int
    mean_shift_A?
    """,
    limits={"outcome": tuple(OUTCOMES.values()), "direction": (FORWARD, BACKWARD)},
)
"""A row per pass and member: windows that were lost, and of the samples with the molecule bound without a
restraint (n_bound) those in which it had escaped; mean_shift_A, of how far the distance is from that at rest,
over the samples of all windows: by it a pass that is run again is known.
"""
ARRAYS = ("samples", "kinetic_eV")
"""Beside each row: samples (sets, windows, n, 5) of the energies of the whole and of its parts, eV, of how
far the distance is from that at rest, Å (of a crystal, the place), the atoms about it, Å, and how far the
other molecule is that is farthest from its place, Å (both 0 in a cluster); mean kinetic energies (sets,
windows, 2) by the centroid virial and the primitive estimator. A set is a number of beads; nan where there is
nothing.
"""
WINDOWS = Table(
    "windows",
    """
    *n_beads:int *step:str *window:int lambda1 lambda2 lambda3 mean_meV? se_meV? model_std_meV? n_effective
    overlap_next?
    """,
)
FREE_ENERGIES = Table(
    "free_energies",
    """
    *n_beads:int *step:str ti_meV ti_se_meV mbar_meV mbar_se_meV model_std_meV? low_95_meV? high_95_meV?
    total_low_95_meV? total_high_95_meV?
    """,
    limits={"step": STEPS},
)
PASSES = Table(
    "passes", "*n_beads:int *trajectory_id:int *member:int direction:str ti_meV mbar_meV least_overlap"
)
"""The total of each pass alone."""
QUANTUM = Table("quantum", "*n_beads:int *by:str difference_meV se_meV n:int")
"""Quantum less classical, of the decoupling: direct, and by the integral over the mass."""
