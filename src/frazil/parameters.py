"""The pipeline's parameters: groups of settings, the check of a run, what each step gets, and their help.

Groups and steps are found in the modules named ``settings``. Only the standard library: a login node runs it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

from frazil.analysis.settings import ModelError
from frazil.errors import UserError
from frazil.experiments.settings import MOST_KEPT
from frazil.files import compositions
from frazil.labels.settings import Seed
from frazil.potentials.folder import elements_of
from frazil.settings import (
    BadSettings,
    Setting,
    assemble,
    default_text,
    fields_of,
    flag_of,
    part,
    problems_of,
    schema_of,
    setting,
    settings,
    settings_modules,
    steps,
    text_of,
    value_of,
    values_of,
)

TITLE = "From quantum-chemistry labels to trajectory ensembles with publishable statistics"
EXPERIMENTS = tuple(
    sorted(file.parent.name for file in Path(__file__).parent.glob("experiments/*/settings.py"))
)
"""Every room of ``experiments`` that has settings."""


@settings
class Run:
    """What holds for a whole run."""

    experiments: tuple[str, ...] = setting(
        "What to run, comma-separated", default=("photodesorption",), choices=EXPERIMENTS
    )
    outdir: Path = setting(
        "Folder of the results (its default is set in nextflow.config, where publishing is configured)",
        default=Path("results"), path="new folder",
    )  # fmt: skip
    title: str | None = setting("Title of the report (not set: names of the experiments)", default=None)
    purpose: str = setting(
        "What the run is for; the report says it at the top",
        default="production", choices=("production", "demonstration"),
    )  # fmt: skip
    yes: bool = setting(
        "Start a run of 2 core hours or more (estimated); without it such a run says its cost and ends",
        default=False,
    )
    keep_trajectories: int = setting(
        "Trajectories of each experiment, those of the lowest ids, that run again when it has ended, which "
        "costs them once more, for their frames (NAME_kept/frames.extxyz); 0: none",
        default=0, minimum=0, maximum=MOST_KEPT,
    )  # fmt: skip
    keep_frames: int = setting(
        "Frames of each of these, at equal steps; at most all observations",
        default=100,
        minimum=1,
        maximum=10**6,
    )
    seed: Seed = part(Seed)
    model_error: ModelError = part(ModelError)


def groups() -> dict[str, type]:
    """Return the groups of parameters by name, in the order of the help."""
    found = {
        name: cls for module in settings_modules() for name, cls in getattr(module, "GROUPS", {}).items()
    }
    first = ("labels", "frames", "deepmd", "gmnn", "exploration")
    return {name: found[name] for name in (*first, *(name for name in found if name not in first))}


def experiments_of_groups() -> dict[str, str]:
    """Return the experiment that each group of parameters belongs to; "" for groups of several."""
    found = {}
    for module in settings_modules():
        room = module.__name__.split(".")[-2]
        for name in getattr(module, "GROUPS", {}):
            found[name] = room if room in EXPERIMENTS else ""
    return found


def campaigns() -> dict[str, str]:
    """Return the modules of experiments that are one campaign (``frazil.experiments.campaign``), by name."""
    found = {}
    for module in settings_modules():
        if hasattr(module, "CAMPAIGN"):
            found[module.__name__.split(".")[-2]] = str(module.CAMPAIGN)
    return found


def showing() -> list[str]:
    """Return the experiments whose trajectories can be published with their frames, ``KEEPS_FRAMES``."""
    return [m.__name__.split(".")[-2] for m in settings_modules() if getattr(m, "KEEPS_FRAMES", False)]


def files_of(experiment: str, own: Any) -> dict[str, str]:
    """Return the files that an experiment that is one campaign reads, absolute, by setting.

    Those are its settings', and what ``shipped`` of its module names of ``assets`` for others.
    """
    module = next(m for m in settings_modules() if m.__name__.split(".")[-2:] == [experiment, "settings"])
    assets = Path(__file__).resolve().parents[2] / "assets"
    found = {name: str(assets / file) for name, file in getattr(module, "shipped", _nothing)(own).items()}
    values = values_of(own)
    for name, spec in fields_of(type(own)).items():
        value = values[name]
        if value is not None and spec.path in ("file", "folder", "any"):
            found[name] = str(Path(value).resolve())
    return found


def _nothing(own: Any) -> dict[str, str]:
    return {}


def parameters_of(cls: type) -> dict[str, Setting]:
    """Return a group's own parameters: those of its settings whose home is no other group."""
    return {name: spec for name, spec in fields_of(cls).items() if spec.of is None}


DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""What programs that read the schema ask for: Nextflow's nf-schema, forms of launches."""


