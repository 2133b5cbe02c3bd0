"""The photodesorption graph with -profile hpc: real Slurm, real images, as ordinary users of two clusters.

The clusters are this machine, with one user each and a pretended GPU (`make test-hpc`, as root, on Debian).
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

HERE = Path(__file__).parent
GPU_PROCESSES = {"TRAIN_DEEPMD", "THERMALIZE", "RUN_TRAJECTORIES", "SHOW_TRAJECTORIES"}
FAULTS = "tests/hpc/site.config"
LONGEST_S = 1800

Done = subprocess.CompletedProcess[str]


def small_campaign() -> str:
    """The small campaign of the tests, in shards that can be interrupted: ids 4 to 7 are the model's only.

    It has no rounds of exploration and few steps of training, so that the test stays short; with the label's
    own bonds its trajectories are real nevertheless.
    """
    campaign = json.loads((HERE.parent / "pipeline/small.json").read_text())
    campaign["deepmd"] |= {"n_steps": 800, "bond_baseline": True}
    campaign["exploration"]["rounds"] = 0
    campaign["thermalization"]["n_replicas"] = 1
    campaign["photodesorption"] |= {
        "n_trajectories": 8,
        "shard_size": 4,
        "n_truth": 4,
        "n_control": 0,
        "duration_fs": 2000,
    }
    return json.dumps(campaign)


def tables(results: Path) -> dict[str, bytes]:
    return {str(file.relative_to(results)): file.read_bytes() for file in sorted(results.rglob("*.csv"))}


def trace(results: Path) -> pd.DataFrame:
    """A row per task tried: its process's name without the workflows around it, and its exit status."""
    rows = pd.read_csv(results / "pipeline_info/trace.tsv", sep="\t", dtype={"exit": str})
    rows["process"] = rows["name"].str.replace(r" \(.*", "", regex=True).str.split(":").str[-1]
    return rows


@dataclass(frozen=True)
class Cluster:
    """A one-node cluster of an ordinary user, with a checkout and images of the user's own."""

    user: str
    home: Path
    port: int

    @property
    def checkout(self) -> Path:
        return self.home / "frazil"

    @property
    def images(self) -> Path:
        return self.home / "images"

    def run(self, *command: str | Path, folder: Path | None = None) -> Done:
        """Run a command as the user, on the cluster."""
        settings = {
            "HOME": self.home,
            "PATH": f"{self.checkout}/.frazil/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "SLURM_CONF": self.home / "slurm/slurm.conf",
            "FRAZIL_IMAGES": self.images,
            "COMPRESSION_LEVEL": "1",
            "NXF_ANSI_LOG": "false",
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }
        as_user = ["runuser", "-u", self.user, "--", "env", "-i"]
        environment = [f"{name}={value}" for name, value in settings.items()]
        line = f"cd {shlex.quote(str(folder or self.home))} && exec {shlex.join(map(str, command))}"
        return subprocess.run(
            [*as_user, *environment, "bash", "-c", line],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )

    def pipeline(self, folder: Path, *arguments: str | Path) -> Done:
        """Run the small campaign with -profile hpc in a folder."""
        (folder / "campaign.json").write_text(small_campaign())
        subprocess.run(["chown", "-R", f"{self.user}:", folder], check=True)
        return self.run(
            "nextflow", "run", self.checkout / "main.nf", "-profile", "hpc", "-params-file", "campaign.json",
            *arguments, folder=folder,
        )  # fmt: skip

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm remembers of every job."""
        lines = self.run("scontrol", "--oneliner", "show", "jobs").stdout.splitlines()
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]


@pytest.fixture(scope="session")
def programs() -> None:
    """Slurm and Apptainer on this machine."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("installing Slurm and Apptainer, and making users, needs root on Debian")
    done = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Slurm and Apptainer cannot be installed here: {done.stdout + done.stderr}")


def make_cluster(root: Path, user: str, port: int) -> Cluster:
    """A user with a fresh home, the checkout as it is, and a cluster that runs."""
    if subprocess.run(["id", user], capture_output=True, check=False).returncode:
        subprocess.run(["useradd", "--create-home", user], check=True)
    cluster = Cluster(user, Path(f"~{user}").expanduser(), port)
    stop(cluster)
    subprocess.run(["pkill", "-KILL", "-u", user], check=False)
    for name in ("frazil", "slurm", "campaign", "elsewhere"):
        shutil.rmtree(cluster.home / name, ignore_errors=True)
    listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0")
    kept = [".frazil/bin", ".frazil/nextflow", ".frazil/java"]
    for name in [*filter(None, names), *kept]:
        source, target = root / name, cluster.checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        elif source.exists():
            shutil.copy2(source, target)
    subprocess.run(["chown", "-R", f"{user}:", cluster.home], check=True)
    for tool, *arguments in (("probe.sh",), ("cluster.sh", "start", cluster.home / "slurm", str(port))):
        done = cluster.run(cluster.checkout / "tests/hpc" / tool, *arguments)
        if done.returncode:
            pytest.skip(f"Apptainer or Slurm does not work here ({tool}): {done.stdout + done.stderr}")
    return cluster


