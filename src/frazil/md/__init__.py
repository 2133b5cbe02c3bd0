"""Molecular dynamics: states, integrators and ensembles in JAX, and ensembles in LAMMPS."""
