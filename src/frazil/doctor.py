"""What is missing or wrong on this machine, a line each with advice; imports only the standard library."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence  # noqa: UP035 (a login node's Python may be 3.7)

PROFILES = ("local", "apptainer", "hpc")
MODEL = Path(__file__).with_name("doctor.pb")
MODEL_ENERGY_eV = -3.5820137345441996
"""Of ``MODEL`` for three CO, bonds of 1.128 Å along y, at 0 and 3.5 Å along x and z; the first is excited."""
FREE_GB = 20


class Finding(NamedTuple):
    """One line of the answer: ``state`` is ok, bad (runs will fail) or note (some things will not work)."""

    state: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state:5}{self.what}" + (f": {self.advice}" if self.advice else "")


def output_of(command: Sequence[str], seconds: float = 30) -> str | None:
    """Return what a command prints, errors too; None if it fails, is not there or takes too long."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def java() -> Finding:
    """Java 17 or later, which Nextflow needs."""
    home = os.environ.get("JAVA_HOME")
    text = output_of([f"{home}/bin/java" if home else "java", "-version"])
    if text is None:
        return Finding("bad", "no Java", "load its module (module avail java), or `make setup` brings one")
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    if not found or int(found[1]) < 17:
        return Finding(
            "bad",
            f"Java {found[1] if found else '?'}",
            "Nextflow needs 17 or later: load its module, or `make setup`",
        )
    return Finding("ok", f"Java {found[1]}")


def nextflow(root: Path) -> Finding:
    """Nextflow 24.10 or later: the machine's own, or the one of ``make setup``."""
    for candidate in (shutil.which("nextflow"), str(root / ".frazil/bin/nextflow")):
        text = output_of([candidate, "-version"], 120) if candidate else None
        found = re.search(r"version (\d+)\.(\d+)\.(\d+)", text or "")
        if found and (int(found[1]), int(found[2])) >= (24, 10):
            return Finding("ok", f"Nextflow {'.'.join(found.groups())}")
    return Finding(
        "bad", "no Nextflow of 24.10 or later that starts", "load its module, or `make setup` brings one"
    )


