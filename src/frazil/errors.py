"""Failures that a user can act on, and the exit codes that Nextflow reads."""

EXIT_BAD_INPUT = 2
EXIT_OUT_OF_TIME = 75


class UserError(Exception):
    """Bad input: one line saying what was given, what is allowed and what to do. Exit 2, never retried."""


class OutOfTime(Exception):
    """The time limit came before the work was done, and a checkpoint is saved. Exit 75, retried."""
