import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frazil import checkpoints
from frazil.checkpoints import (
    RUN,
    Claim,
    Ledger,
    TimeLimit,
    key_of,
    read_arrays,
    seal,
    sealed,
    sweep,
    sweep_by_hand,
)
from frazil.errors import OutOfTime, UserError


def test_rows_come_back_bit_by_bit_and_only_those_asked_for(tmp_path: Path) -> None:
    row = {"energy": 0.1 + 0.2, "none": None, "list": [1e-300, float(2**53)]}
    ledger = Ledger(tmp_path, "key")
    ledger.save(3, row)
    ledger.save(7, {})
    assert Ledger(tmp_path, "key").finished(range(5)) == {3: row}
    assert Ledger(tmp_path, "other").finished(range(5)) == {}


def test_a_key_tells_settings_apart_and_not_their_order() -> None:
    assert key_of(a=1, b=2.0) == key_of(b=2.0, a=1)
    assert key_of(a=1) != key_of(a=2)


def test_a_key_is_of_the_code_that_a_script_reaches(root: Path, tmp_path: Path) -> None:
    """Of a script in bin/ what it reaches; of another the whole package."""
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bin").mkdir()
    text = "import frazil.seeds\nfrom frazil.checkpoints import key_of\nprint(key_of(a=1))\n"
    for script in ("bin/step.py", "other.py"):
        (tmp_path / script).write_text(text)

    def keys() -> list[str]:
        return [
            subprocess.run(
                [sys.executable, tmp_path / script],
                env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for script in ("bin/step.py", "other.py")
        ]

    before = keys()
    with (tmp_path / "src/frazil/md/lammps.py").open("a") as file:
        file.write("# changed\n")
    assert [one == other for one, other in zip(keys(), before, strict=True)] == [True, False]
    with (tmp_path / "src/frazil/seeds.py").open("a") as file:
        file.write("# changed\n")
    assert keys()[0] != before[0]


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path, "key")
    ledger.save(0, {"x": 1})

    def half_written(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", half_written)
    with pytest.raises(OSError, match="No space left"):
        ledger.save(1, {"x": 2})
    with pytest.raises(OSError, match="No space left"):
        ledger.save(0, {"x": 3})
    assert ledger.finished(range(2)) == {0: {"x": 1}}
    assert {file.name for file in (tmp_path / "key").iterdir()} == {"00000000.json", "lock"}


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "NUL-filled": lambda content: bytes(len(content)),
    "another number": lambda content: content.replace(b"12345", b"12346"),
    "not JSON": lambda content: b"\x89HDF" + content,
    "foreign": lambda content: b'{"a": 12345}',
    "a list": lambda content: b"[1, 2]",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_counts_as_not_done_and_is_named(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path, "key")
    for identity in range(3):
        ledger.save(identity, {"a": 12345})
    file = tmp_path / "key/00000001.json"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert ledger.finished(range(4)) == {0: {"a": 12345}, 2: {"a": 12345}}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {file} is damaged (")
    assert line.endswith("); it counts as not done")


@pytest.mark.parametrize("damage", ["empty", "cut short", "NUL-filled", "another number"])
def test_damaged_arrays_and_sealed_files_count_as_not_done_and_are_named(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"a": np.frombuffer(b"12345678" * 100, np.uint8), "b": np.arange(3)}
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/m.pb").write_bytes(b"12345678")
    seal(tmp_path / "model")
    again = read_arrays(tmp_path / "a.npz")
    assert again is not None
    assert all((again[name] == arrays[name]).all() for name in arrays)
    assert sealed(tmp_path / "model")
    assert read_arrays(tmp_path / "none.npz") is None
    assert not sealed(tmp_path / "none")
    assert not capsys.readouterr().err
    for file in (tmp_path / "a.npz", tmp_path / "model/m.pb"):
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert read_arrays(tmp_path / "a.npz") is None
    assert not sealed(tmp_path / "model")
    (tmp_path / "model.sha256").unlink()
    assert not sealed(tmp_path / "model")
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" is damaged")[0] for line in told] == [
        f"warning: {tmp_path / name}" for name in ("a.npz", "model", "model")
    ]
    assert "(it has no digest)" in told[2]


