#!/usr/bin/env python3
"""Repeat a run from its run.json in a fresh folder and compare the tables.

make rerun RUN=…/run.json [FOLDER=…] [PROFILE=…]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def given(run: dict, schema: dict, launch_dir: Path) -> dict:
    """Return the run's parameters as they can be given: none that were not set, files by their full names."""
    answer = {}
    for name, value in run.items():
        spec = schema.get(name, {})
        if spec.get("type") == "object":
            answer[name] = given(value, spec["properties"], launch_dir)
        elif value is not None and name != "outdir":
            joined = ",".join(map(str, value)) if isinstance(value, list) else value
            answer[name] = str(launch_dir / joined) if "format" in spec else joined
    return answer


def contents(table: Path) -> object:
    """Return a table's bytes; without its wall times, which no repetition gives again, where it has some."""
    if b"wall_s" not in table.read_bytes():
        return table.read_bytes()
    with table.open(newline="") as lines:
        return [{**row, "wall_s": None} for row in csv.DictReader(lines)]


def differences(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """Return the tables of both folders that are the same, and those that differ or are in one only."""
    names = {str(file.relative_to(folder)) for folder in (first, second) for file in folder.rglob("*.csv")}
    same = [
        name
        for name in sorted(names)
        if (first / name).is_file()
        and (second / name).is_file()
        and contents(first / name) == contents(second / name)
    ]
    return same, sorted(names - set(same))


def code_of(root: Path) -> str | None:
    """Return the checked-out commit, marked where files differ from it; None outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=-modified"]
    try:
        return (
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            .stdout.decode()
            .strip()
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def main(arguments: list[str]) -> int:
    """Repeat, compare; 0 if every table is the same, 1 if one differs, 2 if there is nothing to repeat."""
    cli = argparse.ArgumentParser(description="Repeat a run and compare its tables.")
    cli.add_argument("run", help="run.json of a finished run")
    cli.add_argument("--folder", type=Path, help="where to repeat it (default: its folder's name and -again)")
    cli.add_argument("--profile", help="another profile than the run's, e.g. hpc")
    given_to = cli.parse_args(arguments)
    path = Path(given_to.run).resolve()
    if not path.is_file():
        print(
            f"error: given {given_to.run or 'nothing'}; allowed: the run.json of a finished run; "
            "try `make rerun RUN=results/demo/run.json`",
            file=sys.stderr,
        )
        return 2
    run = json.loads(path.read_text())
    if not run.get("success"):
        print(f"error: {path} is of a run that failed; give one that finished", file=sys.stderr)
        return 2
    now = code_of(ROOT)
    if now != run["git_commit"] or "-modified" in str(now):
        print(
            f"note: the run was of commit {run['git_commit']}, this checkout is {now}: tables may differ",
            file=sys.stderr,
        )

    folder = (given_to.folder or path.parent.with_name(path.parent.name + "-again")).resolve()
    if (folder / "results").exists():
        print(
            f"error: {folder}/results exists; remove it, or name another folder: make rerun RUN=… FOLDER=…",
            file=sys.stderr,
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())["properties"]
    parameters = given(run["parameters"], schema, Path(run["launch_dir"]))
    (folder / "parameters.json").write_text(json.dumps(parameters, indent=1) + "\n")
    own = ROOT / ".frazil/bin/nextflow"
    command = [
        str(own) if own.exists() else "nextflow",
        "run",
        str(ROOT / "main.nf"),
        "-profile",
        given_to.profile or run["profile"],
    ]
    command += ["-params-file", "parameters.json", "--outdir", "results"]
    for config in run["config_files"]:
        if Path(config).name == "nextflow.config":
            continue
        if os.access(config, os.R_OK):
            command += ["-c", config]
        else:
            print(f"note: {config}, given to the run, cannot be read here: done without", file=sys.stderr)
    done = subprocess.run(command, cwd=folder, env={**os.environ, "NXF_ANSI_LOG": "false"}, check=False)
    if done.returncode:
        print(f"error: the repeated run failed in {folder}", file=sys.stderr)
        return 1
    same, different = differences(path.parent, folder / "results")
    for name in same:
        print(f"same    {name}")
    for name in different:
        print(f"DIFFERS {name}")
    print(f"{len(same)} tables are the same byte for byte, {len(different)} differ; {folder}/results")
    return int(bool(different) or not same)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