def scratch(folder: Path) -> Finding:
    """Room for the work folder, and the right to write there."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            free_GB = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Finding(
            "bad",
            f"{folder} cannot be written ({error.strerror})",
            "start runs in a folder that you may write",
        )
    if free_GB < FREE_GB:
        return Finding(
            "note",
            f"{folder} has {free_GB:.0f} GB free",
            f"a campaign needs {FREE_GB} GB: make room, or name another with -work-dir",
        )
    return Finding("ok", f"{folder} can be written, {free_GB:.0f} GB free")


def apptainer() -> Finding:
    """Apptainer starts, and this user may make the namespaces that it needs."""
    text = output_of(["apptainer", "--version"])
    if text is None:
        return Finding(
            "bad",
            "no Apptainer",
            "load its module (module avail apptainer singularity), or ask the site for it",
        )
    found = re.search(r"(\d+)\.(\d+)", text)
    if not found or (int(found[1]), int(found[2])) < (1, 2):
        return Finding("bad", text, "1.2 or later is needed: load a newer module, or ask the site for it")
    if (
        output_of(["unshare", "--user", "true"]) is None
        and not Path("/usr/libexec/apptainer/bin/starter-suid").exists()
    ):
        return Finding(
            "note",
            f"{text}, but no user namespaces",
            "building images will fail; ask the site, or build elsewhere and copy",
        )
    return Finding("ok", text)


def images(root: Path) -> Iterator[Finding]:
    """Every image that a run uses is there, made of the present code, and whole."""
    folder = Path(os.environ.get("FRAZIL_IMAGES") or root / ".frazil/images")
    config = folder / "images.config"
    if not config.is_file():
        yield Finding("bad", f"no images in {folder}", "build them: `make images` (some minutes, no root)")
        return
    content = output_of(["bash", str(root / "containers/build.sh"), "content"])
    for image in sorted({Path(name) for name in re.findall(r"container = '(.+)'", config.read_text())}):
        if content is None or content not in image.name:
            yield Finding(
                "bad",
                f"{image.name} is of other code than this checkout",
                "`make images` builds the present one",
            )
            continue
        digest = (output_of(["sha256sum", str(image)], 300) or "").split(" ")[0]
        recorded = image.with_name(image.name + ".sha256")
        if not recorded.is_file() or digest != recorded.read_text().strip():
            yield Finding(
                "bad", f"{image} is not the file that was built", "remove it; `make images` builds it again"
            )
            continue
        yield Finding("ok", f"{image.name} is whole and of this code")
        kind = image.name.split("-")[1]
        inside = output_of(
            ["apptainer", "exec", str(image), "python3", "-m", "frazil.doctor", "--inside", kind], 300
        )
        yield (
            Finding("ok", f"{image.name} works inside")
            if inside
            else Finding(
                "bad",
                f"{image.name} fails inside",
                f"see: apptainer exec {image} python3 -m frazil.doctor --inside {kind}",
            )
        )
        yield gpu(image)


def gpu(image: Path | None = None) -> Finding:
    """A GPU, on this machine and in the container."""
    listed = output_of(["nvidia-smi", "--list-gpus"])
    if not listed:
        return Finding(
            "note",
            "no GPU on this machine",
            "right for a login node and for runs on CPUs; else see nvidia-smi",
        )
    names = ", ".join(line.split(" (UUID")[0] for line in listed.splitlines())
    if image is None:
        return Finding("ok", names)
    if output_of(["apptainer", "exec", "--nv", str(image), "nvidia-smi", "--list-gpus"], 60) is None:
        return Finding(
            "bad",
            f"{names}, not seen in {image.name}",
            "ask the site to set up apptainer --nv (nvidia-container-cli, ldconfig)",
        )
    if "-cuda-" not in image.name:
        return Finding(
            "note", f"{names}, but {image.name} is for CPUs", "build for GPUs: `make images VARIANT=cuda`"
        )
    return Finding("ok", f"{names}, seen in {image.name}")


def slurm() -> Finding:
    """Slurm answers and has a partition that is up."""
    text = output_of(["sinfo", "--noheader", "--format=%P %a %l %G"])
    if text is None:
        return Finding(
            "bad",
            "Slurm does not answer",
            "run this on a login node; for another scheduler see docs/cluster.md",
        )
    up = [line.split()[0] for line in text.splitlines() if " up " in line]
    if not up:
        return Finding("bad", "no partition of Slurm is up", "see sinfo")
    with_gpu = sorted({line.split()[0] for line in text.splitlines() if "gpu" in line.split()[-1]})
    gpus = f"; GPUs in {', '.join(with_gpu)}" if with_gpu else "; none has GPUs"
    return Finding("ok", f"Slurm: partitions {', '.join(dict.fromkeys(up))}{gpus}")


def lammps() -> Finding:
    """LAMMPS loads the plugin of DeePMD-kit, and a tiny model gives the right energy."""
    try:
        import numpy as np

        from frazil.md.lammps import LammpsSession

        carbons = np.array([[0.0, 0.0, 0.0], [3.5, 0.0, 0.0], [0.0, 0.0, 3.5]])
        positions_A = np.repeat(carbons, 2, axis=0) + np.tile([[0.0, 0.0, 0.0], [0.0, 1.128, 0.0]], (3, 1))
        with LammpsSession(MODEL, 3) as session:
            run = session.run(positions_A, np.zeros((6, 3)), np.array([2, 3, 0, 1, 0, 1]), 1.0, 0, 1)
            energy_eV = next(run).potential_energy_eV
    except Exception as error:
        return Finding(
            "bad",
            f"LAMMPS with DeePMD-kit: {error}",
            "`make setup` (or `make images`) again; else report this line",
        )
    if abs(energy_eV - MODEL_ENERGY_eV) > 1e-6:
        return Finding(
            "bad",
            f"a tiny model gives {energy_eV:.7f} eV, not {MODEL_ENERGY_eV:.7f} eV",
            "do not trust results of this machine; report this line",
        )
    return Finding("ok", f"LAMMPS loads DeePMD-kit; a tiny model gives {energy_eV:.6f} eV, as it should")


def packages(names: Sequence[str]) -> Iterator[Finding]:
    """Packages that import."""
    for name in names:
        try:
            __import__(name)
        except Exception as error:
            yield Finding("bad", f"{name}: {error}", "build the image again; else report this line")
        else:
            yield Finding("ok", f"{name} imports")


def schnet() -> Iterator[Finding]:
    """SchNetPack imports, once torch is ready for it."""
    try:
        from frazil.experiments.infrared.schnet import ready_torch

        ready_torch()
    except Exception as error:
        yield Finding("bad", f"torch: {error}", "build the image again; else report this line")
    else:
        yield from packages(["torch", "schnetpack"])


def kernels() -> Finding:
    """The compiled kernels load on this processor; without them JAX runs instead."""
    try:
        from frazil.potentials.kernels import library

        found = library.found()
    except Exception as error:
        return Finding("bad", f"compiled kernels: {error}", "change the variable; else report this line")
    if isinstance(found, str):
        return Finding("note", f"no compiled kernels: {found}", "runs under GM-NN take twice as long")
    return Finding("ok", f"compiled kernels: {found.level}")


INSIDE: dict[str, Callable[[], Iterator[Finding]]] = {
    "deepmd": lambda: (
        finding
        for part in ([lammps()], packages(["jax", "tblite", "ase", "pandas"]), [kernels()])
        for finding in part
    ),
    "jax": lambda: (
        finding
        for part in (packages(["jax", "optax", "tblite", "ase", "pandas"]), [kernels()])
        for finding in part
    ),
    "labels": lambda: packages(["pyscf", "tblite", "cclib", "jax", "ase"]),
    "schnet": schnet,
}
"""What is looked at inside a container image, by the image's name."""