HOLDER = """
import sys, time
from pathlib import Path
from frazil.checkpoints import Ledger
ledger = Ledger(sys.argv[1], "key")
ledger.finished(range(int(sys.argv[2]), int(sys.argv[3])))
print("held", flush=True)
sys.stdin.readline()
ledger.save(5, {"by": "the other"})
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which works on ids 4 to 7 and saves row 5 as it ends."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path), "4", "8"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_ids_that_another_process_works_on_are_waited_for(
    other: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Ledger(tmp_path, "key").finished([0, 1, 2, 3, 8]) == {}
    assert not capsys.readouterr().err, "nobody works on these"
    end = threading.Timer(0.3, lambda: other.stdin and (other.stdin.write("end\n"), other.stdin.flush()))
    end.start()
    assert Ledger(tmp_path, "key").finished([3, 5]) == {5: {"by": "the other"}}
    told = capsys.readouterr().err.splitlines()
    assert told == [f"waiting for another process that works on the same in {tmp_path / 'key'}"]


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"kept work in .*file/key: .*; give a folder that can be written"):
        Ledger(tmp_path / "file", "key").finished([1])


def test_a_killed_process_holds_nothing(other: subprocess.Popen[str], tmp_path: Path) -> None:
    threading.Timer(0.3, other.kill).start()
    assert Ledger(tmp_path, "key").finished([5]) == {}


def test_who_waits_beyond_the_time_limit_is_out_of_time(other: subprocess.Popen[str], tmp_path: Path) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(
        OutOfTime, match=r"another process works on the same in .*key, and keeps what it has done"
    ):
        Ledger(tmp_path, "key").finished([5])


def test_a_signal_that_comes_while_a_folder_is_claimed_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(checkpoints, "_locked", locked)
    with pytest.raises(OutOfTime, match=r"nothing was begun in .*key"):
        Ledger(tmp_path, "key").finished([5])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def unit(folder: Path, *runs: str, days: float = 0.0) -> Path:
    """A folder of kept work that these runs have used, the last one so many days ago."""
    for run in runs:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(RUN, run)
            Claim(folder).close()
    (folder / "row.json").write_text("x" * 1000)
    used = time.time() - 86400 * days
    os.utime(folder / "lock", (used, used))
    return folder


def test_a_sweep_takes_what_only_the_run_that_ended_has_used_and_what_is_old(tmp_path: Path) -> None:
    gone = [unit(tmp_path / "own", "mine"), unit(tmp_path / "old", "yours", days=31)]
    gone += [unit(tmp_path / "labels/old", "mine", "yours", days=366)]
    kept = [unit(tmp_path / "shared", "yours", "mine"), unit(tmp_path / "yours", "yours", days=29)]
    kept += [unit(tmp_path / "labels/pbe", "mine", days=31), unit(tmp_path / "by-hand", "mine", "by hand")]
    assert sweep(tmp_path, "mine") == f"kept work in {tmp_path}: 3 folders swept (0.0 MB), 4 stay"
    assert not any(folder.exists() for folder in gone)
    assert all((folder / "row.json").exists() for folder in kept)
    assert {path.name for path in tmp_path.iterdir()} == {"shared", "yours", "by-hand", "labels"}


def test_a_sweep_leaves_folders_that_are_no_kept_work(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    os.utime(tmp_path / "thesis", (0, 0))
    assert "0 folders swept" in sweep(tmp_path, unused_days=0)
    assert (tmp_path / "thesis").is_dir()
    with pytest.raises(UserError, match="nowhere is no folder; give that of kept work"):
        sweep_by_hand([str(tmp_path / "nowhere")])
    for days in ("-3", "nan"):
        with pytest.raises(UserError, match=rf"--unused-days {days}; allowed: days from 0 on"):
            sweep_by_hand([str(tmp_path), "--unused-days", days])


def test_a_sweep_leaves_what_a_process_works_on(other: subprocess.Popen[str], tmp_path: Path) -> None:
    assert "0 folders swept" in sweep(tmp_path, "by hand", unused_days=0)
    other.kill()
    other.wait()
    assert "1 folders swept" in sweep(tmp_path, "by hand")


def test_who_waited_for_a_swept_folder_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Claim._wait

    def swept_meanwhile(*given: Any) -> None:
        lock(*given)
        monkeypatch.setattr(Claim, "_wait", lock)
        (tmp_path / "unit").rename(tmp_path / "away")

    monkeypatch.setattr(Claim, "_wait", swept_meanwhile)
    with Claim(tmp_path / "unit") as file:
        assert os.path.samestat(os.fstat(file._file), (tmp_path / "unit/lock").stat())


def test_what_killed_writers_left_goes_with_the_next_claim_and_the_sweep(tmp_path: Path) -> None:
    places = [unit(tmp_path / name, "mine") for name in ("claimed", "swept")]
    for folder in (*places, tmp_path):
        for age_s in (10, 4000):
            left = folder / f".partial-{age_s}-row.json"
            left.touch()
            os.utime(left, (time.time() - age_s,) * 2)
    Claim(tmp_path / "claimed").close()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.rglob(".partial-*")} == {".partial-10-row.json"}


def test_the_command_sweeps_with_a_plain_python(root: Path, tmp_path: Path) -> None:
    unit(tmp_path / "own", "mine")
    words = [sys.executable, "-S", root / "bin/frazil", "sweep", tmp_path, "--run", "mine"]
    done = subprocess.run(
        words, env={"PYTHONPATH": str(root / "src")}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"kept work in {tmp_path}: 1 folders swept (0.0 MB), 0 stay\n"


def test_sigterm_is_out_of_time_at_the_next_check() -> None:
    with TimeLimit() as limit:
        limit.check("nothing")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(OutOfTime, match="2 rows are saved"):
            limit.check("2 rows are saved")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_limit_around_another_hears_of_the_signal_too() -> None:
    with TimeLimit() as outer:
        with TimeLimit():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(OutOfTime):
            outer.check("nothing")


def test_rows_are_readable_json(tmp_path: Path) -> None:
    Ledger(tmp_path, "key").save(12, {"a": 1})
    assert json.loads((tmp_path / "key/00000012.json").read_text())["value"] == {"a": 1}
