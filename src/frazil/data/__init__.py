"""Labelled frames on disk: reading with every check, windows, splits, layouts of other codes."""
