"""What every executable in bin/ shares: help with defaults, progress, and exit codes."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from frazil.errors import EXIT_BAD_INPUT, EXIT_OUT_OF_TIME, OutOfTime, UserError

T = TypeVar("T")


def parser(description: str) -> argparse.ArgumentParser:
    """Return an argument parser whose ``--help`` shows every default."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )


def numbers(text: str) -> list[float]:
    """Parse a comma-separated list of numbers (for ``type=`` of an argument)."""
    return [float(item) for item in text.split(",") if item.strip()]


def integers(text: str) -> list[int]:
    """Parse a comma-separated list of integers (for ``type=`` of an argument)."""
    return [int(item) for item in text.split(",") if item.strip()]


def boolean(text: str) -> bool:
    """Parse ``true`` or ``false`` (for ``type=`` of an argument)."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def progress(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Iterate with a progress bar and a time estimate on standard error (one line each 10 s in a log)."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10.0
    yield from tqdm(items, total=total, desc=description, mininterval=interval, file=sys.stderr)


def run(main: Callable[[], None]) -> None:
    """Run an executable's ``main``: bad input is one line and exit 2, out of time 75, a bug a traceback.

    After ``FRAZIL_TIME_LIMIT_S`` seconds, if the environment sets them, it gets the SIGTERM that a scheduler
    would send, early enough to save what is done.
    """
    if limit_s := os.environ.get("FRAZIL_TIME_LIMIT_S"):
        alarm = threading.Timer(float(limit_s), os.kill, (os.getpid(), signal.SIGTERM))
        alarm.daemon = True
        alarm.start()
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except OutOfTime as error:
        print(f"out of time: {error}", file=sys.stderr)
        sys.exit(EXIT_OUT_OF_TIME)
