"""What a made-up run comes to, kept in files: every table, every figure's words and marks, every result.

Laws and formulas have tests of their own. This one says that nothing else moved: a column that takes another
quantile, a curve that is no longer drawn, a gate with another limit. Where a change is meant, write it anew
by ``RENEW_KEPT=1 pytest FILE``, and look at what ``git diff tests/kept`` shows.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pandas
import pytest

WORDING = (".caption", ".why", ".remedy", ".note")
"""Of a section, what only explains."""
HERE = Path(__file__).parent / "kept"


def check(folder: Path, name: str, rel: float = 1e-5) -> None:
    """Compare what a step has written into a folder with what is kept under a name."""
    found = json.loads(json.dumps(_told(folder)))
    file = HERE / f"{name}.json"
    if os.environ.get("RENEW_KEPT"):
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    kept = json.loads(file.read_text())
    assert sorted(found) == sorted(kept)
    for place, value in found.items():
        assert _parts(value) == [_about(part, rel) for part in _parts(kept[place])], place


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for item in value.items() for part in item]
    return value if isinstance(value, list) else [value]


def _about(part: Any, rel: float) -> Any:
    return pytest.approx(part, rel=rel, abs=1e-9, nan_ok=True) if isinstance(part, float) else part


def _told(folder: Path) -> dict[str, Any]:
    """Return by file and column (or place) what is there: numbers, counts, words."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.suffix == ".csv":
            found |= {f"{name} {column}": _summed(values) for column, values in pandas.read_csv(file).items()}
        elif file.suffix == ".svg":
            found |= _drawn(name, file.read_text())
        elif file.name == "section.json":
            told = _flat(json.loads(file.read_text()))
            found |= {f"{name} {place}": value for place, value in told if not place.endswith(WORDING)}
    return found


def _summed(values: pandas.Series) -> Any:
    """Return of a column how many cells are filled and, of numbers, their mean, spread and first and last."""
    filled = values.dropna()
    if not len(filled) or not pandas.api.types.is_numeric_dtype(filled):
        return [len(filled), " ".join(map(str, dict.fromkeys(filled)))[:200]]
    numbers = filled.astype(float)
    return [len(numbers), numbers.mean(), numbers.std(ddof=0), numbers.iloc[0], numbers.iloc[-1]]


def _drawn(name: str, svg: str) -> dict[str, Any]:
    """Return a figure's words in order, its lines and marks by colour, and where its lines run in all."""
    words = re.findall(r"<text[^>]*>([^<]*)<", svg)
    styles = re.findall(r"<(path|use)[^>]*style=\"([^\"]*)\"", svg)
    counts: dict[str, int] = {}
    for kind, style in styles:
        looks = [part.strip() for part in style.split(";") if re.match(r"\s*(fill|stroke)\b", part)]
        key = " ".join([kind, *looks])
        counts[key] = counts.get(key, 0) + 1
    drawn = re.findall(r"<path[^>]* d=\"([^\"]*)\"", svg, re.DOTALL)
    places = pandas.Series([float(number) for path in drawn for number in re.findall(r"-?[\d.]+", path)])
    return {
        f"{name} words": " | ".join(words), f"{name} marks": counts,
        f"{name} places": [len(places), places.mean(), places.std(ddof=0)],
    }  # fmt: skip


def _flat(value: Any, place: str = "") -> list[tuple[str, Any]]:
    """Return (place, number or text) of everything in a JSON document."""
    if isinstance(value, dict):
        return [item for key, own in value.items() for item in _flat(own, f"{place}.{key}")]
    if isinstance(value, list):
        return [item for number, own in enumerate(value) for item in _flat(own, f"{place}[{number}]")]
    return [(place, value)]
