"""Tables of molecular dynamics in electric fields."""

from frazil.md.integrity import OUTCOMES
from frazil.tables import Table

POLARIZATION, NEIGHBOURS = "polarization", "neighbour distance"
PER_VOLUME, DIFFUSION = "polarization per volume", "diffusion"
"""Names of quantities, the last two those of cells; bonds are named by their elements."""
EXPECTED, RIGID = "expected of dipoles without a field", "rigid, as at rest"
"""Polarizations that curves show."""
INTERVALS = "low_95? high_95? model_std? total_low_95? total_high_95?"
TRAJECTORIES = Table(
    "trajectories",
    "*trajectory_id:int *member:int outcome:str lost_runs:int mean_dipole_e_A?",
    limits={"outcome": tuple(OUTCOMES.values())},
)
"""A row per start and member: how its runs ended (the first that was lost, else finished), how many were
lost, and the mean size of the dipole, over the samples of all others: by it a start that is run again is
known.
"""
ARRAYS = ("samples", "kinetic_eV", "driven", "diffusion_A2_per_ps", "doubled_eV")
"""Beside each row: samples (sets, fields, n, 3 + quantities) of the dipole, e Å, and of the quantities, Å and
Å³; mean kinetic energies (sets, fields, 2) by the centroid virial and the primitive estimator. A set is a
number of beads. driven (n, 3): energy and work, eV, and dipole along the field, e Å, under the field that
changes with time. diffusion_A2_per_ps (sets, fields), and doubled_eV (1,), the scatter of energy less work
with twice the time step: of cells. nan where a run was lost.
"""
RESPONSE = Table("response", f"*n_beads:int *quantity:str *field_V_per_A unit:str value {INTERVALS}")
LANGEVIN = Table(
    "langevin",
    """
    *n_beads:int *field_V_per_A dipole_e_A expected_e_A relative_difference low_95 high_95 n_effective
    rigid_e_A
    """,
)
"""Mean dipole along the field, of the whole structure: by dynamics in the field, and as Langevin's function
expects it from dipoles without one; that of a rigid dipole as at rest.
"""
REWEIGHTED = Table(
    "reweighted",
    "*n_beads:int *field_V_per_A dipole_e_A expected_e_A relative_difference low_95 high_95 n_effective",
)
"""The same of a cell: as samples without a field expect it, weighed by exp(μ·E/kT)."""
CARRIED = Table("carried", "*carried:str *along:str *fraction change_e change_across_e energy_eV")
"""An ion (or whole molecule) that goes through a vector of the cell: change of the dipole along that vector
and, the largest, along the others, in lattice vectors times e, and of the energy.
"""
BORN = Table(
    "born_charges",
    "*atom:int element:str xx_e xy_e xz_e yx_e yy_e yz_e zx_e zy_e zz_e",
)
"""∂μ/∂r of the cell as given: the dipole's component, then the atom's."""
LINEAR = Table("linear_response", f"*n_beads:int *by:str value_e2_A2_per_eV {INTERVALS} permittivity?")
"""dipole over field at the smallest field, and the fluctuations without one: ⟨|μ|²⟩/3kT (and ⟨α⟩). Of a cell
these are of the dipole along the field, and by all three directions; permittivity: 1 + value/ε0V, relative.
"""
BOOKS = Table(
    "energy_books",
    """
    *trajectory_id:int *member:int work_meV gained_meV difference_meV energy_std_meV
    energy_std_doubled_meV?
    """,
)
"""Under the field that changes with time: its work ∫E·dμ, the energy gained, scatter of energy less work; of
a cell also with twice the time step.
"""
DRIVEN = Table(
    "driven",
    """
    *time_fs field_V_per_A polarization_e_A polarization_low_95_e_A? polarization_high_95_e_A? gained_meV
    gained_low_95_meV? gained_high_95_meV?
    """,
)
"""Means over starts and members, per molecule; 95 % of sampling."""