def stop(cluster: Cluster) -> None:
    subprocess.run([HERE / "cluster.sh", "stop", cluster.home / "slurm"], capture_output=True, check=False)


@pytest.fixture(scope="session")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for what runs beside the test."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="session")
def cluster(root: Path, programs: None) -> Iterator[Cluster]:
    """The first cluster; images of another code are removed."""
    made = make_cluster(root, "frazil-one", 7610)
    content = made.run("containers/build.sh", "content", folder=made.checkout).stdout.strip()
    for old in made.images.glob("frazil-*"):
        if content not in old.name:
            old.unlink()
    yield made
    stop(made)


@pytest.fixture(scope="session")
def image(cluster: Cluster, local: Future[Done]) -> Path:
    """The image of everything but the labellers."""
    built = cluster.run("containers/build.sh", "deepmd", folder=cluster.checkout)
    assert built.returncode == 0, built.stdout + built.stderr
    (image,) = cluster.images.glob("frazil-deepmd-cpu-*.sif")
    return image


@pytest.fixture(scope="session")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="session")
def local(
    root: Path, nextflow: Path, local_folder: Path, cluster: Cluster, workers: ThreadPoolExecutor
) -> Future[Done]:
    """The same campaign without cluster and containers, while the image is built."""
    (local_folder / "campaign.json").write_text(small_campaign())
    command = [nextflow, "run", root / "main.nf", "-profile", "local", "-params-file", "campaign.json"]
    environment = {**os.environ, "NXF_ANSI_LOG": "false"}
    return workers.submit(
        subprocess.run, command, cwd=local_folder, env=environment, capture_output=True, text=True,
        timeout=LONGEST_S,
    )  # fmt: skip


@pytest.fixture(scope="session")
def local_results(local: Future[Done], local_folder: Path) -> Path:
    done = local.result()
    assert done.returncode == 0, done.stdout + done.stderr
    return local_folder / "results"


@pytest.fixture(scope="session")
def other_cluster(root: Path, cluster: Cluster, image: Path) -> Iterator[Cluster]:
    """Another user's, with a copy of the image, and GPUs that shards share."""
    made = make_cluster(root, "frazil-two", 7620)
    shutil.rmtree(made.images, ignore_errors=True)
    made.images.mkdir()
    for file in (image, image.with_name(image.name + ".sha256")):
        shutil.copy(file, made.images)
    config = (cluster.images / "images.config").read_text()
    (made.images / "images.config").write_text(config.replace(str(cluster.images), str(made.images)))
    site = made.checkout / "conf/hpc.config"
    edits = {
        "'15 sec'": "'1 sec'",
        "'20/1min'": "null",
        "8.GB * task.attempt": "2.GB * task.attempt",
        "'--gres=gpu:1'  ": "'--gres=shard:1'  ",
    }
    for line, edited in edits.items():
        assert line in site.read_text()
        site.write_text(site.read_text().replace(line, edited))
    subprocess.run(["chown", "-R", f"{made.user}:", made.images], check=True)
    yield made
    stop(made)


@pytest.fixture(scope="session")
def repeated(other_cluster: Cluster, local_results: Path, workers: ThreadPoolExecutor) -> Future[Done]:
    """`make rerun` of the local run there, started now."""
    copy = other_cluster.home / "elsewhere/first"
    shutil.copytree(local_results, copy)
    subprocess.run(["chown", "-R", f"{other_cluster.user}:", copy.parent], check=True)
    command = ("make", "--silent", "rerun", f"RUN={copy / 'run.json'}", "PROFILE=hpc")
    return workers.submit(other_cluster.run, *command, folder=other_cluster.checkout)


def disturb(cluster: Cluster, folder: Path, over: threading.Event) -> None:
    """Hang the model's second shard (ids 4 to 7) at its first trajectory; stop its second try."""

    def found(known: int = 0) -> int:
        command = ["pgrep", "-u", cluster.user, "-f", "python3 .*run_trajectories.py .*--first-id 4 "]
        while not over.wait(0.05):
            listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
            for pid in map(int, listed):
                if pid != known:
                    return pid
        return known

    def heeds_term(pid: int) -> bool:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)

    first = found()
    while not list(folder.glob("work/checkpoints/*/0000000[4-7].json")) and not over.wait(0.01):
        pass
    os.kill(first, signal.SIGSTOP)
    second = found(known=first)
    while not (heeds_term(second) and not over.wait(0.1) and heeds_term(second)) and not over.wait(0.01):
        pass  # twice: a process heeds it for a moment when it claims its folder, too
    os.kill(second, signal.SIGTERM)


@pytest.fixture(scope="session")
def folder(cluster: Cluster, image: Path, repeated: Future[Done], workers: ThreadPoolExecutor) -> Path:
    """The folder of a run on the first cluster, with tasks killed for memory and one at its time limit."""
    folder = cluster.home / "campaign"
    folder.mkdir()
    over = threading.Event()
    disturber = workers.submit(disturb, cluster, folder, over)
    done = cluster.pipeline(folder, "-c", cluster.checkout / FAULTS)
    over.set()
    disturber.result()
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_image_says_and_tests_what_it_is(cluster: Cluster, image: Path) -> None:
    assert "image deepmd (cpu)" in cluster.run("apptainer", "run", image).stdout
    labels = cluster.run("apptainer", "inspect", image).stdout
    assert f"org.frazil.content: {image.stem.split('-')[-1]}" in labels
    tested = cluster.run("apptainer", "test", image)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "a tiny model gives" in tested.stdout


