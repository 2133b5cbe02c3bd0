"""Kept work: what is done survives a kill, a crashed node, a full disk and the death of the head process.

It lies beside the tasks' own folders (``work/checkpoints``), in a folder for everything that was asked for:
the rows of a campaign, a training, the rounds of active learning, the labels of a level. The folder's name
has the digest of all that its content is a function of, code included. The rules:

- A task deletes none of it, for its own result may be lost: a head process that has died never hears of it.
  What is finished stays, and is copied out when it is asked for again.
- One process at a time works on a place of a folder (``Claim``). Others wait, or end with exit 75.
- What is read is checked (``read_kept``, ``sealed``, ``read_arrays``). What is empty, cut short or changed
  counts as not done, with a warning that names the file.
- After a run that succeeded, ``sweep`` deletes the folders that only this run has used. Others go when nobody
  has used them for 30 days: those of several runs, and of runs that never succeed. Labels, which are small
  and dear, go after a year. What a process works on stays. So the disk holds what runs of a month have done.

``bin/frazil sweep FOLDER`` sweeps. Standard library only: it runs on a login node.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import frazil
from frazil.code import digest_of
from frazil.errors import OutOfTime, UserError
from frazil.files import left_partials, partial_of, sha256_of, write_atomic

if TYPE_CHECKING:
    import numpy as np

RUN = "FRAZIL_RUN"
"""Environment variable that names the run that a task belongs to."""
UNUSED_DAYS, LABELS_UNUSED_DAYS = 30.0, 365.0
_LOCK = "lock"
_LABELS = "labels"
_WAIT_s = 1.0
_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def key_of(**inputs: Any) -> str:
    """Return the SHA-256 of what a row is a function of: the inputs (plain JSON values) and frazil's code.

    The code is what the running script reaches (``frazil.code``; of another program the whole package): other
    edits leave the key, and with it what is kept, as they are.
    """
    text = json.dumps({"inputs": inputs, "version": frazil.__version__, "code": _code()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> str:
    package = Path(frazil.__file__).parent
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    script = main.suffix == ".py" and main.parent.name == "bin"
    return digest_of(package, main) if script else sha256_of(*sorted(package.rglob("*.py")))


class Claim:
    """Places (whole numbers from 0) of a folder that no other process has until this is closed.

    Waits while another process has one, and says so. The operating system frees the places of a process that
    ends, however it ends, on a network file system too. To close one claim of a folder ends all that this
    process has of it. Notes that the folder is used, and removes what killed writers have left there.

    Raises:
        OutOfTime: SIGTERM came before it had them.
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: Path, places: Iterable[int] = (0,)) -> None:
        self._file = -1
        stretches = _stretches(places)
        with TimeLimit() as limit:
            while not self._is(folder / _LOCK):  # else the folder was swept in between
                self.close()
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    self._file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
                except (PermissionError, NotADirectoryError, FileExistsError) as error:
                    raise UserError(
                        f"kept work in {folder}: {error.strerror}; give a folder that can be written"
                    ) from error
                self._wait(stretches, folder, limit)
        if limit.reached:  # after the block: nothing that ends this process may be lost on the way out
            self.close()
            limit.check(f"nothing was begun in {folder}")
        run = os.environ.get(RUN, "by hand").encode()
        if run not in os.pread(self._file, os.fstat(self._file).st_size, 0).splitlines():
            os.write(self._file, run + b"\n")
        os.utime(self._file)
        _remove_left(folder)

    def _is(self, lock: Path) -> bool:
        try:
            return self._file >= 0 and os.path.samestat(os.fstat(self._file), os.stat(lock))
        except FileNotFoundError:
            return False

    def _wait(self, stretches: list[tuple[int, int]], folder: Path, limit: TimeLimit) -> None:
        told = False
        for first, length in stretches:
            while not _locked(self._file, folder, first, length):
                if not told:
                    print(f"waiting for another process that works on the same in {folder}", file=sys.stderr)
                    told = True
                limit.check(f"another process works on the same in {folder}, and keeps what it has done")
                time.sleep(_WAIT_s)

    def close(self) -> None:
        """Let others have the places."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _stretches(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return first place and length of every stretch, ascending: so no two processes wait for each other."""
    stretches: list[tuple[int, int]] = []
    for place in sorted(set(places)):
        if stretches and sum(stretches[-1]) == place:
            stretches[-1] = (stretches[-1][0], stretches[-1][1] + 1)
        else:
            stretches.append((place, 1))
    return stretches


