"""Potentials: analytic teachers and learned models."""
