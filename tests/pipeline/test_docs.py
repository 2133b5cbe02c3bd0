"""Every code block of README.md and docs/ is run as a reader would, small, or parsed and said why not."""

import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import ase.io
import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from test_sticking_run import SMALL

from frazil.settings import fields_of, flag_of, load, step_name, steps

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)((?: {4}\S.*\n)(?: {4}.*\n)*)")
NEXTFLOW = re.compile(r"(nextflow run main\.nf)([^#\n]*)")

NOT_RUN = {
    "flowchart LR": "a drawing",
    "make demo    #": "tests of their own run what make runs; here make says what it would do",
    "make demo                 #": "the same",
    "git clone ADDRESS": "a cluster's login node; the settings of its run are checked",
    "// PBS Pro": "needs that scheduler; Nextflow reads it",
    "// Kubernetes": "needs that service; Nextflow reads it",
    "script:": "a part of a process; Nextflow compiles it, tests/pipeline/toy runs one",
    "! wB97X-D4": "the template of the level before it, which is read with it",
    "LEARN(": "a part of a workflow; Nextflow compiles it",
}
"""Blocks by how they begin, and why they do not run here; each is parsed."""


def blocks() -> list[Any]:
    """All fenced blocks as (language, text), named by page and first line."""
    found = []
    for page in PAGES:
        for number, match in enumerate(FENCED.finditer(page.read_text(encoding="utf-8"))):
            text = textwrap.dedent(match[3])
            begins = text.splitlines()[0][:30]
            found.append(pytest.param(match[2], text, id=f"{page.name}-{number}-{begins}"))
    return found


@pytest.fixture
def checkout(tmp_path: Path, nextflow: Path) -> Path:
    """A folder that looks like the checkout, in which blocks may write."""
    assert nextflow.exists()
    folder = tmp_path / "checkout"
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in sorted({line.partition("/")[0] for line in listed.stdout.splitlines()} | {".frazil"}):
        (folder / name).symlink_to(ROOT / name)
    for name in ("docs", "nextflow_schema.json"):  # a block writes these anew
        (folder / name).unlink()
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    return folder


def shell(text: str, folder: Path, status: int = 0) -> str:
    """Run text in a fresh shell; return what it says."""
    kept = {name: os.environ[name] for name in ("HOME", "NXF_HOME") if name in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=folder, capture_output=True, text=True, check=False,
        env={**kept, "PATH": "/usr/local/bin:/usr/bin:/bin", "NXF_ANSI_LOG": "false", "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == status, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def prepare(text: str, folder: Path) -> None:
    """Make the files that a block's commands read: what a reader has by then."""
    if "run1.npy" in text:
        time_fs = 0.5 * np.arange(9000)
        for number in (1, 2):
            series = np.stack([np.cos(0.19 * time_fs + number), np.sin(0.1 * time_fs), 0 * time_fs], axis=1)
            np.save(folder / f"run{number}.npy", series)
    if "clusters.xyz" in text:
        shutil.copyfile(ROOT / "assets/structures/mgsio3.extxyz", folder / "clusters.xyz")
    if " cluster.xyz" in text:
        shutil.copyfile(ROOT / "assets/structures/water_dimer.extxyz", folder / "cluster.xyz")
        (folder / "learned").mkdir()
        (folder / "learned/model.json").write_text('{"kind": "q-tip4p-f"}')
    if "box.extxyz" in text:
        (folder / "learned").mkdir()
        (folder / "learned/model.json").write_text('{"kind": "q-tip4p-f"}')
    if " crystals.extxyz" in text:
        crystal = ase.io.read(ROOT / "assets/structures/alpha_co.extxyz")
        moved = [crystal.copy() for _ in range(12)]
        for seed, atoms in enumerate(moved):
            atoms.rattle(0.02, seed=seed)
        ase.io.write(folder / "crystals.extxyz", moved)
    if " path.xyz" in text:
        shutil.copyfile(ROOT / "assets/structures/malonaldehyde.extxyz", folder / "path.xyz")
        (folder / "learned").mkdir()
        (folder / "learned/model.json").write_text('{"kind": "gfn2-xtb"}')
    if "train-polarizability" in text:
        frames = [Atoms("CO", [[0, 0, 0], [0, 0, 1.1 + 0.005 * number]]) for number in range(16)]
        for atoms in frames:
            along = 2.3 + 3.3 * (atoms.get_distance(0, 1) - 1.13)
            atoms.info["label_polarizability_A3"] = np.diag([1.8, 1.8, along])
        ase.io.write(folder / "labelled.extxyz", frames)
    if "runs/ " in text:
        (folder / "runs").mkdir()
        for number in range(3):
            atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.2]], velocities=[[0, 0, 0.01 * number], [0, 0.01, 0]])
            atoms.calc = EMT()
            run = VelocityVerlet(atoms, 0.5 * ase.units.fs, trajectory=str(folder / f"runs/{number}.traj"))
            run.run(30)
    if "repeat-trajectory" in text:
        given = {"experiments": "sticking", "sticking": {**SMALL, "n_polar": 5, "shard_size": 10}}
        (folder / "small.json").write_text(json.dumps(given))
        run = ".frazil/bin/nextflow run main.nf -profile local -params-file small.json --outdir results/mine"
        shell(run, folder)
        committee = folder / "results/mine/potential/committee"
        committee.mkdir(parents=True)
        for name in ("model.h5", "learning_curve.csv", "validation.extxyz", "scans.extxyz"):
            (committee / name).touch()