def test_doctor_finds_nothing_bad(cluster: Cluster, image: Path) -> None:
    done = cluster.run("make", "--silent", "doctor", "PROFILE=hpc", folder=cluster.checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ok   frazil-deepmd-cpu-\w+.sif works inside", done.stdout), done.stdout
    assert "ok   Slurm: partitions main*; GPUs in main*" in done.stdout


def test_shards_are_one_job_array_and_ask_for_the_gpu(cluster: Cluster, folder: Path) -> None:
    jobs = cluster.jobs()
    shards = [job for job in jobs if "RUN_TRAJECTORIES" in job["JobName"]]
    arrays = {job["ArrayJobId"] for job in shards if "ArrayTaskId" in job}
    assert len(arrays) == 1
    assert sum("ArrayTaskId" in job for job in shards) == 3, "two of the model, one of the teacher"
    for job in jobs:
        on_gpu = any(process in job["JobName"] for process in GPU_PROCESSES)
        assert job.get("TresPerNode", "").startswith("gres:gpu") == on_gpu, job


def test_a_task_killed_for_memory_is_tried_with_more(cluster: Cluster, folder: Path) -> None:
    killed = [job for job in cluster.jobs() if "TRAIN_DEEPMD" in job["JobName"]]
    log = (cluster.home / "slurm/slurmd.log").read_text()
    too_large = [job for job in killed if f"StepId={job['JobId']}.batch exceeded memory limit" in log]
    assert [job["MinMemoryNode"] for job in too_large] == ["100M"] * 2
    assert sorted(job["MinMemoryNode"] for job in killed) == ["100M"] * 2 + ["4G"] * 2
    tries = trace(folder / "results").query("process == 'TRAIN_DEEPMD'")
    assert sorted(tries["status"]) == ["COMPLETED"] * 2 + ["FAILED"] * 2


def test_a_task_stopped_by_its_time_limit_goes_on_from_its_checkpoint(cluster: Cluster, folder: Path) -> None:
    tries = trace(folder / "results").query("name.str.contains('model:4')", engine="python")
    shard = tries[tries["process"] == "RUN_TRAJECTORIES"].sort_values("task_id")
    assert len(shard) == 3
    # A stopped task has 30 s to write its exit status. One that could not has "-", and is tried again too.
    assert shard["exit"].iloc[0] in ("143", "-")
    shards = [job for job in cluster.jobs() if "RUN_TRAJECTORIES" in job["JobName"]]
    # Of each of the three shards one try ends well. On a slow machine another shard may meet its limit too.
    assert sum(job["JobState"] == "COMPLETED" for job in shards) == 3
    assert sum(job["JobState"] != "COMPLETED" for job in shards) >= 2
    assert list(shard["exit"])[1:] == ["75", "0"]
    assert list(shard["status"]) == ["FAILED", "FAILED", "COMPLETED"]
    trajectories = pd.read_csv(folder / "results/photodesorption/trajectories.csv")
    assert list(trajectories["trajectory_id"]) == list(range(8))
    assert set(trajectories["outcome"]) <= {"retained", "desorbed"}


def test_tables_are_those_of_the_local_run(folder: Path, local_results: Path) -> None:
    assert tables(folder / "results") == tables(local_results)


def test_run_json_holds_the_digests(folder: Path, image: Path) -> None:
    digests = json.loads((folder / "results/run.json").read_text())["container_digests"]
    assert digests == {str(image): hashlib.sha256(image.read_bytes()).hexdigest()}


def test_resume_recomputes_nothing(cluster: Cluster, folder: Path) -> None:
    before = tables(folder / "results")
    again = cluster.pipeline(folder, "-c", cluster.checkout / FAULTS, "-resume")
    assert again.returncode == 0, again.stdout + again.stderr
    assert set(trace(folder / "results")["status"]) == {"CACHED"}
    assert tables(folder / "results") == before


def test_another_user_on_another_cluster_repeats_the_run(
    other_cluster: Cluster, repeated: Future[Done], local_results: Path
) -> None:
    done = repeated.result()
    assert done.returncode == 0, done.stdout + done.stderr
    results = other_cluster.home / "elsewhere/first-again/results"
    again = tables(results)
    assert f"{len(again)} tables are the same byte for byte, 0 differ" in done.stdout
    assert again == tables(local_results)
    assert set(trace(results)["status"]) == {"COMPLETED"}
    assert json.loads((results / "run.json").read_text())["profile"] == "hpc"
    shared = [job for job in other_cluster.jobs() if job.get("TresPerNode") == "gres:shard:1"]
    assert {job["JobName"].split("_(")[0].removeprefix("nf-PHOTODESORPTION_") for job in shared} >= {
        "THERMALIZE",
        "RUN_TRAJECTORIES",
    }
