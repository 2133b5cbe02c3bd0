"""Result tables: each is declared once, written whole and sorted, and read with nothing missing or foreign.

A declaration names the columns in a line of text: ``*trajectory_id:int outcome:str time_fs?`` is a key of
whole numbers, a text, and a number whose cell may be empty. More columns than those are kept as they are.
"""

import csv
import io
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.settings import unit_of

LONG_TABLE = 10_000
"""A table with more rows is also written as Parquet."""
DIGITS, SIX_DIGITS, ALL_DIGITS = "%.8g", "%.6g", None
"""How numbers are written: in new tables, in old ones, and so that not a bit is lost."""


@dataclass(frozen=True)
class Column:
    """One column: ``kind`` is int, float or str; an empty cell (nan, None) only where ``blank``.

    allowed: the values of a text, the lowest and highest of a number; all if empty.
    """

    name: str
    kind: type
    is_key: bool
    blank: bool
    allowed: tuple[Any, ...]

    def fault(self, cells: pandas.Series) -> str:
        """Return what is wrong with the first bad cell, empty where all are good."""
        empty = cells.isna().to_numpy()
        if empty.any() and not self.blank:
            return f"has an empty cell in column {self.name}, row {int(np.argmax(empty)) + 1}"
        given, rows = cells[~empty], np.flatnonzero(~empty) + 1
        checks: list[tuple[NDArray[np.bool_], str]] = []
        if self.kind is str:
            if self.allowed:
                listed = ", ".join(map(str, self.allowed))
                checks.append((~given.isin(self.allowed).to_numpy(), f"allowed: {listed}"))
        else:
            values = pandas.to_numeric(given, errors="coerce").to_numpy(float)
            wrong = ~np.isfinite(values)
            if self.kind is int:
                wrong |= np.mod(np.where(wrong, 0, values), 1) != 0
            checks.append((wrong, f"allowed are {'whole ' if self.kind is int else ''}numbers"))
            if self.allowed:
                low, high = self.allowed
                checks.append(((values < low) | (values > high), f"allowed are {low:g} to {high:g}"))
        for bad, allowed in checks:
            if bad.any():
                place = int(np.argmax(bad))
                value = given.tolist()[place]
                return f"has {self.name} {value!r} in row {rows[place]}; {allowed}"
        return ""


def _refuse_uneven(content: bytes) -> None:
    """Raise ValueError for a CSV with a row of more or fewer cells than its header, or that is no text."""
    rows = (row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row)
    n_columns = len(next(rows))
    for number, row in enumerate(rows, 1):
        if len(row) != n_columns:
            raise ValueError(f"row {number} has {len(row)} cells, the header {n_columns}")


def _stem(name: str) -> str:
    """Return a column's name without its unit."""
    unit = unit_of(name)
    return name.rpartition("_")[0] if unit else name


_COLUMN = re.compile(r"(\*?)([\w-]+)(?::(int|str|bool))?(\??)")
_KINDS = {"": float, "int": int, "str": str, "bool": int}


