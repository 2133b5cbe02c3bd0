from frazil.errors import EXIT_BAD_INPUT, EXIT_OUT_OF_TIME, OutOfTime, UserError


def test_exit_codes_are_those_that_the_pipeline_reads() -> None:
    assert (EXIT_BAD_INPUT, EXIT_OUT_OF_TIME) == (2, 75)


def test_neither_failure_is_the_other() -> None:
    assert not issubclass(OutOfTime, UserError)
    assert not issubclass(UserError, OutOfTime)
