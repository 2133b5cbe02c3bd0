"""Tables of photodesorption, each declared once; numbers are written with all their digits."""

from dataclasses import replace

from frazil.tables import Table, real, text, whole

OUTCOMES = ("desorbed", "retained", "dissociated", "failed")

TRAJECTORIES = Table(
    "trajectories",
    (
        *whole("trajectory_id", "snapshot_id"),
        *text("model_id"),
        *whole("excited_molecule", low=-1),
        *real("excitation_energy_eV", "initial_temperature_K"),
        *text("outcome", allowed=OUTCOMES),
        *whole("n_desorbed", low=0),
        *real("first_desorption_fs", blank=True),
        *real("duration_fs", low=0),
        *real("energy_std_meV", "energy_drift_meV_per_ps", blank=True),
    ),
    key=("trajectory_id",),
    digits=None,
    made_by="run_trajectories.py",
)
DESORBED = Table(
    "desorbed",
    (
        *whole("trajectory_id", "molecule"),
        *whole("excited", low=0, high=1),
        *real("desorption_fs", low=0),
        *whole("returned", low=0, high=1),
        *real(
            "translational_energy_meV", "rotational_energy_meV", "rotational_quantum_number",
            "vibrational_energy_meV", "vibrational_quantum_number", blank=True,
        ),
    ),
    key=("trajectory_id", "molecule"),
    digits=None,
    made_by="run_trajectories.py",
)  # fmt: skip
CROSSINGS = Table(
    "crossings",
    (*whole("trajectory_id", "molecule"), *real("criterion_A", "crossing_fs", low=0)),
    key=("trajectory_id", "molecule", "criterion_A"),
    digits=None,
    made_by="run_trajectories.py",
)
TEMPERATURE = Table(
    "temperature",
    (*real("time_fs", "temperature_K"), *whole("snapshot", low=0, high=1)),
    key=("time_fs",),
    digits=None,
)
ENDS = Table(
    "outcomes", (*text("ensemble"), *whole(*OUTCOMES, "total")), ("ensemble",), order=(), digits=None
)
PROBABILITY = Table(
    "probability",
    (
        *real("criterion_A"),
        *whole("n", "n_desorbed", "n_failed", low=0),
        *real("probability", "low_95", "high_95", low=0, high=1),
        *real("model_std", "total_low_95", "total_high_95", blank=True, low=0, high=1),
    ),
    key=("criterion_A",),
    digits=None,
)
WINDOWS = Table(
    "rotational_windows",
    (
        *real("translational_low_meV", "translational_high_meV"),
        *whole("n", low=0),
        *real("j_peak", "j_max", "j_peak_low_95", "j_peak_high_95", "translational_mean_meV", blank=True),
    ),
    key=("translational_low_meV",),
    digits=None,
)
FITS = Table(
    "rotational_fits",
    (
        *text("quantity"),
        *whole("n_windows"),
        *real("slope_per_meV", "intercept", "correlation", blank=True),
    ),
    key=("quantity",),
    order=(),
    digits=None,
)
SUMMARY = Table(
    "summary",
    (
        *text("quantity"), *real("value", "low_95", "high_95", blank=True), *text("unit", blank=True),
        *whole("n"),
    ),
    key=("quantity",),
    order=(),
    digits=None,
)  # fmt: skip
PAPER_VALUES = Table(
    "photodesorption",
    (*text("quantity"), *real("value", blank=True)),
    order=(),
    made_by="hand, as assets/reference/photodesorption.csv is",
)
REFERENCE = replace(
    PAPER_VALUES,
    columns=(*PAPER_VALUES.columns, *text("unit", "method", "source", "note", blank=True)),
)
BESIDE_PAPER = Table(
    "comparison",
    (
        *text("quantity"),
        *real("this_run", "low_95", "high_95", blank=True),
        *text("unit", blank=True),
        *whole("n"),
        *real("paper", blank=True),
        *text("paper_method", "paper_section", "note", blank=True),
    ),
    order=(),
    digits=None,
)
_BOTH = ("model", "teacher")
AGREEMENT = Table(
    "truth",
    (
        *text("quantity"),
        *text("unit", blank=True),
        *whole("n_model", "n_teacher"),
        *real(
            *(name + end for name in (*_BOTH, "difference") for end in ("", "_low_95", "_high_95")),
            blank=True,
        ),
        *whole("agrees", blank=True),
        *real("paired_low_95", "paired_high_95", blank=True),
        *text("interval"),
    ),
    key=("quantity",),
    order=(),
    digits=None,
)
DISTRIBUTIONS = Table(
    "truth_distributions",
    (
        *text("quantity"),
        *text("unit", blank=True),
        *whole("n_model", "n_teacher"),
        *real(
            "ks_statistic", "ks_p", "wasserstein", "wasserstein_low_95", "wasserstein_high_95", blank=True
        ),
    ),
    key=("quantity",),
    order=(),
    digits=None,
)  # fmt: skip
DRIFT = Table(
    "teacher_energy_drift",
    (
        *whole("trajectory_id", "n_frames"),
        *real(*(f"{who}_{what}_meV_per_atom" for who in _BOTH for what in ("std", "max")), blank=True),
    ),
    key=("trajectory_id",),
    digits=None,
)
NET_FORCE = Table(
    "net_force",
    (
        *text("molecules"),
        *whole("n"),
        *real("net_force_rms_eV_per_A", "error_rmse_eV_per_A", "error_max_eV_per_A", blank=True),
    ),
    key=("molecules",),
    order=(),
    digits=None,
)
EXPLORATION = Table(
    "exploration",
    (
        *whole("round", "trajectory_id", "excited"),
        *text("model_id"),
        *real("end_fs"),
        *text("reason"),
        *real("closest_contact_A", "max_deviation_eV_per_A", "median_deviation_eV_per_A", blank=True),
        *whole("n_frames", "n_above_low", "n_chosen"),
    ),
    order=(),
    digits="%.6g",
    made_by="explore_committee.py",
)
EXPLORATIONS = Table(
    "explorations",
    (
        *whole("round", "n_trajectories", "n_finished", "n_unphysical", "n_dissociated", "n_failed"),
        *real("fraction_above_low", "median_end_fs", "closest_contact_A", blank=True),
        *whole("n_candidates"),
    ),
    key=("round",),
    digits="%.6g",
)
ERRORS_BESIDE_PAPER = Table(
    "errors_beside_paper",
    (*text("quantity", "species", "unit"), *real("here", "paper", blank=True)),
    key=("quantity", "species"),
    order=(),
    digits="%.6g",
)