def _locked(file: int, folder: Path, first: int = 0, length: int = 0) -> bool:
    """Lock bytes of a folder's lock (length 0: all from ``first`` on); return whether nobody else has one."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno not in _NO_LOCKS:
            raise
        # Rows, labels and checkpoints are whole and the same, whoever writes them: only work is done twice.
        print(f"warning: no locks in {folder} ({error.strerror}); two tasks may do the same", file=sys.stderr)
    return True


def _remove_left(folder: Path) -> None:
    for left in left_partials(folder):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def write_kept(path: Path, value: Any) -> None:
    """Write a value (plain JSON) with its digest. Raises OSError on a full disk; the old file stays whole."""
    text = json.dumps(value)
    with write_atomic(path) as partial:
        partial.write_text(f'{{"sha256": "{_sha256(text)}", "value": {text}}}\n')


def read_kept(path: Path) -> Any:
    """Return the value of ``write_kept``; None where there is no file, or, with a warning, a damaged one."""
    try:
        kept = json.loads(path.read_bytes())
        if _sha256(json.dumps(kept["value"])) == kept["sha256"]:
            return kept["value"]
        problem = "its digest is another"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        problem = _described(error)
    warn_damaged(path, problem)
    return None


def seal(path: Path) -> None:
    """Write the digest of a file or folder beside it."""
    with write_atomic(_seal_of(path)) as partial:
        partial.write_text(f"{sha256_of(path)}\n")


def sealed(path: Path) -> bool:
    """Return whether a file or folder is there as it was sealed; warns where it is there and is not."""
    if not path.exists():
        return False
    try:
        if _seal_of(path).read_text().strip() == sha256_of(path):
            return True
        problem = "its digest is another"
    except FileNotFoundError:
        problem = "it has no digest"
    except (OSError, ValueError) as error:
        problem = _described(error)
    warn_damaged(path, problem)
    return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of an npz file, whose checksums tell a damaged one; None as ``read_kept`` has it."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, LookupError, AttributeError) as error:
        problem = _described(error)
    except (NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        problem = _described(error)
    warn_damaged(path, problem)
    return None


def warn_damaged(path: Path, problem: str) -> None:
    """Say that a kept file is not what was written, and what follows."""
    print(f"warning: {path} is damaged ({problem}); it counts as not done", file=sys.stderr)


def _described(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Ledger:
    """The finished rows of one campaign, ``directory``/``key``/one JSON file per id, each whole or absent.

    An id's row is a function of the key and the id, so shards of any size share them.
    """

    def __init__(self, directory: Path | str, key: str) -> None:
        self._folder = Path(directory) / key
        self._claims: list[Claim] = []

    def finished(self, ids: Iterable[int]) -> dict[int, Any]:
        """Return the rows of those ids that are finished; the other ids are this process's until it ends.

        Waits while another process works on one of them. Raises OutOfTime if SIGTERM comes meanwhile.
        """
        ids = list(ids)
        self._claims.append(Claim(self._folder, ids))
        rows = {identity: read_kept(self._file(identity)) for identity in ids}
        return {identity: row for identity, row in rows.items() if row is not None}

    def save(self, identity: int, row: Any) -> None:
        """Keep the row of one id (plain JSON values). Raises OSError on a full disk; others stay whole."""
        write_kept(self._file(identity), row)

    def _file(self, identity: int) -> Path:
        return self._folder / f"{identity:08d}.json"


class TimeLimit:
    """Turns SIGTERM, which a scheduler sends before it kills, into OutOfTime at the next ``check``.

    An exception from inside the signal handler could be swallowed by whatever runs at that moment.
    """

    def __init__(self) -> None:
        self._reached = False

    def __enter__(self) -> TimeLimit:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)
        if self._reached and kind is None and callable(self._before):
            self._before(signal.SIGTERM, None)  # a limit around this one

    @property
    def reached(self) -> bool:
        """Whether the signal has come."""
        return self._reached

    def check(self, done: str) -> None:
        """Raise OutOfTime if the signal has come; ``done`` says what is saved."""
        if self._reached:
            raise OutOfTime(f"stopped by SIGTERM; {done}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._reached = True


def sweep(
    folder: Path,
    run: str | None = None,
    unused_days: float = UNUSED_DAYS,
    labels_unused_days: float = LABELS_UNUSED_DAYS,
) -> str:
    """Delete kept work that nobody needs, as this module says; return a line about it.

    Args:
        folder: the folder of kept work. Folders in it without a lock are none, and stay.
        run: name of a run that has succeeded: what only it has used goes, but for labels.
        unused_days: what nobody has used for so long goes too.
        labels_unused_days: the same of labels.
    """
    freed = n_swept = n_kept = 0
    for unit in list(_units(folder)):
        is_label = unit.parent.name == _LABELS
        users, used_at = _use(unit)
        limit_days = labels_unused_days if is_label else unused_days
        ended = run is not None and users == {run} and not is_label
        gone = (ended or time.time() - used_at > 86400 * limit_days) and _withdrawn(unit)
        if gone:
            n_swept += 1
            freed += _size(gone)
            shutil.rmtree(gone, ignore_errors=True)
        elif unit.exists():
            n_kept += 1
            _remove_left(unit)
    return f"kept work in {folder}: {n_swept} folders swept ({freed / 1e6:.1f} MB), {n_kept} stay"


def _units(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / _LABELS):
        if place.is_dir():
            _remove_left(place)
            named = (unit for unit in sorted(place.iterdir()) if not unit.name.startswith("."))
            # Every folder of kept work has a lock; what has none is somebody's own.
            yield from (unit for unit in named if (unit / _LOCK).is_file())


def _use(unit: Path) -> tuple[set[str], float]:
    """Return the runs that have used a folder, and when one did last (s since 1970)."""
    lock = unit / _LOCK
    try:
        return set(lock.read_text(errors="replace").splitlines()), lock.stat().st_mtime
    except FileNotFoundError:  # swept by another
        return set(), time.time()


def _withdrawn(unit: Path) -> Path | None:
    """Move a folder away in one step if no process works on it; return where it is now."""
    file = os.open(unit / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _locked(file, unit):
            return None
        gone = partial_of(unit)
        os.rename(unit, gone)
        return gone
    finally:
        os.close(file)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def sweep_by_hand(words: Sequence[str]) -> str:
    """Sweep a folder of kept work with a command line; return a line about it."""
    parser = argparse.ArgumentParser(prog="frazil sweep", description="Delete kept work that nobody needs.")
    add = parser.add_argument
    add("folder", type=Path, help="folder of kept work: work/checkpoints")
    add("--run", help="name of a run that has succeeded: what only it has used goes")
    add("--unused-days", type=float, default=UNUSED_DAYS, help="what nobody has used for so long goes")
    add("--labels-unused-days", type=float, default=LABELS_UNUSED_DAYS, help="the same of labels")
    given = parser.parse_args(words)
    if not given.folder.is_dir() and given.run is None:
        raise UserError(f"{given.folder} is no folder; give that of kept work, work/checkpoints")
    for name in ("unused_days", "labels_unused_days"):
        if not 0 <= getattr(given, name) < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} {getattr(given, name):g}; allowed: days from 0 on")
    return sweep(**vars(given))
