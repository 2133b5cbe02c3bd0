"""Bugs drawn at random and put in one by one: which of them make a test fail?

    python benchmarks/mutants.py --seed 1 --number 80 --out mutants.csv

A bug changes one place of ``ROOMS``: a number, an operator, a comparison, a condition, the end of a slice; it
drops a factor, a function, a keyword or a statement, or swaps two arguments. All is done in a copy of the
checkout. Test files that are about a bug's file are run once without bugs, and tell which functions each test
runs (kept in ``.frazil``, anew for files that changed). A bug is then shown to the tests of its function, the
quickest first, for ``--seconds``, and if they pass to the other tests of their files, as long again. The
table says what the tests said. Of bugs that survive some change no result: that a person has to judge.
"""

import argparse
import ast
import builtins
import copy
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas
import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("src/frazil/analysis", "src/frazil/experiments", "src/frazil/md")
OF_SETTINGS = "tests/unit/test_settings.py::test_schema_and_table_follow_from_the_settings"
"""Sees every default and bound."""
HEAVY = (
    "ase.io", "h5py", "jax.numpy", "matplotlib.pyplot", "optax", "pandas", "scipy.optimize",
    "scipy.signal", "scipy.spatial", "scipy.stats",
)  # fmt: skip
"""Imported once, for all children."""
KEPT = ROOT / ".frazil/functions-of-tests.json"
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
DROPPED = {"sqrt", "abs", "exp", "log", "cos", "sin", "maximum", "minimum", "max", "min", "sorted", "round"}
"""Functions in whose place a bug puts their first argument."""
EITHER_WAY = {
    "asarray", "array", "getattr", "given", "hasattr", "hypot", "isinstance", "label", "max", "maximum",
    "min", "minimum", "part", "same_as", "setting", "zip",
}  # fmt: skip
"""Functions whose first two arguments are not swapped: it changes nothing, or cannot go unnoticed."""
STRICTER = {"encoding", "exist_ok", "file", "flush", "parents", "strict"}
"""Keywords without which the same comes out."""
LOOKS = {
    "alpha", "bottom", "capsize", "color", "dpi", "elinewidth", "figsize", "fontsize", "height_ratios",
    "layout", "left", "linestyle", "linewidth", "loc", "marker", "markersize", "ncol", "ncols", "rotation",
    "s", "size", "width_ratios", "zorder",
}  # fmt: skip
"""Keywords that change how a figure looks, and nothing else: left alone."""


@dataclass(frozen=True)
class Mutant:
    """One bug: in which file, line and function, of what kind, and the text before and after.

    ``function``: the line of its head, 0 for none; then ``names`` are what is assigned there.
    """

    file: str
    line: int
    function: int
    names: tuple[str, ...]
    kind: str
    before: str
    after: str
    start: int
    end: int

    def text(self) -> str:
        """Return the file's text with the bug."""
        data = (ROOT / self.file).read_bytes()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def mutants_of(file: str) -> list[list[Mutant]]:
    """Return all bugs of a file, those of one place together."""
    text = (ROOT / file).read_text(encoding="utf-8")
    offsets = [0]
    for line in text.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    places = []
    for node, function, names in _expressions(ast.parse(text)):
        start = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        before = text.encode()[start:end].decode()
        found = [
            Mutant(file, node.lineno, function, names, kind, before, after, start, end)
            for kind, after in dict.fromkeys(_changes(node))
        ]
        if found:
            places.append(found)
    return places


def _expressions(tree: ast.Module) -> Iterator[tuple[Any, int, tuple[str, ...]]]:
    """Yield nodes that may be changed, the line of the function that they are in, and names assigned.

    What is in no function (0) runs when the module is imported, by all tests: it matters to functions that
    use its names. A default of an argument matters to its function.
    """

    def walk(node: ast.AST, function: int, names: tuple[str, ...]) -> Iterator[Any]:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.keyword) and node.arg in LOOKS:
            return
        if isinstance(node, ast.FunctionDef):
            function, names = node.lineno, ()
        elif isinstance(node, ast.stmt) and not isinstance(node, ast.ClassDef) and not function:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            parts = [part for target in targets if target for part in ast.walk(target)]
            names = tuple(part.id for part in parts if isinstance(part, ast.Name))
        for test in [getattr(node, "test", None), *getattr(node, "ifs", ())]:
            if test is not None:
                test.decides = True
        if not _is_text(node) and hasattr(node, "lineno"):
            yield node, function, names
        if isinstance(node, ast.Subscript) and _is_type(node):
            return
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list", "bases", "ops", "op", "ctx"):
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, ast.AST):
                        yield from walk(part, function, names)

    yield from walk(tree, 0, ())


