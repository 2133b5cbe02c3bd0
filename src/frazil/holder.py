"""Which run has a folder of results: two at a time would mix their files there.

The head process of a run locks ``.frazil-run`` in its folder and writes into it who it is
(lib/Results.groovy). The operating system frees the lock of a process that ends, however it ends, a killed
one too. Some file systems have no locks, or locks that reach no other node. There the record tells: its head
writes it anew every minute, so that a run of another node that has been silent for ``SILENT_s`` is gone.

Standard library only: it runs on a login node.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from frazil.errors import UserError

RECORD = ".frazil-run"
SILENT_s = 300.0
"""Five times what the head waits between two of its signs of life."""


def free(outdir: Path) -> str:
    """Return that no run has a folder of results. UserError says which one has it, and what to do."""
    file = outdir / RECORD
    try:
        silent_s = time.time() - file.stat().st_mtime
        record = _record(file)
    except FileNotFoundError:
        return f"{outdir} is free"
    locked = is_locked(file)
    here = record.get("host") == os.uname().nodename
    gone = bool(record.get("ended")) or silent_s > SILENT_s or (here and not _lives(record.get("process")))
    if not locked and (gone or (here and locked is False)):
        return f"{outdir} is free"
    who = "another run, which has just begun,"
    if record:
        who = "run {run} (process {process} on {host}, started in {folder} at {since})".format_map(record)
    told = f"--outdir {outdir}: {who} writes there; wait until it ends, stop it, or give another --outdir"
    if not locked:
        told += (
            f". It was seen {max(0.0, silent_s):.0f} s ago, and locks do not say more of it: if it is gone, "
            f"start again when {SILENT_s:.0f} s are over, or delete {file}"
        )
    raise UserError(told)


def is_locked(file: Path) -> bool | None:
    """Return whether another process has a lock on a file; None where that cannot be known."""
    try:
        with file.open("rb") as opened:
            fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except OSError as error:
        return True if error.errno in (errno.EACCES, errno.EAGAIN) else None


def _record(file: Path) -> dict[str, Any]:
    """Return what a head wrote of itself; empty where it has not yet."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return {name: record[name] for name in ("run", "process", "host", "folder", "since", "ended")}
    except (ValueError, LookupError, TypeError):
        return {}


def _lives(process: object) -> bool:
    """Return whether a process of this node lives."""
    return Path(f"/proc/{process}").exists()
