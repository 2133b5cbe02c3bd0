"""The report: sections that the stages write as data, and the one HTML file made of them."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.files import write_atomic

SECTION_FILE = "section.json"

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Gate:
    """A number that a run is judged by. ``passed`` is None where it could not be measured.

    ``why`` says why the limit is what it is, ``remedy`` what to do where it is missed.
    """

    name: str
    value: Value
    limit: Value
    passed: bool | None
    comment: str = ""
    why: str = ""
    remedy: str = ""

    def because(self, why: str, remedy: str) -> "Gate":
        """Return the gate with the reason for its limit, and with what to do where it is missed."""
        return replace(self, why=why, remedy=remedy)

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
            cls.at_most("energy drift of a trajectory, median (meV/ps)", middle, median).because(*DRIFT),
            cls.at_most("energy drift of a trajectory, largest (meV/ps)", last, worst).because(*DRIFT),
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


DRIFT = (
    "A run of 10 ps that drifts by 10 meV/ps gains 100 meV, which is kT at 1160 K. Below the limit the drift "
    "stays small beside the energies that decide the result.",
    "Take a shorter time step (timestep_fs). A single large drift hints at a hole in the potential: look at "
    "that trajectory in trajectories.csv.",
)


@dataclass(frozen=True)
class Result:
    """A number that the run was made for: a card at the top of the report.

    ``low_95``, ``high_95``: the interval of sampling. ``total_*``: that of sampling and model error, None
    where the model's part is unknown. ``n``: what the number rests on, ``of`` says what these are.
    ``verdict``: what it says beside a truth, a paper or a limit; ``""`` where there is nothing beside it.
    """

    name: str
    value: Value
    unit: str = ""
    low_95: Value = None
    high_95: Value = None
    total_low_95: Value = None
    total_high_95: Value = None
    n: int | None = None
    of: str = ""
    verdict: str = ""

    @classmethod
    def of_row(cls, name: str, value: str, row: Any, unit: str = "", **more: Any) -> "Result":
        """Return the result of a table's row: the column ``value`` and those of its intervals."""
        ends = {end: _known(row.get(end)) for end in ("low_95", "high_95", "total_low_95", "total_high_95")}
        return cls(name, _known(row[value]), unit, **ends, **more)

    @property
    def counted(self) -> str:
        """What the number rests on: "6 frames", "1 frame"; "" where it is not known."""
        if self.n is None:
            return ""
        one = re.sub(r"(?<=ss)es$|s$", "", self.of)
        return f"{self.n} {one if self.n == 1 else self.of}".rstrip()

    @property
    def texts(self) -> tuple[str, str]:
        """The value and its sampling interval, and the total interval; "" where one is not known.

        All are rounded to two digits of the narrower interval's half width.
        """
        value = _known(self.value)
        if value is None:
            return ("cannot tell" if self.n is None else f"cannot tell (n = {self.n})"), ""
        own, total = (self.low_95, self.high_95), (self.total_low_95, self.total_high_95)
        text, interval = with_interval(value, *own)
        _, both = with_interval(value, *total)
        return (f"{text} {interval}" if interval else text), both


def _known(value: Any) -> Any:
    """Return a number, None where it is nan or no number."""
    value = _plain(value)
    return value if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Figure:
    """A drawn figure (SVG or PNG) and the CSV file that holds its data, relative to the section.

    ``file`` is empty where no panel had data. ``left_out`` names the panels without data, and why.
    """

    file: str
    caption: str
    data: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class Table:
    """A CSV file, relative to the section."""

    file: str
    caption: str


@dataclass(frozen=True)
class Movie:
    """A trajectory to look at: an extxyz file, relative to the section (``frazil.report.movie``).

    ``name`` is short ("desorbed: trajectory 17"); ``again`` the command that repeats it, "" for none.
    """

    file: str
    name: str
    caption: str
    again: str = ""


