"""Electron densities and their response to a field, learned as coefficients of functions on the atoms."""
