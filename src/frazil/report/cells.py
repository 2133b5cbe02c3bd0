"""A CSV file as a reader wants it: heads in words, a value and its interval in one cell, few digits."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas

from frazil.errors import UserError
from frazil.report.heads import head, quantity
from frazil.report.section import number, with_interval

LONGEST_TABLE = 25
WORDS_IN = ("quantity", "criterion")
"""Columns whose cells may be names of quantities."""


@dataclass(frozen=True)
class Shown:
    """A table as text: ``heads``, which columns are ``numeric``, and ``rows`` of (text, value to sort by)."""

    heads: list[str]
    numeric: list[bool]
    rows: list[list[tuple[str, str]]]
    n_rows: int
    one_model: bool
    """Whether the model's part of the errors is in the file and nowhere known."""


def shown(path: Path) -> Shown:
    """Return the first rows of a CSV file as text. Raises UserError where it cannot be read.

    A value and the interval in the columns after it share a cell, rounded to two digits of the interval's
    half width. The total interval has a cell of its own; where it is nowhere known, none.
    """
    try:
        frame = pandas.read_csv(path)
    except pandas.errors.EmptyDataError:
        frame = pandas.DataFrame()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"table {path} cannot be read ({reason}); rerun the stage that made it") from error
    first = frame.head(LONGEST_TABLE)
    heads: list[str] = []
    numeric: list[bool] = []
    cells: list[list[tuple[str, str]]] = []
    one_model = False

    def add(title: str, is_number: bool, texts: list[str], values: "pandas.Series") -> None:
        heads.append(title)
        numeric.append(is_number)
        keys = ["" if value is None or value != value else str(value) for value in values]
        cells.append(list(zip(texts, keys, strict=True)))

    names = list(frame.columns)
    while names:
        name = names.pop(0)
        values = first[name]
        if not pandas.api.types.is_numeric_dtype(frame[name]):
            words = ["" if pandas.isna(value) else str(value) for value in values]
            add(head(name), False, list(map(quantity, words)) if name in WORDS_IN else words, values)
            continue
        ends = _ends(name, names, frame)
        if not ends:
            add(head(name), True, [number(value) for value in values.fillna(math.nan)], values)
            continue
        del names[:2]
        both = [f"{value} {interval}".strip() for value, interval in _joined(first, name, ends)]
        add(head(name) + " [95 %]", True, both, values)
        spread = next(iter(name_ for name_ in names[:1] if "model_std" in name_), "")
        total = [item for item in names[1:3] if spread and "total_" in item]
        if len(total) == 2 and all(pandas.api.types.is_numeric_dtype(frame[item]) for item in total):
            del names[:3]
            if frame[total].isna().all(axis=None):
                one_model = True
                continue
            intervals = [interval for _, interval in _joined(first, name, total)]
            add("with the model's error [95 %]", True, intervals, first[total[0]])
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Shown(heads, numeric, rows, len(frame), one_model)


def _ends(name: str, names: list[str], frame: pandas.DataFrame) -> list[str]:
    """Return the two columns after a value that are its interval, none where they are not."""
    after = names[:2]
    if len(after) < 2 or not all(pandas.api.types.is_numeric_dtype(frame[item]) for item in after):
        return []
    stem, _, unit = name.rpartition("_")
    allowed = [
        ["low_95", "high_95"],
        [f"{name}_low_95", f"{name}_high_95"],
        [f"{stem}_low_95_{unit}", f"{stem}_high_95_{unit}"],
    ]
    return after if after in allowed else []


def _joined(frame: pandas.DataFrame, name: str, ends: list[str]) -> list[tuple[str, str]]:
    rows = frame[[name, *ends]].itertuples(index=False)
    return [with_interval(value, low, high) for value, low, high in rows]
