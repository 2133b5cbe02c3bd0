"""The report's one HTML file, made of the sections."""

import base64
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.report.section import Gate, Section, number, true_minus
from frazil.settings import unit_of

LONGEST_TABLE = 25
WIDE_px = 850
"""Figures with more pixels across take the whole width of the page."""


def _read_json(path: Path | str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{what} {path} cannot be read ({error}); give a JSON file") from error
    if not isinstance(content, dict):
        raise UserError(f"{what} {path} holds a {type(content).__name__}; give a JSON object name -> value")
    return content


def _flat(content: dict[str, Any], prefix: str = "") -> list[dict[str, str]]:
    """Return rows (name, value, unit, description) of a JSON object, groups flattened to dotted names."""
    rows = []
    for name, item in content.items():
        if isinstance(item, dict) and "value" in item:
            unit, description = str(item.get("unit", "") or unit_of(name)), str(item.get("description", ""))
            rows.append(
                {
                    "name": prefix + name,
                    "value": number(item["value"]),
                    "unit": unit,
                    "description": description,
                }
            )
        elif isinstance(item, dict):
            rows += _flat(item, f"{prefix}{name}.")
        else:
            rows.append(
                {"name": prefix + name, "value": number(item), "unit": unit_of(name), "description": ""}
            )
    return rows


def _file_of(directory: Path, name: str) -> Path:
    path = directory / name
    if not path.is_file():
        raise UserError(f"section {directory} names {name}, which is not there; rerun the stage that made it")
    return path


def _embedded(path: Path) -> dict[str, Any]:
    """Return a figure as a data URI, and whether it wants the whole width of the page."""
    kinds = {".png": "image/png", ".svg": "image/svg+xml"}
    if path.suffix not in kinds:
        raise UserError(f"figure {path} is of kind {path.suffix!r}; allowed: {', '.join(kinds)}")
    content = path.read_bytes()
    width = int.from_bytes(content[16:20], "big") if path.suffix == ".png" else 0  # IHDR, the first chunk
    uri = f"data:{kinds[path.suffix]};base64,{base64.b64encode(content).decode()}"
    return {"uri": uri, "wide": width > WIDE_px, "width": width}


def _table(path: Path) -> dict[str, Any]:
    """Return a table as text: a value and the 95 % interval in the two columns after it share one cell."""
    import pandas

    try:
        frame = pandas.read_csv(path)
    except pandas.errors.EmptyDataError:
        frame = pandas.DataFrame()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"table {path} cannot be read ({reason}); rerun the stage that made it") from error
    shown = frame.head(LONGEST_TABLE)
    names = list(frame.columns)
    columns: list[str] = []
    numeric: list[bool] = []
    cells: list[list[str]] = []
    index = 0
    while index < len(names):
        name = names[index]
        is_number = pandas.api.types.is_numeric_dtype(frame[name])
        texts = [number(cell) if is_number else str(cell) for cell in shown[name].fillna(math.nan)]
        if not is_number:
            texts = ["" if text == "nan" else text for text in texts]
        with_interval = names[index + 1 : index + 3] in (
            ["low_95", "high_95"],
            [f"{name}_low_95", f"{name}_high_95"],
        )
        with_interval = with_interval and all(
            pandas.api.types.is_numeric_dtype(frame[end]) for end in names[index + 1 : index + 3]
        )
        if is_number and with_interval:
            ends = shown[names[index + 1 : index + 3]].itertuples(index=False)
            texts = [
                text if math.isnan(low) else f"{text} [{number(low)}, {number(high)}]"
                for text, (low, high) in zip(texts, ends, strict=True)
            ]
            name += " [95 %]"
        columns.append(name)
        numeric.append(is_number)
        cells.append(texts)
        index += 3 if is_number and with_interval else 1
    rows = [list(row) for row in zip(*cells, strict=True)]
    return {"columns": columns, "numeric": numeric, "rows": rows, "n_rows": len(frame)}


def render(
    sections: Sequence[Path | str], parameters: Path | str, versions: Path | str, out: Path | str
) -> list[Gate]:
    """Write one self-contained HTML file (no network) from the sections' directories, in the order given.

    Args:
        sections: results directories, each with a ``section.json``.
        parameters: JSON file, parameter -> value or {"value", "unit", "description"}; groups may be nested.
        versions: JSON file, software -> version.
        out: the HTML file.

    Returns:
        The gates that failed. Raises UserError for a missing section, figure or table.
    """
    import jinja2
    from markupsafe import Markup, escape

    parts: list[dict[str, Any]] = []
    for directory in map(Path, sections):
        section = Section.read(directory)
        parts.append(
            {
                "section": section,
                "anchor": "section-" + re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-"),
                "directory": directory.name,
                "figures": [(item, _embedded(_file_of(directory, item.file))) for item in section.figures],
                "tables": [(item, _table(_file_of(directory, item.file))) for item in section.tables],
            }
        )
    gates = [(part["section"], gate) for part in parts for gate in part["section"].gates]
    gates.sort(key=lambda pair: {False: 0, None: 1, True: 2}[pair[1].passed])
    references = dict.fromkeys(text for part in parts for text in part["section"].references)

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("frazil.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["prose"] = lambda text: re.sub(
        r"(?<=\d) (?=[^\W\d]|[%°])", "\u00a0", true_minus(text)
    )
    environment.filters["breakable"] = lambda text: Markup(str(escape(text)).replace("_", "_<wbr>"))
    html = environment.get_template("report.html.j2").render(
        parts=parts,
        gates=gates,
        failed=[gate for _, gate in gates if gate.passed is False],
        unmeasured=[gate for _, gate in gates if gate.passed is None],
        settings=_flat(_read_json(parameters, "parameters")),
        versions=_flat(_read_json(versions, "versions")),
        references=list(references),
    )
    with write_atomic(out) as partial:
        partial.write_text(html, encoding="utf-8")
    return [gate for _, gate in gates if gate.passed is False]
