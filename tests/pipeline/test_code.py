"""The hash of the code that a process reaches (lib/Code.groovy), by real Nextflow."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FILES = {
    "requirements.lock": "numpy==2.0\n",
    "bin/run.py": "import argparse\n\ndef main():\n    from frazil.md.ensemble import run_all\n",
    "bin/plot.py": "import frazil.figures as figures\n",
    "src/frazil/__init__.py": "",
    "src/frazil/units.py": "FS = 1\n",
    "src/frazil/figures.py": 'STYLE = "style.css"\n',
    "src/frazil/templates/style.css": "body {}\n",
    "src/frazil/templates/other.css": "body {}\n",
    "src/frazil/md/__init__.py": "",
    "src/frazil/md/ensemble.py": "from frazil.md import (\n    verlet,\n    STEP,\n)\n",
    "src/frazil/md/verlet.py": "from frazil.md import ensemble\nfrom frazil.units import FS\n",
    "src/frazil/md/lammps.py": "",
}
MAIN = """
def digestOrProblem(tree, script) {
    try { return Code.of(tree, script) } catch (IllegalArgumentException problem) { return problem.message }
}
workflow {
    main:
    answer = [:]
    new File("${projectDir}/trees").eachDir { tree ->
        answer[tree.name] = [['run.py'], ['plot.py'], ['run.py', 'plot.py']].collect { Code.of(tree, *it) }
    }
    checkout = new File(params.checkout)
    scripts = new File(checkout, 'bin').list().findAll { it.endsWith('.py') }
    scripts.each { answer["checkout ${it}"] = digestOrProblem(checkout, it) }
    tree = new File("${projectDir}/trees/as it was")
    new File(tree, 'bin/run.py').append('import frazil.gone\\n')
    answer.gone = digestOrProblem(tree, 'run.py')
    new File("${projectDir}/answer.json").text = groovy.json.JsonOutput.toJson(answer)
}
"""


@pytest.fixture(scope="module")
def digests(root: Path, nextflow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Hashes of run.py, of plot.py and of both, for the tree as it was and for each file changed in turn."""
    project = tmp_path_factory.mktemp("code")
    (project / "lib").mkdir()
    shutil.copy(root / "lib/Code.groovy", project / "lib")
    (project / "main.nf").write_text(MAIN)
    for changed in ("as it was", *FILES):
        tree = project / "trees" / changed.replace("/", ":")
        for name, text in FILES.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text + ("# changed\n" if name == changed else ""))
    command = [str(nextflow), "-q", "run", "main.nf", "--checkout", str(root)]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads((project / "answer.json").read_text())
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("changed", FILES)
def test_a_changed_file_changes_the_hash_of_the_scripts_that_reach_it(
    digests: dict[str, list[str]], changed: str
) -> None:
    before = digests["as it was"]
    after = digests[changed.replace("/", ":")]
    everything = changed in ("requirements.lock", "src/frazil/__init__.py")
    of_run = changed == "bin/run.py" or changed.startswith(("src/frazil/md/", "src/frazil/units"))
    of_plot = changed in ("bin/plot.py", "src/frazil/figures.py", "src/frazil/templates/style.css")
    of_run &= changed != "src/frazil/md/lammps.py"

    assert [x != y for x, y in zip(before, after, strict=True)] == [
        everything or of_run,
        everything or of_plot,
        everything or of_run or of_plot,
    ]


def test_a_hash_is_sixteen_digits_and_differs_by_script(digests: dict[str, list[str]]) -> None:
    assert len(set(digests["as it was"])) == 3
    assert {len(digest) for digest in digests["as it was"]} == {16}


def test_every_script_of_the_checkout_has_a_hash(root: Path, digests: dict[str, list[str]]) -> None:
    for script in root.glob("bin/*.py"):
        digest = digests[f"checkout {script.name}"]
        assert len(digest) == 16, digest


def test_an_import_of_nothing_is_an_error(digests: dict[str, str]) -> None:
    assert digests["gone"].endswith("run.py imports frazil.gone, which is not in src/")