def told(file: str) -> str:
    """Return a file's text in which every function says that it runs: it calls ``seen`` if there is one."""
    text = (ROOT / file).read_text(encoding="utf-8")
    rows = text.splitlines(keepends=True)
    heads = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(heads, key=lambda node: -node.lineno):
        first = node.body[1] if _is_text(node.body[0]) and len(node.body) > 1 else node.body[0]
        if first.lineno > node.lineno and not _is_text(first):
            line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
            call = f"__import__('builtins').__dict__.get('seen', str)('{file}:{node.lineno}')"
            rows.insert(line - 1, f"{' ' * first.col_offset}{call}\n")
    return "".join(rows)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        node = node.value
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_type(node: ast.Subscript) -> bool:
    named = node.value
    name = named.id if isinstance(named, ast.Name) else getattr(named, "attr", "")
    return name in (
        "dict",
        "list",
        "tuple",
        "Callable",
        "Sequence",
        "NDArray",
        "Mapping",
        "Literal",
        "Iterator",
    )


def _differ(args: Sequence[ast.expr]) -> bool:
    """Whether the first two arguments may be taken for each other: no text, and not the same."""
    return len(args) > 1 and not any(map(_is_text, args[:2])) and ast.dump(args[0]) != ast.dump(args[1])


def _changes(node: Any) -> Iterator[tuple[str, str]]:
    """Yield (kind, text in its place) of all bugs at a node."""

    def changed(**fields: Any) -> str:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        text = ast.unparse(new)
        return text if isinstance(node, ast.stmt) else f"({text})"

    def whole(other: ast.AST) -> str:
        return f"({ast.unparse(other)})"

    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", str(not value)
        case ast.Constant(value=int(value)):
            yield "constant", str(value + 1)
            yield "constant", f"({value - 1})"
        case ast.Constant(value=float(value)):
            yield "constant", repr(value * 2) if value else "1.0"
            yield "constant", repr(value / 2) if value else "(-1.0)"
        case ast.BinOp(left=left, op=op, right=right):
            if any(_is_text(part) or isinstance(part, ast.JoinedStr) for part in (left, right)):
                return
            yield "operator", changed(op=ARITHMETIC[type(op)]())
            yield "part dropped", whole(left)
            if not isinstance(op, ast.Pow | ast.Mod | ast.FloorDiv):
                yield "part dropped", whole(right)
        case ast.AugAssign(op=op):
            yield "operator", changed(op=ARITHMETIC[type(op)]())
            yield "statement dropped", "pass"
        case ast.Compare(ops=[op], comparators=[_]):
            for other in COMPARISONS[type(op)]:
                yield "comparison", changed(ops=[other()])
        case ast.BoolOp(op=op, values=values):
            yield "condition", changed(op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for kept in range(len(values)):
                rest = values[:kept] + values[kept + 1 :]
                yield "condition", whole(rest[0]) if len(rest) == 1 else changed(values=rest)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield "sign or negation dropped", whole(operand)
        case ast.Call(func=func, args=args, keywords=keywords):
            name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
            starred = any(isinstance(arg, ast.Starred) for arg in args)
            if name not in EITHER_WAY and not starred and _differ(args):
                yield "arguments swapped", changed(args=[args[1], args[0], *args[2:]])
            if name in DROPPED and args and not starred:
                yield "function dropped", whole(args[0])
            for keyword in keywords:
                if keyword.arg and keyword.arg not in LOOKS | STRICTER:
                    yield "keyword dropped", changed(keywords=[k for k in keywords if k is not keyword])
        case ast.Expr(value=ast.Call()):
            yield "statement dropped", "pass"
        case ast.Slice(lower=lower, upper=upper, step=step) if step is None:
            for end, where in ((lower, "lower"), (upper, "upper")):
                if end is not None and not isinstance(end, ast.Constant):
                    moved = ast.BinOp(end, ast.Add(), ast.Constant(1))
                    new = copy.copy(node)
                    setattr(new, where, moved)
                    yield "slice", ast.unparse(new)
    if getattr(node, "decides", False):
        yield "condition", f"(not ({ast.unparse(node)}))"


class Watcher:
    """A plugin of pytest: which functions of the rooms each test runs, and how long it takes."""

    def __init__(self) -> None:
        self.wide: set[str] = set()
        """What runs outside single tests: on import, and in fixtures of many tests."""
        self.now, self.tests = self.wide, dict[str, set[str]]()
        self.seconds, self.failed = dict[str, float](), set[str]()

    def pytest_collection(self) -> None:
        """Begin: ``told`` functions call this."""
        builtins.seen = lambda function: self.now.add(function)  # type: ignore[attr-defined]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Note the functions of one test."""
        self.now = self.tests.setdefault(item.nodeid, set())
        yield
        self.now = self.wide

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)

    def write(self, out: Path) -> None:
        """Write the functions of all tests that pass, and what they share."""
        passed = [name for name in self.tests if name not in self.failed]
        tests = {n: {"seconds": self.seconds[n], "functions": sorted(self.tests[n])} for n in passed}
        out.write_text(json.dumps({"shared": sorted(self.wide), "tests": tests}))


