"""The command frazil: steps by name, help, and what the pipeline asks before any task.

Only the standard library, until a step runs: a login node asks it, too.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from frazil import checkpoints, code, cost, holder, parameters, progress
from frazil.errors import EXIT_BAD_INPUT, UserError
from frazil.labels.imports import sheet
from frazil.labels.imports.sheet import entries_of
from frazil.labels.settings import DATASETS
from frazil.report import run_line
from frazil.settings import steps, values_of

USAGE = """usage: frazil STEP [--FLAG VALUE ...]   run one step; frazil STEP --help lists its flags
       frazil help [NAME]              all that is called NAME: parameters and steps; NAME parameters: all
       frazil schema | docs            nextflow_schema.json | docs/parameters.md on standard output
       frazil sheet                    assets/samplesheet_schema.json on standard output
       frazil progress [FOLDER]        the running tasks of the run started in a folder: bars and time left
       frazil free RESULTS             that no run has this folder of results, or which one has (exit 2)
       frazil tell RESULTS             write into report.html what run.json says (every run does at its end)
       frazil sweep FOLDER             delete kept work that nobody needs (work/checkpoints)

steps:"""


def main(words: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    command = words[0] if words else "--help"
    asked: dict[str, Callable[[], str]] = {
        "schema": lambda: json.dumps(parameters.schema(), indent=2, ensure_ascii=False),
        "docs": parameters.table,
        "sheet": lambda: json.dumps(sheet.schema(), indent=2, ensure_ascii=False),
        "help": lambda: help_of(words[1:]),
        "--help": usage,
        "launch": launch,
        "progress": lambda: progress.told(Path(*words[1:2])),
        "free": lambda: holder.free(Path(*words[1:2])),
        "tell": lambda: run_line.finish(Path(*words[1:2])),
        "sweep": lambda: checkpoints.sweep_by_hand(words[1:]),
    }
    if command in asked:
        try:
            print(asked[command]())
        except UserError as error:
            print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
            return EXIT_BAD_INPUT
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    known = steps()
    name = command.removesuffix(".py").replace("_", "-") if sys.version_info >= (3, 9) else command
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        print(
            f"error: no step {command}; "
            + (f"did you mean {near[0]}?" if near else "frazil help lists them"),
            file=sys.stderr,
        )
        return EXIT_BAD_INPUT
    from frazil.cli import run

    run(known[name], words[1:])
    return 0


def help_of(names: Sequence[str]) -> str:
    """Return the help of one name, of all parameters ("parameters"), or how the command is used."""
    if not names:
        return usage()
    return parameters.help_of("" if names[0] == "parameters" else names[0])


def usage() -> str:
    """Return what the command can do."""
    known = steps()
    width = max(map(len, known))
    return "\n".join(
        [
            USAGE,
            *(f"  {name:{width}}  {(known[name].__doc__ or '').splitlines()[0]}" for name in sorted(known)),
        ]
    )


def launch() -> str:
    """Return what a run needs to know before its first task, as JSON; standard input holds its parameters.

    parameters: all of them, checked. steps: what each step takes of them. code: the hash of what each script
    reaches, and of all. files: those that each data set names, and their names in it.
    alone: settings of the experiments that are one campaign, with one graph for all. reads: the files that
    each of these reads, by setting. cost: what to say of the run's cost and of the results of another run in
    its folder, perhaps nothing. Raises UserError with all problems, or the cost where it is asked.
    """
    try:
        given = json.loads(sys.stdin.read() or "{}")
    except ValueError as error:
        raise UserError(f"standard input is no JSON ({error}); give parameters by name, by group") from error
    if not isinstance(given, dict):
        raise UserError(f"standard input is {given!r:.60}; give an object: parameters by name, by group")
    resolved = parameters.resolve(given)
    run = parameters.plain(resolved)
    hashes = code.hashes(Path(__file__).resolve().parents[2])
    package = Path(__file__).resolve().parent
    alone = parameters.campaigns()
    for name, module in alone.items():  # what runs them reaches their physics by its name only
        physics = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
        hashes[name] = code.digest_of(package, physics)
    datasets = [
        group[name]
        for group in run.values()
        for name in DATASETS
        if isinstance(group, dict) and group.get(name)
    ]
    entries = {name: entries_of(Path(name)) for name in datasets}
    files = {name: [str(entry.file.resolve()) for entry in found] for name, found in entries.items()}
    names = {name: [entry.name for entry in found] for name, found in entries.items()}
    warned = others_results(resolved.outdir, resolved.experiments)
    lines = [cost.agreed(cost.of_run(resolved), resolved.yes), warned]
    told = "\n".join(line for line in lines if line)
    found = {
        "parameters": run, "steps": parameters.of_steps(run), "code": hashes, "files": files, "names": names,
        "alone": {name: values_of(getattr(resolved, name)) for name in alone},
        "reads": {name: parameters.files_of(name, getattr(resolved, name)) for name in alone},
        "cost": told,
    }  # fmt: skip
    return json.dumps(found)


def others_results(outdir: Path, experiments: Sequence[str]) -> str:
    """Return a warning where a folder has results of other experiments, empty where it has not."""
    try:
        earlier = json.loads((outdir / "run.json").read_text(encoding="utf-8"))["experiments"]
        earlier = earlier.split(",") if isinstance(earlier, str) else list(earlier)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if set(earlier) <= set(experiments):
        return ""
    return (
        f"warning: {outdir} holds a run of {', '.join(earlier)}; its report.html and run.json will be "
        "replaced: give another --outdir to keep them"
    )


def entry() -> None:
    """Run the command line of an installed package: ``frazil STEP …`` inside images."""
    sys.exit(main(sys.argv[1:]))
