"""Bugs drawn at random and put in one by one: which of them make a test fail?

    python benchmarks/mutants.py --seed 1 --number 80 --out mutants.csv

A bug changes one place of ``ROOMS``: a number, an operator, a comparison, a condition, the end of a slice; it
drops a factor, a function, a keyword or a statement, or swaps two arguments. All is done in a copy of the
checkout. Test files that are about a bug's file are run once as they are, and tell which lines each test
executes (kept in ``.frazil``, anew for files that changed). A bug is then shown to the tests of its line, the
quickest first, for ``--seconds``, and if they pass to the other tests of their files, as long again. The
table says what the tests said. Of bugs that survive some change no result: that a person has to judge.
"""

import argparse
import ast
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
KEPT = ROOT / ".frazil/lines-of-tests.json"
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
    "asarray", "array", "getattr", "given", "hasattr", "isinstance", "label", "max", "maximum", "min",
    "minimum", "part", "same_as", "setting", "zip",
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
    """One bug: in which file and lines, of what kind, and the text before and after."""

    file: str
    line: int
    lines: tuple[int, ...]
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
    for node, lines, names in _expressions(ast.parse(text)):
        start = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        before = text.encode()[start:end].decode()
        found = [
            Mutant(file, node.lineno, lines, names, kind, before, after, start, end)
            for kind, after in dict.fromkeys(_changes(node))
        ]
        if found:
            places.append(found)
    return places


def _expressions(tree: ast.Module) -> Iterator[tuple[Any, tuple[int, ...], tuple[str, ...]]]:
    """Yield nodes that may be changed, the lines that must run for it, and names assigned outside functions.

    What is outside functions runs when the module is imported, by all tests; it matters to lines that use its
    names, and a function's head to the function's first line.
    """

    def walk(node: ast.AST, lines: tuple[int, ...], names: tuple[str, ...], inside: bool) -> Iterator[Any]:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.keyword) and node.arg in LOOKS:
            return
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            body = node.body if isinstance(node.body, list) else [node.body]
            first = body[1 if len(body) > 1 and _is_text(body[0]) else 0]
            head = (first.lineno,) if not inside else lines
            for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
                yield from walk(default, head, (), inside)
            for part in body:
                yield from walk(part, lines, (), True)
            return
        if isinstance(node, ast.stmt) and not isinstance(node, ast.ClassDef):
            whole = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return)
            end = node.end_lineno if whole and node.end_lineno else node.lineno
            lines = tuple(range(node.lineno, end + 1))
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = (
                ()
                if inside
                else tuple(n.id for t in targets if t for n in ast.walk(t) if isinstance(n, ast.Name))
            )
        for test in [getattr(node, "test", None), *getattr(node, "ifs", ())]:
            if test is not None:
                test.decides = True
        if not _is_text(node) and hasattr(node, "lineno"):
            yield node, lines, names
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases", "ops", "op", "ctx"):
                continue
            if isinstance(node, ast.Subscript) and _is_type(node):
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield from walk(part, lines, names, inside)

    yield from walk(tree, (), (), False)


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


