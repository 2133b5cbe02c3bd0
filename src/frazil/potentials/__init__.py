"""Potentials: analytic ones that label and check, and learned ones that are run."""
