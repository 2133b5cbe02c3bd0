"""Tables of Raman spectra."""

from frazil.md.integrity import BROKEN_AT_START, OUTCOMES
from frazil.tables import Table

TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int *member:int temperature_K outcome:str ended_fs kinetic_temperature_K? energy_std_meV?
    energy_drift_meV_per_ps?
    """,
    limits={"outcome": (*OUTCOMES.values(), BROKEN_AT_START)},
)
"""A row per start and member of the potential: what it was started at, and its mean kinetic temperature."""
ARRAYS = ("cross_spectra",)
"""Beside each row: (members of the polarizability, n, 21), Å⁴/amu per cm⁻¹; nan of a run that did not
finish.
"""
INTERVALS = "low_95? high_95? model_std? total_low_95? total_high_95?"
CROSS_SPECTRA = Table(
    "cross_spectra",
    "*temperature_K *components:str *wavenumber_cm1 activity_A4_cm_per_amu stat_se? model_std?",
)
POWDER = Table("raman_spectra", f"*temperature_K *wavenumber_cm1 intensity {INTERVALS}")
ORIENTED = Table("oriented", f"*temperature_K *geometry:str *angle_deg *wavenumber_cm1 intensity {INTERVALS}")
BANDS = Table(
    "raman_bands",
    """
    *temperature_K *band:int position_cm1 stat_se_cm1? model_std_cm1? low_95_cm1? high_95_cm1?
    total_low_95_cm1? total_high_95_cm1? low_cm1 high_cm1 area area_low_95? area_high_95? area_model_std?
    area_total_low_95? area_total_high_95? n_modes:int harmonic_cm1? harmonic_area? timestep_shift_cm1
    """,
)
ANGLES = Table(
    "raman_angles",
    f"*temperature_K *band:int *geometry:str *angle_deg area {INTERVALS} harmonic_area? form_area?",
)
HARMONIC = Table(
    "harmonic",
    """
    *mode:int wavenumber_cm1 activity_A4_per_amu activity_model_std? r_xx r_yy r_zz r_yz r_xz r_xy
    """,
)
