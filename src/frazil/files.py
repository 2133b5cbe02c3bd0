"""Writing files whole or not at all, and telling their contents apart."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PARTIAL = ".partial-"
_PARTIAL_IS_LEFT_s = 3600.0
"""A partial file that nothing has written to for so long belongs to a process that was killed.

Its process number would tell sooner, but not of another host's process, nor of one in a container.
"""


@contextmanager
def write_atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on failure it is removed.

    File and folder are on the disk when it returns, so that a node that crashes afterwards loses nothing
    (some 0.5 ms on a local disk).
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    try:
        yield partial
        sync(partial)
        os.replace(partial, target)
        sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as JSON, for people and programs, whole or not at all."""
    with write_atomic(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n")


def partial_of(path: Path) -> Path:
    """Return a hidden name beside ``path`` that no other process takes."""
    return path.with_name(f"{_PARTIAL}{secrets.token_hex(4)}-{path.name}")


def sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def left_partials(folder: Path) -> list[Path]:
    """Return the partial files and folders in a folder that killed processes have left."""
    now = time.time()
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PARTIAL):
                try:
                    age_s = now - entry.stat().st_mtime
                except FileNotFoundError:
                    continue  # its writer has just finished it
                if age_s > _PARTIAL_IS_LEFT_s:
                    found.append(Path(entry.path))
    return found


def sha256_of(*paths: Path | str) -> str:
    """Return one SHA-256 over the bytes of the files, in the order given (a directory: its files, sorted)."""
    digest = hashlib.sha256()
    for path in map(Path, paths):
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def compositions(path: Path) -> Iterator[Counter[str]]:
    """Yield the atoms of each frame of an (extended) XYZ file, by element; species stand first in a line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        while (head := file.readline()).strip():
            file.readline()
            yield Counter(file.readline().split()[0] for _ in range(min(int(head), 10**6)))
