"""The report: sections that the stages write as data, and the one HTML file made of them."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.files import write_atomic

SECTION_FILE = "section.json"

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Gate:
    """A number that a run is judged by. ``passed`` is None where it could not be measured."""

    name: str
    value: Value
    limit: Value
    passed: bool | None
    comment: str = ""

    @classmethod
    def at_most(cls, name: str, value: Any, limit: Any, comment: str = "", shown: Value = None) -> "Gate":
        """Return the gate of a value that passes up to a limit; None and nan are not measured.

        ``shown`` is how the limit is printed, by default its number.
        """
        return cls._judged(name, value, limit, shown, comment, lambda known: known <= limit)

    @classmethod
    def at_least(cls, name: str, value: Any, limit: Any, comment: str = "", shown: Value = None) -> "Gate":
        """Return the gate of a value that passes from a limit on."""
        return cls._judged(name, value, limit, shown, comment, lambda known: known >= limit)

    @classmethod
    def within(cls, name: str, value: Any, low: Any, high: Any, comment: str = "") -> "Gate":
        """Return the gate of a value that passes between two limits."""
        return cls._judged(name, value, f"{low} to {high}", None, comment, lambda known: low <= known <= high)

    @classmethod
    def equal(cls, name: str, value: Any, limit: Any, comment: str = "", shown: Value = None) -> "Gate":
        """Return the gate of a value that passes where it is the limit itself."""
        return cls._judged(name, value, limit, shown, comment, lambda known: known == limit)

    @classmethod
    def equivalent(
        cls, name: str, difference: Any, interval: tuple[Any, Any], margin: float, comment: str = ""
    ) -> "Gate":
        """Return the gate of a difference that passes where its whole interval is within ± a margin.

        So few data never pass, as they would a test for a difference; several such gates need no correction
        (two one-sided tests; Schuirmann, J. Pharmacokinet. Biopharm. 15, 657, 1987).
        """
        low, high = interval
        far = max(abs(low), abs(high)) if difference is not None and low == low else None
        told = "" if far is None else f"{difference:.3f}, 95 % interval {low:.3f} to {high:.3f}"
        told = "; ".join(part for part in (told, comment) if part)
        return cls.at_most(name, far, margin, told, shown=f"95 % interval within ± {margin:g}")

    @classmethod
    def conserves(cls, drifts_meV_per_ps: Any, median: float, worst: float) -> "list[Gate]":
        """Return the gates of the energy drift of single trajectories (n,): of half of them, and of all."""
        sizes = sorted(abs(float(drift)) for drift in drifts_meV_per_ps if drift == drift)
        middle, last = (sizes[len(sizes) // 2], sizes[-1]) if sizes else (None, None)
        return [
            cls.at_most("energy drift of a trajectory, median, meV/ps", middle, median),
            cls.at_most("energy drift of a trajectory, largest, meV/ps", last, worst),
        ]

    @classmethod
    def holds(cls, name: str, value: Any, limit: str, passed: bool, comment: str = "") -> "Gate":
        """Return the gate of a condition that is told in words."""
        return cls._judged(name, value, limit, None, comment, lambda known: passed)

    @classmethod
    def unmeasured(cls, name: str, limit: Value, why: str) -> "Gate":
        """Return a gate whose value is not there."""
        return cls(name, None, limit, None, why)

    @classmethod
    def _judged(
        cls, name: str, value: Any, limit: Value, shown: Value, comment: str, passes: Callable[[Any], Any]
    ) -> "Gate":
        limit = limit if shown is None else shown
        if value is None or value != value:
            return cls(name, None, limit, None, comment)
        return cls(name, value, limit, bool(passes(value)), comment)


@dataclass(frozen=True)
class Figure:
    """A drawn figure (PNG or SVG) and the CSV file that holds its data, relative to the section."""

    file: str
    caption: str
    data: str = ""


@dataclass(frozen=True)
class Table:
    """A CSV file, relative to the section."""

    file: str
    caption: str


@dataclass
class Section:
    """What one stage adds to the report. Text is plain (no HTML), one string per paragraph."""

    title: str
    text: list[str] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    headline: str = ""
    """The result in one sentence, for the summary at the top."""
    references: list[str] = field(default_factory=list)

    def write(self, directory: Path | str) -> Path:
        """Write ``section.json`` into the directory that holds the section's files; return its path."""
        target = Path(directory) / SECTION_FILE
        with write_atomic(target) as partial:
            text = json.dumps(_plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)
            partial.write_text(text + "\n", encoding="utf-8")
        return target

    @classmethod
    def read(cls, directory: Path | str) -> "Section":
        """Read the section of a results directory. Raises UserError where it is missing or not a section."""
        source = Path(directory) / SECTION_FILE
        if not source.is_file():
            raise UserError(f"{directory} holds no {SECTION_FILE}; give the results of a finished stage")
        try:
            raw = json.loads(source.read_text(encoding="utf-8"))
            return _checked(
                cls(
                    title=raw["title"],
                    text=list(raw.get("text", [])),
                    gates=[Gate(**item) for item in raw.get("gates", [])],
                    figures=[Figure(**item) for item in raw.get("figures", [])],
                    tables=[Table(**item) for item in raw.get("tables", [])],
                    headline=raw.get("headline", ""),
                    references=list(raw.get("references", [])),
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{source} is not a report section ({type(error).__name__}: {error}); "
                "it is written by frazil.report.section.Section"
            ) from error


def _checked(section: Section) -> Section:
    """Return a section whose texts are texts, and whose files are in its folder. Raises ValueError else."""
    shown = [(figure.file, figure.caption) for figure in section.figures]
    shown += [(table.file, table.caption) for table in section.tables]
    files = [*(file for file, _ in shown), *(figure.data for figure in section.figures)]
    texts: list[Any] = [section.title, section.headline, *section.text, *section.references, *files]
    texts += [caption for _, caption in shown]
    texts += [word for gate in section.gates for word in (gate.name, gate.comment)]
    if odd := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{odd[0]!r:.60} is no text")
    away = next((file for file in files if Path(file).is_absolute() or ".." in Path(file).parts), None)
    if away is not None:
        raise ValueError(f"{away} is outside the section's folder")
    for gate in section.gates:
        if not isinstance(gate.passed, bool | None):
            raise ValueError(
                f"the gate {gate.name} is passed {gate.passed!r}; allowed are true, false and null"
            )
    return section


def _plain(item: Any) -> Any:
    """Return the item as JSON can hold it: NumPy scalars as Python's, non-finite numbers as null."""
    if isinstance(item, dict):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    if hasattr(item, "item"):
        item = item.item()
    return None if isinstance(item, float) and not math.isfinite(item) else item


def number(value: Any) -> str:
    """Return a value as a reader wants it: four digits, a dash for what is missing, a true minus."""
    value = _plain(value)
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.0f}" if value.is_integer() and abs(value) < 1e7 else f"{value:.4g}"
        return text.replace("-", "−")
    if isinstance(value, dict | list):
        return true_minus(json.dumps(value, ensure_ascii=False))
    return true_minus(str(value))


def true_minus(text: str) -> str:
    """Return a text whose numbers have a minus in place of a hyphen: −3 to 5, 1e−05."""
    return re.sub(r"(?<![\w.)\]-])-(?=\.?\d)|(?<=\d[eE])-(?=\d)", "−", text)
