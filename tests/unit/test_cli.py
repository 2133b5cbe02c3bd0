import argparse
import signal
import subprocess
import sys
import textwrap

import pytest

from frazil.cli import boolean, integers, numbers, parser, progress, run
from frazil.errors import OutOfTime, UserError


def test_help_shows_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parser("Say a number.")
    arguments.add_argument("--timestep-fs", type=float, default=0.2, help="time step, fs")
    with pytest.raises(SystemExit, match="0"):
        arguments.parse_args(["--help"])
    assert "time step, fs (default: 0.2)" in capsys.readouterr().out


def test_abbreviated_flags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parser("Say a number.")
    arguments.add_argument("--timestep-fs", type=float)
    with pytest.raises(SystemExit, match="2"):
        arguments.parse_args(["--timestep", "1"])
    assert "unrecognized arguments: --timestep 1" in capsys.readouterr().err


def test_lists_are_comma_separated() -> None:
    assert numbers("2, 3.5") == [2.0, 3.5]
    assert integers("10,20") == [10, 20]


@pytest.mark.parametrize("parse", [numbers, integers])
def test_a_list_with_a_word_in_it_is_refused(parse: type) -> None:
    with pytest.raises(ValueError, match="'x'"):
        parse("1,x")


def test_boolean_is_true_or_false() -> None:
    assert boolean("true") is True
    assert boolean("false") is False
    with pytest.raises(argparse.ArgumentTypeError, match="'yes' is neither true nor false"):
        boolean("yes")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("--n given 0; allowed: at least 1"), 2, "error: --n given 0; allowed: at least 1\n"),
        (OutOfTime("checkpoint at step 5"), 75, "out of time: checkpoint at step 5\n"),
    ],
)
def test_expected_failures_are_one_line_and_their_own_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run(main)
    assert stopped.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(main)


def test_progress_gives_every_item_and_reports_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "letters: 100%" in captured.err


TASK = """
    import sys, time
    from frazil.checkpoints import TimeLimit
    from frazil.cli import run

    def main():
        with TimeLimit() as limit:
            print("ready", flush=True)
            for _ in range(1000):
                time.sleep(0.02)
                limit.check("all is saved")

    run(main if sys.argv[1] == "with" else lambda: time.sleep(20))
"""


@pytest.mark.parametrize(("checkpoint", "status"), [("with", 75), ("without", -signal.SIGTERM)])
def test_a_task_stops_by_itself_before_its_time_limit(
    checkpoint: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAZIL_TIME_LIMIT_S", "0.5")
    command = [sys.executable, "-c", textwrap.dedent(TASK), checkpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == status
    if checkpoint == "with":
        assert done.stderr == "out of time: stopped by SIGTERM; all is saved\n"
