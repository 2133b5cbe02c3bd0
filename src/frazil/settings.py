"""One home for a setting: a field of a class says its type, unit, bounds, default and meaning.

``settings`` makes such a class: a frozen dataclass that checks its values when it is made. A field is a
``setting``, the same setting as another class has (``same_as``), or a ``part``: another class, whose fields
count as its own. What must hold between fields, the class says in ``problems``. ``step`` also names the
function that a step calls with the fields. From these classes come the flags and the help of every step,
nextflow_schema.json, docs/parameters.md and the check of a launch.

Only the standard library and Python 3.9 are used, here and in every module named ``settings``: a login node
reads them.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from frazil.errors import UserError

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        """Stand in for Python 3.11's; it tells type checkers only."""
        return lambda decorator: decorator


T = TypeVar("T")
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()
"""Default of a setting that has to be given."""
KINDS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "Path": "path"}
UNITS = {
    "g_per_cm3": "g/cm³", "meV_per_atom": "meV/atom", "meV_per_ps": "meV/ps", "km_per_mol": "km/mol",
    "eV_per_A2": "eV/Å²", "eV_per_A": "eV/Å", "V_per_A": "V/Å", "per_A": "Å⁻¹", "THz": "THz", "per_ps": "ps⁻¹", "meV": "meV", "cm1": "cm⁻¹", "deg": "°", "hours": "h", "fs": "fs", "nm": "nm",
    "ps": "ps", "ns": "ns", "eV": "eV", "A2": "Å²", "A": "Å", "K": "K", "s": "s",
}  # fmt: skip
"""Unit at the end of a name -> how it is printed."""
LARGEST, SMALLEST, MOST = 1e9, 1e-9, 10_000_000
"""Of a number where nothing else is said: its largest and its smallest size; the largest whole number."""
LONGEST_NAME = 200
"""Characters of a path or a name."""
WORDS = {
    "file": "an existing file", "folder": "an existing folder", "any": "an existing file or folder",
    "new file": "a file that can be written",
    "new folder": "a folder that can be written",
}  # fmt: skip


