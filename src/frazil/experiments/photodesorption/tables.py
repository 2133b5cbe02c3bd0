"""Tables of photodesorption, each declared once; numbers are written with all their digits."""

from dataclasses import replace

from frazil.tables import ALL_DIGITS, SIX_DIGITS, Table

OUTCOMES = ("desorbed", "retained", "dissociated", "failed")

TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int snapshot_id:int model_id:str excited_molecule:int excitation_energy_eV
    initial_temperature_K outcome:str n_desorbed:int first_desorption_fs? duration_fs energy_std_meV?
    energy_drift_meV_per_ps?
    """,
    limits={"outcome": OUTCOMES},
    digits=ALL_DIGITS,
    made_by="run_trajectories.py",
)
DESORBED = Table(
    "desorbed",
    """
    *trajectory_id:int *molecule:int excited:bool desorption_fs returned:bool translational_energy_meV?
    rotational_energy_meV? rotational_quantum_number? vibrational_energy_meV?
    vibrational_quantum_number?
    """,
    digits=ALL_DIGITS,
    made_by="run_trajectories.py",
)
CROSSINGS = Table(
    "crossings",
    "*trajectory_id:int *molecule:int *criterion_A crossing_fs",
    digits=ALL_DIGITS,
    made_by="run_trajectories.py",
)
ALONG = Table(
    "energies_along",
    """
    *time_fs *molecule:int excited:bool translational_energy_meV? rotational_energy_meV?
    vibrational_energy_meV?
    """,
    made_by="show_trajectories.py",
)
"""Of every molecule at every observation of one trajectory: the kick and the cascade after it."""
MEMBERS_APART = Table(
    "members_apart",
    "*trajectory_id:int *model_id:str outcome:str n_chosen:int max_deviation_eV_per_A?",
    limits={"outcome": OUTCOMES},
    made_by="choose_frames.py",
)
TEMPERATURE = Table("temperature", "*time_fs temperature_K snapshot:bool", digits=ALL_DIGITS)
SNAPSHOTS = Table("snapshots", "*snapshot_id:int first_byte:int end_byte:int", made_by="thermalize.py")
"""Where in ``snapshots.extxyz`` a snapshot is: that a shard need not read all others."""
ENDS = Table(
    "outcomes",
    """
    *ensemble:str desorbed:int retained:int dissociated:int failed:int total:int
    """,
    order="given",
    digits=ALL_DIGITS,
)
PROBABILITY = Table(
    "probability",
    """
    *criterion_A n:int n_desorbed:int n_failed:int probability low_95 high_95 model_std? total_low_95?
    total_high_95? n_effective?
    """,
    limits={"probability": (0, 1), "low_95": (0, 1), "high_95": (0, 1)},
    digits=ALL_DIGITS,
)
SPECIES = Table(
    "species",
    """
    *species:str *excited:bool n_molecules n:int n_desorbed:int probability low_95 high_95 model_std?
    total_low_95? total_high_95? mean_n_molecules translational_median_meV? rotational_median_meV?
    """,
    order="given",
    limits={"probability": (0, 1), "low_95": (0, 1), "high_95": (0, 1)},
    digits=ALL_DIGITS,
)
"""Of a mixed ice: trajectories in which at least one molecule of a kind leaves, the excited one by itself."""
WINDOWS = Table(
    "rotational_windows",
    """
    *translational_low_meV translational_high_meV n:int j_peak? j_max? j_peak_low_95? j_peak_high_95?
    translational_mean_meV? j_peak_model_std? j_peak_total_low_95? j_peak_total_high_95?
    """,
    digits=ALL_DIGITS,
)
FITS = Table(
    "rotational_fits",
    "*quantity:str n_windows:int slope_per_meV? intercept? correlation?",
    order="given",
    digits=ALL_DIGITS,
)
SUMMARY = Table(
    "summary",
    "*quantity:str value? low_95? high_95? unit:str? n:int model_std? total_low_95? total_high_95?",
    order="given",
    digits=ALL_DIGITS,
)
SENSITIVITY = Table(
    "sensitivity",
    "*criterion:str *setting probability change exceeds:bool",
    order="given",
    digits=ALL_DIGITS,
)
PAPER_VALUES = Table(
    "photodesorption",
    "quantity:str value?",
    order="given",
    made_by="hand, as assets/reference/photodesorption.csv is",
)
REFERENCE = replace(PAPER_VALUES, text=f"{PAPER_VALUES.text} unit:str? method:str? source:str? note:str?")
BESIDE_PAPER = Table(
    "comparison",
    """
    quantity:str this_run? low_95? high_95? unit:str? n:int paper? paper_method:str? paper_section:str?
    note:str? model_std? total_low_95? total_high_95?
    """,
    order="given",
    digits=ALL_DIGITS,
)
AGREEMENT = Table(
    "truth",
    """
    *quantity:str unit:str? n_model:int n_teacher:int model? model_low_95? model_high_95? teacher?
    teacher_low_95? teacher_high_95? difference? difference_low_95? difference_high_95? agrees:str
    paired_low_95? paired_high_95? interval:str
    """,
    order="given",
    limits={"agrees": ("yes", "no", "cannot tell")},
    digits=ALL_DIGITS,
)
BESIDE_AIMD = replace(AGREEMENT, name="aimd", text=AGREEMENT.text.replace("teacher", "aimd"))
DISTRIBUTIONS = Table(
    "truth_distributions",
    """
    *quantity:str unit:str? n_model:int n_teacher:int ks_statistic? ks_p? wasserstein?
    wasserstein_low_95? wasserstein_high_95?
    """,
    order="given",
    digits=ALL_DIGITS,
)
AIMD_DISTRIBUTIONS = replace(
    DISTRIBUTIONS, name="aimd_distributions", text=DISTRIBUTIONS.text.replace("teacher", "aimd")
)
DRIFT = Table(
    "teacher_energy_drift",
    """
    *trajectory_id:int n_frames:int model_std_meV_per_atom? model_max_meV_per_atom?
    teacher_std_meV_per_atom? teacher_max_meV_per_atom?
    """,
    digits=ALL_DIGITS,
)
NET_FORCE = Table(
    "net_force",
    """
    *molecules:str n:int net_force_rms_eV_per_A? error_rmse_eV_per_A? error_max_eV_per_A?
    """,
    order="given",
    digits=ALL_DIGITS,
)
EXPLORATION = Table(
    "exploration",
    """
    round:int trajectory_id:int excited:int model_id:str end_fs reason:str closest_contact_A?
    max_deviation_eV_per_A? median_deviation_eV_per_A? n_frames:int n_above_low:int n_chosen:int
    """,
    order="given",
    digits=SIX_DIGITS,
    made_by="explore_committee.py",
)
EXPLORATIONS = Table(
    "explorations",
    """
    *round:int n_trajectories:int n_finished:int n_unphysical:int n_dissociated:int n_failed:int
    fraction_above_low? median_end_fs? closest_contact_A? n_candidates:int
    """,
    digits=SIX_DIGITS,
)
ERRORS_BESIDE_PAPER = Table(
    "errors_beside_paper",
    "*quantity:str *species:str unit:str here? paper?",
    order="given",
    digits=SIX_DIGITS,
)
