"""Tables of sticking, each declared once."""

from frazil.tables import SIX_DIGITS, Table

OUTCOMES = ("stuck", "bounced", "dissociated", "failed")
CONDITION = ["phase", "surface_temperature_K"]

NEARER_A = (4, 5)
"""Distances below the one that decides, at which a projectile could have bounced: for its sensitivity."""
BEYOND = "beyond_{}_A_fs"
"""Columns of trajectories: when it first moved outwards beyond such a distance, empty if never."""

TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int phase:str surface_id:int surface_temperature_K model_id:str collision_energy_K
    polar_angle_deg azimuth_deg aim_x_A aim_y_A outcome:str time_fs n_bounces:int
    energy_drift_meV_per_ps?
    """,
    limits={"outcome": OUTCOMES},
    made_by="run_collisions.py",
)
PATHS = Table(
    "paths", "*time_fs z_A? apart_A? *trajectory_id:int phase:str", order="given", made_by="run_collisions.py"
)
PROBABILITIES = Table(
    "sticking_probabilities",
    """
    *phase:str *surface_temperature_K *collision_energy_K n:int n_stuck:int n_failed:int probability
    low_95 high_95 model_std? total_low_95? total_high_95?
    """,
    limits={"probability": (0, 1), "low_95": (0, 1), "high_95": (0, 1)},
)
COEFFICIENTS = Table(
    "sticking_coefficients",
    """
    *phase:str *surface_temperature_K *gas_temperature_K coefficient low_95 high_95
    """,
    also="weight_below weight_above",
    limits={"weight_below": (0, 1), "weight_above": (0, 1)},
)
BINDING_ENERGIES = Table(
    "binding_energies",
    """
    *phase:str *surface_id:int *site_id:int x_A? y_A? z_A? binding_energy_K? model_std_K? converged:bool
    truth_energy_K? largest_shift_A? site_type:str
    """,
    made_by="bind_sites.py",
)
CUTOUTS = Table(
    "cutouts",
    "place:str kind:str phase:str share_K spread_K chosen:bool",
    order="given",
    made_by="cut_surroundings.py",
)
SURFACE_ATOMS = Table(
    "surface_atoms",
    "x_A y_A z_A element:str phase:str surface_id:int fixed:bool",
    order="given",
    digits=SIX_DIGITS,
    made_by="bind_sites.py",
)
BINDING_SUMMARY = Table(
    "binding_summary",
    """
    *phase:str n:int mean_K? median_K? std_K? n_unconverged:int model_std_K? truth_mean_error_K?
    truth_rms_error_K? n_rearranged:int mean_low_95_K? mean_high_95_K? mean_total_low_95_K?
    mean_total_high_95_K?
    """,
)
SITE_TYPES = ("top", "bridge", "hollow")
BINDING_BY_TYPE = Table(
    "binding_by_type",
    """
    *phase:str *site_type:str n:int mean_K? median_K? std_K? model_std_K? truth_mean_error_K?
    """,
    order="given",
    limits={"site_type": SITE_TYPES},
)
"""Of the converged sites: over one molecule of the surface, between two, or among more."""
ATTEMPT_FREQUENCIES = Table(
    "attempt_frequencies",
    "*phase:str *trajectory_id:int attempt_frequency_per_ps",
    order="trajectory_id phase",
)
RESIDENCE_TIMES = Table(
    "residence_times",
    """
    phase:str surface_temperature_K binding_energy_K attempt_frequency_per_ps half_life_s?
    """,
    order="given",
)
CHECKS = Table(
    "checks",
    """
    *phase:str *surface_temperature_K n_molecules:int n_fixed:int radius_A n_surfaces:int temperature_K
    temperature_error_K initial_density_g_per_cm3? density_g_per_cm3? n_deep:int rms_displacement_A
    """,
    order="given",
    digits=SIX_DIGITS,
    made_by="prepare_surface.py",
)
TEMPERATURE = Table(
    "temperature",
    "phase:str bath_K replica:int time_fs temperature_K",
    order="given",
    digits=SIX_DIGITS,
    made_by="prepare_surface.py",
)
RADIAL = Table(
    "radial", "*phase:str *distance_A g?", order="given", digits=SIX_DIGITS, made_by="prepare_surface.py"
)
PAIRS = Table(
    "truth_pairs",
    """
    *phase:str n:int n_stuck_model:int n_stuck_truth:int only_model:int only_truth:int p_value difference
    difference_low_95 difference_high_95
    """,
    limits={"p_value": (0, 1)},
)
SENSITIVITY = Table(
    "sensitivity",
    "*phase:str *surface_temperature_K *criterion:str *setting n:int part_stuck change exceeds:bool",
)
SCANS = Table("scans", "scan:str distance_A label_K gmnn-mean_K", order="scan distance_A", digits=SIX_DIGITS)
SCAN_MINIMA = Table(
    "scan_minima",
    """
    *scan:str label_minimum_K committee_minimum_K difference_K largest_error_bound_K?
    """,
    digits=SIX_DIGITS,
)
DEVIATION = Table(
    "deviation",
    """
    *element:str *nearest_low_A nearest_high_A n:int spread_rms_eV_per_A largest_spread_eV_per_A
    error_of_mean_rms_eV_per_A
    """,
    order="given",
    digits=SIX_DIGITS,
)
"""The members' spread of forces by how near an atom of another molecule is, on validation frames."""
TRAINING_SET = Table(
    "training_set", "system:str temperature_K? interval_fs? n_paper?", order="given", digits=SIX_DIGITS
)
