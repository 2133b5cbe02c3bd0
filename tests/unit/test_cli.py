"""What a step's command line does: help, exit codes, progress, and the time limit."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from frazil.cli import progress, run
from frazil.errors import OutOfTime, UserError
from frazil.settings import setting, step


@step("frazil.toy:say")
class Say:
    """Say a number."""

    timestep_fs: float = setting("Time step", default=0.2, above=0)


def says(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    def say(timestep_fs: float) -> object:
        if isinstance(answer, Exception):
            raise answer
        return f"{timestep_fs} fs"

    monkeypatch.setitem(sys.modules, "frazil.toy", SimpleNamespace(say=say))  # type: ignore[arg-type]


def test_help_shows_meaning_bounds_unit_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(Say, ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Say a number." in told
    assert "Time step; a number above 0, in fs; default: 0.2" in told


def test_abbreviated_flags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(Say, ["--timestep", "1"])
    assert (
        capsys.readouterr().err
        == "error: --timestep: unknown flag; did you mean --timestep-fs? (--help lists all)\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--labels.timestep_fs", "1"],
            "error: --labels.timestep_fs: unknown flag; did you mean --timestep-fs?",
        ),
        (["--elsewhere=3"], "error: --elsewhere: unknown flag; --help lists all"),
        (["5"], "error: 5: belongs to no flag; say --help lists them"),
    ],
)
def test_an_unknown_flag_is_told_with_the_nearest(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(Say, words)
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize("word", ["-3e2", "-inf", "-nan", "-1e400", "-5", "-.5"])
def test_a_number_with_a_minus_is_a_value(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(Say, ["--timestep-fs", word])
    told = capsys.readouterr().err
    assert told.startswith("error: --timestep-fs: given -")
    assert "allowed: a number above 0" in told


def test_what_a_step_returns_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, None)
    run(Say, ["--timestep-fs", "5e-1"])
    assert capsys.readouterr().out == "0.5 fs\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("--n given 0; allowed: at least 1"), 2, "error: --n given 0; allowed: at least 1\n"),
        (OutOfTime("checkpoint at step 5"), 75, "out of time: checkpoint at step 5\n"),
    ],
)
def test_expected_failures_are_one_line_and_their_own_exit_code(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    line: str,
) -> None:
    says(monkeypatch, error)
    with pytest.raises(SystemExit) as stopped:
        run(Say, [])
    assert stopped.value.code == code
    assert capsys.readouterr().err == line


WRITERS = {
    "text": "from pathlib import Path; Path('rows').write_text('x' * 10**6)",
    "numpy": "import numpy as np; np.save('rows.npy', np.zeros(10**6))",
    "pandas": "import pandas; pandas.DataFrame({'x': range(10**6)}).to_csv('rows.csv')",
    "parquet": "import pandas; pandas.DataFrame({'x': range(10**6)}).to_parquet('rows.parquet')",
    "hdf5": "from frazil.data import hdf5; hdf5.write('a.h5', {}, {'x': [0.0] * 10**6})",
    "extxyz": "import ase.io; ase.io.write('rows.extxyz', [ase.Atoms('CO')] * 10**4)",
}
FULL = """
    import resource, sys
    from types import SimpleNamespace
    from frazil.cli import run
    from frazil.settings import step

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))
        exec(sys.argv[1])

    @step("frazil.toy:work")
    class Work:
        "Work."

    sys.modules["frazil.toy"] = SimpleNamespace(work=work)
    run(Work, [])
"""


@pytest.mark.parametrize("how", WRITERS)
def test_a_disk_that_takes_no_more_is_a_line(how: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; both are errors of the operating system."""
    command = [sys.executable, "-c", textwrap.dedent(FULL), WRITERS[how]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert "free space or give another folder; what was finished before is kept" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "is_disk"),
    [
        ("[Errno 28] No space left on device", True),
        ("1000 requested and 12 written", True),
        ("Can't write data (file write failed: errno = 28, error message = 'No space left on device')", True),
        ("index 3 is out of bounds", False),
    ],
)
def test_disk_errors_of_libraries_are_known_by_their_text(
    text: str, is_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, OSError(text))
    with pytest.raises(SystemExit if is_disk else OSError):
        run(Say, [])


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(Say, [])


def test_progress_gives_every_item_and_reports_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "letters: 100%" in captured.err


TASK = """
    import sys, time
    from types import SimpleNamespace
    from frazil.checkpoints import TimeLimit
    from frazil.cli import run
    from frazil.settings import step

    def work():
        with TimeLimit() as limit:
            print("ready", flush=True)
            for _ in range(1000):
                time.sleep(0.02)
                limit.check("all is saved")

    @step("frazil.toy:work")
    class Work:
        "Work."

    work = work if sys.argv[1] == "with" else lambda: time.sleep(20)
    sys.modules["frazil.toy"] = SimpleNamespace(work=work)
    run(Work, [])
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
