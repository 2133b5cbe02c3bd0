"""What .nf.test files ask, put to real Nextflow without nf-test, and compared with the same snapshots.

FRAZIL_UPDATE_SNAPSHOTS=1 writes what is found into them instead.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
TEST = re.compile(r'    test\("(?P<title>[^"]+)"\) \{(?P<body>.*?)\n    \}', re.S)
INPUTS = re.compile(r'"""\n(.*?)\n *"""', re.S)
Run = Callable[..., subprocess.CompletedProcess[str]]
STAGED = ("assets", "bin", "src", "requirements.lock")


class Case(NamedTuple):
    """One test of an .nf.test file: what is included from which script, on which inputs (Groovy)."""

    title: str
    name: str
    script: str
    inputs: str


def cases_of(file: Path) -> list[Case]:
    text = file.read_text()
    name = re.search(r'^    (?:process|workflow) "(\w+)"', text, re.M)
    script = re.search(r'^    script "([^"]+)"', text, re.M)
    assert name, file
    assert script, file
    return [
        Case(match["title"], name[1], script[1], INPUTS.findall(match["body"])[0])
        for match in TEST.finditer(text)
    ]


def harness(tests: list[Case], root: Path) -> str:
    """A workflow that calls each, and writes the description of its channels into TITLE.json."""
    includes = "".join(f"include {{ {test.name} }} from '{root}/{test.script}'\n" for test in tests)
    calls = "".join(
        f"    input = []\n{test.inputs.replace('${projectDir}', str(root))}\n"
        f"    {test.name}.run(input.toArray())\n"
        f"    out = {test.name}.out\n"
        f"    out.getNames().each {{ gather('{test.title}', it, out.getProperty(it)) }}\n"
        f"    number = 0\n"
        f"    (out as List<Object>).each {{ gather('{test.title}', number++, it) }}\n"
        for test in tests
    )
    return f"""{includes}
def gather(title, name, channel) {{
    def items = [].asSynchronized()
    found["${{title}}:${{name}}".toString()] = [title, name, items]
    channel.subscribe {{ items << it }}
}}

found = [:]

workflow {{
{calls}
    workflow.onComplete = {{
        found.values().groupBy {{ it[0] }}.each {{ title, channels ->
            json = groovy.json.JsonOutput.toJson(Outputs.of(channels.collectEntries {{ [it[1], it[2]] }}))
            new File("${{launchDir}}/${{title}}.json").text = json
        }}
    }}
}}
"""


def run(nextflow: Path, folder: Path, *arguments: str) -> None:
    command = [str(nextflow), "-q", "run", "main.nf", "-ansi-log", "false", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def project(folder: Path, root: Path, main: str) -> Path:
    """A Nextflow project with the checkout's code around another main.nf."""
    (folder / "lib").mkdir(parents=True)
    for source in [*root.glob("lib/*.groovy"), FOLDER / "lib/Outputs.groovy"]:
        shutil.copy(source, folder / "lib")
    for name in STAGED:
        (folder / name).symlink_to(root / name)
    (folder / "nextflow.config").write_text(f"includeConfig '{root}/conf/base.config'\n")
    (folder / "main.nf").write_text(main)
    return folder


def files_of(nextflow: Path, root: Path, results: Path, folder: Path) -> Any:
    """Tables, JSON files and pages of published results as Outputs describes them; ``folder`` is scratch."""
    main = """
workflow {
    found = Outputs.of(params.results, /(csv|json|html)$/)
    new File("${launchDir}/found.json").text = groovy.json.JsonOutput.toJson(found)
}
"""
    run(nextflow, project(folder, root, main), "--results", str(results), "--outdir", "results")
    return json.loads((folder / "found.json").read_text())


def check(file: Path, title: str, answer: Any) -> None:
    """Compare with the snapshot file, or write it when asked to."""
    snapshots = json.loads(file.read_text()) if file.exists() else {}
    if os.environ.get("FRAZIL_UPDATE_SNAPSHOTS"):
        snapshots[title] = {"content": [answer], "timestamp": datetime.now().isoformat(), "meta": {}}
        file.write_text(json.dumps(snapshots, indent=4, sort_keys=True) + "\n")
    assert snapshots[title]["content"] == [answer]
