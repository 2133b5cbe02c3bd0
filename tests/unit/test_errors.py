from types import SimpleNamespace

import pytest

from frazil.errors import (
    EXIT_BAD_INPUT,
    EXIT_OUT_OF_TIME,
    OutOfTime,
    UserError,
    check_counts,
    check_positive,
)


def test_exit_codes_are_those_that_the_pipeline_reads() -> None:
    assert (EXIT_BAD_INPUT, EXIT_OUT_OF_TIME) == (2, 75)


def test_neither_failure_is_the_other() -> None:
    assert not issubclass(OutOfTime, UserError)
    assert not issubclass(UserError, OutOfTime)


def test_checks_of_settings_name_what_is_wrong() -> None:
    settings = SimpleNamespace(n_epochs=0, timestep_fs=float("nan"), duration_fs=1.0, n_members=1)
    check_positive(settings, "duration_fs", "n_members")
    check_counts(settings, "n_members")
    with pytest.raises(UserError, match="timestep_fs is nan; it must be positive"):
        check_positive(settings, "duration_fs", "timestep_fs")
    with pytest.raises(UserError, match="n_epochs is 0; allowed are whole numbers from 1"):
        check_counts(settings, "n_members", "n_epochs")