def commands(text: str) -> str:
    """A block's commands, small: no tasks of Nextflow, make by what it would do, one epoch."""
    text = NEXTFLOW.sub(lambda m: m[0] if "--help" in m[2] else f"{m[1]}{m[2]} -preview ", text)
    text = text.replace("--n-epochs 2000", "--n-epochs 1 --n-radial 1 --n-basis 3 --cutoff-A 4 --hidden 4")
    text = text.replace("--out box.extxyz", "--out box.extxyz --duration-fs 50")
    return re.sub(r"^make ", "make -n ", text, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "text"), blocks())
def test_a_block_does_what_it_says(language: str, text: str, checkout: Path) -> None:
    begins = [start for start in NOT_RUN if text.startswith(start)]
    if begins:
        parse(begins[0], text, checkout)
    elif language == "python":
        python(text, checkout)
    elif language == "json" and "command" in text:
        own_level(text, checkout)
    elif language == "json":
        given = {**json.loads(text), "yes": True}
        (checkout / "given.json").write_text(json.dumps(given))
        assert '"cost": "estimated cost' in shell("bin/frazil launch < given.json", checkout)
    else:
        assert not language, f"a block of {language}: run it, or say in NOT_RUN why not"
        prepare(text, checkout)
        shell(commands(text), checkout)
        if "schema" in text:
            for name in ("nextflow_schema.json", "docs/parameters.md"):
                assert (checkout / name).read_text() == (ROOT / name).read_text()


def parse(begins: str, text: str, folder: Path) -> None:
    """Have a block read by what would run it."""
    if begins in ("flowchart LR", "! wB97X-D4"):
        return
    if begins.startswith("make"):
        shell(re.sub(r"^make ", "make -n ", text, flags=re.MULTILINE), folder)
    elif begins.startswith("git clone"):
        shell(f"bash -n <<'END'\n{text}\nEND", folder)
        for _, arguments in NEXTFLOW.findall(text):
            here = arguments.replace("demo,hpc", "demo")
            shell(f".frazil/bin/nextflow run main.nf {here} -preview", folder)
    elif begins.startswith("//"):
        (folder / "site.config").write_text(text)
        told = shell(".frazil/bin/nextflow -c site.config config .", folder)
        assert "executor" in told
    else:
        body = {
            "script:": "process TOY {\n input: path frames\n val settings\n output: path 'rows'\n%s\n}\n"
            "workflow {}",
            "LEARN(": "workflow {\n if (params.never) {\n%s\n}\n}",
        }[begins]
        (folder / "part.nf").write_text(body % text.replace(", …", ""))
        shell(".frazil/bin/nextflow run part.nf -preview", folder)


def own_level(text: str, folder: Path) -> None:
    """Read a level of one's own with the template that stands after it."""
    from frazil.labels.own_level import read_own_level

    page = (ROOT / "docs/usage.md").read_text()
    template = next(m[3] for m in FENCED.finditer(page) if m[3].startswith("! wB97X-D4"))
    (folder / "my-level").mkdir()
    (folder / "my-level/level.json").write_text(text)
    (folder / "my-level/job.inp.template").write_text(template)
    assert read_own_level(folder / "my-level").level == json.loads(text)["level"]


