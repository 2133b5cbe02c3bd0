"""Tables of infrared spectra, each declared once; numbers are written with six digits."""

from frazil.tables import SIX_DIGITS, Table

ROUNDS = Table(
    "rounds",
    """
    *round:int n_train:int harmonic_mae_cm1? energy_rmse_meV_per_atom? force_rmse_eV_per_A?
    """,
    digits=SIX_DIGITS,
    made_by="gather_learned.py",
)
KEPT_ROUNDS = "rounds"
"""Folder of ``learned/`` with what repeats a replica of each round."""
ACTIVE_LEARNING = Table(
    "active_learning",
    """
    round:int structure:str temperature_K time_fs committee_std_meV_per_atom? selected:bool replica:int
    outcome:str force_std_eV_per_A? fate:str?
    """,
    order="given",
    digits=SIX_DIGITS,
    made_by="gather_learned.py",
)
CALIBRATION = Table(
    "calibration",
    """
    round:int force_std_eV_per_A force_error_eV_per_A energy_std_meV_per_atom energy_error_meV_per_atom
    """,
    order="given",
    digits=SIX_DIGITS,
    made_by="gather_learned.py",
)
HARMONIC_ROUNDS = Table("harmonic_rounds", "*round:int", digits=SIX_DIGITS, made_by="gather_learned.py")
HARMONIC = Table(
    "harmonic",
    """
    *structure:str *method:str *mode:int wavenumber_cm1 intensity_km_per_mol model_std_cm1?
    """,
    order="given",
    limits={"method": ("model", "label")},
    digits=SIX_DIGITS,
)
SPECTRA = Table(
    "spectra",
    """
    *structure:str *temperature_K *wavenumber_cm1 intensity low_95? high_95? n_runs:int model_std?
    total_low_95? total_high_95? n_starts:int n_lost:int
    """,
    digits=SIX_DIGITS,
)
RUNS = Table(
    "runs",
    """
    trajectory_id:int *structure:str *engine:str *member:int *temperature_K *replica:int outcome:str ended_fs
    mean_temperature_K? energy_drift_meV_per_ps?
    """,
    order="given",
    digits=SIX_DIGITS,
)
BANDS = Table(
    "bands",
    """
    *structure:str *temperature_K *label_cm1 model_cm1? difference_cm1? label_height model_height?
    stat_se_cm1? model_std_cm1? total_low_95_cm1? total_high_95_cm1?
    """,
    order="given",
    digits=SIX_DIGITS,
)
COMPARISON = Table(
    "comparison",
    """
    *structure:str *temperature_K cosine? label_noise_floor? model_noise_floor? n_runs_model:int
    n_runs_label:int n_lost_model:int n_lost_label:int
    """,
    order="given",
    digits=SIX_DIGITS,
)
HARMONIC_ERRORS = Table(
    "harmonic_errors",
    "*structure:str n_modes:int wavenumber_mae_cm1? intensity_mae_km_per_mol?",
    order="given",
    digits=SIX_DIGITS,
)
"""Of the model's modes against the label's; the paper has 1.6 cm⁻¹ and 26.8 km/mol."""
CONVERGENCE = Table(
    "convergence",
    "*structure:str *engine:str *temperature_K *n_starts:int mean_cosine least_cosine",
    order="given",
    digits=SIX_DIGITS,
)
SUMS = Table(
    "sums",
    """
    *family:str *temperature_K wavelength_um *wavenumber_cm1 intensity low_95? high_95? n_structures:int
    """,
    digits=SIX_DIGITS,
)
SILICATE_BANDS = Table(
    "silicate_bands",
    """
    *family:str *temperature_K peak_um centre_um? peak_minus_9_7_um n_structures:int
    """,
    digits=SIX_DIGITS,
)
TRANSFERABILITY = Table(
    "transferability",
    "structure:str trained:bool harmonic_mae_cm1? distance pca_1 pca_2",
    order="given",
    digits=SIX_DIGITS,
)
