"""Failures that a user can act on, and the exit codes that Nextflow reads."""

from collections.abc import Collection

EXIT_BAD_INPUT = 2
EXIT_OUT_OF_TIME = 75


class UserError(Exception):
    """Bad input: one line saying what was given, what is allowed and what to do. Exit 2, never retried."""


class OutOfTime(Exception):
    """The time limit came before the work was done, and a checkpoint is saved. Exit 75, retried."""


def check_positive(settings: object, *names: str) -> None:
    """Raise UserError if one of these attributes is not above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise UserError(f"{name} is {getattr(settings, name):g}; it must be positive")


def check_counts(settings: object, *names: str) -> None:
    """Raise UserError if one of these attributes is below one."""
    for name in names:
        if getattr(settings, name) < 1:
            raise UserError(f"{name} is {getattr(settings, name)}; allowed are whole numbers from 1")


def check_temperatures(temperatures_K: Collection[float]) -> None:
    """Raise UserError for no temperature and for one that is not above zero."""
    if not temperatures_K or min(temperatures_K) <= 0:
        raise UserError(f"temperatures {temperatures_K} K; give at least one, all positive")
