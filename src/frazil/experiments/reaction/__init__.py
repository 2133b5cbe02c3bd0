"""Reaction profiles along a coordinate, classical and with quantum nuclei."""
