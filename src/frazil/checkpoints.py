"""Finished rows survive a kill, a full disk and a retry in another folder; the time limit is an exception."""

import ast
import hashlib
import json
import signal
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import frazil
from frazil.errors import OutOfTime
from frazil.files import sha256_of, write_atomic


def key_of(**inputs: Any) -> str:
    """Return the SHA-256 of what a row is a function of: the inputs (plain JSON values) and frazil's code.

    The code is what the running script reaches by imports, as ``lib/Code.groovy`` has it for a process (of
    another program the whole package): other edits leave the key, and with it what is kept, as they are.
    """
    package = Path(frazil.__file__).parent
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    files = reached(main, package) if main.suffix == ".py" else ()
    code = sha256_of(*(files or sorted(package.rglob("*.py"))))
    text = json.dumps({"inputs": inputs, "version": frazil.__version__, "code": code}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def reached(script: Path, package: Path) -> tuple[Path, ...]:
    """Return the files of a package that a script imports, at any depth and indentation, sorted."""
    found: set[Path] = set()
    queue = [script]
    while queue:
        for node in ast.walk(ast.parse(queue.pop().read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                parts = name.split(".")
                if parts[0] != package.name:
                    continue
                for depth in range(1, len(parts) + 1):
                    place = package.joinpath(*parts[1:depth])
                    for file in (place / "__init__.py", place.with_suffix(".py")):
                        if file.is_file() and file not in found:
                            found.add(file)
                            queue.append(file)
    return tuple(sorted(found))


class Ledger:
    """The finished rows of one campaign, ``directory``/``key``/one JSON file per id, each whole or absent.

    An id's row is a function of the key and the id, so shards of any size share them.
    """

    def __init__(self, directory: Path | str, key: str) -> None:
        self._folder = Path(directory) / key

    def finished(self, ids: Iterable[int]) -> dict[int, Any]:
        """Return the rows of those ids that are finished."""
        return {i: json.loads(self._file(i).read_text()) for i in ids if self._file(i).is_file()}

    def save(self, identity: int, row: Any) -> None:
        """Keep the row of one id (plain JSON values). Raises OSError on a full disk; others stay whole."""
        with write_atomic(self._file(identity)) as partial:
            partial.write_text(json.dumps(row))

    def close(self, ids: Iterable[int]) -> None:
        """Forget the rows of these ids, their tables being written, and the folder with the last of them."""
        for identity in ids:
            self._file(identity).unlink(missing_ok=True)
        try:
            self._folder.rmdir()
        except OSError:
            return  # rows of other shards are in it, or it never was there

    def _file(self, identity: int) -> Path:
        return self._folder / f"{identity:08d}.json"


class TimeLimit:
    """Turns SIGTERM, which a scheduler sends before it kills, into OutOfTime at the next ``check``.

    An exception from inside the signal handler could be swallowed by whatever runs at that moment.
    """

    def __init__(self) -> None:
        self._reached = False

    def __enter__(self) -> "TimeLimit":
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def check(self, done: str) -> None:
        """Raise OutOfTime if the signal has come; ``done`` says what is saved."""
        if self._reached:
            raise OutOfTime(f"stopped by SIGTERM; {done}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._reached = True
