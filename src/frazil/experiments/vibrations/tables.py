"""Tables of vibrational densities of states."""

from frazil.md.integrity import BROKEN_AT_START, OUTCOMES
from frazil.tables import Table

TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int *member:int outcome:str ended_fs temperature_K? energy_std_meV?
    energy_drift_meV_per_ps?
    """,
    limits={"outcome": (*OUTCOMES.values(), BROKEN_AT_START)},
)
"""A row per start and member: mean temperature of the run, scatter and slope of its total energy."""
ARRAYS = ("density", "absorption")
"""Beside each row (n,): the density of states of the run, per cm⁻¹, and its absorption, km/mol per cm⁻¹; nan
of one that did not finish, and absorption without a dipole.
"""
VDOS = Table(
    "vdos",
    """
    *structure:str *temperature_K *wavenumber_cm1 density low_95? high_95? model_std? total_low_95?
    total_high_95?
    """,
)
INFRARED = Table(
    "infrared",
    """
    *structure:str *temperature_K *wavenumber_cm1 absorption low_95? high_95? model_std? total_low_95?
    total_high_95?
    """,
)
INFRARED_BANDS = Table(
    "infrared_bands",
    """
    *structure:str *temperature_K *band:int position_cm1 stat_se_cm1? model_std_cm1? low_95_cm1? high_95_cm1?
    total_low_95_cm1? total_high_95_cm1? low_cm1 high_cm1 area_km_per_mol area_low_95? area_high_95?
    area_model_std? area_total_low_95? area_total_high_95? harmonic_km_per_mol? largest_member_shift_cm1?
    """,
)
PEAKS = Table(
    "peaks",
    """
    *structure:str *temperature_K *band:int position_cm1 stat_se_cm1? model_std_cm1? calibration? low_95_cm1?
    high_95_cm1? total_low_95_cm1? total_high_95_cm1? area low_cm1 high_cm1 n_modes:int harmonic_cm1?
    timestep_shift_cm1 largest_member_shift_cm1?
    """,
)
HARMONIC = Table(
    "harmonic",
    """
    *structure:str *mode:int wavenumber_cm1 n_members:int members_mean_cm1? model_std_cm1? calibration?
    total_low_95_cm1? total_high_95_cm1? label_cm1? intensity_km_per_mol?
    """,
)
HARMONIC_MEMBERS = Table("harmonic_members", "*structure:str *member:int *mode:int wavenumber_cm1?")
PEAK_VALUES = Table("peak_positions", "*band:int *member:int *trajectory_id:int position_cm1")
CALIBRATION = Table(
    "calibration",
    "*quantity:str unit:str n:int n_frames:int n_members:int error_rms spread_rms calibration?",
)