@dataclass(frozen=True)
class Table:
    """A declared table; its file is ``name``.csv.

    text: columns, ``name`` (a number), ``name:int``, ``name:str`` or ``name:bool`` (0 or 1); ``*`` before
    those that make the key, which no two rows share, ``?`` behind those that may be empty. also: columns that
    may be missing, and are as these where they are not. order: what rows are sorted by, "key", "given" (as
    they come) or columns. limits: of texts the allowed ones, of numbers the lowest and highest. digits: the
    format of numbers. made_by: what writes it, for messages.
    """

    name: str
    text: str
    also: str = ""
    order: str = "key"
    limits: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)
    digits: str | None = DIGITS
    made_by: str = ""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The declared columns. ValueError for a declaration that is none."""
        return self._declared(self.text)

    def _declared(self, text: str) -> tuple[Column, ...]:
        found = []
        for word in text.split():
            if not (match := _COLUMN.fullmatch(word)):
                raise ValueError(f"table {self.name}: {word!r} declares no column")
            star, name, kind, blank = match.groups(default="")
            allowed = (0, 1) if kind == "bool" else self.limits.get(name, ())
            found.append(Column(name, _KINDS[kind], bool(star), bool(blank), tuple(allowed)))
        return tuple(found)

    @cached_property
    def key(self) -> list[str]:
        """Names of the columns that no two rows share."""
        return [column.name for column in self.columns if column.is_key]

    @property
    def names(self) -> list[str]:
        """Names of the declared columns."""
        return [column.name for column in self.columns]

    @property
    def file(self) -> str:
        """Name of its CSV file."""
        return f"{self.name}.csv"

    def named(self, name: str) -> "Table":
        """Return the same table under another name."""
        return replace(self, name=name)

    def frame(self, rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> pandas.DataFrame:
        """Return rows (by column's name, or in the order of the columns) as a table, in the order given."""
        given = list(rows)
        if not given:
            kinds = {c.name: object if c.kind is str else c.kind for c in self.columns}
            return pandas.DataFrame({name: pandas.Series(dtype=kind) for name, kind in kinds.items()})
        named = isinstance(given[0], Mapping)
        return self.arranged(pandas.DataFrame(given, columns=None if named else self.names))

    def arranged(self, table: pandas.DataFrame) -> pandas.DataFrame:
        """Return the table with the declared columns first, those of ``also`` last. KeyError where one is
        missing.
        """
        last = [column.name for column in self._declared(self.also) if column.name in table]
        more = [name for name in table if name not in (*self.names, *last)]
        return table[[*self.names, *more, *last]]

    def sorted(self, table: pandas.DataFrame) -> pandas.DataFrame:
        """Return the table with its rows in order."""
        order = {"key": self.key, "given": []}.get(self.order, self.order.split())
        return table.sort_values(order, kind="stable", ignore_index=True) if order else table

    def fault(self, table: pandas.DataFrame) -> str:
        """Return what is wrong with a table, empty where nothing is."""
        missing = [name for name in self.names if name not in table]
        if missing:
            like = [name for name in map(str, table) if _stem(name) == _stem(missing[0])]
            other = f" but {like[0]}, of another unit" if like else ""
            return f"has no column {missing[0]}{other}; needed: {', '.join(self.names)}"
        present = [column for column in self._declared(self.also) if column.name in table]
        checked = (*self.columns, *present)
        return next((fault for column in checked if (fault := column.fault(table[column.name]))), "")

    def write(self, table: pandas.DataFrame | Sequence[Mapping[str, Any]], target: Path | str) -> Path:
        """Write the table whole and sorted into a folder (or to a ``.csv``), long ones as Parquet too.

        Raises ValueError for a table that is not what was declared.
        """
        path = Path(target) if str(target).endswith(".csv") else Path(target) / self.file
        content = table if isinstance(table, pandas.DataFrame) else self.frame(table)
        if fault := self.fault(content):
            raise ValueError(f"table {self.name} {fault}")
        content = self.sorted(self.arranged(content))
        if twice := self._twice(content):
            raise ValueError(f"table {self.name} has {twice[0]} twice")
        with write_atomic(path) as partial:
            content.to_csv(partial, index=False, float_format=self.digits)
        if len(content) > LONG_TABLE:
            with write_atomic(path.with_suffix(".parquet")) as partial:
                content.to_parquet(partial, index=False)
        else:
            path.with_suffix(".parquet").unlink(missing_ok=True)
        return path

    def read(
        self,
        *sources: Path | str,
        only: Mapping[str, Collection[Any]] | None = None,
        by_hand: bool = False,
    ) -> pandas.DataFrame:
        """Return one table of all sources, sorted: CSV files, folders that hold one, or folders of such.

        ``only`` gives, of some columns, the values that belong. ``by_hand``: a file that a person wrote need
        not end with the end of a line; it says so then. Raises UserError for a missing, empty or cut file, a
        missing column, an empty cell or one that is not allowed, a row that occurs twice and one that does
        not belong.
        """
        parts, places = [], []
        for file in (file for source in sources for file in self.files(source)):
            part = self._read(file, by_hand)
            parts.append(part)
            places += [file] * len(part)
        filled = [part for part in parts if len(part)]
        table = pandas.concat(filled, ignore_index=True) if filled else parts[0]
        if twice := self._twice(table):
            what, rows = twice
            where = ", ".join(sorted({str(places[row]) for row in rows})[:4])
            raise UserError(
                f"{self.file} has {what} twice (in {where}); each belongs to one shard: remove the one that "
                "is not of this campaign"
            )
        for name, values in (only or {}).items():
            foreign = ~table[name].isin(list(values)).to_numpy()
            if foreign.any():
                row = int(np.argmax(foreign))
                raise UserError(
                    f"{places[row]} names {name} {table[name].iloc[row]}, which does not belong to the rest; "
                    "shards are written whole: remove the incomplete one and run it again"
                )
        return self.sorted(self.arranged(table))

    def files(self, source: Path | str) -> list[Path]:
        """Return the files of a source. Raises UserError where there is none, or a shard lacks its own."""
        path = Path(source)
        if path.is_file():
            return [path]
        how = f"; it is made by {self.made_by}" if self.made_by else ""
        if not path.exists():
            raise UserError(f"{path} does not exist; give a {self.file} or a folder that holds it{how}")
        if path.is_dir() and not (path / self.file).is_file():
            shards = sorted(item for item in path.iterdir() if item.is_dir() and item.name[0] != ".")
            for shard in shards:
                if not (shard / self.file).is_file():
                    raise UserError(
                        f"shard {shard} has no {self.file}; remove the incomplete shard and run it again"
                    )
            if shards:
                return [shard / self.file for shard in shards]
        if not (path / self.file).is_file():
            raise UserError(f"{path} holds no {self.file}{how}")
        return [path / self.file]

    def _read(self, file: Path, by_hand: bool) -> pandas.DataFrame:
        content = file.read_bytes()
        if not content.strip():
            raise UserError(f"{file} is empty; needed are the columns {', '.join(self.names)}")
        if not content.endswith((b"\n", b"\r")):
            if not by_hand:
                raise UserError(f"{file} is cut in the middle of its last row; write it again")
            print(f"warning: {file} does not end with the end of a line; is it whole?", file=sys.stderr)
        kinds = {c.name: str for c in (*self.columns, *self._declared(self.also)) if c.kind is str}
        try:
            _refuse_uneven(content)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pandas.errors.ParserWarning)
                table = pandas.read_csv(file, dtype=kinds, index_col=False)
        except (ValueError, csv.Error, pandas.errors.ParserWarning) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file} cannot be read ({reason}); give a CSV of equal rows") from error
        if not len(table):
            return self.arranged(table).astype(self.frame([]).dtypes) if not self.fault(table) else table
        if fault := self.fault(table):
            raise UserError(f"{file} {fault}")
        exact = {c.name: c.kind for c in self.columns if c.kind is not str and not table[c.name].isna().any()}
        return table.astype({name: kind for name, kind in exact.items() if kind is int})

    def _twice(self, table: pandas.DataFrame) -> tuple[str, NDArray[np.intp]] | None:
        """Return the first key that occurs twice, in words, and the numbers of its rows."""
        if not self.key:
            return None
        doubled = table.duplicated(self.key, keep=False).to_numpy()
        if not doubled.any():
            return None
        first = table[self.key].iloc[int(np.argmax(doubled))]
        same = (table[self.key] == first).all(axis=1).to_numpy()
        return ", ".join(f"{name} {value}" for name, value in first.items()), np.flatnonzero(same)
