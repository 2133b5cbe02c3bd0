"""Tables of learned densities."""

from frazil.md.trajectory import FINISHED
from frazil.tables import Table

FAILED = "failed"
TEST, LARGE = "test", "large"
PREDICTED, FITTED, ATOMS = "predicted", "fitted", "atoms"
TRAJECTORIES = Table(
    "trajectories",
    """
    *trajectory_id:int formula:str level:str auxiliary:str n_atoms:int n_functions:int n_electrons:int
    outcome:str reason:str? attempt:str? n_cycles:int energy_eV? density_fit_percent? hartree_fit_meV?
    charge_fit? dipole_fit_D? polarizability_fit_A3?
    """,
    limits={"outcome": (FINISHED, FAILED)},
)
"""A row per frame: what its fit alone misses. Of the density and the Hartree energy with charge and dipole
held; of charge, dipole and polarizability before. n_cycles: of the self-consistent field.
"""
ARRAYS = ("coefficients", "dipole_au", "polarizability_au")
"""Beside each row, atomic units: coefficients (n, 4) of the density and of its response to x, y and z, nan
beyond the frame's own functions and where there is none; dipole (3,); polarizability (3, 3).
"""
ERRORS = Table(
    "errors",
    """
    *n_train:int *subset:str *quantity:str value unit:str n_frames:int low_95? high_95? model_std?
    total_low_95? total_high_95?
    """,
    limits={"subset": (TEST, LARGE)},
)
FRAMES = Table(
    "frame_errors", "*n_train:int *trajectory_id:int *quantity:str subset:str formula:str value unit:str"
)
"""Of the model itself, frame by frame; of variances the part of the mean frame's."""
STEPS = Table(
    "steps",
    """
    *trajectory_id:int *start:str subset:str formula:str energy_error_meV_per_atom model_std? n_cycles:int?
    n_cycles_default:int?
    """,
    limits={"start": (PREDICTED, FITTED, ATOMS)},
)
"""One step of the self-consistent field from the density of the model, of the fit, of the atoms: its energy
above the converged one, and cycles to converge from there, that step among them, beside those by default.
Cycles are empty where the field did not converge in that way.
"""
CALIBRATION = Table(
    "calibration", "*quantity:str unit:str n:int n_members:int error_rms spread_rms calibration?"
)
