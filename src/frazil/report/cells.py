"""A CSV file as a reader wants it: heads in words, a value and its interval in one cell, few digits."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas

from frazil.errors import UserError
from frazil.report.heads import head, quantity
from frazil.report.section import number, with_interval

LONGEST_TABLE = 25
PERCENT = "[95\u00a0%]"
WORDS_IN = ("quantity", "criterion", "ensemble")
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
        if _is_of_model(name) and frame[name].isna().all():
            one_model = True
            continue
        ends = _ends(name, names, frame)
        if not ends:
            add(head(name), True, [number(value) for value in values.fillna(math.nan)], values)
            continue
        beside = ends == names[:2] == ["low_95", "high_95"]
        names = [item for item in names if item not in ends]
        both = [f"{value} {interval}".strip() for value, interval in _joined(first, name, ends)]
        add(head(name) + f" {PERCENT}", True, both, values)
        total = [item.replace("low_95", "total_low_95").replace("high_95", "total_high_95") for item in ends]
        if len(frame) and set(total) <= set(names) and _are_numbers(frame, total):
            spread = "model_std" if beside else ends[0].replace("low_95", "model_std")
            names = [item for item in names if item not in (*total, spread)]
            if frame[total].isna().all(axis=None):
                one_model = True
                continue
            intervals = [interval for _, interval in _joined(first, name, total)]
            add(f"with the model's error {PERCENT}", True, intervals, first[total[0]])
    sampled = [name for name in map(str, frame) if "low_95" in name and not _is_of_model(name)]
    one_model = one_model and bool(frame[sampled].notna().any(axis=None))  # else there is no interval at all
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Shown(heads, numeric, rows, len(frame), one_model)


def _is_of_model(name: str) -> bool:
    return "model_std" in name or "total_low_95" in name or "total_high_95" in name


def _are_numbers(frame: pandas.DataFrame, names: list[str]) -> bool:
    return all(pandas.api.types.is_numeric_dtype(frame[name]) for name in names)


def _ends(name: str, names: list[str], frame: pandas.DataFrame) -> list[str]:
    """Return the columns that are a value's interval: the two after it, or two that carry its name."""
    if names[:2] == ["low_95", "high_95"] and _are_numbers(frame, names[:2]):
        return names[:2]
    stem, _, unit = name.rpartition("_")
    for ends in ([f"{name}_low_95", f"{name}_high_95"], [f"{stem}_low_95_{unit}", f"{stem}_high_95_{unit}"]):
        if set(ends) <= set(names) and _are_numbers(frame, ends):
            return ends
    return []


def _joined(frame: pandas.DataFrame, name: str, ends: list[str]) -> list[tuple[str, str]]:
    rows = frame[[name, *ends]].itertuples(index=False)
    return [with_interval(value, low, high) for value, low, high in rows]
