"""Every running task of a run in one view: its name, how long it runs, its bar and the time that is left.

Steps draw their bars on standard error (``frazil.cli.progress``), which Nextflow keeps in each task's folder.
Only the standard library: a login node runs it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from frazil.errors import UserError
from frazil.holder import is_locked

_BAR = re.compile(
    r"(?P<what>[^\r\n]*?):\s+(?P<percent>\d+)%\|[^|]*\| (?P<done>\d+)/(?P<total>\d+) "
    r"\[(?P<gone>[\d:]+)<(?P<left>[\d:?]+)"
)
"""A line of tqdm: ``epochs:  40%|████      | 40/100 [00:20<00:30,  2.00it/s]``."""
_NAME = re.compile(r"^### name: '(.*)'$|^# NEXTFLOW TASK: (.*)$", re.MULTILINE)
WIDTH, TAIL_bytes = 20, 8192
_TOLD = {
    True: "running since",
    False: "not running any more, begun",
    None: "not running any more (it was killed; -resume goes on with it), begun",
}
SILENT_s = 600
"""A task whose output has not changed for longer is said to be silent: it may wait, or be gone."""


class Task(NamedTuple):
    """A task that has begun and not ended; ``bar`` is None where its step has drawn none."""

    name: str
    runs_s: float
    silent_s: float
    bar: re.Match[str] | None


def told(folder: Path) -> str:
    """Return the view of the run that was started in a folder. UserError where none was."""
    begun, running, work_folder = _run(folder)
    work = [path for path in work_folder.glob("*/*") if path.is_dir()]
    own = [path for path in work if _time(path / ".command.begin") >= begun - 1]
    ended = [path for path in own if (path / ".exitcode").is_file()]
    tasks = sorted(_tasks(path for path in own if path not in set(ended)), key=lambda task: task[:2])
    of_tasks = "run" if running else "had begun and not ended"
    since = f"{_TOLD[running]} {datetime.fromtimestamp(begun):%d %b %H:%M}"
    lines = [f"{since}, {len(ended)} tasks have ended, {len(tasks)} {of_tasks}"]
    width = max((len(task.name) for task in tasks), default=0)
    return "\n".join(lines + [_line(task, width) for task in tasks])


def _run(folder: Path) -> tuple[float, bool | None, Path]:
    """Return when the last run of a folder began, seconds, whether it goes on (None: it died), and its work
    folder.
    """
    try:
        rows = (folder / ".nextflow/history").read_text(encoding="utf-8").splitlines()
        began, _, _, status, _, session, command = rows[-1].split("\t")
        work = re.search(r" -w(?:ork-dir)? '?([^ ']+)", command)
        begun = datetime.strptime(began, "%Y-%m-%d %H:%M:%S").timestamp()
        goes_on: bool | None = status == "-"
        # Nextflow locks its cache while it lives.
        if goes_on and is_locked(folder / ".nextflow/cache" / session / "db/LOCK") is False:
            goes_on = None
        return begun, goes_on, folder / (work[1] if work else "work")
    except (OSError, ValueError, IndexError):
        raise UserError(
            f"no run was started in {folder.resolve()}; give the folder in which nextflow was started"
        ) from None


def _time(path: Path) -> float:
    """Return when a file was last written, seconds; 0 where it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _tasks(folders: Iterator[Path]) -> Iterator[Task]:
    now = time.time()
    for folder in folders:
        try:
            head = (folder / ".command.run").read_text(encoding="utf-8", errors="replace")[:2000]
        except OSError:
            continue  # its folder is just being made
        name = _NAME.search(head)
        error = folder / ".command.err"
        begun = _time(folder / ".command.begin")
        bars = [*_BAR.finditer(_end_of(error))]
        yield Task(
            next(filter(None, name.groups())) if name else folder.name,
            now - begun,
            now - max(begun, _time(error), _time(folder / ".command.out")),
            bars[-1] if bars else None,
        )


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_bytes))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _line(task: Task, width: int) -> str:
    text = f"  {task.name:{width}}  {_clock(task.runs_s):>8}"
    if task.bar:
        full = round(WIDTH * min(100, int(task.bar["percent"])) / 100)
        bar = "█" * full + "░" * (WIDTH - full)
        counted = f"{task.bar['done']} of {task.bar['total']} {task.bar['what']}"
        text += f"  {bar} {task.bar['percent']:>3} %  {counted}"
        text += "" if "?" in task.bar["left"] else f", {task.bar['left']} left"
    return text + (f"  (silent for {_clock(task.silent_s)})" if task.silent_s > SILENT_s else "")


def _clock(seconds: float) -> str:
    """Return a length of time as tqdm writes it: 05:07, 2:05:07."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
