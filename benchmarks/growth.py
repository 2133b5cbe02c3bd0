"""What grows with a campaign of photodesorption: python benchmarks/growth.py --graph --shards SHARD...

With ``--graph`` the pipeline's own graph runs, every task a stub, in shards of 100 trajectories: wall time
and tasks, and the processor time and largest memory of Nextflow's process alone.

With ``--shards``: snapshots of 50 CO (made up, 1,000 in a file), and the time of one shard's excitation (100
ids), with the index beside the files and without. Then the given shards of a finished run (WORK/*/*/shard_*),
again and again under new ids, until there are n trajectories: time and largest memory of their analysis, each
in a process of its own.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.experiments.photodesorption.analysis import analyse
from frazil.experiments.photodesorption.initial import make_initial_states, write_index
from frazil.experiments.photodesorption.initial_states import read_initial_states
from frazil.systems.molecules import MOLECULE

IN_FILE, IN_SHARD, N_MOLECULES = 1000, 100, 50
ROOT = Path(__file__).resolve().parents[1]
LOOK_s = 0.2


def snapshots(folder: Path, n: int) -> list[Path]:
    """Write n snapshots of one text under their own ids; return the files."""
    side = int(np.ceil(N_MOLECULES ** (1 / 3)))
    centres = 3.7 * np.indices((side, side, side)).reshape(3, -1).T[:N_MOLECULES]
    atoms = Atoms("CO" * N_MOLECULES, np.repeat(centres, 2, axis=0))
    atoms.positions[1::2, 2] += 1.128
    atoms.set_array(MOLECULE, np.repeat(np.arange(N_MOLECULES), 2), int)
    atoms.set_array("excited", np.zeros(len(atoms)), int)
    atoms.set_momenta(np.random.default_rng(0).normal(0, 1e-2, (len(atoms), 3)))
    atoms.info["snapshot_id"] = "IDENTITY"
    atoms.write(folder / "one.extxyz", format="extxyz")
    text = (folder / "one.extxyz").read_text()
    files = []
    for first in range(0, n, IN_FILE):
        own = folder / f"replica_{first // IN_FILE}"
        own.mkdir()
        files.append(own / "snapshots.extxyz")
        with files[-1].open("w") as file:
            for identity in range(first, min(first + IN_FILE, n)):
                file.write(text.replace("IDENTITY", str(identity)))
        write_index(files[-1])
    return files


def excite(files: list[Path], out: Path) -> None:
    """Make the starts of one shard."""
    make_initial_states(files, IN_SHARD, 0, "none", 0, 0, None, 1e3, 1, out)


def copies(shards: list[Path], n: int, folder: Path) -> int:
    """Write shards again and again under new ids, until there are n trajectories; return their number."""
    made, shift = 0, 0
    tables = {shard: {file.name: pandas.read_csv(file) for file in shard.glob("*.csv")} for shard in shards}
    states = {shard: read_initial_states(shard / "initial_states.h5") for shard in shards}
    step = 1 + max(int(own.trajectory_id.max()) for own in states.values())
    while made < n:
        for shard in shards:
            own = folder / f"shard_{made}"
            own.mkdir()
            for name, table in tables[shard].items():
                table.assign(trajectory_id=table["trajectory_id"] + shift).to_csv(own / name, index=False)
            replace(states[shard], trajectory_id=states[shard].trajectory_id + shift).write(
                own / "initial_states.h5"
            )
            shutil.copy(shard / "campaign.json", own)
            (own / "frames.extxyz").touch()
            made += len(states[shard].trajectory_id)
        shift += step
    return made


def measured(task: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Return processor seconds and the largest memory, MB, of a task in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe()
    process = context.Process(target=_report, args=(send, task, arguments))
    process.start()
    found: tuple[float, float] = receive.recv()
    process.join()
    return found


def _report(send: Any, task: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    begun = time.process_time()
    task(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    send.send((time.process_time() - begun, used))


def analyse_all(folder: Path, campaign: Any) -> None:
    """Analyse all shards of a folder with the settings that they ran with."""
    settings, reference = campaign["settings"], ROOT / "assets/reference"
    analyse(
        folder / "shards", settings["criteria_A"], settings["criterion_A"], settings["duration_fs"],
        "van-hemert", campaign["coupling_eV"], reference / "photodesorption.csv", folder / "out",
    )  # fmt: skip


def run_graph(n: int, folder: Path) -> str:
    """Run the graph of n trajectories under a potential by name, every task a stub; return what it took."""
    photodesorption = {
        "molecule": "N2", "potential": "n2-trappe", "excitation": "model_curve", "n_trajectories": n,
        "shard_size": IN_SHARD, "n_truth": 0, "n_control": 0,
    }  # fmt: skip
    parameters = {
        "experiments": "photodesorption", "photodesorption": photodesorption,
        "thermalization": {"n_snapshots": n, "n_replicas": max(1, n // IN_FILE)},
    }  # fmt: skip
    (folder / "parameters.json").write_text(json.dumps(parameters))
    words: list[str | Path] = [
        ROOT / ".frazil/bin/nextflow",
        "-q",
        "run",
        ROOT / "main.nf",
        "-stub-run",
        "-profile",
        "local",
    ]
    begun = time.monotonic()
    with (folder / "log").open("w") as log:
        head = subprocess.Popen(
            [*words, "-params-file", "parameters.json"],
            cwd=folder, stdout=log, stderr=log, env={**os.environ, "NXF_ANSI_LOG": "false"},
        )  # fmt: skip
        seconds, memory = 0.0, 0.0
        while head.poll() is None:
            try:
                fields = Path(f"/proc/{head.pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{head.pid}/status").read_text()
                seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                memory = int(status.partition("VmHWM:")[2].split()[0]) / 1024
            except (OSError, IndexError):
                pass  # it has just ended
            time.sleep(LOOK_s)
    if head.returncode:
        raise SystemExit((folder / "log").read_text())
    took = time.monotonic() - begun
    trace = pandas.read_csv(folder / "results/pipeline_info/trace.tsv", sep="\t")
    if set(trace["status"]) != {"COMPLETED"}:
        raise SystemExit(f"tasks ended as {trace['status'].value_counts().to_dict()}")
    return f"{len(trace)} tasks {took:.0f} s; Nextflow's process {seconds:.0f} s, {memory:.0f} MB"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shards", nargs="+", type=Path, help="of a finished run: excitation and analysis")
    parser.add_argument("--graph", action="store_true", help="the pipeline's graph in stubs")
    parser.add_argument("--n", nargs="+", type=int, default=[1100, 11000, 110000])
    given = parser.parse_args()
    for n in given.n if given.graph else ():
        with tempfile.TemporaryDirectory() as name:
            print(f"{n} trajectories: {run_graph(n, Path(name))}", flush=True)
    for n in given.n if given.shards else ():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = snapshots(folder, n)
            size = sum(file.stat().st_size for file in files) / 1e6
            print(f"{n} snapshots, {size:.0f} MB:", end=" ")
            for told in ("with the index", "without"):
                seconds, memory = measured(excite, files, folder / "states.h5")
                print(f"one shard {told} {seconds:.2f} s, {memory:.0f} MB;", end=" ", flush=True)
                for file in files:
                    (file.parent / "snapshots.csv").unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "shards").mkdir()
            made = copies(given.shards, n, folder / "shards")
            campaign = json.loads((given.shards[0] / "campaign.json").read_text())
            seconds, memory = measured(analyse_all, folder, campaign)
            print(f"analysis of {made} trajectories {seconds:.1f} s, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