class Reached:
    """Which tests run a function, of test files that are about it: found when first asked for, and kept."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.files: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
        self.texts = {
            str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
            for path in sorted((ROOT / "tests").rglob("test_*.py"))
            if "pipeline" not in path.parts and "hpc" not in path.parts
        }
        self.fresh: set[str] = set()

    def about(self, file: str) -> list[str]:
        """Return the test files that name a module, or lie in the folder of its room's tests."""
        path = Path(file).relative_to("src").with_suffix("")
        package, module = ".".join(path.parts[:-1]), path.name
        package = re.escape(package)
        named = re.compile(rf"{package}\.{module}\b|from {package} import .*\b{module}\b")
        room = "/".join(("tests", "unit", *path.parts[1:-1], ""))
        return [test for test, text in self.texts.items() if test.startswith(room) or named.search(text)]

    def tests(self, file: str) -> dict[str, Any]:
        """Return what a test file's tests run."""
        known = self.files.get(file)
        if file not in self.fresh and (not known or known["digest"] != _digest([file, *_files_of(known)])):
            print(f"functions of {file}", flush=True)
            out = self.tree.parent / "seen.json"
            out.unlink(missing_ok=True)
            for source in sources():
                (self.tree / source).write_text(told(source), encoding="utf-8")
            forked(self.tree, [file], 3600, [Watcher()])
            for source in sources():
                shutil.copyfile(ROOT / source, self.tree / source)
            found = json.loads(out.read_text()) if out.is_file() else {"shared": [], "tests": {}}
            known = self.files[file] = {"digest": _digest([file, *_files_of(found)]), **found}
            KEPT.write_text(json.dumps(self.files))
        self.fresh.add(file)
        return known or {}

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that run a mutant's function, the quickest first."""
        used = {f"{mutant.file}:{mutant.function}"} if mutant.function else self._using(mutant.names)
        about = set(self.about(mutant.file))
        if mutant.file.endswith("settings.py"):
            about |= {OF_SETTINGS.split("::")[0]}
        found = {OF_SETTINGS} & {name for file in about for name in self.tests(file)["tests"]}
        for file in sorted(about):
            known = self.tests(file)
            shared = not used.isdisjoint(known["shared"]) and bool(mutant.function)
            found |= {
                n for n, test in known["tests"].items() if shared or not used.isdisjoint(test["functions"])
            }
        return sorted(found, key=self.seconds)

    def of_same_files(self, tests: Sequence[str]) -> list[str]:
        """Return all other tests of the files of some, the quickest first."""
        files, known = {test.split("::")[0] for test in tests}, set(tests)
        rest = [test for file in files for test in self.files[file]["tests"] if test not in known]
        return sorted(rest, key=self.seconds)

    def seconds(self, test: str) -> float:
        """Return how long a test took."""
        return float(self.files[test.split("::")[0]]["tests"][test]["seconds"])

    def _using(self, names: Sequence[str]) -> set[str]:
        """Return the functions that mention one of the names, or what is made of it on import."""
        used: set[str] = set()
        wanted = set(names)
        for _ in range(2):
            for function, mentioned, assigned in self.mentions:
                if mentioned in wanted:
                    used.add(function)
                    wanted |= set(assigned)
        return used

    @cached_property
    def mentions(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(Function, name, names assigned there outside functions) of every name in the rooms."""
        found = []
        for file in sources():
            for node, function, assigned in _expressions(
                ast.parse((ROOT / file).read_text(encoding="utf-8"))
            ):
                if name := getattr(node, "id", getattr(node, "attr", "")):
                    found.append((f"{file}:{function}", name, assigned))
        return found


def sources() -> list[str]:
    """Return the files of the rooms."""
    return sorted(str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def _files_of(known: dict[str, Any]) -> list[str]:
    """Return the files whose functions a test file runs."""
    functions = [*known["shared"], *(name for test in known["tests"].values() for name in test["functions"])]
    return sorted({function.split(":")[0] for function in functions})


def _digest(files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update((ROOT / file).read_bytes() if (ROOT / file).is_file() else b"")
    return digest.hexdigest()


def forked(
    tree: Path, arguments: Sequence[str], limit_s: float, plugins: Sequence[Any] = ()
) -> tuple[int | None, str]:
    """Return exit code (None: out of time) and output of pytest in a child of this process, in the copy.

    The child has what this process has imported: all heavy packages, and nothing of frazil.
    """
    said = tree.parent / "said"
    child = os.fork()
    if not child:
        os.setsid()
        with said.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(tree)
        sys.path.insert(0, str(tree / "src"))
        code = 70
        try:
            code = int(pytest.main(["-p", "no:cacheprovider", *arguments], plugins=list(plugins)))
            for plugin in plugins:
                plugin.write(tree.parent / "seen.json")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        time.sleep(0.05)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return None, said.read_text(errors="replace")


def judge(mutant: Mutant, reached: Reached, tree: Path, seconds: float) -> tuple[str, str]:
    """Return (verdict, the test that failed) of one mutant: caught, survived or not executed."""
    direct = reached.of(mutant)
    if not direct:
        return "not executed", ""
    target = tree / mutant.file
    target.write_text(mutant.text(), encoding="utf-8")
    try:
        for tests in (direct, reached.of_same_files(direct)):
            chosen: list[str] = []
            spent = 0.0
            for test in tests:
                spent += reached.seconds(test)
                if chosen and spent > seconds:
                    break
                chosen.append(test)
            if not chosen:
                continue
            code, said = forked(tree, ["-x", "--tb=line", *chosen], 300 + 10 * min(spent, 3 * seconds))
            if code is None:
                return "caught", "out of time"
            if code in (1, 2) or code < 0:
                failed = [row for row in said.splitlines() if row.startswith(("FAILED", "ERROR"))]
                return "caught", failed[0] if failed else f"exit code {code}"
            if code:
                raise RuntimeError(f"pytest ended with {code}: {said[-2000:]}")
    finally:
        shutil.copyfile(ROOT / mutant.file, target)
    return "survived", ""


def copied(folder: Path) -> Path:
    """Return a copy of the checkout in a folder, in which this process's children will run its tests."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "tree" / name)
    (folder / "tree/.frazil").symlink_to((ROOT / ".frazil").resolve())
    if (ROOT / ".frazil/jax-cache").is_dir():
        shutil.copytree(ROOT / ".frazil/jax-cache", folder / "jax-cache")
    os.environ |= {
        "PYTHONPATH": str(folder / "tree/src"), "JAX_COMPILATION_CACHE_DIR": str(folder / "jax-cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    sys.dont_write_bytecode = True
    for package in HEAVY:
        importlib.import_module(package)
    return folder / "tree"


def draw(seed: int, number: int) -> list[Mutant]:
    """Return that many mutants, each of another place, all places alike."""
    places = [place for file in sources() for place in mutants_of(file)]
    generator = random.Random(seed)
    return [generator.choice(place) for place in generator.sample(places, number)]


def main() -> None:
    """Draw, judge one by one, write the table and the score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for each bug")
    parser.add_argument("--only", help="numbers of this draw, 3,14,15: judge these alone")
    parser.add_argument("--list", action="store_true", help="draw, and run nothing")
    parser.add_argument("--out", type=Path, default=Path("mutants.csv"))
    given = parser.parse_args()
    drawn = draw(given.seed, given.number)
    only = {int(n) for n in given.only.split(",")} if given.only else set(range(len(drawn)))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        if not given.list:
            tree = copied(Path(folder))
            reached = Reached(tree)
        for number, mutant in enumerate(drawn):
            if number not in only:
                continue
            start = time.perf_counter()
            verdict, test = ("", "") if given.list else judge(mutant, reached, tree, given.seconds)
            rows.append(
                {
                    "number": number, "verdict": verdict, "file": mutant.file, "line": mutant.line,
                    "kind": mutant.kind, "before": mutant.before, "after": mutant.after, "test": test,
                    "wall_s": round(time.perf_counter() - start, 1),
                }
            )  # fmt: skip
            print(*rows[-1].values(), sep=" | ", flush=True)
            pandas.DataFrame(rows).to_csv(given.out, index=False)
    counts = Counter(row["verdict"] for row in rows)
    print(f"seed {given.seed}: {counts['caught']} of {len(rows)} caught", dict(counts))


if __name__ == "__main__":
    main()