def schema() -> dict[str, Any]:
    """Return nextflow_schema.json: every parameter with type, unit, bounds, default and description."""

    def of(cls: type) -> dict[str, Any]:
        kept = parameters_of(cls)
        return {name: entry for name, entry in schema_of(cls).items() if name in kept}

    properties = of(Run)
    for name, cls in groups().items():
        about = (cls.__doc__ or "").splitlines()[0]
        properties[name] = {"type": "object", "description": about, "properties": of(cls)}
    head = {"$schema": DIALECT, "title": "frazil pipeline parameters", "description": TITLE}
    return {**head, "type": "object", "properties": properties}


def all_parameters() -> dict[str, Setting]:
    """Return every parameter by its full name (sticking.energies_K)."""
    found = dict(parameters_of(Run))
    for group, cls in groups().items():
        found.update({f"{group}.{name}": spec for name, spec in parameters_of(cls).items()})
    return found


def resolve(given: Mapping[str, Any]) -> SimpleNamespace:
    """Return the settings of a run: its own fields and every group, by name, typed and checked.

    ``given``: parameters as Nextflow has them, groups as maps; texts where a person gave them. Raises
    BadSettings with every problem of the parameters, else every problem between them.
    """
    known = all_parameters()
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, value in _flat(given, problems, set(groups())).items():
        if name in known:
            values[name] = value
        else:
            problems.append(f"--{name}: unknown parameter; {_suggestion(name, list(known))}")
    typed = {}
    for name, spec in known.items():
        try:
            typed[name] = value_of(spec, values.get(name, spec.default), _always(f"--{name}"))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise BadSettings(problems)
    run = SimpleNamespace(**{name: typed[name] for name in parameters_of(Run)})
    for group, cls in groups().items():
        setattr(run, group, assemble(cls, _values_in(typed, group, fields_of(cls))))
    for group in groups():
        problems += problems_of(getattr(run, group), _names_of(group))
    problems += _between(run, typed, known)
    if problems:
        raise BadSettings(list(dict.fromkeys(problems)))
    return run


def plain(run: SimpleNamespace) -> dict[str, Any]:
    """Return the settings of a run as JSON knows them: the form of run.json."""
    found: dict[str, Any] = {name: getattr(run, name) for name in parameters_of(Run)}
    found |= {"experiments": list(run.experiments), "outdir": str(run.outdir)}
    for group, cls in groups().items():
        kept = parameters_of(cls)
        found[group] = {name: value for name, value in values_of(getattr(run, group)).items() if name in kept}
    return found


