"""Tables of H2 sticking, each declared once."""

from frazil.tables import Table, real, text, whole

OUTCOMES = ("stuck", "bounced", "dissociated", "failed")
CONDITION = ["phase", "surface_temperature_K"]
_CONDITION = (*text("phase"), *real("surface_temperature_K", low=0))
_COMMITTEE = real("model_std", "total_low_95", "total_high_95", blank=True, low=0)

TRAJECTORIES = Table(
    "trajectories",
    (
        *whole("trajectory_id"),
        *text("phase"),
        *whole("surface_id"),
        *real("surface_temperature_K", low=0),
        *text("model_id"),
        *real("collision_energy_K", "polar_angle_deg", "azimuth_deg", low=0),
        *real("aim_x_A", "aim_y_A"),
        *text("outcome", allowed=OUTCOMES),
        *real("time_fs", low=0),
        *whole("n_bounces", low=0),
        *real("energy_drift_meV_per_ps", blank=True),
    ),
    key=("trajectory_id",),
    made_by="run_collisions.py",
)
PATHS = Table(
    "paths",
    (*real("time_fs"), *real("z_A", "apart_A", blank=True), *whole("trajectory_id"), *text("phase")),
    key=("trajectory_id", "time_fs"),
    order=(),
    made_by="run_collisions.py",
)
PROBABILITIES = Table(
    "sticking_probabilities",
    (
        *_CONDITION,
        *real("collision_energy_K", low=0),
        *whole("n", "n_stuck", "n_failed", low=0),
        *real("probability", "low_95", "high_95", low=0, high=1),
        *_COMMITTEE,
    ),
    key=(*CONDITION, "collision_energy_K"),
)
COEFFICIENTS = Table(
    "sticking_coefficients",
    (*_CONDITION, *real("gas_temperature_K", "coefficient", "low_95", "high_95", low=0)),
    key=(*CONDITION, "gas_temperature_K"),
)
BINDING_ENERGIES = Table(
    "binding_energies",
    (
        *text("phase"),
        *whole("surface_id", "site_id"),
        *real("x_A", "y_A", "z_A", "binding_energy_K", blank=True),
        *real("model_std_K", blank=True, low=0),
        *whole("converged", low=0, high=1),
        *real("truth_energy_K", "largest_shift_A", blank=True),
    ),
    key=("phase", "surface_id", "site_id"),
    made_by="bind_sites.py",
)
SURFACE_ATOMS = Table(
    "surface_atoms",
    (*real("x_A", "y_A", "z_A"), *text("phase"), *whole("surface_id"), *whole("fixed", low=0, high=1)),
    order=(),
    digits="%.6g",
    made_by="bind_sites.py",
)
BINDING_SUMMARY = Table(
    "binding_summary",
    (
        *text("phase"),
        *whole("n"),
        *real("mean_K", "median_K", "std_K", blank=True),
        *whole("n_unconverged"),
        *real("model_std_K", "truth_mean_error_K", "truth_rms_error_K", blank=True),
        *whole("n_rearranged"),
    ),
    key=("phase",),
)
ATTEMPT_FREQUENCIES = Table(
    "attempt_frequencies",
    (*text("phase"), *whole("trajectory_id"), *real("attempt_frequency_per_ps", low=0)),
    key=("phase", "trajectory_id"),
    order=("trajectory_id", "phase"),
)
RESIDENCE_TIMES = Table(
    "residence_times",
    (*_CONDITION, *real("binding_energy_K"), *real("attempt_frequency_per_ps", "half_life_s", low=0)),
    order=(),
)
CHECKS = Table(
    "checks",
    (
        *_CONDITION,
        *whole("n_molecules", "n_fixed"),
        *real("radius_A"),
        *whole("n_surfaces"),
        *real("temperature_K", "temperature_error_K"),
        *real("initial_density_g_per_cm3", "density_g_per_cm3", blank=True),
        *whole("n_deep"),
        *real("rms_displacement_A"),
    ),
    key=tuple(CONDITION),
    order=(),
    digits="%.6g",
    made_by="prepare_surface.py",
)
TEMPERATURE = Table(
    "temperature",
    (*text("phase"), *real("bath_K"), *whole("replica"), *real("time_fs", "temperature_K")),
    order=(),
    digits="%.6g",
    made_by="prepare_surface.py",
)
RADIAL = Table(
    "radial",
    (*text("phase"), *real("distance_A", "g")),
    key=("phase", "distance_A"),
    order=(),
    digits="%.6g",
    made_by="prepare_surface.py",
)
PAIRS = Table(
    "truth_pairs",
    (
        *text("phase"),
        *whole("n", "n_stuck_model", "n_stuck_truth", "only_model", "only_truth"),
        *real("p_value", low=0, high=1),
    ),
    key=("phase",),
)
SCANS = Table(
    "scans",
    (*text("scan"), *real("distance_A", "label_K", "gmnn-mean_K")),
    order=("scan", "distance_A"),
    digits="%.6g",
)
SCAN_MINIMA = Table(
    "scan_minima",
    (
        *text("scan"),
        *real("label_minimum_K", "committee_minimum_K", "difference_K"),
        *real("largest_error_bound_K", blank=True),
    ),
    key=("scan",),
    digits="%.6g",
)
TRAINING_SET = Table(
    "training_set",
    (*text("system"), *real("temperature_K", "interval_fs", "n_paper", blank=True)),
    order=(),
    digits="%.6g",
)
