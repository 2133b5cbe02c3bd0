"""One view of the tasks of a run: those that run, with the bars that their steps drew."""

import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from frazil import progress
from frazil.cli import progress as bar
from frazil.errors import UserError


def task(folder: Path, name: str, error: str = "", ended: bool = False, begun_s: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / ".command.run").write_text(f"#!/bin/bash\n### ---\n### name: '{name}'\n### outputs:\n")
    for file, content in ((".command.begin", ""), (".command.out", ""), (".command.err", error)):
        (folder / file).write_text(content)
        os.utime(folder / file, (time.time() - begun_s,) * 2)
    if ended:
        (folder / ".exitcode").write_text("0")
    return folder


def history(folder: Path, began_s: float, status: str) -> None:
    (folder / ".nextflow").mkdir(exist_ok=True)
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - began_s))
    row = "\t".join([began, "-", "gay_darwin", status, "hash", "session", "nextflow run main.nf"])
    (folder / ".nextflow/history").write_text("an older one\n" + row + "\n")


def drawn(n: int, total: int) -> str:
    """What a step leaves on standard error after n of its items."""
    text = io.StringIO()
    with redirect_stderr(text):
        items = bar(range(total), total, "epochs")
        for _ in range(n + 1):
            next(items)
            time.sleep(0.02)
        items.close()  # type: ignore[attr-defined]
    return text.getvalue()


def test_running_tasks_show_the_bar_of_their_step(tmp_path: Path) -> None:
    history(tmp_path, 3700, "-")
    task(tmp_path / "work/aa/1", "TRAIN (1)", "a warning: 7%\n" + drawn(4, 10), begun_s=125)
    task(tmp_path / "work/bb/2", "EXCITE (model:0)", begun_s=1200)
    task(tmp_path / "work/cc/3", "LABEL (0)", ended=True)
    task(tmp_path / "work/dd/4", "KILLED IN AN EARLIER RUN", begun_s=9999)
    first, excite, train = progress.told(tmp_path).splitlines()
    assert first.startswith("running since ")
    assert first.endswith("1 tasks have ended, 2 run")
    assert excite == "  EXCITE (model:0)     20:00  (silent for 20:00)"
    assert train.startswith("  TRAIN (1)            02:05  ████████░░░░░░░░░░░░  40 %  4 of 10 epochs")
    history(tmp_path, 3700, "ERR")
    assert progress.told(tmp_path).startswith("not running any more, begun ")


def test_a_run_whose_head_was_killed_does_not_run(tmp_path: Path) -> None:
    """Nextflow locks its cache while it lives; its history is not written by a head that is killed."""
    history(tmp_path, 60, "-")
    lock = tmp_path / ".nextflow/cache/session/db/LOCK"
    lock.parent.mkdir(parents=True)
    lock.touch()
    code = f"import fcntl; f = open({str(lock)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1); input()"
    head = subprocess.Popen(
        [sys.executable, "-c", code.replace("print(1)", "print(1, flush=True)")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert head.stdout
    head.stdout.readline()
    assert progress.told(tmp_path).startswith("running since ")
    head.kill()
    head.communicate()
    assert progress.told(tmp_path).startswith("not running any more (it was killed; -resume goes on with it)")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run was started in .*; give the folder in which nextflow"):
        progress.told(tmp_path)