def unit_of(name: str) -> str:
    """Return the unit that a name ends with (``timestep_fs`` -> ``fs``), or an empty string."""
    endings = (ending for ending in sorted(UNITS, key=len, reverse=True) if name.endswith("_" + ending))
    return UNITS.get(next(endings, ""), "")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of one setting; bounds are None where there are none.

    ``choices``: allowed values. ``pattern`` with ``examples``: a regular expression for all of the text.
    ``path``: "file", "folder", "any" (each must exist), "new file" or "new folder" (a file is written there, as
    a probe, and removed). ``many``: a tuple, ``length`` its number of items, ``repeated`` whether an item may occur twice. ``of``: the
    pipeline's parameter that a step takes it from, where it is not of its own group; "" where the graph or a
    person gives it.
    """

    name: str
    kind: str
    meaning: str
    default: Any
    many: bool = False
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] | None = None
    pattern: str | None = None
    examples: tuple[str, ...] = ()
    path: str | None = None
    length: int | None = None
    repeated: bool = False
    unit: str = ""
    of: str | None = None

    @property
    def allowed(self) -> str:
        """What it accepts, in words, with the unit."""
        one = self._allowed_item()
        if self.many:
            count = "" if self.length is None else f" of {self.length} items"
            twice = "" if self.repeated else ", none twice"
            one = f"a comma-separated list{count}, each {one}{twice}"
        return one + (f", in {self.unit}" if self.unit else "")

    def _allowed_item(self) -> str:
        if self.choices is not None:
            return self.choices[0] if len(self.choices) == 1 else f"one of {', '.join(self.choices)}"
        if self.pattern:
            return f"text like {' or '.join(self.examples)}"
        if self.kind == "path":
            return WORDS.get(self.path or "", "a path")
        kind = {"boolean": "true or false", "integer": "an integer", "number": "a number"}.get(
            self.kind, "text"
        )
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:.10g} to {self.maximum:.10g}"
        words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
        bounds = [
            f"{text} {getattr(self, bound):.10g}"
            for bound, text in words.items()
            if getattr(self, bound) is not None
        ]
        return f"{kind} {' and '.join(bounds)}" if bounds else kind

    def typed(self, value: Any) -> Any:
        """Return a value of a file, a command line or a caller as the setting's type; ValueError says why not."""
        if value is None:
            if self.optional:
                return None
            raise ValueError("nothing")
        if not self.many:
            return self._item(value)
        if isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
        elif isinstance(value, (bool, int, float, os.PathLike)):
            value = [value]
        elif isinstance(value, Mapping):
            raise ValueError("")
        elif self.kind != "path":
            value = [
                word for item in value for word in (item.split(",") if isinstance(item, str) else (item,))
            ]
        items = tuple(self._item(item) for item in value)
        if not items and self.default != ():
            raise ValueError("nothing")
        if self.length not in (None, len(items)):
            raise ValueError(f"{len(items)} items")
        doubled = next((item for place, item in enumerate(items) if item in items[:place]), None)
        if doubled is not None and not self.repeated:
            raise ValueError(f"{text_of(doubled)} twice")
        return items

    def _item(self, value: Any) -> Any:
        if self.kind in ("integer", "number"):
            return self._number(value)
        if self.kind == "boolean":
            if str(value) not in ("true", "false", "True", "False"):
                raise ValueError("")
            return str(value) in ("true", "True")
        if isinstance(value, (bool, Mapping, list, tuple)):
            raise ValueError("")
        text = str(value)
        if self.kind == "path":
            return self._path(text)
        if self.choices is not None and text not in self.choices:
            near = difflib.get_close_matches(text, self.choices, 1)
            raise ValueError(f"did you mean {near[0]}?" if near and near[0] != text else "")
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError("")
        if len(text) > LONGEST_NAME or any(ord(letter) < 32 for letter in text):
            raise ValueError("too long, or with control characters")
        return text

    def _number(self, value: Any) -> Any:
        if isinstance(value, bool) or not (
            isinstance(value, (int, float, str)) or hasattr(value, "__float__")
        ):
            raise ValueError("")
        try:
            number = float(value)
        except ValueError:
            raise ValueError("") from None
        if not math.isfinite(number):
            raise ValueError("not a finite number")
        low = (self.minimum is not None and number < self.minimum) or (
            self.above is not None and number <= self.above
        )
        high = (self.maximum is not None and number > self.maximum) or (
            self.below is not None and number >= self.below
        )
        if low or high:
            raise ValueError("")
        if self.kind == "integer":
            if number != int(number):
                raise ValueError("")
            whole = (
                int(value)
                if isinstance(value, (int, str)) and str(value).lstrip("+-").isdigit()
                else int(number)
            )
            if self.maximum is None and abs(whole) > MOST:
                raise ValueError(f"beyond {MOST}")
            return whole
        if number and not (abs(number) >= SMALLEST and (self.maximum is not None or abs(number) <= LARGEST)):
            raise ValueError(f"allowed sizes are {SMALLEST:g} to {LARGEST:g}")
        return number

    def _path(self, text: str) -> Path:
        if not text.strip() or text.startswith("-") or any(ord(letter) < 32 for letter in text):
            raise ValueError("no name of a file" if text else "nothing")
        path = Path(text)
        if any(len(part.encode()) > LONGEST_NAME for part in path.parts):
            raise ValueError("too long a name")
        if self.path in ("file", "folder", "any") and not path.exists():
            raise ValueError("which does not exist")
        if self.path == "file" and not path.is_file():
            raise ValueError("a folder")
        if self.path == "folder" and not path.is_dir():
            raise ValueError("not a folder")
        if self.path in ("new file", "new folder"):
            if path.is_dir() and self.path == "new file":
                raise ValueError("a folder")
            if path.exists() and not (path.is_dir() or (path.is_file() and self.path == "new file")):
                raise ValueError(
                    "which is there, and no " + ("folder" if self.path == "new folder" else "plain file")
                )
            places = (path, *path.absolute().parents)[self.path == "new file" :]
            above = next((folder for folder in places if folder.exists()), path)
            if not above.is_dir():
                raise ValueError(f"{above} is no folder")
            try:
                with tempfile.TemporaryFile(dir=above) as probe:
                    probe.write(b"0")
            except OSError as error:
                raise ValueError(f"{above} cannot be written: {error.strerror}") from None
        return path

    def plain(self, value: Any) -> Any:
        """Return a typed value as JSON knows it."""
        if isinstance(value, tuple):
            return [self.plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value


def setting(meaning: str, *, default: Any = REQUIRED, **bounds: Any) -> Any:
    """Return a field: what it means, its default (none: it must be given), and bounds as in ``Setting``."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, **bounds})


def given(meaning: str, *, default: Any = REQUIRED, **bounds: Any) -> Any:
    """Return a field that the graph or a person gives to a step: a file, an id, a number of workers."""
    return setting(meaning, default=default, of="", **bounds)


def same_as(cls: type, name: str, **changed: Any) -> Any:
    """Return a field that is the setting of another class, its default or bounds perhaps changed."""
    other = next(f for f in dataclasses.fields(cls) if f.name == name)
    default = changed.pop("default", other.default)
    return dataclasses.field(default=default, metadata={**other.metadata, **changed})


def part(cls: type[T]) -> T:
    """Return a field that holds settings of another class; their names count as names of this one's."""
    return dataclasses.field(default=REQUIRED, metadata={"part": cls})


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(setting, given, same_as, part)
)
def settings(cls: type[T]) -> type[T]:
    """Make a class of settings: a frozen dataclass whose values are checked and typed when it is made."""
    cls.__post_init__ = _check  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)


