"""Where a report came from: a line at its top, written when the run has ended and its run.json is there.

Only the standard library: a login node runs it, after the last task.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from frazil.files import write_atomic

BEGIN, END = "<!-- run -->", "<!-- /run -->"
PENDING = "Commit, date, wall time and cost stand here once the run has ended."


def finish(outdir: Path) -> str:
    """Write the line into ``report.html`` of a results folder, from its ``run.json``; return what was done.

    Nothing is done where either file is missing or the page has no place for the line.
    """
    page, run = outdir / "report.html", outdir / "run.json"
    if not (page.is_file() and run.is_file()):
        return f"nothing to do: {outdir} has no report.html and run.json"
    html = page.read_text(encoding="utf-8")
    if html.count(BEGIN) != 1 or html.count(END) != 1:
        return f"nothing to do: {page} has no place for the line"
    before, rest = html.split(BEGIN)
    _, after = rest.split(END)
    line = f"{before}{BEGIN}{told(json.loads(run.read_text(encoding='utf-8')))}{END}{after}"
    with write_atomic(page) as partial:
        partial.write_text(line, encoding="utf-8")
    return f"{page} tells where it came from"


def told(run: dict[str, Any]) -> str:
    """Return the line as HTML."""
    start, end = (_time(run.get(name)) for name in ("start", "end"))
    commit = str(run.get("git_commit") or "")
    short = commit[:10] + ("-modified" if commit.endswith("-modified") else "")
    hours = run.get("core_hours")
    facts = [
        ("commit", short or f"code {run.get('code_hash')}"),
        ("seed", str(run.get("campaign_seed"))),
        ("date", f"{start:%Y-%m-%d %H:%M} UTC" if start else ""),
        ("wall time", _wall_time(start, end, run.get("tasks") or {}) if start and end else ""),
        ("core-hours", f"{hours:.3g}" if isinstance(hours, (int, float)) else ""),
        ("host", str(run.get("host") or "")),
        ("profile", str(run.get("profile") or "")),
    ]
    shown = "".join(f"<span><b>{name}</b> {escape(value)}</span>" for name, value in facts if value)
    command = escape(str(run.get("command") or ""))
    return (
        f'<p class="facts">{shown}</p>'
        '<details class="repeat"><summary>Command, and how to repeat</summary>'
        f'<pre tabindex="0">{command}</pre>'
        "<p>The run can be repeated and its tables compared, in a checkout of that commit:</p>"
        '<pre tabindex="0">make rerun RUN=path/to/run.json</pre></details>'
    )


def _time(text: Any) -> datetime | None:
    """Return a time of run.json, which has nanoseconds; None where there is none."""
    found = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(text or ""))
    return datetime.strptime(found[0], "%Y-%m-%dT%H:%M:%S") if found else None


def _wall_time(start: datetime, end: datetime, tasks: dict[str, Any]) -> str:
    """Return how long a run took; of one that was resumed, that tasks before it are not in that time."""
    kept, n = int(tasks.get("cached") or 0), sum(int(number) for number in tasks.values())
    after = f" since its last start, which found {kept} of {n} tasks done" if kept else ""
    return _span((end - start).total_seconds()) + after


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