def python(text: str, folder: Path) -> None:
    """Run a block with what the page around it has made."""
    from frazil.campaigns import Row, Start, in_engine, run_shard
    from frazil.checkpoints import Ledger, key_of
    from frazil.md.ensemble import Ensemble
    from frazil.md.integrators import Langevin, VelocityVerlet
    from frazil.md.observers import Distances, energies
    from frazil.md.trajectory import Trajectory
    from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
    from frazil.potentials.gmnn.committee import write_folder
    from frazil.potentials.registry import load as potential_of
    from frazil.report import section
    from frazil.seeds import rng
    from frazil.settings import part, setting, settings, step
    from frazil.tables import Table

    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    argon = {"kind": "lennard-jones", "epsilon_eV": 0.0103, "sigma_A": 3.4}
    names: dict[str, Any] = {
        **{item.__name__: item for item in (
            Start, in_engine, Ensemble, Langevin, VelocityVerlet, Distances, energies, Trajectory, rng,
            part, setting, settings, step, Table, Path,
        )},
        "load": potential_of, "model": argon, "potential": potential_of(argon).potential(atoms),
        "section": section, "Section": section.Section, "Gate": section.Gate,
        "Result": section.Result, "out": folder / "out",
        "shards": folder / "out", "n_failed": 0, "OUTCOMES": ("finished",),
        "campaign_seed": 1, "atoms": atoms, "Row": Row,
        "rows": [{"trajectory_id": 3, "outcome": "finished", "energy_eV": 0.5}],
        "masses_amu": atoms.get_masses(), "my_rule": lambda state, system: 0, "POSITIONS_A": atoms.positions,
        "positions": np.stack([atoms.positions] * 2), "velocities": np.zeros((2, 2, 3)),
        "trajectory_ids": [0, 1],
    }  # fmt: skip
    if text.startswith("n_polar"):
        text = "@settings\nclass Toy:\n" + textwrap.indent(text, "    ")
    if "model_0" in text:
        shape = Architecture(("C", "O"), cutoff_A=4.0, n_basis=3, n_radial=1, hidden=(4,))
        metadata = {"label_level": "test", "training_data_sha256": ""}
        write_folder(folder / "model_0", shape, initialize_committee(shape, 3, 2), metadata)
    if "experiments.density" in text:
        density_model(folder / "results/density/model/density")
    os.chdir(folder)
    exec(compile(text, "block", "exec"), names)  # noqa: S102
    if "Toy" in names:
        assert load(names["Toy"], {"n_polar": "4"}).n_polar == 4
    if "MyStep" in names:
        assert step_name(names["MyStep"]) == "my-step"
    if "runner" in names:
        rows = run_shard([0, 1], names["runner"], Ledger(folder / "kept", key_of(toy=1)), "trajectories")
        assert len(rows) == 2
    if "table" in names:
        assert names["table"]["trajectory_id"].tolist() == [3]
    if "title=" in text:
        assert section.Section.read(folder / "out").gates[0].passed


def density_model(folder: Path) -> None:
    """Write a model of densities that has learned nothing."""
    from ase.build import molecule

    from frazil.experiments.density.auxiliary import Auxiliary
    from frazil.experiments.density.equivariants import Features
    from frazil.experiments.density.model import Labelled, Trainer

    basis, atoms = Auxiliary("def2-universal-jfit"), molecule("H2O")
    label = Labelled(atoms, np.ones((basis.molecule(atoms).nao, 1)))
    features = Features(max_angular=2, max_radial=2)
    Trainer(basis, "pbe/def2-svp", 2, 0, features).train([label], [label], 1).save(folder)


@pytest.fixture(autouse=True)
def _back_again() -> Any:
    here = Path.cwd()
    yield
    os.chdir(here)


def test_indented_commands_name_scripts_and_flags_that_exist() -> None:
    known = {
        step_name(cls).replace("-", "_"): {flag_of(n) for n in fields_of(cls)} for cls in steps().values()
    }
    seen = 0
    for page in PAGES:
        for block in INDENTED.findall(page.read_text(encoding="utf-8")):
            for line in textwrap.dedent(block).replace("\\\n", " ").splitlines():
                script, *words = line.split()
                if not script.endswith(".py"):
                    continue
                seen += 1
                flags = {word for word in words if word.startswith("--")}
                if script.startswith("benchmarks/"):
                    assert (ROOT / script).is_file(), line
                    assert all(f'"{flag}"' in (ROOT / script).read_text() for flag in flags), line
                else:
                    name = Path(script).stem
                    assert (ROOT / "bin" / f"{name}.py").is_file(), line
                    assert flags <= known[name], line
    assert seen >= 3