def outside(root: Path, profile: str, work: Path) -> Iterator[Finding]:
    """Everything that a run with ``profile`` needs from this machine."""
    yield java()
    yield nextflow(root)
    yield scratch(work)
    if profile == "local":
        inside = output_of(
            [str(root / ".frazil/venv/bin/python"), "-m", "frazil.doctor", "--inside", "deepmd"], 300
        )
        yield (
            Finding("ok", "LAMMPS, DeePMD-kit and JAX work in .frazil/venv")
            if inside
            else Finding(
                "bad",
                "the Python environment .frazil/venv does not work",
                "`make setup`; then .frazil/venv/bin/python -m frazil.doctor --inside deepmd",
            )
        )
        yield gpu()
        return
    yield apptainer()
    yield from images(root)
    if profile == "hpc":
        yield slurm()


def main(arguments: Sequence[str]) -> int:
    """Print the findings; return 1 if one is bad. Arguments: a profile, or --inside and an image's name."""
    if len(arguments) == 2 and arguments[0] == "--inside" and arguments[1] in INSIDE:
        findings = INSIDE[arguments[1]]()
    elif len(arguments) == 1 and arguments[0] in PROFILES:
        findings = outside(Path(__file__).resolve().parents[2], arguments[0], Path.cwd())
    else:
        given = " ".join(arguments) or "nothing"
        print(
            f"error: given {given}; allowed: {', '.join(PROFILES)}, or --inside {'|'.join(INSIDE)}",
            file=sys.stderr,
        )
        return 2
    states = []
    for finding in findings:
        print(finding, flush=True)
        states.append(finding.state)
    return int("bad" in states)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
