"""The code that a script reaches, and its hash: when a line of it changes, a task runs again, else not.

Nextflow's -resume sees a task's script and inputs, not what the script imports. Reached are

- the script in ``bin/``, and every module of the package that is imported, at any depth and indentation;
- modules that a string names as ``"frazil.package.module:function"``;
- files of the package and of ``assets/`` whose name, or whose folder's name, is a string or a part of a path
  in one;
- requirements.lock.

A module called ``settings`` holds the settings of many steps, each a class that names its function by such a
string. Of these classes only those count that the script imports by name, and what they refer to in their
module.

Standard library only, Python 3.9 or newer: it runs on a login node.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from frazil.errors import UserError

_ENTRY = re.compile(r"(frazil(?:\.\w+)+):\w+")
_LOCKED = "requirements.lock"
_EVERYTHING = ("main.nf", "modules", "subworkflows", "lib", "bin", "src/frazil", "assets", _LOCKED)


def of(root: Path | str, *scripts: str) -> str:
    """Return 16 hexadecimal digits over everything that scripts of ``bin/`` reach.

    Raises:
        UserError: a script is not there, or something imports a module that is not.
    """
    return _Tree.of_checkout(Path(root)).hash_of(*scripts)


def of_all(root: Path | str) -> str:
    """Return 16 hexadecimal digits over all that a run can reach: graph, scripts, package and assets."""
    root = Path(root)
    files = [file for name in _EVERYTHING for file in _files(root / name)]
    return _hash({file.relative_to(root).as_posix(): file.read_bytes() for file in files})


def hashes(root: Path) -> dict[str, str]:
    """Return the hash of every script of a checkout by its name, and of everything under "all"."""
    tree = _Tree.of_checkout(root)
    scripts = {file.name: tree.hash_of(file.name) for file in sorted((root / "bin").glob("*.py"))}
    return {**scripts, "all": of_all(root)}


def digest_of(package: Path, script: Path) -> str:
    """Return 16 hexadecimal digits over what a script reaches, wherever it and the package are installed."""
    tree = _Tree(package.parent, package, script.parent)
    return _hash(tree.reached([script]))


class _Module:
    """What a file imports and names; of a ``settings`` module, by class."""

    def __init__(self, file: Path) -> None:
        self.source = file.read_bytes()
        self.is_settings = file.stem == "settings"
        tree = ast.parse(self.source, filename=str(file))
        self.imports: list[tuple[str, tuple[str, ...]]] = []
        self.strings: set[str] = set()
        self.classes: dict[str, ast.ClassDef] = {}
        self.strings_of: dict[str, set[str]] = {}
        self.names_of: dict[str, list[str]] = {}
        for node in tree.body:
            if self.is_settings and isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
                self.names_of[node.name] = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
                self._take(node, self.strings_of.setdefault(node.name, set()))
            else:
                self._take(node, self.strings)

    def _take(self, outer: ast.AST, strings: set[str]) -> None:
        for node in ast.walk(outer):
            if isinstance(node, ast.Constant):
                if isinstance(node.value, str):
                    strings.add(node.value)
            elif isinstance(node, ast.Import):
                self.imports += [(alias.name, ()) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = tuple(alias.name for alias in node.names)
                self.imports.append(("." * node.level + (node.module or ""), names))

    def wanted(self, names: Iterable[str]) -> set[str]:
        """Return the classes of these names and those of the module that they refer to."""
        queue, wanted = [*names], set()
        while queue:
            name = queue.pop()
            if name in self.classes and name not in wanted:
                wanted.add(name)
                queue += self.names_of[name]
        return wanted

    def without_steps(self, wanted: set[str]) -> bytes:
        """Return the source without the classes of other steps than those wanted."""
        lines = self.source.splitlines(keepends=True)
        for name, node in self.classes.items():
            if name not in wanted and any(map(_ENTRY.fullmatch, self.strings_of[name])):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                last = node.end_lineno or first
                lines[first - 1 : last] = [b""] * (last - first + 1)
        return b"".join(lines)


@cache
def _parsed(file: Path, changed_ns: int, size: int) -> _Module:
    """Return what a file of that age and size has; a launch asks for seven trees of the same files."""
    return _Module(file)


class _Tree:
    """A package, the scripts and the assets beside it; each file is read and parsed once."""

    def __init__(self, source: Path, package: Path, scripts: Path, *assets: Path) -> None:
        self._source, self._scripts = source, scripts
        self._modules: dict[Path, _Module] = {}
        self._imports: dict[Path, list[tuple[list[Path], tuple[str, ...] | None]]] = {}
        self._data: dict[str, list[Path]] = {}
        for folder in (package, *assets):
            for file in _files(folder):
                if file.suffix != ".py":
                    for name in {file.name, file.parent.name}:
                        self._data.setdefault(name, []).append(file)

    @staticmethod
    def of_checkout(root: Path) -> _Tree:
        return _Tree(root / "src", root / "src/frazil", root / "bin", root / "assets")

    def hash_of(self, *scripts: str) -> str:
        for script in scripts:
            if not (self._scripts / script).is_file():
                raise UserError(f"no script {script} in {self._scripts}; give the name of one that is there")
        files = self.reached([self._scripts / script for script in scripts])
        return _hash({**files, _LOCKED: (self._scripts.parent / _LOCKED).read_bytes()})

    def reached(self, scripts: Iterable[Path]) -> dict[str, bytes]:
        """Return the contents of all files that scripts reach, by name."""
        queue, files = list(scripts), set()
        strings: set[str] = set()
        wanted: dict[Path, set[str]] = {}  # classes of settings that somebody imports
        while queue:
            file = queue.pop()
            if file in files:
                continue
            files.add(file)
            module, new = self._module(file), set[str]()
            if file not in self._imports:
                self._imports[file] = list(self._imported(file, module))
            for imported, names in self._imports[file]:
                queue += imported
                settings = self._module(imported[0])
                if settings.is_settings:
                    classes = settings.wanted(settings.classes if names is None else names)
                    wanted.setdefault(imported[0], set()).update(classes)
                    if file.parent == self._scripts:
                        new.update(*(settings.strings_of[name] for name in classes))
            new |= module.strings
            strings |= new
            for entry in filter(None, map(_ENTRY.fullmatch, new)):
                queue += self._files_of(entry[1], file)
        parts = {part for text in strings for part in text.split("/")}
        data = {file for part in parts & self._data.keys() for file in self._data[part]}
        contents = {self._name(file): file.read_bytes() for file in data}
        for file in files:
            module = self._module(file)
            kept = module.without_steps(wanted.get(file, set())) if module.is_settings else module.source
            contents[self._name(file)] = kept
        return contents

    def _module(self, file: Path) -> _Module:
        if file not in self._modules:
            told = file.stat()
            self._modules[file] = _parsed(file, told.st_mtime_ns, told.st_size)
        return self._modules[file]

    def _imported(self, file: Path, module: _Module) -> Iterator[tuple[list[Path], tuple[str, ...] | None]]:
        """Yield the files of every import, the module's own first, and the names it takes (None: any)."""
        for name, names in module.imports:
            if name.startswith("."):
                raise UserError(f"{file} imports {name}; write the whole name of a module")
            if name.split(".")[0] == "frazil":
                yield self._files_of(name, file), names or None
                for one in names:
                    if inner := self._chain(
                        f"{name}.{one}"
                    ):  # a name imported from a package may be a module
                        yield inner, None

    def _files_of(self, name: str, importer: Path) -> list[Path]:
        files = self._chain(name)
        if not files:
            raise UserError(f"{importer} imports {name}, which is not in {self._source.name}/")
        return files

    def _chain(self, name: str) -> list[Path]:
        """Return the files that importing a module runs, its own first; none of a module not there."""
        place = self._source.joinpath(*name.split("."))
        folders = [place, *place.parents][: name.count(".") + 1]
        files = (place.with_suffix(".py"), *(folder / "__init__.py" for folder in folders))
        found = [file for file in files if file.is_file()]
        return found if place.is_dir() or found[:1] == [files[0]] else []

    def _name(self, file: Path) -> str:
        for root in (self._source, self._scripts.parent):
            if root in file.parents:
                return file.relative_to(root).as_posix()
        return file.name


def _files(place: Path) -> Iterator[Path]:
    """Yield a file, or a folder's files but for those that Python and editors leave."""
    for file in [place] if place.is_file() else sorted(place.rglob("*")):
        left = "__pycache__" in file.parts or file.name.startswith(".") or file.name.endswith("~")
        if file.is_file() and not left:
            yield file


def _hash(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