class Tracer:
    """A plugin of pytest: which lines of the rooms each test executes, and how long it takes."""

    def __init__(self, root: Path) -> None:
        self.rooms = tuple(str(root / room) for room in ROOMS)
        self.root = root
        self.wide: set[tuple[str, int]] = set()
        """What runs outside single tests: on import, and in fixtures of many tests."""
        self.now, self.tests = self.wide, dict[str, set[tuple[str, int]]]()
        self.seconds, self.failed = dict[str, float](), set[str]()
        self.here: dict[Any, bool] = {}

    def called(self, frame: Any, event: str, argument: Any) -> Any:
        """Follow the functions of the rooms alone."""
        code = frame.f_code
        if code not in self.here:
            self.here[code] = code.co_filename.startswith(self.rooms)
        return self.stepped if self.here[code] else None

    def stepped(self, frame: Any, event: str, argument: Any) -> Any:
        """Note a line."""
        if event == "line":
            self.now.add((frame.f_code.co_filename, frame.f_lineno))
        return self.stepped

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Note the lines of one test."""
        self.now = self.tests.setdefault(item.nodeid, set())
        yield
        self.now = self.wide

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)

    def pytest_collection(self) -> None:
        """Begin."""
        sys.settrace(self.called)

    def write(self, out: Path) -> None:
        """Write the lines, by file, of all tests that pass, and of what they share."""
        sys.settrace(None)

        def by_file(lines: set[tuple[str, int]]) -> dict[str, list[int]]:
            found: dict[str, list[int]] = {}
            for file, line in sorted(lines):
                found.setdefault(str(Path(file).relative_to(self.root)), []).append(line)
            return found

        passed = [name for name in self.tests if name not in self.failed]
        tests = {n: {"seconds": self.seconds[n], "lines": by_file(self.tests[n])} for n in passed}
        out.write_text(json.dumps({"shared": by_file(self.wide), "tests": tests}))


class Lines:
    """Which tests execute a line, of test files that are about it: found when first asked for, and kept."""

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
        named = re.compile(
            rf"{re.escape(package)}\.{module}\b|from {re.escape(package)} import .*\b{module}\b"
        )
        room = "/".join(("tests", "unit", *path.parts[1:-1], ""))
        return [test for test, text in self.texts.items() if test.startswith(room) or named.search(text)]

    def tests(self, file: str) -> dict[str, Any]:
        """Return what a test file's tests execute."""
        known = self.files.get(file)
        if file not in self.fresh and (not known or known["digest"] != _digest([file, *known["shared"]])):
            print(f"lines of {file}", flush=True)
            out = self.tree.parent / "traced.json"
            out.unlink(missing_ok=True)
            forked(self.tree, [file], 3600, [Tracer(self.tree)])
            found = json.loads(out.read_text()) if out.is_file() else {"shared": {}, "tests": {}}
            known = self.files[file] = {"digest": _digest([file, *found["shared"]]), **found}
            KEPT.write_text(json.dumps(self.files))
        self.fresh.add(file)
        return known or {}

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that execute a mutant's line, the quickest first."""
        used = self._using(mutant.names) if mutant.names else {mutant.file: set(mutant.lines)}
        about = set(self.about(mutant.file))
        if mutant.file.endswith("settings.py"):
            about |= {OF_SETTINGS.split("::")[0]}
        found = {OF_SETTINGS} & {name for file in about for name in self.tests(file)["tests"]}
        for file in sorted(about):
            known = self.tests(file)
            shared = not mutant.names and _hit(known["shared"], used)
            found |= {name for name, test in known["tests"].items() if shared or _hit(test["lines"], used)}
        return sorted(found, key=self.seconds)

    def of_same_files(self, tests: Sequence[str]) -> list[str]:
        """Return all other tests of the files of some, the quickest first."""
        files = {test.split("::")[0] for test in tests}
        rest = {
            n: t["seconds"] for f in files for n, t in self.files[f]["tests"].items() if n not in set(tests)
        }
        return sorted(rest, key=lambda name: rest[name])

    def seconds(self, test: str) -> float:
        """Return how long a test took."""
        return float(self.files[test.split("::")[0]]["tests"][test]["seconds"])

    def _using(self, names: Sequence[str]) -> dict[str, set[int]]:
        """Return the lines in the rooms that mention one of the names, or what is made of it on import."""
        used: dict[str, set[int]] = {}
        wanted = set(names)
        for _ in range(2):
            for file, line, mentioned, assigned in self.mentions:
                if mentioned in wanted:
                    used.setdefault(file, set()).add(line)
                    wanted |= set(assigned)
        return used

    @cached_property
    def mentions(self) -> list[tuple[str, int, str, tuple[str, ...]]]:
        """(File, line, name, names assigned there outside functions) of every name in the rooms."""
        found = []
        for path in sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
            for node, _, assigned in _expressions(ast.parse(path.read_text(encoding="utf-8"))):
                for kind in ("id", "attr"):
                    if hasattr(node, kind):
                        found.append(
                            (str(path.relative_to(ROOT)), node.lineno, getattr(node, kind), assigned)
                        )
        return found


def _hit(lines: dict[str, list[int]], used: dict[str, set[int]]) -> bool:
    return any(not wanted.isdisjoint(lines.get(file, ())) for file, wanted in used.items())


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
                plugin.write(tree.parent / "traced.json")
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


def judge(mutant: Mutant, lines: Lines, tree: Path, seconds: float) -> tuple[str, str]:
    """Return (verdict, the test that failed) of one mutant: caught, survived or not executed."""
    direct = lines.of(mutant)
    if not direct:
        return "not executed", ""
    target = tree / mutant.file
    target.write_text(mutant.text(), encoding="utf-8")
    try:
        for tests in (direct, lines.of_same_files(direct)):
            chosen: list[str] = []
            spent = 0.0
            for test in tests:
                spent += lines.seconds(test)
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
    files = sorted(str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).rglob("*.py"))
    places = [place for file in files for place in mutants_of(file)]
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
            lines = Lines(tree)
        for number, mutant in enumerate(drawn):
            if number not in only:
                continue
            start = time.perf_counter()
            verdict, test = ("", "") if given.list else judge(mutant, lines, tree, given.seconds)
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