def step(calls: str, group: str = "") -> Callable[[type[T]], type[T]]:
    """Return a decorator that makes a class of settings a step.

    Args:
        calls: "package.module:function", called with the fields by name; a text it returns is printed.
        group: the group of the pipeline's parameters that the step's settings are of; names that the group
            lacks, the graph or a person gives.
    """

    def mark(cls: type[T]) -> type[T]:
        made = settings(cls)
        made.calls, made.group = calls, group  # type: ignore[attr-defined]
        return made

    return mark


def step_name(cls: type) -> str:
    """Return a step's name: RunCollisions is run-collisions."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


def flag_of(name: str) -> str:
    """Return the flag of a step's setting: energies_K is --energies-K."""
    return "--" + name.replace("_", "-")


def own_fields(cls: type) -> dict[str, Setting]:
    """Return the settings of a class itself, by name, in order."""
    found = {}
    for field in dataclasses.fields(cls):
        known = dict(field.metadata)
        if "part" in known:
            continue
        kind = field.type if isinstance(field.type, str) else field.type.__name__
        optional = kind.endswith(" | None")
        many = kind.startswith("tuple[")
        word = kind.replace(" | None", "").replace("tuple[", "").replace(", ...]", "")
        unit = known.pop("unit", None)
        if unit is None:
            unit = unit_of(field.name)
        for listed in ("choices", "examples"):
            if known.get(listed) is not None:
                known[listed] = tuple(known[listed])
        found[field.name] = Setting(
            name=field.name,
            kind=KINDS[word],
            many=many,
            optional=optional,
            unit=unit,
            default=field.default,
            **known,
        )
    return found


def parts_of(cls: type) -> dict[str, type]:
    """Return the classes of a class's parts, by field."""
    return {f.name: f.metadata["part"] for f in dataclasses.fields(cls) if "part" in f.metadata}


def fields_of(cls: type) -> dict[str, Setting]:
    """Return all settings of a class, those of its parts among them, in the order in which they stand.

    Raises TypeError where two parts have a name in common that is not the same setting.
    """
    found: dict[str, Setting] = {}
    own = own_fields(cls)
    for field in dataclasses.fields(cls):
        here = (
            fields_of(field.metadata["part"]) if "part" in field.metadata else {field.name: own[field.name]}
        )
        for name, known in here.items():
            if name in found and dataclasses.replace(found[name], of=None) != dataclasses.replace(
                known, of=None
            ):
                raise TypeError(f"{cls.__name__} has two settings {name}; make one the same_as the other")
            found.setdefault(name, known)
    return found


