"""Vibrational density of states of a cluster: every member of a committee runs from the same starts."""
