"""Potentials that are formulas: known truths and what tests need."""