@dataclass
class Section:
    """What one stage adds to the report. Text is plain (no HTML), one string per paragraph."""

    title: str
    text: list[str] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    movies: list[Movie] = field(default_factory=list)
    """Their time is shown in those of its figures whose horizontal axis is a time in fs or ps."""
    headline: str = ""
    """The result in one sentence, for the summary at the top."""
    results: list[Result] = field(default_factory=list)
    """The numbers of the headline, a card each; the first is the most important one."""
    main_figure: str = ""
    """Its ``file``, of the figure that is shown at the top."""
    methods: str = ""
    """What a methods paragraph says of it: sentences to copy."""
    references: list[str] = field(default_factory=list)
    """``@key: what for``, of report/works.bib, or a text as it stands."""

    def write(self, directory: Path | str) -> Path:
        """Write ``section.json`` into the directory that holds the section's files; return its path.

        Raises ValueError for a gate that does not say why its limit is what it is, and what to do
        (``Gate.because``).
        """
        if silent := [gate.name for gate in self.gates if not (gate.why and gate.remedy)]:
            raise ValueError(f"gate {silent[0]!r} says no reason and no remedy; give both by because()")
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
                    movies=[Movie(**item) for item in raw.get("movies", [])],
                    headline=raw.get("headline", ""),
                    results=[Result(**item) for item in raw.get("results", [])],
                    main_figure=raw.get("main_figure", ""),
                    methods=raw.get("methods", ""),
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
    shown += [(movie.file, movie.caption) for movie in section.movies]
    files = [*(file for file, _ in shown), *(figure.data for figure in section.figures)]
    texts: list[Any] = [
        section.title,
        section.headline,
        section.methods,
        *section.text,
        *section.references,
        *files,
    ]
    texts += [caption for _, caption in shown]
    texts += [word for gate in section.gates for word in (gate.name, gate.comment, gate.why, gate.remedy)]
    texts += [figure.left_out for figure in section.figures]
    texts += [word for movie in section.movies for word in (movie.name, movie.again)]
    texts += [word for item in section.results for word in (item.name, item.unit, item.of, item.verdict)]
    if odd := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{odd[0]!r:.60} is no text")
    away = next((file for file in files if Path(file).is_absolute() or ".." in Path(file).parts), None)
    if away is not None:
        raise ValueError(f"{away} is outside the section's folder")
    if section.main_figure not in ("", *(figure.file for figure in section.figures)):
        raise ValueError(f"the main figure {section.main_figure} is none of its figures")
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


def with_interval(value: Any, low: Any, high: Any) -> tuple[str, str]:
    """Return a value and its interval as text, rounded to two digits of the interval's half width.

    Positive ends that are decades apart have two digits each.

    0.31234, 0.2222, 0.4321 gives ("0.31", "[0.22, 0.43]"). Without an interval, the value as ``number`` has
    it and "".
    """
    value, low, high = _known(value), _known(low), _known(high)
    if value is None or low is None or high is None:
        return number(value), ""
    half = (high - low) / 2
    largest = max(abs(low), abs(high), abs(value))
    if 0 < 100 * low < high:  # over decades: two digits of each
        text, *ends = (number(float(f"{item:.2g}")) for item in (value, low, high))
        return text, f"[{', '.join(ends)}]"
    if not half > 1e-9 * largest or largest >= 1e6 or half < 1e-6:
        return number(value), f"[{number(low)}, {number(high)}]"
    digits = max(0, 1 - math.floor(math.log10(half)))
    text, *ends = (true_minus(f"{item + 0.0:.{digits}f}") for item in (value, low, high))
    return text, f"[{', '.join(ends)}]"


def true_minus(text: str) -> str:
    """Return a text whose numbers have a minus in place of a hyphen: −3 to 5, 1e−05."""
    return re.sub(r"(?<![\w.)\]-])-(?=\.?\d)|(?<=\d[eE])-(?=\d)", "−", text)
