"""Conversions at the boundary; inside the package everything is in ASE's units (Å, eV, amu, K)."""

import ase.units

fs: float = ase.units.fs
"""One femtosecond in ASE's unit of time, Å √(amu/eV)."""

kB: float = ase.units.kB
"""Boltzmann constant, eV/K."""

hbar: float = ase.units._hbar * ase.units.J * ase.units.s
"""Reduced Planck constant in ASE's units, eV × (Å √(amu/eV))."""

inverse_cm: float = ase.units.invcm
"""One cm⁻¹ as an energy, eV."""

meV: float = 1e-3
"""One meV, eV."""

COULOMB_eV_A = 14.3996454785
"""e²/4πε0, eV Å."""

G_PER_CM3 = 1.66053907
"""One amu/Å³, g/cm³."""