def of_steps(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each step takes of a run's parameters (``plain``): step -> setting -> value."""
    found = {}
    for name, cls in steps().items():
        group = cls.group  # type: ignore[attr-defined]
        taken = {}
        for field, spec in fields_of(cls).items():
            if spec.of == "":
                continue
            value: Any = run
            for word in (spec.of or f"{group}.{field}").split("."):
                value = value[word]
            taken[field] = value
        found[name] = taken
    return found


def help_of(wanted: str = "") -> str:
    """Return the help of all parameters, or of those (and the steps) whose name holds ``wanted``.

    Raises UserError where nothing has such a name.
    """
    lines = (
        []
        if wanted
        else ["Usage: nextflow run main.nf -profile PROFILE [--PARAMETER VALUE ...] [-resume]", ""]
    )
    heading = ""
    for name, spec in all_parameters().items():
        group = name.partition(".")[0] if "." in name else ""
        if wanted and wanted.lower().replace("-", "_") not in name.lower():
            continue
        if group != heading and not wanted:
            about = (groups()[group].__doc__ or "").splitlines()[0]
            lines += ["", f"{group}: {about}"]
        heading = group
        lines += [f"  --{name}  {spec.allowed}; default: {default_text(spec)}", f"      {spec.meaning}"]
    if wanted:
        word = wanted.lower().replace("_", "-").removesuffix(".py")
        for name, cls in steps().items():
            if word in name:
                lines += ["", f"frazil {name}: {(cls.__doc__ or '').splitlines()[0]}"]
                if word == name or sum(word in other for other in steps()) == 1:
                    for spec in fields_of(cls).values():
                        lines += [
                            f"  {flag_of(spec.name)}  {spec.allowed}; default: {default_text(spec)}",
                            f"      {spec.meaning}",
                        ]
        if not lines:
            names = [*all_parameters(), *steps()]
            words = dict.fromkeys([*names, *(name.rpartition(".")[2] for name in names)])
            near = difflib.get_close_matches(wanted, words, 3, 0.5)
            raise UserError(
                f"nothing is called {wanted}" + (f"; did you mean {' or '.join(near)}?" if near else "")
            )
    return "\n".join(lines).strip("\n")


def table() -> str:
    """Return docs/parameters.md: every parameter by group."""
    lines = [
        "# Parameters", "",
        "Every parameter of the pipeline, written by `bin/frazil docs`. A parameter is given as "
        "`--group.name VALUE`, in a profile, or in a file by `-params-file`. `bin/frazil help NAME` prints "
        "the same for one name, or for one step.", "",
    ]  # fmt: skip
    for group, cls in {"": Run, **groups()}.items():
        lines += [f"## {group or 'The run'}", "", (cls.__doc__ or "").splitlines()[0], ""]
        lines += ["| Parameter | Allowed | Default | Meaning |", "| --- | --- | --- | --- |"]
        for name, spec in parameters_of(cls).items():
            full = f"{group}.{name}" if group else name
            cells = (f"`{full}`", spec.allowed, default_text(spec), spec.meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _values_in(typed: Mapping[str, Any], group: str, specs: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the typed values of one group by name; those whose home is another group come from there."""
    return {
        name: spec.default if spec.of == "" else typed[spec.of or f"{group}.{name}"]
        for name, spec in specs.items()
    }


def _always(text: str) -> Callable[[str], str]:
    return lambda _: text


def _names_of(group: str) -> Callable[[str], str]:
    """Return what gives the full names of a group's settings."""
    specs = fields_of(groups()[group])
    return lambda name: f"--{specs[name].of or f'{group}.{name}'}"


def _flat(given: Mapping[str, Any], problems: list[str], known_groups: set[str]) -> dict[str, Any]:
    """Return given parameters by full name, without the camelCase twin that Nextflow adds to kebab-case."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if any("-" in other and re.sub("-(.)", lambda m: m[1].upper(), other) == name for other in given):
            continue
        if name not in known_groups:
            found[name] = value
        elif isinstance(value, Mapping):
            found.update({f"{name}.{leaf}": item for leaf, item in _flat(value, problems, set()).items()})
        elif value is not None:
            first = next(iter(parameters_of(groups()[name])))
            problems.append(
                f"--{name}: given {text_of(value)}; it is a group: set one of its parameters, as "
                f"--{name}.{first} VALUE"
            )
    return found


def _between(run: SimpleNamespace, typed: Mapping[str, Any], known: Mapping[str, Setting]) -> Iterator[str]:
    """Yield what does not go together between groups; each settings module says it in ``contradictions``."""

    def told(match: re.Match[str]) -> str:
        unit = f" {known[match[1]].unit}" if known[match[1]].unit else ""
        return f"--{match[1]}, now {text_of(typed[match[1]])}{unit}"

    blind = [name for name in run.experiments if name not in showing()]
    if run.keep_trajectories and blind:
        yield (
            f"--keep_trajectories: given {run.keep_trajectories}; allowed: 0 with {', '.join(blind)}, which "
            f"has no frames of trajectories to publish; {', '.join(sorted(showing()))} have"
        )
    yield from _no_potentials(typed)
    for module in settings_modules():
        for name, text in module.contradictions(run) if hasattr(module, "contradictions") else ():
            unit = f" {known[name].unit}" if known[name].unit else ""
            yield f"--{name}: given {text_of(typed[name])}{unit}; " + re.sub(r"\[([\w.]+)\]", told, text)


def _no_potentials(typed: Mapping[str, Any]) -> Iterator[str]:
    """Yield which folders of potentials are none, and which structures have atoms that theirs do not know."""
    for name, model in typed.items():
        group, _, last = name.rpartition(".")
        if last != "model" or not isinstance(model, Path):
            continue
        try:
            elements = elements_of(model)
        except UserError as problem:
            yield f"--{name}: given {model}; {problem}"
            continue
        structure = typed.get(f"{group}.structure")
        if not elements or not isinstance(structure, Path):
            continue
        with suppress(OSError, ValueError, IndexError):  # who reads the file tells what is wrong with it
            symbols = {symbol for frame in compositions(structure) for symbol in frame if symbol.isalpha()}
            if foreign := symbols - set(elements):
                yield (
                    f"--{group}.structure: given {structure}, with {', '.join(sorted(foreign))}; allowed: "
                    f"atoms of --{name}, now {model}: {', '.join(elements)}"
                )


def _letters(name: str) -> str:
    return re.sub("[-_]", "", name.lower())


def _suggestion(wrong: str, names: list[str]) -> str:
    letters = {_letters(name): name for name in names}
    leaves = {_letters(name.rpartition(".")[2]): name for name in names}
    near = difflib.get_close_matches(_letters(wrong), letters, 1, 0.8)
    near_leaf = difflib.get_close_matches(_letters(wrong.rpartition(".")[2]), leaves, 1, 0.8)
    meant = letters[near[0]] if near else leaves[near_leaf[0]] if near_leaf else None
    return f"did you mean --{meant}? (--help lists all)" if meant else "allowed: see --help"
