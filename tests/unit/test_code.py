"""The hash of the code that a script reaches."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frazil.code import digest_of, of, of_all
from frazil.errors import UserError
from frazil.parameters import campaigns

FILES = {
    "requirements.lock": "numpy==2.0\n",
    "main.nf": "",
    "bin/run.py": "import argparse\n\ndef main():\n    from frazil.md.ensemble import run_all\n",
    "bin/plot.py": "import frazil.figures as figures\n",
    "bin/bind.py": "from frazil.cli import run\nfrom frazil.ice.settings import Bind\nrun(Bind)\n",
    "bin/collide.py": "from frazil.cli import run\nfrom frazil.ice.settings import Collide\nrun(Collide)\n",
    "src/frazil/__init__.py": "",
    "src/frazil/units.py": "FS = 1\n",
    "src/frazil/cli.py": "",
    "src/frazil/figures.py": 'STYLE = "style.css"\n',
    "src/frazil/templates/style.css": "body {}\n",
    "src/frazil/templates/other.css": "body {}\n",
    "src/frazil/md/__init__.py": "",
    "src/frazil/md/ensemble.py": "from frazil.md import (\n    verlet,\n    STEP,\n)\n",
    "src/frazil/md/verlet.py": "from frazil.md import ensemble\nfrom frazil.units import FS\n",
    "src/frazil/md/lammps.py": "",
    "src/frazil/ice/settings.py": (
        "from frazil.units import FS\n\n"
        "class Ice:\n    data = 'assets/ice/ice.xyz'\n\n"
        "@step('frazil.ice.sites:bind')\nclass Bind(Ice):\n    n = 1\n\n"
        "class Collide:\n    runs = 'frazil.ice.collisions:run_shard'\n    n = 2\n"
    ),
    "src/frazil/ice/sites.py": "from frazil.ice.settings import Bind\n",
    "src/frazil/ice/collisions.py": "from frazil.ice.settings import Collide\nimport frazil.md.verlet\n",
    "assets/ice/ice.xyz": "",
}
SCRIPTS = ("run.py", "plot.py", "bind.py", "collide.py")
MD = {"src/frazil/md/__init__.py", "src/frazil/md/ensemble.py", "src/frazil/md/verlet.py"}
UNITS, SETTINGS = "src/frazil/units.py", "src/frazil/ice/settings.py"
REACHED = {
    "run.py": {"bin/run.py", *MD, UNITS},
    "plot.py": {"bin/plot.py", "src/frazil/figures.py", "src/frazil/templates/style.css"},
    "bind.py": {"bin/bind.py", "src/frazil/cli.py", SETTINGS, "src/frazil/ice/sites.py", UNITS},
    "collide.py": {
        "bin/collide.py",
        "src/frazil/cli.py",
        SETTINGS,
        "src/frazil/ice/collisions.py",
        UNITS,
        *MD,
    },
}
REACHED["bind.py"].add("assets/ice/ice.xyz")
ALWAYS = {"requirements.lock", "src/frazil/__init__.py"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def hashes(tree: Path) -> dict[str, str]:
    return {script: of(tree, script) for script in SCRIPTS}


@pytest.mark.parametrize("changed", FILES)
def test_a_changed_file_changes_the_hash_of_the_scripts_that_reach_it(tree: Path, changed: str) -> None:
    before, both, everything = hashes(tree), of(tree, "run.py", "plot.py"), of_all(tree)
    (tree / changed).write_text(FILES[changed] + "# changed\n")
    rerun = {script for script, digest in hashes(tree).items() if digest != before[script]}
    assert rerun == {script for script in SCRIPTS if changed in REACHED[script] | ALWAYS}
    assert (of(tree, "run.py", "plot.py") != both) == bool({"run.py", "plot.py"} & rerun)
    assert of_all(tree) != everything


def test_another_steps_settings_change_nothing(tree: Path) -> None:
    before = hashes(tree)
    for old, new, script in (("n = 1", "n = 3", "bind.py"), ("n = 2", "n = 4", "collide.py")):
        (tree / SETTINGS).write_text(FILES[SETTINGS].replace(old, new))
        assert [name for name, digest in hashes(tree).items() if digest != before[name]] == [script]
    (tree / "bin/plot.py").write_text("from frazil.ice import settings\nfrom frazil import figures\n")
    before = hashes(tree)
    (tree / SETTINGS).write_text(FILES[SETTINGS].replace("n = 1", "n = 3"))
    after = hashes(tree)
    assert after["plot.py"] != before["plot.py"], "who takes the whole module takes every step"


def test_a_hash_is_sixteen_digits_and_differs_by_script(tree: Path) -> None:
    found = {*hashes(tree).values(), of(tree, "run.py", "plot.py"), of_all(tree)}
    assert len(found) == len(SCRIPTS) + 2
    assert {len(digest) for digest in found} == {16}
    assert of(tree, "run.py", "plot.py") == of(tree, "plot.py", "run.py")


def test_where_the_package_is_installed_does_not_matter(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = tmp_path_factory.mktemp("image")
    (image / "lib").mkdir()
    (image / "scripts").mkdir()
    for name in FILES:
        if name.startswith("src/"):
            (image / name.replace("src/", "lib/")).parent.mkdir(parents=True, exist_ok=True)
            (image / name.replace("src/", "lib/")).write_text(FILES[name])
    (tree / "bin").rename(image / "bin")
    there = digest_of(image / "lib/frazil", image / "bin/run.py")
    (image / "bin").rename(tree / "bin")
    assert there == digest_of(tree / "src/frazil", tree / "bin/run.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import frazil.gone\n", r"run\.py imports frazil\.gone, which is not in src/"),
        ("def f():\n    from frazil.md.gone import x\n", r"run\.py imports frazil\.md\.gone, which is not"),
        ("F = 'frazil.md.gone:run'\n", r"run\.py imports frazil\.md\.gone, which is not in src/"),
        ("from . import x\n", r"run\.py imports \.; write the whole name of a module"),
    ],
)
def test_an_import_of_nothing_is_an_error(tree: Path, text: str, message: str) -> None:
    (tree / "bin/run.py").write_text(text)
    with pytest.raises(UserError, match=message):
        of(tree, "run.py")


def test_a_script_that_is_not_there_is_an_error(tree: Path) -> None:
    with pytest.raises(UserError, match=r"no script gone\.py in .*bin"):
        of(tree, "gone.py")


def test_every_script_of_the_checkout_has_a_hash_before_a_run(root: Path) -> None:
    before = os.times().children_user
    done = subprocess.run(
        [sys.executable, "-S", root / "bin/frazil", "launch"],
        input='{"yes": true}', env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)["code"]
    scripts = {file.name for file in root.glob("bin/*.py")}
    assert set(answer) == scripts | {"all", *campaigns()}, "campaigns have one script for all"
    assert answer["run_collisions.py"] == of(root, "run_collisions.py")
    assert answer["all"] == of_all(root)
    assert os.times().children_user - before < 10, "some 0.7 s on a quiet machine"


def test_a_plain_python_of_a_login_node_can_read_all_code(root: Path) -> None:
    for file in (*root.glob("bin/*.py"), *root.glob("src/**/*.py")):
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))


def test_what_scripts_of_the_checkout_reach(root: Path) -> None:
    from frazil.code import _Tree

    tree = _Tree.of_checkout(root)
    whole = tree.reached([root / "bin/run_dipoles.py"]).keys()
    assert {"frazil/experiments/infrared/dynamics.py", "frazil/md/ensemble.py"} <= whole
    assert "frazil/potentials/semiempirical.py" in whole
    assert "frazil/experiments/infrared/learning.py" not in whole
