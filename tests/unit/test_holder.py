"""Whether a folder of results is another run's: its lock, and where locks say nothing its record."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from frazil import holder
from frazil.errors import UserError

RUN = {"run": "sad_bohr", "folder": "/home/me", "since": "2026-11-30T11:20:00Z", "ended": False}


def written(folder: Path, seen_s: float = 0.0, **changed: Any) -> Path:
    """A folder with the record that a head left so long ago."""
    record = {**RUN, "process": os.getpid(), "host": os.uname().nodename, **changed}
    (folder / holder.RECORD).write_text(json.dumps(record) + "\n")
    os.utime(folder / holder.RECORD, (time.time() - seen_s,) * 2)
    return folder


def test_a_folder_is_anothers_while_its_process_lives_and_no_longer(tmp_path: Path) -> None:
    assert holder.free(tmp_path / "new").endswith("new is free")
    file = tmp_path / holder.RECORD
    lock = f"import fcntl; f = open({str(file)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    words = [sys.executable, "-c", f"{lock}; print(1, flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match="another run, which has just begun, writes there; wait until"):
            holder.free(tmp_path)
        written(tmp_path, process=other.pid, seen_s=9999)
        named = rf"run sad_bohr \(process {other.pid} on {os.uname().nodename}, started in /home/me at 2026-"
        with pytest.raises(UserError, match=named):
            holder.free(tmp_path)
        other.kill()
    assert holder.free(tmp_path).endswith(" is free")


@pytest.mark.parametrize(
    ("changed", "seen_s", "free"),
    [
        ({"host": "another"}, 10, False),
        ({"host": "another", "ended": True}, 10, True),
        ({"host": "another"}, holder.SILENT_s + 1, True),
        ({}, 10, True),
    ],
)
def test_a_lock_of_this_node_says_nothing_of_another_nodes_run(
    tmp_path: Path, changed: dict[str, Any], seen_s: float, free: bool
) -> None:
    written(tmp_path, seen_s, **changed)
    if free:
        assert holder.free(tmp_path).endswith(" is free")
    else:
        with pytest.raises(UserError, match=r"seen 10 s ago.* when 300 s are over, or delete "):
            holder.free(tmp_path)


@pytest.mark.parametrize(("process", "seen_s", "free"), [(None, 10, False), (None, 301, True), (0, 10, True)])
def test_without_locks_the_record_alone_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: int | None, seen_s: float, free: bool
) -> None:
    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "lockf", none)
    written(tmp_path, seen_s, process=os.getpid() if process is None else "gone")
    if free:
        assert holder.free(tmp_path).endswith(" is free")
    else:
        with pytest.raises(UserError, match="locks do not say more of it"):
            holder.free(tmp_path)
