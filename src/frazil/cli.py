"""What every executable of bin/ does: flags from the step's settings, progress, and exit codes."""

import argparse
import difflib
import errno
import importlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from frazil.checkpoints import RUN
from frazil.cost import ASKED_h, agreed, of_step
from frazil.errors import EXIT_BAD_INPUT, EXIT_OUT_OF_TIME, OutOfTime, UserError
from frazil.settings import default_text, fields_of, flag_of, load, step_name

T = TypeVar("T")


def progress(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Iterate with a progress bar and a time estimate on standard error (one line each 10 s in a log)."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10.0
    yield from tqdm(items, total=total, desc=description, mininterval=interval, file=sys.stderr)


def run(step: type, arguments: Sequence[str] | None = None) -> None:
    """Run a step with a command line: bad input is a line each and exit 2, out of time 75, a bug a traceback.

    Every setting of the step is a flag; ``--settings FILE`` gives several by name as JSON, over which flags
    go. After ``FRAZIL_TIME_LIMIT_S`` seconds, if the environment sets them, the step gets the SIGTERM that a
    scheduler would send, early enough to save what is done.
    """
    words = _joined(sys.argv[1:] if arguments is None else arguments)
    given, unknown = _parser(step).parse_known_args(words)
    if unknown:
        print(f"error: {_unknown(step, unknown)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    values = {name: value for name, value in vars(given).items() if value is not None}
    if limit_s := os.environ.get("FRAZIL_TIME_LIMIT_S"):
        alarm = threading.Timer(float(limit_s), os.kill, (os.getpid(), signal.SIGTERM))
        alarm.daemon = True
        alarm.start()
    try:
        file, yes = values.pop("settings_file", None), values.pop("yes", False)
        made: Any = load(step, {**(_read(Path(file)) if file else {}), **values}, flag_of)
        if not os.environ.get(RUN) and (told := agreed(of_step(step_name(step), made), yes)):
            print(told, file=sys.stderr)
        module, _, function = step.calls.partition(":")  # type: ignore[attr-defined]
        told = getattr(importlib.import_module(module), function)(
            **{name: getattr(made, name) for name in made.__dataclass_fields__}
        )
        if isinstance(told, str) and told:
            print(told)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except OutOfTime as error:
        print(f"out of time: {error}", file=sys.stderr)
        sys.exit(EXIT_OUT_OF_TIME)
    except (OSError, RuntimeError) as error:
        if not (what := _disk_problem(error)):
            raise
        print(f"error: {what}; what was finished before is kept", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)


def _disk_problem(error: Exception) -> str:
    """Return what a full or forbidden disk did, in words; empty for any other error, which is a bug.

    HDF5 and Arrow tell the number in their text, NumPy how many of its bytes it could write.
    """
    text = " ".join(str(error).split())
    told = re.search(r"errno (\d+)|errno = (\d+)", text, re.IGNORECASE)
    number = (
        error.errno if isinstance(error, OSError) and error.errno else int(told[1] or told[2]) if told else 0
    )
    if re.search(r"\d+ requested and \d+ written", text):
        number = number or errno.ENOSPC
    if number not in _DISK:
        return ""
    place = getattr(error, "filename", None)
    return f"{os.strerror(number)}" + (f": {place}" if place else "") + "; free space or give another folder"


def _parser(step: type) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=step_name(step), description=step.__doc__, allow_abbrev=False)
    parser.add_argument(
        "--settings", dest="settings_file", metavar="FILE", help="settings by name, JSON; flags go over it"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        default=None,
        help=f"start it though it costs {ASKED_h:g} core hours or more",
    )
    for name, spec in fields_of(step).items():
        many: dict[str, Any] = (
            {"nargs": "*" if spec.default == () else "+"}
            if spec.many and spec.kind in ("path", "string")
            else {}
        )
        if spec.kind == "boolean":
            many = {"nargs": "?", "const": "true"}
        allowed = f"{spec.meaning}; {spec.allowed}; default: {default_text(spec)}"
        parser.add_argument(
            flag_of(name), dest=name, metavar=spec.kind.upper(), help=allowed.replace("%", "%%"), **many
        )
    return parser


def _unknown(step: type, words: Sequence[str]) -> str:
    """Return what is wrong with words that no flag of a step takes; a flag's nearest name, where one is near.

    A parameter's full name is near its flag: --labels.on_suspect is --on-suspect here.
    """
    wrong = next((word for word in words if word.startswith("--")), "").partition("=")[0]
    if not wrong:
        return f"{' '.join(words)}: belongs to no flag; {step_name(step)} --help lists them"
    flags = [flag_of(name) for name in fields_of(step)]
    near = difflib.get_close_matches(flag_of(wrong.lstrip("-").rpartition(".")[2]), flags, 1)
    meant = f"did you mean {near[0]}? (--help lists all)" if near else "--help lists all"
    return f"{wrong}: unknown flag; {meant}"


def _joined(words: Sequence[str]) -> list[str]:
    """Return a command line in which a negative number (-3e2, -inf) is no option: --flag=-3e2."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _is_negative(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _is_negative(word: str) -> bool:
    """Return whether a word is a number, or a list of such, with a minus: -3e2, -inf, -nan, -266,-300."""
    try:
        return word.startswith("-") and isinstance(float(word.split(",")[0]), float)
    except ValueError:
        return False


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"--settings: {file} cannot be read ({error}); needed: a JSON object, name -> value"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"--settings: {file} holds no object; needed: a JSON object, name -> value")
    return values
