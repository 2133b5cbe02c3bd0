"""Clusters in electric fields: response to constant ones, and the work of one that changes with time."""