class BadSettings(UserError):
    """Settings that are refused; ``problems`` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(cls: type[T], values: Mapping[str, Any], called: Callable[[str], str] = str) -> T:
    """Return settings of a class from values by name (plain JSON, text of a command line, or typed).

    ``called`` gives the name by which a person knows a setting (--energies-K). Raises BadSettings with every
    problem: unknown names, missing ones, values outside their bounds, and what does not go together.
    """
    known, problems = fields_of(cls), []
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = (
                f"did you mean {called(near[0])}?" if near else f"allowed: {', '.join(map(called, known))}"
            )
            problems.append(f"{called(name)}: unknown setting; {meant}")
    typed = {}
    for name, spec in known.items():
        try:
            typed[name] = value_of(spec, values.get(name, spec.default), called)
        except ValueError as problem:
            problems.append(str(problem))
    if not problems:
        made = assemble(cls, typed)
        problems = list(problems_of(made, called))
        if not problems:
            return made
    raise BadSettings(problems)


def value_of(spec: Setting, value: Any, called: Callable[[str], str] = str) -> Any:
    """Return one typed value. Raises ValueError with the whole line: what was given, what is allowed."""
    if value is REQUIRED:
        raise ValueError(f"{called(spec.name)}: not given; needed: {spec.allowed}")
    try:
        return spec.typed(value)
    except ValueError as problem:
        detail = f" ({problem})" if str(problem) else ""
        raise ValueError(
            f"{called(spec.name)}: given {text_of(value)}{detail}; allowed: {spec.allowed}"
        ) from None


def problems_of(made: Any, called: Callable[[str], str] = str) -> Iterator[str]:
    """Yield what does not go together in settings, one line each; those of parts first.

    A class yields (name, text) in ``problems``; [other] in the text becomes that setting's name and value.
    """
    for name in parts_of(type(made)):
        yield from problems_of(getattr(made, name), called)
    specs, values = fields_of(type(made)), values_of(made)

    def told(match: re.Match[str]) -> str:
        other = match[1]
        return f"{called(other)}, now {text_of(values[other])}" + (
            f" {specs[other].unit}" if specs[other].unit else ""
        )

    for name, text in made.problems() if hasattr(made, "problems") else ():
        unit = f" {specs[name].unit}" if specs[name].unit else ""
        yield f"{called(name)}: given {text_of(values[name])}{unit}; " + re.sub(r"\[(\w+)\]", told, text)


def values_of(made: Any) -> dict[str, Any]:
    """Return all values of settings by name, those of parts among them, as JSON knows them."""
    found: dict[str, Any] = {}
    own, parts = own_fields(type(made)), parts_of(type(made))
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        found.update(values_of(value) if field.name in parts else {field.name: own[field.name].plain(value)})
    return found


def text_of(value: Any) -> str:
    """Return a value as a person would have given it."""
    if isinstance(value, Mapping):
        return f"a group ({', '.join(map(str, value))})"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(text_of, value)) or "nothing"
    if isinstance(value, float):
        return f"{value:.10g}"
    return re.sub(r"\s+", " ", str(value)) or "nothing"


def default_text(spec: Setting) -> str:
    """Return a default for people."""
    if spec.default is REQUIRED:
        return "none, must be given"
    return "not set" if spec.default is None or spec.default == () else text_of(spec.default)


def schema_of(cls: type) -> dict[str, Any]:
    """Return the settings of a class as the properties of a JSON Schema (with unit; lists also as they are given)."""
    found = {}
    for name, spec in fields_of(cls).items():
        entry: dict[str, Any] = {"type": "string" if spec.kind == "path" else spec.kind}
        bounds = {
            "minimum": spec.minimum, "maximum": spec.maximum, "exclusiveMinimum": spec.above,
            "exclusiveMaximum": spec.below, "enum": spec.choices and list(spec.choices), "pattern": spec.pattern,
            "examples": list(spec.examples) or None,
            "format": {"file": "file-path", "folder": "directory-path", "any": "path"}.get(spec.path or ""),
        }  # fmt: skip
        entry.update({word: bound for word, bound in bounds.items() if bound is not None})
        if spec.many:
            entry = {"type": ["string", "array"], "items": entry, "uniqueItems": not spec.repeated}
            if spec.length is not None:
                entry.update({"minItems": spec.length, "maxItems": spec.length})
        if spec.unit:
            entry["unit"] = spec.unit
        default = spec.default
        if default is not REQUIRED and default is not None:
            entry["default"] = text_of(default) if spec.many and default else spec.plain(default)
        found[name] = {**entry, "description": spec.meaning}
    return found


def is_multiple(whole: float, part: float) -> bool:
    """Return whether a length is a whole number of parts, at least one, to a millionth of a part."""
    return part > 0 and whole >= part * (1 - 1e-6) and abs(whole / part - round(whole / part)) < 1e-6


def assemble(cls: type[T], typed: Mapping[str, Any]) -> T:
    """Return settings from typed values that were checked one by one; relations are not looked at."""
    made = object.__new__(cls)
    parts = parts_of(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        value = assemble(parts[field.name], typed) if field.name in parts else typed[field.name]
        object.__setattr__(made, field.name, value)
    return made


def _check(made: Any) -> None:
    """Type and check the values of settings that were made in code. Raises BadSettings with every problem."""
    problems = []
    for name, spec in own_fields(type(made)).items():
        try:
            object.__setattr__(made, name, value_of(spec, getattr(made, name)))
        except ValueError as problem:
            problems.append(str(problem))
    for name, cls in parts_of(type(made)).items():
        if getattr(made, name) is REQUIRED:
            object.__setattr__(made, name, load(cls, {}))
    if not problems:
        problems = list(problems_of(made))
    if problems:
        raise BadSettings(problems)


def settings_modules(package: Path = Path(__file__).parent) -> list[Any]:
    """Return every module of the package that is named ``settings`` (this one excepted), sorted by name."""
    import importlib

    files = sorted(file for file in package.rglob("settings.py") if file.parent != package)
    names = [".".join(("frazil", *file.relative_to(package).with_suffix("").parts)) for file in files]
    return [importlib.import_module(name) for name in names]


def steps() -> dict[str, type]:
    """Return every step of the package by its name (run-collisions)."""
    found = [c for module in settings_modules() for c in vars(module).values() if isinstance(c, type)]
    return {step_name(cls): cls for cls in found if cls.__module__ != __name__ and "calls" in vars(cls)}
